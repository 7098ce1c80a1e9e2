"""``medicarche floating-ip``: an instance's floating IP, by command."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from medicarche import forwards
from medicarche.cli.output import print_json, progress, results, table
from medicarche.cloud.connect import connect
from medicarche.converge import floating_ips, instances
from medicarche.errors import MedicarcheError
from medicarche.plan import derive
from medicarche.planning import site_of
from medicarche.runlock import held
from medicarche.target import Selection, select

if TYPE_CHECKING:
    from medicarche.cloud.connect import Connections
    from medicarche.converge.floating_ips import FloatingIpState
    from medicarche.options import Options

__all__ = ["floating_ip"]

_AGAIN = "The next `medicarche provision` attaches one again, unless the environment file changes."


@click.group(name="floating-ip")
def floating_ip() -> None:
    """Allocate, attach, detach and release the floating IP of an instance."""


@floating_ip.command()
@click.argument("instance")
@click.option("--json", "as_json", is_flag=True, help="For other programs; null where it has none.")
@click.pass_obj
def show(options: Options, instance: str, *, as_json: bool) -> None:
    """Show the floating IP of INSTANCE."""
    selection = _enter(options, instance)
    found = floating_ips.floating_ip(connect(selection.target), selection.environment.name, instance)
    if as_json:
        print_json(asdict(found) if found is not None else None)
    else:
        _print(instance, found)


@floating_ip.command()
@click.argument("instance")
@click.pass_obj
def attach(options: Options, instance: str) -> None:
    """Attach the floating IP of INSTANCE; allocate one where it has none."""
    selection = _enter(options, instance)
    with held(selection.folder / "run.lock", "this environment"):
        connections, name = connect(selection.target), selection.environment.name
        before = floating_ips.floating_ip(connections, name, instance)
        wanted = derive(selection.environment, site_of(selection))
        after = floating_ips.attach(connections, name, wanted, instance, reporter=progress())
        _forward(selection, connections)
    _print(instance, after)
    if before is None:
        click.echo(
            "A new address: run `medicarche provision` for the certificate and host key of its applications.",
            err=True,
        )


@floating_ip.command()
@click.argument("instance")
@click.pass_obj
def detach(options: Options, instance: str) -> None:
    """Detach the floating IP of INSTANCE; the project keeps the address."""
    selection = _enter(options, instance)
    with held(selection.folder / "run.lock", "this environment"):
        connections = connect(selection.target)
        after = floating_ips.detach(connections, selection.environment.name, instance, reporter=progress())
        _forward(selection, connections)
    _print(instance, after)
    click.echo(_AGAIN, err=True)


@floating_ip.command()
@click.argument("instance")
@click.pass_obj
def release(options: Options, instance: str) -> None:
    """Give the floating IP of INSTANCE back to the cloud; the next one may be another address."""
    selection = _enter(options, instance)
    with held(selection.folder / "run.lock", "this environment"):
        connections = connect(selection.target)
        gone = floating_ips.release(connections, selection.environment.name, instance, reporter=progress())
        _forward(selection, connections)
    results().print(f"{instance}: released {', '.join(gone)}" if gone else f"{instance}: no floating IP")
    click.echo(_AGAIN, err=True)


def _enter(options: Options, instance: str) -> Selection:
    selection = select(options)
    known = [i.name for i in selection.environment.instances]
    if instance not in known:
        raise MedicarcheError(
            f"{instance!r}: no such instance in {options.environment_file}",
            hint=f"known: {', '.join(known)}",
        )
    selection.enter()
    return selection


def _forward(selection: Selection, connections: Connections) -> None:
    """Let this machine's loopback ports lead to the addresses that there are now."""
    if selection.embedded is not None:
        found = instances(connections, selection.environment.name)
        selection.embedded.forward(forwards.wanted(selection.environment, found))


def _print(instance: str, found: FloatingIpState | None) -> None:
    if found is None:
        results().print(f"{instance}: no floating IP")
        return
    row = (instance, found.address, found.private_address, found.status)
    results().print(table(("instance", "floating", "attached to", "state"), [row]))
