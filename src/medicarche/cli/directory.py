"""Commands on the company's directory: its people, their first passwords, its backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medicarche.cli.output import print_json, results, table
from medicarche.credentials import Credentials
from medicarche.deploy import directory_backup
from medicarche.deploy.directory import hand_over, person_secret
from medicarche.errors import MedicarcheError
from medicarche.private_files import write_private
from medicarche.runlock import held
from medicarche.status import instances_of
from medicarche.target import select

if TYPE_CHECKING:
    from medicarche.converge import InstanceState
    from medicarche.options import Options
    from medicarche.spec.directory import Directory
    from medicarche.ssh import Ssh
    from medicarche.target import Selection

__all__ = ["directory"]


@click.group()
def directory() -> None:
    """Show the people of the directory, give them new passwords, back it up."""


def _of(selection: Selection) -> Directory:
    found = selection.environment.directory
    if found is None:
        raise MedicarcheError(
            f"{selection.environment.source} declares no directory", hint="add a section `directory`"
        )
    return found


def _way(selection: Selection) -> tuple[Ssh, InstanceState]:
    """Return SSH to the directory's instance, and the instance."""
    serving = _of(selection).application
    name = next(a.instance for a in selection.environment.applications if a.name == serving)
    selection.enter()
    for instance in instances_of(selection):
        if instance.name == name:
            return selection.ssh(selection.user_of(name)), instance
    raise MedicarcheError(f"{name}: no such instance on the cloud", hint="medicarche provision")


@directory.command("list")
@click.option("--json", "json_output", is_flag=True, help="For other programs.")
@click.pass_obj
def show(options: Options, *, json_output: bool) -> None:
    """Show the people of the people's file, and the file that each one's first password is handed over by.

    ssh: who administers the instances over SSH, and whether the person has a key for it.
    """
    selection = select(options)
    rows: list[dict[str, Any]] = []
    found = _of(selection)
    administrators = {member.login for member in found.ssh_members}
    for member in found.members:
        path = selection.folder / "directory" / member.login
        rows.append(
            {
                "login": member.login,
                "name": member.name,
                "site": member.site,
                "groups": list(member.groups),
                "ssh": ("key" if member.ssh_key else "no key") if member.login in administrators else None,
                "file": str(path) if path.exists() else None,
            }
        )
    if json_output:
        print_json(rows)
        return
    columns = ("login", "name", "site", "groups", *(("ssh",) if administrators else ()), "file")
    lines = [[" ".join(r[c]) if c == "groups" else r[c] for c in columns] for r in rows]
    results().print(table(columns, lines))


@directory.command()
@click.argument("login")
@click.pass_obj
def password(options: Options, login: str) -> None:
    """Make a new password for LOGIN, and print its file; `provision` gives it to the directory."""
    selection = select(options)
    found = _of(selection)
    if login not in {member.login for member in found.members}:
        raise MedicarcheError(f"{login!r} isn't in {found.people_file}", hint="medicarche directory list")
    with held(selection.folder / "run.lock", "this environment"):
        credentials = Credentials(selection.folder)
        credentials.renew(f"{found.application}/{person_secret(login)}")
        hand_over(selection.environment, credentials, selection.folder)
    click.echo(selection.folder / "directory" / login)


@directory.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def backup(options: Options, file: Path) -> None:
    """Write the directory's whole content to FILE (LDIF, gzip), which its owner alone can read."""
    selection = select(options)
    content = directory_backup.back_up(*_way(selection))
    write_private(file, content)
    click.echo(f"{file}: keep it as safe as passwords", err=True)


@directory.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.pass_obj
def restore(options: Options, file: Path) -> None:
    """Put back what FILE holds; then run `provision`, for the people's file is the truth."""
    selection = select(options)
    with held(selection.folder / "run.lock", "this environment"):
        directory_backup.restore(*_way(selection), file.read_bytes())
    click.echo("restored; `medicarche provision` brings it to what the people's file says now", err=True)
