"""Commands on one instance: console log, audit trail, SSH."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from medicarche import converge
from medicarche.cli.output import print_json, results, table
from medicarche.cloud.connect import Connections, connect
from medicarche.errors import MachineError, MedicarcheError
from medicarche.target import Selection, select

if TYPE_CHECKING:
    from medicarche.converge import InstanceState
    from medicarche.options import Options

__all__ = ["audit", "console", "ssh"]


def _find(options: Options, name: str) -> tuple[Selection, Connections, InstanceState]:
    selection = select(options)
    known = [i.name for i in selection.environment.instances]
    if name not in known:
        raise MedicarcheError(
            f"{name!r}: no such instance in {options.environment_file}", hint=f"known: {', '.join(known)}"
        )
    selection.enter()
    connections = connect(selection.target)
    for state in converge.instances(connections, selection.environment.name):
        if state.name == name:
            return selection, connections, state
    raise MedicarcheError(
        f"instance {name!r} doesn't exist on {selection.target.name}", hint="medicarche provision"
    )


@click.command()
@click.argument("name")
@click.pass_obj
def console(options: Options, name: str) -> None:
    """Show the console log of the instance NAME."""
    _, connections, state = _find(options, name)
    click.echo(converge.console_log(connections, state.id))


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
@click.pass_obj
def audit(options: Options, name: str, *, as_json: bool) -> None:
    """Show who did what to the instance NAME, and when."""
    _, connections, state = _find(options, name)
    trail = converge.audit_trail(connections, state.id)
    if as_json:
        print_json([asdict(entry) for entry in trail])
        return
    rows = [(e.started_at, e.action, e.user_id, e.request_id, e.message or "done") for e in trail]
    results().print(table(("when", "action", "user", "request", "result"), rows))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ssh(options: Options, name: str, command: tuple[str, ...]) -> None:
    """Open a shell in the instance NAME, or run COMMAND there; its host key is pinned."""
    selection, _, state = _find(options, name)
    arguments = selection.ssh(selection.user_of(name)).command(state, command)
    if shutil.which(arguments[0]) is None:
        raise MachineError("the ssh program is missing", hint="sudo apt-get install openssh-client")
    os.execvp(arguments[0], arguments)  # noqa: S606 - the ssh program takes our place
