"""Commands on the whole environment: provision, status, destroy, schema."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from medicarche import forwards, provisioning
from medicarche.cli.arguments import WITHOUT
from medicarche.cli.output import print_json, progress, results, table
from medicarche.errors import MedicarcheError
from medicarche.plan import Plan, Verb
from medicarche.plan.resources import Kind
from medicarche.spec import json_schema
from medicarche.status import Status
from medicarche.status import status as observe_status
from medicarche.target import select

if TYPE_CHECKING:
    from medicarche.options import Options

__all__ = ["destroy", "provision", "schema", "status"]


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Replace and remove servers without asking.")
@click.option("--no-deploy", is_flag=True, help="The cloud only; nothing in the instances.")
@WITHOUT
@click.pass_context
def provision(context: click.Context, *, yes: bool, no_deploy: bool, without: tuple[str, ...]) -> None:
    """Build the environment, or bring it back to what its file says. Asks nothing unless servers would go."""
    selection = select(replace(context.obj, without=without))
    done = provisioning.provision(
        selection,
        progress(),
        deploy=not no_deploy,
        confirm=lambda planned: yes or _ask(planned),
    )
    context.with_resource(done.connections)
    console = results()
    counts = done.plan.counts()
    console.print("cloud: " + (_counted(counts) if any(counts.values()) else "nothing to do"))
    if done.deployment is not None:
        changes = done.deployment.changes
        console.print(f"instances: {f'{changes} changes' if changes else 'nothing to do'}")
    left_out = [a.name for a in done.selection.environment.applications if not a.deployed]
    for name in left_out:
        console.print(f"{name}: not deployed")
    if done.selection.embedded is not None:
        found = forwards.local(done.selection.embedded)
        for name, endpoint in forwards.endpoints(selection.environment, done.instances).items():
            if endpoint in found and name not in left_out:
                console.print("{}: https://{}:{}/".format(name, *found[endpoint]))
        if forwards.DASHBOARD in found:
            console.print("dashboard: http://{}:{}/".format(*found[forwards.DASHBOARD]))
    if done.summary is not None:
        console.print(f"converge: {done.summary}", style="dim", markup=False)
    console.print(", ".join(f"{part} {seconds:.1f} s" for part, seconds in done.seconds.items()), style="dim")


@click.command()
@click.option(
    "--json", "json_output", is_flag=True, help="For other programs; docs/status.md has the schema."
)
@click.pass_obj
def status(options: Options, *, json_output: bool) -> None:
    """Show the cloud, the instances and the applications, and whether anything drifted."""
    found = observe_status(select(options))
    if json_output:
        print_json(found.as_json())
    else:
        _print_status(found)


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@click.pass_obj
def destroy(options: Options, *, yes: bool) -> None:
    """Remove what carries the environment's mark from the cloud, and nothing else."""
    selection = select(options)
    selection.enter()
    if not yes:
        _confirm(f"Remove the environment {selection.environment.name} from {selection.target.name}?")
    done = provisioning.destroy(selection, progress())
    rows = [
        (
            kind.value,
            str(sum(o.resource.kind is kind for o in done.before)),
            str(sum(o.resource.kind is kind for o in done.after)),
        )
        for kind in Kind
    ]
    results().print(table(("kind", "before", "after"), rows))


@click.command()
def schema() -> None:
    """Print the JSON Schema of the environment file, for editors."""
    print_json(json_schema())


def _ask(planned: Plan) -> bool:
    """Ask where servers would be replaced or removed; everything else is done without a question."""
    going = [a.address for a in planned.actions if a.verb is Verb.DELETE and a.kind is Kind.SERVER]
    if not going:
        return True
    _confirm(f"{', '.join(going)} would be removed or replaced, with what is on the disk. Go on?")
    return True


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise MedicarcheError(
            f"{question} Nobody to ask: standard input is no terminal.", hint="--yes says yes"
        )
    if not click.confirm(question, err=True):
        raise click.Abort


def _counted(counts: dict[str, int]) -> str:
    words = {"create": "created", "update": "changed", "replace": "replaced", "delete": "removed"}
    return ", ".join(f"{count} {words[verb]}" for verb, count in counts.items() if count)


def _print_status(found: Status) -> None:
    console = results()
    console.print(f"environment {found.environment} on {found.cloud.name}: cloud {found.cloud.state}")
    if found.cloud.dashboard:
        console.print(f"dashboard: {found.cloud.dashboard}")
    console.print(
        table(
            ("instance", "state", "private", "floating"),
            [(i.name, i.state, i.private_address, i.floating_address) for i in found.instances],
        )
    )
    console.print(
        table(
            ("application", "state", "address", "on this machine"),
            [(a.name, a.state, a.url, a.local_url) for a in found.applications],
        )
    )
    if found.drift is not None:
        console.print("drift: " + (_counted_as_plan(found.changes) if found.drift else "none"))


def _counted_as_plan(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} to {verb}" for verb, count in counts.items() if count)
