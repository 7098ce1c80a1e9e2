"""What every kind of run needs: the cloud, its applications, their objectives, and where results go."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from medicarche import converge
from medicarche.cloud.connect import connect
from medicarche.errors import MedicarcheError
from medicarche.load.calibration import Calibration, calibrate
from medicarche.load.connection import Request
from medicarche.load.crowd import Crowd
from medicarche.load.instance import InstanceWatch
from medicarche.load.machine import Watch
from medicarche.load.run import Run
from medicarche.load.targets import LoadTarget, host_and_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from medicarche.converge import InstanceState
    from medicarche.load.objectives import ApplicationObjectives, Objectives
    from medicarche.load.run import Store
    from medicarche.progress import Reporter
    from medicarche.spec.environment import FlavorSpec
    from medicarche.target import Selection

__all__ = ["Bench"]


@dataclass(slots=True)
class Bench:
    """The place where load is made; the process is in the cloud's network when it is made.

    Attributes:
        selection: the environment and its cloud.
        status: the environment's status, as JSON has it.
        targets: the applications that answer.
        objectives: what they have to hold.
        reporter: told of the work.
        scenarios: the folder of the people's scenarios.
        store: where runs are kept.
    """

    selection: Selection
    status: Mapping[str, Any]
    targets: tuple[LoadTarget, ...]
    objectives: Objectives
    reporter: Reporter
    scenarios: Path
    store: Store
    _calibration: Calibration | None = None
    _instances: dict[str, InstanceState] = field(default_factory=dict)

    def target(self, name: str) -> LoadTarget:
        """Return an application that answers.

        Raises:
            MedicarcheError: there is none of that name, or it isn't deployed.
        """
        for target in self.targets:
            if target.name == name:
                return target
        declared = [a.name for a in self.selection.environment.applications]
        if name in declared:
            raise MedicarcheError(f"{name} isn't deployed: it can't be measured", hint="medicarche provision")
        raise MedicarcheError(f"{name!r}: no such application", hint=f"known: {', '.join(declared)}")

    def objectives_of(self, target: LoadTarget) -> ApplicationObjectives:
        """Return what an application has to hold."""
        return self.objectives.of(target.name)

    def request(self, target: LoadTarget) -> Request:
        """Return the fixed scenario's request, guarded: it never leaves the cloud's network."""
        target.guard()
        fixed = self.objectives_of(target).fixed
        host, port = host_and_port(target.url)
        return Request(
            host,
            port,
            fixed.path,
            authority=target.authority,
            contains=fixed.contains.encode(),
            name=target.name_asked,
        )

    def calibration(self) -> Calibration:
        """Return what the generator can do here; measured once."""
        if self._calibration is None:
            with self.reporter.stage("Calibrating the generator"):
                self._calibration = calibrate(self.selection.paths.cache)
        return self._calibration

    def slowness(self) -> float:
        """Return how many times slower this machine is than the one that the objectives are written for."""
        reference = self.objectives.reference_rate
        return max(reference / self.calibration().per_core, 1.0) if reference else 1.0

    def watch(self) -> Watch:
        """Watch this machine from now on."""
        embedded = self.selection.embedded
        return Watch(embedded.processor_seconds) if embedded is not None else Watch()

    @property
    def shared(self) -> bool:
        """Whether generator and applications share this machine."""
        return self.selection.embedded is not None

    def instance(self, target: LoadTarget) -> InstanceState:
        """Return the instance that an application runs in."""
        if not self._instances:
            found = converge.instances(connect(self.selection.target), self.selection.environment.name)
            self._instances = {instance.name: instance for instance in found}
        return self._instances[target.instance]

    def instance_watch(self, target: LoadTarget) -> InstanceWatch:
        """Watch an application's instance."""
        instance = self.instance(target)
        return InstanceWatch(self.selection.ssh(self.selection.user_of(instance.name)), instance)

    def flavor(self, target: LoadTarget) -> FlavorSpec:
        """Return the flavor of an application's instance."""
        name = self.selection.environment.instance(target.instance).flavor
        return next(f for f in self.selection.environment.flavors if f.name == name)

    def scenario(self, target: LoadTarget) -> Path:
        """Return the file that says what an application's people do.

        Raises:
            MedicarcheError: there is none.
        """
        path = self.scenarios / f"{target.kind}.py"
        if not path.is_file():
            raise MedicarcheError(
                f"{path}: no such file: nothing says what people do in an application of kind {target.kind}",
                hint="write it, or name another folder with --scenarios",
            )
        return path

    def crowd(self, target: LoadTarget) -> Crowd:
        """Return people of an application; its process is told which environment and cloud are meant."""
        status = self.store.folder / "status.json"
        status.write_text(json.dumps(self.status), encoding="utf-8")
        variables = {
            "MEDICARCHE_STATUS": str(status),
            "MEDICARCHE_ENVIRONMENT": str(self.selection.environment.source),
        }
        if self.selection.embedded is not None:
            variables["MEDICARCHE_EMBEDDED_NAME"] = self.selection.embedded.name
        else:
            variables["OS_CLOUD"] = self.selection.target.name
        return Crowd(self.scenario(target), variables, self.store.folder / f"crowd-{target.name}.log")

    def record(self, target: LoadTarget, kind: str, began: datetime, **measured: Any) -> Run:  # noqa: ANN401 - the rest of a Run
        """Return a run's record: whose it is and where it was, and what was measured."""
        answering = {known.name for known in self.targets}
        missing = [
            a.name
            for a in self.selection.environment.applications
            if a.traits.serves == "people" and a.name not in answering
        ]
        measured["data"]["not_deployed"] = missing  # the same object: its maker may add to it later
        return Run(
            kind=kind,
            application=target.name,
            application_kind=target.kind,
            environment=self.selection.environment.name,
            cloud=self.selection.target.name,
            began=began,
            **measured,
        )

    @staticmethod
    def now() -> datetime:
        """Return the present, to the second."""
        return datetime.now(UTC).replace(microsecond=0)
