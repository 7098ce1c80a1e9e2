"""A deployment's job, for unit tests of what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medicarche import deploy
from medicarche.credentials import Credentials
from medicarche.deploy.job import make_job
from medicarche.ssh import Ssh

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from medicarche.spec import Environment
    from medicarche.ssh import Instance


def job_of(environment: Environment, machines: Sequence[Instance], folder: Path) -> dict[str, Any]:
    """Return the job of a dry run on some instances; ``folder``: the environment's."""
    return make_job(
        environment,
        machines,
        ssh=Ssh(folder, user="debian"),
        credentials=Credentials(folder),
        authority=deploy.authority(environment, folder),
        package_proxy=None,
        dry_run=True,
        log=folder / "deploy.log",
    )
