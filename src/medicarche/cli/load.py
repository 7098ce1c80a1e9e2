"""Commands that make load, judge by the objectives, and write reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medicarche.cli.output import print_json, progress, results, table
from medicarche.errors import MedicarcheError, ObjectiveBroken, RunInvalid
from medicarche.target import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from medicarche.load.bench import Bench
    from medicarche.load.run import Run
    from medicarche.load.targets import LoadTarget
    from medicarche.options import Options
    from medicarche.target import Selection

__all__ = ["load"]


@click.group()
@click.option(
    "--objectives",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The objectives file.  [default: beside the environment file, NAME.objectives.yaml]",
)
@click.option(
    "--scenarios",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("tests/load"),
    show_default=True,
    help="The folder of what people do: a file KIND.py for each kind of application.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where runs and reports go.  [default: in the environment's own folder]",
)
@click.pass_context
def load(context: click.Context, objectives: Path | None, scenarios: Path, output: Path | None) -> None:
    r"""Measure the applications under load, judge by their objectives, write reports.

    \b
    Exit codes besides the others: 8 an objective is broken
                                   9 the run is invalid: nothing can be judged by it
    """
    context.meta["load"] = {"objectives": objectives, "scenarios": scenarios, "output": output}


@load.command()
@click.argument("application", nargs=-1)
@click.option("--clients", "-c", type=int, default=100, show_default=True, help="At the same time.")
@click.option("--requests", "-n", type=int, default=10_000, show_default=True, help="Of all together.")
@click.option("--h2load", "compare", is_flag=True, help="Let h2load send the same, for comparison.")
@click.pass_context
def fixed(
    context: click.Context, application: tuple[str, ...], *, clients: int, requests: int, compare: bool
) -> None:
    """Send so many requests by so many clients to each APPLICATION (all that are deployed without one)."""
    from medicarche.load.fixed import fixed as run  # noqa: PLC0415 - brings the generator

    _each(
        context,
        application,
        lambda bench, target: run(bench, target, clients=clients, requests=requests, compare_h2load=compare),
    )


@load.command(name="open")
@click.argument("application", nargs=-1)
@click.option("--rate", type=float, default=20.0, show_default=True, help="Requests a second.")
@click.option("--seconds", type=float, default=30.0, show_default=True, help="How long.")
@click.pass_context
def open_(context: click.Context, application: tuple[str, ...], rate: float, seconds: float) -> None:
    """Send requests at a rate, answered or not; each is timed from when it was due."""
    from medicarche.load.fixed import open_model  # noqa: PLC0415 - brings the generator

    _each(context, application, lambda bench, target: open_model(bench, target, rate=rate, seconds=seconds))


@load.command()
@click.argument("application", nargs=-1)
@click.option("--first", type=click.IntRange(1), default=5, show_default=True, help="Users to begin with.")
@click.option("--most", type=click.IntRange(1, 2000), default=1000, show_default=True, help="Never more.")
@click.option("--hold", type=float, default=10.0, show_default=True, help="Seconds that a step is measured.")
@click.pass_context
def ramp(context: click.Context, application: tuple[str, ...], first: int, most: int, hold: float) -> None:
    """Find out how many people each APPLICATION carries, and what is exhausted first."""
    from medicarche.load.ramp import RampPlan  # noqa: PLC0415 - as above
    from medicarche.load.ramping import ramp_up  # noqa: PLC0415 - as above

    plan = RampPlan(first=first, most=most, hold=hold)
    _each(context, application, lambda bench, target: ramp_up(bench, target, plan))


@load.command()
@click.argument("application", nargs=-1)
@click.option("--seconds", type=float, default=15.0, show_default=True, help="Of each stressor.")
@click.pass_context
def stress(context: click.Context, application: tuple[str, ...], seconds: float) -> None:
    """Stress the instance of each APPLICATION by stress-ng, and judge its flavor."""
    from medicarche.load.stress import stress as run  # noqa: PLC0415 - as above

    _each(context, application, lambda bench, target: run(bench, target, seconds=seconds))


@load.command()
@click.argument("application", nargs=-1)
@click.option("--seconds", type=int, default=12, show_default=True, help="Of people, for each application.")
@click.option(
    "--retries", type=click.IntRange(0, 5), default=1, show_default=True, help="Where a run is invalid."
)
@click.pass_context
def gate(context: click.Context, application: tuple[str, ...], seconds: int, retries: int) -> None:
    """Run shortly against each APPLICATION, for CI: fails where an objective is broken."""
    from medicarche.load.gate import gate as run  # noqa: PLC0415 - as above
    from medicarche.load.verdict import VerdictKind  # noqa: PLC0415 - as above

    def patient(bench: Bench, target: LoadTarget) -> Run:
        found = run(bench, target, seconds=seconds)
        for _ in range(retries):
            if found.verdict.kind is not VerdictKind.INVALID:
                break
            bench.reporter.note(f"{target.name}: invalid ({'; '.join(found.verdict.reasons)}); once more")
            found = run(bench, target, seconds=seconds)
        return found

    _each(context, application, patient)


@load.command()
@click.option("--h2load", "compare", is_flag=True, help="Let h2load ask for the same page.")
@click.option("--freeze", is_flag=True, help="Freeze the page's server, and compare with theory and Locust.")
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
@click.pass_obj
def calibrate(options: Options, *, compare: bool, freeze: bool, as_json: bool) -> None:
    """Measure the generator itself, against a static page on this machine's loopback address."""
    from medicarche.load.proof import prove  # noqa: PLC0415 - as above

    found = prove(options.paths.cache, progress(), compare_h2load=compare, freeze=freeze)
    if as_json:
        print_json(found)
        return
    rows = [(str(name), f"{value:,.4g}") for name, value in found.items()]
    results().print(table(("figure", "value"), rows))


@load.command()
@click.pass_context
def runs(context: click.Context) -> None:
    """List the runs that are kept."""
    store = _store(context, select(context.obj))
    rows = [(run["name"], run["verdict"]["kind"], run["answer"]) for run in store.runs()]
    results().print(table(("run", "verdict", "answer"), rows))


@load.command()
@click.argument("run", required=False)
@click.pass_context
def report(context: click.Context, run: str | None) -> None:
    """Write the report of RUN, or of all runs and their summary, anew; prints where."""
    from medicarche.load.reports import write_all, write_one  # noqa: PLC0415 - brings templates

    store = _store(context, select(context.obj))
    click.echo(write_one(store, store.one(run)) if run else write_all(store))


@load.command(name="schema")
def schema_() -> None:
    """Print the objectives file's JSON Schema, for editors."""
    from medicarche.load.objectives import json_schema  # noqa: PLC0415 - as above

    print_json(json_schema())


def _store(context: click.Context, selection: Selection) -> Any:  # noqa: ANN401 - a Store, imported late
    from medicarche.load.run import Store  # noqa: PLC0415 - as above

    return Store(context.meta["load"]["output"] or selection.folder / "load")


def _bench(context: click.Context) -> Bench:
    """Prepare, in the cloud's network."""
    from medicarche.load.bench import Bench as Made  # noqa: PLC0415 - as above
    from medicarche.load.objectives import file_of, load_objectives  # noqa: PLC0415 - as above
    from medicarche.load.targets import targets  # noqa: PLC0415 - as above
    from medicarche.status import status  # noqa: PLC0415 - as above

    options: Options = context.obj
    asked = context.meta["load"]
    selection = select(options)
    objectives = load_objectives(
        asked["objectives"] or file_of(options.environment_file),
        [a.name for a in selection.environment.applications],
    )
    reporter = progress()
    with reporter.stage("Looking at the environment"):
        found = status(selection).as_json()
        known = targets(found)
    return Made(selection, found, known, objectives, reporter, asked["scenarios"], _store(context, selection))


def _each(context: click.Context, names: Iterable[str], measure: Callable[[Bench, LoadTarget], Run]) -> None:
    """Measure each application, keep and report the runs, and end with the worst verdict."""
    from medicarche.load.overlay import mark  # noqa: PLC0415 - as above
    from medicarche.load.reports import keep  # noqa: PLC0415 - as above
    from medicarche.load.verdict import VerdictKind  # noqa: PLC0415 - as above

    bench = _bench(context)
    chosen = [bench.target(name) for name in names] or list(bench.targets)
    if not chosen:
        raise MedicarcheError(
            "no application is deployed: nothing can be measured", hint="medicarche provision"
        )
    for application in bench.selection.environment.applications:
        if application.name not in {target.name for target in bench.targets}:
            why = "not deployed" if application.traits.serves == "people" else "not for people"
            bench.reporter.note(f"{application.name}: {why}, not measured")
    made = []
    for target in chosen:
        run = measure(bench, target)
        page = keep(bench.store, run)
        mark(bench, run)
        made.append(run)
        console = results()
        for line in _lines(run):
            console.print(line, markup=False)
        console.print(f"{page}\n", markup=False)
    broken = [run for run in made if run.verdict.kind is VerdictKind.BROKEN]
    invalid = [run for run in made if run.verdict.kind is VerdictKind.INVALID]
    if broken:
        raise ObjectiveBroken(
            "\n".join(
                f"{run.application}: objective broken: {'; '.join(run.verdict.reasons)}" for run in broken
            )
        )
    if invalid:
        raise RunInvalid(
            "\n".join(
                f"{run.application}: INVALID, not judged: {'; '.join(run.verdict.reasons)}" for run in invalid
            ),
            hint="run it again on a machine that is free",
        )


def _lines(run: Run) -> list[str]:
    """Return what the terminal shows of a run."""
    from medicarche.load.table import fixed_table  # noqa: PLC0415 - as above

    lines = [f"{run.application}: {run.verdict.kind.value}", run.answer]
    if run.kind in {"fixed", "open"}:
        lines.append(fixed_table(run.data["figures"]))
        if "h2load" in run.data:
            lines.append(f"h2load, the same request:\n{run.data['h2load']['text'].strip()}")
    return lines
