"""CLOUD-7: certificates are renewed before they end, and the operator's own are served where there are."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from medicarche.pki import Authority
from medicarche.probe import inspect

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Application, Environment
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.requirement("CLOUD-7"), pytest.mark.alone]

#: exit code of a load run on a machine too busy to judge times; answers count all the same
BUSY = 9


@pytest.fixture
def served(environment: Environment) -> Application:
    """An application for people: each is behind the same reverse proxy."""
    return environment.for_people[0]


@pytest.fixture
def where(served: Application, instances: tuple[InstanceState, ...]) -> InstanceState:
    """Its instance."""
    return next(i for i in instances if i.name == served.instance)


def test_one_that_is_about_to_end_is_replaced(  # noqa: PLR0917 - fixtures
    provisioned: Built,
    served: Application,
    where: InstanceState,
    machines: Callable[[InstanceState], Host],
    authority: Path,
    run_medicarche: Run,
) -> None:
    environment, address = provisioned.selection.environment, str(where.floating_address)
    before = inspect(address, served.port, authority=authority)
    names = [name for name in before.names if name[-1].isalpha()]
    addresses = [name for name in before.names if not name[-1].isalpha()]
    # one that was made 370 days ago takes the place of the present one, here and in the instance
    past = datetime.now(UTC) - timedelta(days=370)
    older = Authority(
        provisioned.selection.folder,
        organization=environment.organization,
        domain=environment.domain,
        now=lambda: past,
    )
    (authority.parent / f"{where.name}.pem").unlink()
    issued = older.issue(where.name, names, addresses)
    machine = machines(where)
    for file, place in ((issued.certificate, "medicarche.pem"), (issued.key, "medicarche.key")):
        machine.check_output("printf %%s %s > /etc/nginx/%s", file.read_text(encoding="ascii"), place)
    machine.check_output("nginx -t -q && systemctl reload nginx")
    # nginx's old processes may answer a moment longer
    deadline = time.monotonic() + 30
    while (short := inspect(address, served.port, authority=authority)).not_after == before.not_after:
        assert time.monotonic() < deadline, "the old one is still served"
        time.sleep(0.2)
    assert short.trusted, short.distrust
    assert short.not_after - datetime.now(UTC) < timedelta(days=30)
    done = run_medicarche("provision")
    assert done.returncode == 0, done.stderr
    after = inspect(address, served.port, authority=authority)
    assert after.trusted, after.distrust
    assert after.not_after - datetime.now(UTC) > timedelta(days=300)
    assert set(after.names) == set(before.names)


def test_the_operators_own_is_served(  # noqa: PLR0917 - fixtures
    changed_file: Callable[[Callable[[Any], None]], Path],
    served: Application,
    where: InstanceState,
    authority: Path,
    run_medicarche: Run,
    tmp_path: Path,
) -> None:
    theirs = Authority(tmp_path / "theirs", organization="Autorité d'essai", domain="example.org")
    issued = theirs.issue("www", ["www.example.org"], [])
    own = {
        "chain": str(issued.certificate),
        "key": str(issued.key),
        "authority": str(theirs.ca_certificate),
    }
    changed = changed_file(lambda content: content["instances"][where.name].update(certificate=own))
    address, option = str(where.floating_address), ("--environment", str(changed))
    try:
        done = run_medicarche(*option, "provision")
        assert done.returncode == 0, done.stderr
        assert "cloud: nothing to do" in done.stdout
        named = inspect(address, served.port, authority=theirs.ca_certificate, name="www.example.org")
        assert named.trusted, named.distrust
        assert not inspect(address, served.port, authority=authority).trusted
        status = json.loads(run_medicarche(*option, "status", "--json").stdout)
        states = {a["name"]: (a["state"], a["authority"]) for a in status["applications"]}
        assert states[served.name] == ("answering", str(theirs.ca_certificate))
        _load(run_medicarche, changed, served, tmp_path / "load")
        # wrong files are told before anything begins
        issued.key.write_text("essai", encoding="ascii")
        refused = run_medicarche(*option, "provision")
        assert refused.returncode == 1
        assert "no private key in PEM form" in refused.stderr
        assert "Traceback" not in refused.stderr
    finally:
        done = run_medicarche("provision")
    assert done.returncode == 0, done.stderr
    assert inspect(address, served.port, authority=authority).trusted


def _load(run_medicarche: Run, file: Path, application: Application, reports: Path) -> None:
    """Let the generator and people ask an application shortly: they verify its certificate as visitors do."""
    for kind, *sizes in (("fixed", "-c", "2", "-n", "20"), ("ramp", "--first", "2", "--most", "2")):
        done = run_medicarche(
            "--environment", str(file), "load", "--output", str(reports), kind, application.name, *sizes
        )
        assert done.returncode in {0, BUSY}, done.stdout + done.stderr
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in reports.glob("*/run.json")]
    assert {run["kind"] for run in runs} == {"fixed", "ramp"}
    for run in runs:
        figures = run["data"]["figures"]
        assert figures["failed"] == 0, figures
        assert figures["succeeded"] > 0
