"""The environment, built once for a whole test run whatever the number of xdist's workers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from medicarche import converge, deploying, provisioning
from medicarche.cloud.connect import connect
from medicarche.errors import MedicarcheError
from medicarche.private_files import locked, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from medicarche.cloud.connect import Connections
    from medicarche.converge import InstanceState
    from medicarche.progress import Reporter
    from medicarche.target import Selection

__all__ = ["Built", "Work", "build_once"]

_RESULT = "provisioned.json"


@dataclass(frozen=True, slots=True)
class Work:
    """What building took: changes of the cloud by verb, changes in the instances, seconds by part."""

    cloud_changes: Mapping[str, int]
    instance_changes: int
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Built:
    """The built environment, as a test sees it."""

    selection: Selection
    connections: Connections
    instances: tuple[InstanceState, ...]
    work: Work


def build_once(selection: Selection, folder: Path, reporter: Reporter, *, as_is: bool = False) -> Built:
    """Build what is missing, as ``medicarche provision`` does, and enter the cloud's network name space.

    The first process of a run does the work; the others wait for it, and take its result over. Where it
    failed they fail with its error at once, and don't try again.

    Args:
        selection: the environment and its cloud.
        folder: a folder that all processes of this run share, and no other run.
        reporter: told of the work.
        as_is: build nothing: what is there is tested, drift and all.

    Raises:
        MedicarcheError: the environment can't be built.
    """
    selection.guard()
    if as_is:
        return _enter(selection, Work({}, 0, {}))
    with locked(folder, "provisioned.lock"):
        result = folder / _RESULT
        if not result.exists():
            try:
                work = _provision(selection, reporter)
            except MedicarcheError as error:
                write_private(result, json.dumps({"error": error.message, "hint": error.hint}).encode())
                raise
            write_private(result, json.dumps(asdict(work)).encode())
        found = json.loads(result.read_text(encoding="utf-8"))
    if "error" in found:
        raise MedicarcheError(found["error"], hint=found["hint"])
    return _enter(selection, Work(**found))


def _enter(selection: Selection, work: Work) -> Built:
    selection.enter()
    connections = connect(selection.target)
    found = tuple(converge.instances(connections, selection.environment.name))
    return Built(deploying.as_deployed(selection), connections, found, work)


def _provision(selection: Selection, reporter: Reporter) -> Work:
    done = provisioning.provision(selection, reporter)
    deployed = done.deployment.changes if done.deployment is not None else 0
    return Work(done.plan.counts(), deployed, dict(done.seconds))
