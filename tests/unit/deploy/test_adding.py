"""The worked example of docs/adding-an-application.md, run as it is written there."""

from __future__ import annotations

import importlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from medicarche import deploy
from medicarche.credentials import Credentials
from medicarche.deploy import applications
from medicarche.deploy.job import make_job
from medicarche.errors import SpecificationError
from medicarche.spec import listeners, load_environment
from medicarche.ssh import Ssh

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/adding-an-application.md"
BASE = ROOT / "tests/unit/spec/base.yaml"
_BLOCK = re.compile(r"^`deploy/applications/(\S+)`:\n\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Machine:
    """What is known of the instance."""

    name: str = "website"
    id: str = "1"
    private_address: str | None = "192.168.222.9"
    floating_address: str | None = "10.20.20.109"


@pytest.fixture
def declaration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Write the page's files as a package, and make it known."""
    blocks = dict(_BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert len(blocks) == 6
    for path, text in blocks.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    monkeypatch.setattr(applications, "__path__", [*applications.__path__, str(tmp_path)])
    found = importlib.import_module("medicarche.deploy.applications.radicale").DECLARATION
    for module in (applications, deploy, sys.modules[make_job.__module__]):
        monkeypatch.setattr(module, "KINDS", {**applications.KINDS, found.kind: found})
    yield found
    for name in [n for n in sys.modules if n.startswith("medicarche.deploy.applications.radicale")]:
        del sys.modules[name]


def _environment(tmp_path: Path, **settings: str) -> Any:  # noqa: ANN401 - what load_environment returns
    """Put the page's entry into an environment file; it is given the instance that is there."""
    yaml = YAML(typ="safe")
    text = PAGE.read_text(encoding="utf-8")
    entry = yaml.load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])  # type: ignore[index] # it is there
    data = yaml.load(BASE.read_text(encoding="utf-8"))
    instance = next(iter(data["instances"]))
    entry["applications"]["agenda"] |= {"instance": instance}
    entry["applications"]["agenda"]["settings"] |= settings
    data["applications"] = entry["applications"]
    path = tmp_path / "environment.yaml"
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(data, stream)
    return load_environment(
        path,
        check_settings=deploy.check_settings,
        private_listeners=deploy.listeners,
        minimum_size=deploy.minimum_size,
    )


def test_the_pages_entry_is_right_and_its_port_is_the_public_one(declaration: Any, tmp_path: Path) -> None:  # noqa: ANN401 - a Declaration
    environment = _environment(tmp_path)
    (application,) = environment.applications
    assert application.kind == declaration.kind
    found = {listener.port for listener in listeners(environment, application.instance) if listener.public}
    assert 8890 in found
    assert [listener.port for listener in deploy.listeners(application)] == [5232]


@pytest.mark.usefixtures("declaration")
def test_wrong_settings_are_told_at_their_line(tmp_path: Path) -> None:
    with pytest.raises(
        SpecificationError, match=r"settings\.administrator: 'admin' is what attackers try first"
    ):
        _environment(tmp_path, administrator="admin")


@pytest.mark.usefixtures("declaration")
def test_its_files_packages_and_services_are_made(tmp_path: Path) -> None:
    pytest.importorskip("pyinfra")
    environment = _environment(tmp_path)
    name = environment.applications[0].instance
    job = make_job(
        environment,
        [Machine(name)],
        ssh=Ssh(tmp_path / "secrets", user="debian"),
        credentials=Credentials(tmp_path / "secrets"),
        authority=deploy.authority(environment, tmp_path / "secrets"),
        package_proxy=None,
        dry_run=True,
        log=tmp_path / "deploy.log",
    )
    instance = json.loads(json.dumps(job))["instances"][0]
    (application,) = instance["applications"]
    operations = importlib.import_module("medicarche.deploy.applications.radicale.operations")
    files = {file.path: file for file in operations.files(application, instance)}
    users = files["/etc/nginx/radicale.users"]
    assert users.content == f"dsi:{{PLAIN}}{application['secrets']['administrator']}\n"
    assert (users.mode, users.owner) == ("640", "root:www-data")
    holders = [p for p, f in files.items() if application["secrets"]["administrator"] in f.content]
    assert holders == [users.path]
    assert "proxy_pass http://127.0.0.1:5232;" in files["/etc/nginx/applications/agenda.conf"].content
    assert operations.packages(application) == ("radicale",)
    (unit,) = operations.units(application, list(files))
    assert set(unit.configuration) == {
        "/etc/medicarche/radicale.conf",
        "/etc/systemd/system/radicale.service.d/medicarche.conf",
    }
    assert f"agenda.{environment.domain}" in instance["host_names"]
