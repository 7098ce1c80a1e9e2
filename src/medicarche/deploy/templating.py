"""Templates that lie beside the code that uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["render"]


def render(folder: Path, name: str, /, **values: object) -> str:
    """Render ``folder/name``; a value that a template asks for and isn't given is an error, never empty.

    A value is put in as it is: a template escapes by ``|e`` (HTML) or ``|php`` (inside single quotes).
    """
    environment = jinja2.Environment(  # noqa: S701 - nginx, Apache and PHP, not HTML; HTML ones say |e
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["php"] = _php
    return environment.get_template(name).render(**values)


def _php(text: str) -> str:
    """Escape for a single-quoted PHP string (PHP manual, "Strings", single quoted)."""
    return text.replace("\\", "\\\\").replace("'", "\\'")
