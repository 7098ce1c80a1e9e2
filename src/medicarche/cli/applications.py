"""Commands on the applications: their passwords, and the authority of their certificates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medicarche.cli.output import print_json, results, table
from medicarche.credentials import Credentials
from medicarche.deploy import KINDS, authority
from medicarche.errors import MedicarcheError
from medicarche.target import select

if TYPE_CHECKING:
    from medicarche.options import Options

__all__ = ["ca", "credentials"]

_FOR_MACHINES = "salt_"


@click.command()
@click.argument("application")
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
@click.pass_obj
def credentials(options: Options, application: str, *, as_json: bool) -> None:
    """Show the generated passwords of APPLICATION, and what each is for."""
    selection = select(options)
    known = {a.name: a for a in selection.environment.applications}
    if application not in known:
        raise MedicarcheError(
            f"{application!r}: no such application in {options.environment_file}",
            hint=f"known: {', '.join(known)}",
        )
    kept = Credentials(selection.folder)
    login = known[application].settings.get("administrator", "")
    rows = []
    for purpose, what in KINDS[known[application].kind].secrets.items():
        value = kept.get(f"{application}/{purpose}")
        if value is not None and not purpose.startswith(_FOR_MACHINES):
            rows.append((purpose, login if purpose == "administrator" else "", value, what))
    if not rows:
        raise MedicarcheError(
            f"{application}: no password was generated yet for it on {selection.target.name}",
            hint="medicarche provision",
        )
    if as_json:
        print_json({purpose: {"login": user, "password": value} for purpose, user, value, _ in rows})
        return
    results().print(table(("purpose", "login", "password", "what it is"), rows))


@click.command()
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="The file to write; default: the terminal.",
)
@click.pass_obj
def ca(options: Options, output: Path | None) -> None:
    """Export the certificate of the environment's authority (PEM): for browsers, curl, other programs."""
    selection = select(options)
    certificate = authority(selection.environment, selection.folder).ca_certificate
    if not certificate.exists():
        raise MedicarcheError(
            f"{selection.environment.name} has no authority on {selection.target.name} yet",
            hint="medicarche provision",
        )
    text = certificate.read_text(encoding="ascii")
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="ascii")
    click.echo(f"{output}: import it as a certificate authority", err=True)
