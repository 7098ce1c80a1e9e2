"""What `plan` shows: of the cloud, and of the instances where that is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from medicarche import planning
from medicarche.cli.output import print_json, progress, results
from medicarche.errors import CloudUnsuitable
from medicarche.plan import Plan, dot, mermaid, plan_as_json, render_plan
from medicarche.progress import SilentReporter
from medicarche.target import select

if TYPE_CHECKING:
    from concurrent.futures import Future

    from medicarche.cloud.connect import Connections
    from medicarche.deploy import DeployResult
    from medicarche.options import Options
    from medicarche.progress import Reporter

__all__ = ["Shown", "look"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to show.

    Attributes:
        connections: to the cloud, still open.
        plan: of the cloud.
        deployment: what deploying would change; None where it wasn't asked for, or there is no instance yet.
    """

    connections: Connections
    plan: Plan
    deployment: DeployResult | None

    @property
    def changes(self) -> bool:
        """Whether `provision` would change anything."""
        return not self.plan.empty or (self.deployment is not None and self.deployment.changes > 0)

    def print_graph(self, language: str) -> None:
        """Print what waits for what, for ``mermaid`` or ``dot``."""
        click.echo((mermaid if language == "mermaid" else dot)(self.plan), nl=False)

    def print_json(self) -> None:
        """Print all, for programs."""
        inside = {"deployment": asdict(self.deployment)} if self.deployment is not None else {}
        print_json({**plan_as_json(self.plan), **inside})

    def print(self) -> None:
        """Print all, for people."""
        console = results()
        console.print(render_plan(self.plan))
        for name, instance in sorted(self.deployment.instances.items() if self.deployment else ()):
            console.print(
                f"in {name}: "
                + (f"{len(instance.changed)} to change" if instance.changed else "nothing to do")
            )
            for operation in instance.changed:
                console.print(f"  ~ {operation}", markup=False)
                for detail in instance.details.get(operation, ()):
                    console.print(f"      {detail}", markup=False)

    def refuse_conflicts(self) -> None:
        """Say what in the cloud is in the way.

        Raises:
            CloudUnsuitable: something is.
        """
        if self.plan.conflicts:
            raise CloudUnsuitable("\n".join(self.plan.conflicts))


def look(options: Options, connecting: Future[Connections] | None, *, quiet: bool, deploy: bool) -> Shown:
    """Look at the cloud, and into the instances where ``deploy`` is set; ``quiet`` shows no progress.

    Raises:
        MedicarcheError: the environment file is wrong, or the cloud can't be used as it is.
    """
    reporter: Reporter = SilentReporter() if quiet else progress()
    selection = select(options)
    selection.enter()
    planned = planning.plan(selection, reporter, connecting)
    deployment = None
    if deploy:
        from medicarche import converge, deploying  # noqa: PLC0415 - to look at the cloud alone needs neither

        instances = converge.instances(planned.connections, selection.environment.name)
        if instances:
            deployed = deploying.as_deployed(selection)
            deployment = deploying.run(deployed, planned.site, instances, reporter, dry_run=True)
    return Shown(planned.connections, planned.plan, deployment)
