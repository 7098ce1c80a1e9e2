"""Options that several commands have."""

from __future__ import annotations

import click

__all__ = ["WITHOUT"]

WITHOUT = click.option(
    "--without",
    metavar="NAME",
    multiple=True,
    envvar="MEDICARCHE_WITHOUT",
    show_envvar=True,
    help="Don't deploy the application NAME; may be given several times.",
)
