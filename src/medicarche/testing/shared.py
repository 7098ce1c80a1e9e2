"""What is asked once a run, whatever the number of xdist's workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from medicarche.private_files import locked, write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["once"]


def once(folder: Path, name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON
    """Return what ``make`` makes; the first process of a run makes it, the others wait for it and read it.

    Args:
        folder: a folder that all processes of this run share, and no other run.
        name: of the thing.
        make: makes it, as JSON can hold it.
    """
    with locked(folder, f"{name}.lock"):
        path = folder / f"{name}.json"
        if not path.exists():
            write_private(path, json.dumps(make()).encode())
        return json.loads(path.read_text(encoding="utf-8"))
