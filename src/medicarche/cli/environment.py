"""Commands on the whole environment: plan, provision, status, destroy, schema."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from medicarche import converge, deploying, forwards, provisioning
from medicarche.cli.output import print_json, progress, results, table
from medicarche.errors import CloudUnsuitable, MedicarcheError
from medicarche.plan import Plan, Verb, dot, mermaid, plan_as_json, render_plan
from medicarche.plan.resources import Kind
from medicarche.progress import SilentReporter
from medicarche.spec import json_schema
from medicarche.status import Status
from medicarche.status import status as observe_status
from medicarche.target import Options, Selection, select

if TYPE_CHECKING:
    from medicarche.deploy import DeployResult

__all__ = ["destroy", "plan", "provision", "schema", "status"]

CHANGES = 2


_WITHOUT = click.option(
    "--without",
    metavar="NAME",
    multiple=True,
    envvar="MEDICARCHE_WITHOUT",
    show_envvar=True,
    help="Don't deploy the application NAME; may be given several times.",
)


@click.command()
@click.option("--json", "json_output", is_flag=True, help="For other programs.")
@click.option(
    "--deploy", is_flag=True, help="Look into the instances too: what deploying would change there."
)
@click.option(
    "--graph",
    type=click.Choice(["mermaid", "dot"]),
    help="Print what waits for what instead, as text for Mermaid or Graphviz.",
)
@_WITHOUT
@click.pass_context
def plan(
    context: click.Context, *, json_output: bool, deploy: bool, graph: str | None, without: tuple[str, ...]
) -> None:
    """Show what `provision` would change; changes nothing. Exit code 0: nothing, 2: changes."""
    if graph and (json_output or deploy):
        raise click.UsageError("--graph shows the cloud's part, as text: leave out --json and --deploy")
    selection = select(replace(context.obj, without=without))
    selection.enter()
    planned = provisioning.plan(selection, SilentReporter() if json_output else progress())
    context.with_resource(planned.connections)
    deployment = _deployment(selection, planned, quiet=json_output) if deploy else None
    if graph:
        click.echo((mermaid if graph == "mermaid" else dot)(planned.plan), nl=False)
    elif json_output:
        inside = {"deployment": asdict(deployment)} if deployment is not None else {}
        print_json({**plan_as_json(planned.plan), **inside})
    else:
        results().print(render_plan(planned.plan))
        if deployment is not None:
            _print_deployment(deployment)
    if planned.plan.conflicts:
        raise CloudUnsuitable("\n".join(planned.plan.conflicts))
    changed = not planned.plan.empty or (deployment is not None and deployment.changes > 0)
    context.exit(CHANGES if changed else 0)


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Replace and remove servers without asking.")
@click.option("--no-deploy", is_flag=True, help="The cloud only; nothing in the instances.")
@_WITHOUT
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


def _deployment(selection: Selection, planned: provisioning.Planned, *, quiet: bool) -> DeployResult | None:
    """Look what deploying would change; None where there is no instance yet to look into."""
    instances = converge.instances(planned.connections, selection.environment.name)
    if not instances:
        return None
    reporter = SilentReporter() if quiet else progress()
    selection = deploying.as_deployed(selection)
    return deploying.run(selection, planned.site, instances, reporter, dry_run=True)


def _print_deployment(deployment: DeployResult) -> None:
    console = results()
    for name, instance in sorted(deployment.instances.items()):
        console.print(
            f"in {name}: " + (f"{len(instance.changed)} to change" if instance.changed else "nothing to do")
        )
        for operation in instance.changed:
            console.print(f"  ~ {operation}", markup=False)
            for detail in instance.details.get(operation, ()):
                console.print(f"      {detail}", markup=False)


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
