"""``medicarche dashboards``: the supervision's dashboards for a Grafana."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medicarche.deploy.applications.supervision.dashboards import LoadRun, as_json
from medicarche.errors import MedicarcheError
from medicarche.load.run import Store
from medicarche.target import select

if TYPE_CHECKING:
    from medicarche.options import Options
    from medicarche.target import Selection

__all__ = ["dashboards"]


@click.command()
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dashboards"),
    show_default=True,
    help="The folder to write; made where it isn't there.",
)
@click.pass_obj
def dashboards(options: Options, output: Path) -> None:
    """Write the supervision's dashboards, for a Grafana to read; prints where."""
    selection = select(options)
    supervisions = [a for a in selection.environment.applications if a.kind == "supervision"]
    if not supervisions:
        raise MedicarcheError(
            f"{options.environment_file} declares no supervision, and nothing would have figures to show",
            hint="add an application of kind: supervision (docs/supervision.md)",
        )
    looks_at_cloud = any("cloud" in a.egress for a in supervisions)
    made = as_json(selection.environment.name, _runs(selection), cloud=looks_at_cloud)
    output.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (output / name).write_text(content, encoding="utf-8")
        click.echo(output / name)


def _runs(selection: Selection) -> list[LoadRun]:
    """Return the load tests that are kept."""
    folder = selection.folder / "load"
    found = []
    for run in Store(folder).runs() if folder.is_dir() else ():
        began = datetime.fromisoformat(run["began"])
        found.append(LoadRun(run["name"], began, began + timedelta(seconds=run["seconds"])))
    return found
