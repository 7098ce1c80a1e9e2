"""Commands on the accounts of those who work on the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from medicarche import people as accounts
from medicarche.cli.output import print_json, results, table
from medicarche.cloud.connect import connect
from medicarche.runlock import held
from medicarche.target import select

if TYPE_CHECKING:
    from medicarche.options import Options

__all__ = ["people"]


@click.group()
def people() -> None:
    """Show the people of the environment file, and give them new passwords."""


@people.command("list")
@click.option("--json", "json_output", is_flag=True, help="For other programs.")
@click.pass_obj
def show(options: Options, *, json_output: bool) -> None:
    """Show who has which role, and the file that holds the account: a clouds.yaml that works as it is."""
    selection = select(options)
    rows = []
    for person in selection.environment.people:
        path = accounts.file_of(selection.folder, person.login)
        rows.append(
            {
                "login": person.login,
                "name": person.name,
                "group": person.group,
                "role": person.cloud_role,
                "file": str(path) if path.exists() else None,
            }
        )
    if json_output:
        print_json(rows)
        return
    columns = ("login", "name", "group", "role", "file")
    results().print(table(columns, [[row[column] for column in columns] for row in rows]))


@people.command()
@click.argument("login")
@click.pass_obj
def password(options: Options, login: str) -> None:
    """Give LOGIN a new password, and print the file that it is in; the password itself is never shown."""
    selection = select(options)
    selection.enter()
    with held(selection.folder / "run.lock", "this environment"):
        path = accounts.reset_password(
            connect(selection.target), selection.environment.name, selection.folder, login
        )
    click.echo(path)
