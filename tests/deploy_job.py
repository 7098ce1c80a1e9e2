"""A deployment's job, for unit tests of what it says; and a company with a directory to say it of."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from medicarche import deploy
from medicarche.credentials import Credentials
from medicarche.deploy.job import make_job
from medicarche.spec import load_environment
from medicarche.ssh import Ssh, ensure_key_pair

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medicarche.spec import Environment
    from medicarche.ssh import Instance

_ENVIRONMENTS = Path(__file__).parents[1] / "environments"


@dataclass(frozen=True)
class _Machine:
    """What is known of an instance."""

    name: str
    private_address: str
    floating_address: str
    id: str = "1"


def in_odoos_place(folder: Path, applications: Mapping[str, Mapping[str, Any]]) -> Environment:
    """Return the example of a directory, with other applications in Odoo's instance instead of Odoo.

    Args:
        folder: its files are written there.
        applications: name → its entry, without ``instance``.
    """
    shutil.copy(_ENVIRONMENTS / "example-people.csv", folder)
    content = YAML().load((_ENVIRONMENTS / "example-directory.yaml").read_text(encoding="utf-8"))
    del content["applications"]["odoo"]
    for name, entry in applications.items():
        content["applications"][name] = {**entry, "instance": "odoo"}
    file = folder / "environment.yaml"
    with file.open("w", encoding="utf-8") as stream:
        YAML().dump(content, stream)
    return load_environment(
        file, check_settings=deploy.check_settings, private_listeners=deploy.listeners, traits=deploy.traits
    )


def job_of_all(environment: Environment, folder: Path) -> dict[str, Any]:
    """Return the job of a dry run on all instances; the first has the address 172.21.0.110."""
    ensure_key_pair(folder, environment.key_pair)
    names = [instance.name for instance in environment.instances]
    machines = [_Machine(name, f"172.21.0.{n}", f"10.20.20.{n}") for n, name in enumerate(names, 110)]
    return job_of(environment, machines, folder)


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
