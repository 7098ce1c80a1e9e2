"""``medicarche cloud``: the embedded OpenStack."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medicarche import forwards, target
from medicarche.cli.output import print_json, progress, results, table
from medicarche.embedded import namespace
from medicarche.errors import CloudUnreachable, MedicarcheError
from medicarche.spec import load_environment

if TYPE_CHECKING:
    from medicarche.options import Options
    from medicarche.spec import Environment

__all__ = ["cloud"]


@click.group()
def cloud() -> None:
    """Bring the embedded OpenStack up and down, and enter it."""


@cloud.command()
@click.pass_obj
def up(options: Options) -> None:
    """Bring the embedded OpenStack up, from whatever is there."""
    reporter = progress()
    embedded = target.embedded_cloud(options, _environment_if_there(options))
    embedded.up(reporter)


@cloud.command()
@click.pass_obj
def down(options: Options) -> None:
    """Stop it; its data is kept, and `cloud up` brings it and its instances back."""
    target.embedded_cloud(options).down(progress())


@cloud.command()
@click.pass_obj
def purge(options: Options) -> None:
    """Stop it and remove its data, and the secrets of the environments that were on it."""
    embedded = target.embedded_cloud(options)
    embedded.purge(progress())
    secrets = options.paths.home / "environments" / f"embedded-{embedded.name}"
    if secrets.exists():
        shutil.rmtree(secrets)


@cloud.command()
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
@click.pass_obj
def status(options: Options, *, as_json: bool) -> None:
    """Say whether it is up, and which of its services answer. Exit code 5 where it isn't ready."""
    embedded = target.embedded_cloud(options)
    found = embedded.status()
    if as_json:
        print_json({key: str(v) if isinstance(v, Path) else v for key, v in asdict(found).items()})
    else:
        console = results()
        console.print(f"embedded OpenStack {embedded.name}: {found.state}")
        if found.waiting:
            console.print(table(("service", "waiting for"), sorted(found.waiting.items())))
        if found.dashboard:
            console.print(f"dashboard: {found.dashboard}")
    if found.state != "ready":
        click.get_current_context().exit(CloudUnreachable.exit_code)


@cloud.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def enter(options: Options, command: tuple[str, ...]) -> None:
    """Run COMMAND (default: a shell) inside the cloud's network, with OS_CLOUD set."""
    embedded = target.embedded_cloud(options)
    if not embedded.netns.exists():
        raise CloudUnreachable(f"the embedded cloud {embedded.name!r} isn't up", hint="medicarche cloud up")
    words = list(command) or [os.environ.get("SHELL", "/bin/bash")]
    if shutil.which(words[0]) is None:
        raise MedicarcheError(f"{words[0]}: no such program")
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(embedded.clouds_yaml)
    os.environ.setdefault("OS_CLOUD", "medicarche")
    namespace.enter(embedded.netns)
    os.execvp(words[0], words)  # noqa: S606 - the user's own command takes our place


@cloud.command()
@click.argument("service", required=False)
@click.option("--lines", "-n", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.pass_obj
def logs(options: Options, service: str | None, lines: int) -> None:
    """Show the last lines of SERVICE's log, or name the services that have one."""
    click.echo(target.embedded_cloud(options).logs(service, lines))


@cloud.command(name="open")
@click.pass_obj
def open_(options: Options) -> None:
    """Show the addresses for a browser on this machine: the dashboard and the applications."""
    embedded = target.embedded_cloud(options)
    if not embedded.netns.exists():
        raise CloudUnreachable(f"the embedded cloud {embedded.name!r} isn't up", hint="medicarche cloud up")
    rows = []
    for inside, (host, port) in sorted(forwards.local(embedded).items()):
        scheme = "http" if inside == forwards.DASHBOARD else "https"
        what = "dashboard" if inside == forwards.DASHBOARD else "{}:{}".format(*inside)
        rows.append((what, f"{scheme}://{host}:{port}/"))
    console = results()
    console.print(table(("what", "address on this machine"), rows))
    user, _ = embedded.dashboard_login()
    console.print(f"dashboard: user {user}, domain Default, password: medicarche cloud password")


@cloud.command()
@click.pass_obj
def password(options: Options) -> None:
    """Print the password with which a person logs into the dashboard."""
    click.echo(target.embedded_cloud(options).dashboard_login()[1])


def _environment_if_there(options: Options) -> Environment | None:
    """The environment file names mirrors; the cloud comes up without one too."""
    if not options.environment_file.exists():
        return None
    return load_environment(options.environment_file)
