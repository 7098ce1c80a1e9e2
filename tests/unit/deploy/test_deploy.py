"""The deployment's process seen from its parent: results, failures, secrets."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from medicarche.credentials import Credentials
from medicarche.deploy import deploy, traits
from medicarche.deploy.job import DeployResult, InstanceResult, longest_first
from medicarche.errors import DeploymentError
from medicarche.progress import SilentReporter
from medicarche.spec import load_environment
from medicarche.spec.environment import Application, Environment, ImageSpec, Instance, Locale, Mirrors


@dataclass(frozen=True)
class Machine:
    """What is known of an instance."""

    name: str = "website"
    id: str = "1"
    private_address: str | None = None
    floating_address: str | None = "127.0.0.2"


ENVIRONMENT = Environment(
    source=Path("e.yaml"),
    name="e",
    organization="Medicarche",
    domain="medicarche.internal",
    locale=Locale("fr_FR.UTF-8", "fr", "Europe/Paris"),
    administrators=(),
    mirrors=Mirrors(),
    networks=(),
    routers=(),
    security_groups=(),
    flavors=(),
    images=(ImageSpec("debian-13", "trixie", "debian", 1024, "public"),),
    key_pair="administration",
    instances=(Instance("website", "small", "debian-13", "private", floating_ip=True, security_groups=()),),
    applications=(
        Application(
            "website", "wordpress", "website", 8088, "T", {"tagline": "t", "administrator": "dsi"}, ()
        ),
    ),
)


def _program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Put a program in the place of the deployment's process."""
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport json, os, sys\njob = json.load(sys.stdin)\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_what_was_done_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = (
        '{"event": "done", "host": "website", "operations": 4, "changed": {"packages": ["missing: nginx"]}}'
    )
    _program(tmp_path, monkeypatch, f"print('''{event}''')")
    result = deploy(ENVIRONMENT, [Machine()], tmp_path / "e", reporter=SilentReporter())
    done = InstanceResult(4, ("packages",), {"packages": ("missing: nginx",)})
    assert result == DeployResult({"website": done})
    assert result.changes == 1


def test_a_failure_names_instance_operation_lines_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = '{"event": "failed", "host": "website", "operation": "packages", "lines": ["E: no such package"]}'
    _program(tmp_path, monkeypatch, f"print('''{event}'''); sys.exit(1)")
    with pytest.raises(DeploymentError) as caught:
        deploy(ENVIRONMENT, [Machine()], tmp_path / "e", reporter=SilentReporter())
    assert caught.value.message == (
        f"website: packages failed\n    E: no such package\nThe whole log: {tmp_path / 'e' / 'deploy.log'}"
    )
    assert "medicarche provision" in str(caught.value.hint)


def test_a_process_that_dies_is_told_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path, monkeypatch, "sys.stderr.write('out of memory\\n'); sys.stderr.flush(); os._exit(9)")
    with pytest.raises(DeploymentError, match=r"ended with code 9:\nout of memory"):
        deploy(ENVIRONMENT, [Machine()], tmp_path / "e", reporter=SilentReporter())


def test_secrets_reach_it_by_standard_input_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "seen = ' '.join(sys.argv) + str(dict(os.environ))\n"
        "secrets = [s for a in job['instances'][0]['applications'] for s in a['secrets'].values()]\n"
        "sys.exit(3 if not secrets or any(s in seen for s in secrets) else 0)"
    )
    _program(tmp_path, monkeypatch, code)
    assert deploy(ENVIRONMENT, [Machine()], tmp_path / "e", reporter=SilentReporter()).changes == 0
    assert Credentials(tmp_path / "e").values()
    assert stat.S_IMODE((tmp_path / "e" / "deploy.log").stat().st_mode) == 0o600


def test_nothing_is_started_for_no_instance(tmp_path: Path) -> None:
    none = replace(ENVIRONMENT, instances=())
    assert deploy(none, [Machine()], tmp_path, reporter=SilentReporter()) == DeployResult({})


def test_the_real_process_tells_an_instance_that_it_cant_reach(tmp_path: Path) -> None:
    pytest.importorskip("pyinfra")
    with pytest.raises(DeploymentError) as caught:
        deploy(ENVIRONMENT, [Machine()], tmp_path, reporter=SilentReporter(), dry_run=True)
    assert "website: connect failed" in caught.value.message
    log = (tmp_path / "deploy.log").read_text()
    assert "deployment begins" in log
    assert not [secret for secret in Credentials(tmp_path).values() if secret in log]


def test_what_others_ask_comes_first_and_then_what_takes_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = load_environment(Path(__file__).parents[3] / "environments" / "medicarche.yaml", traits=traits)
    named = [Machine(i.name) for i in company.instances]
    # two in one instance take their time one after the other
    assert [i.name for i in longest_first(company, named)] == [
        *("directory", "supervision", "odoo", "nextcloud", "website", "syncthing")
    ]
    assert [i.name for i in longest_first(company.without(["grafana"]), named)] == [
        *("directory", "odoo", "nextcloud", "supervision", "website", "syncthing")
    ]
    # what isn't deployed takes no time
    without = company.without(["odoo"])
    assert [i.name for i in longest_first(without, named)][-1] == "odoo"
    two = replace(
        ENVIRONMENT,
        instances=(*ENVIRONMENT.instances, replace(ENVIRONMENT.instances[0], name="alone")),
    )
    code = (
        "seen = [job['at_once'], [i['name'] for i in job['instances']]]\n"
        f"open({str(tmp_path / 'seen')!r}, 'w').write(json.dumps(seen))"
    )
    _program(tmp_path, monkeypatch, code)
    deploy(two, [Machine("alone"), Machine()], tmp_path / "e", reporter=SilentReporter(), at_once=2)
    assert json.loads((tmp_path / "seen").read_text()) == [2, ["website", "alone"]]


@pytest.mark.parametrize(("at_once", "size"), [("2", 2), ("None", 8)])
def test_so_many_instances_are_changed_at_the_same_time(at_once: str, size: int) -> None:
    code = (
        "from medicarche.deploy.runner import _state\n"
        "keys = ('address', 'user', 'key', 'known_hosts')\n"
        "instances = [{'name': name, **dict.fromkeys(keys, 'x')} for name in 'hcaebdgf']\n"
        f"state = _state({{'instances': instances, 'at_once': {at_once}}})\n"
        f"assert state.pool.size == {size}, state.pool.size\n"
        "for host in state.inventory:\n"
        "    state.activate_host(host)\n"
        "begun = [host.name for host in state.inventory.get_active_hosts()]\n"
        "assert begun == list('hcaebdgf'), begun\n"
    )
    pytest.importorskip("pyinfra")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_secrets_are_masked_in_the_log() -> None:
    code = (
        "import io\nfrom medicarche.deploy.runner import _Masked\n"
        "out = io.StringIO()\n_Masked(out, ['long-secret-1', 'short']).write('a long-secret-1 short b')\n"
        "assert out.getvalue() == 'a ******** short b', out.getvalue()\n"
    )
    pytest.importorskip("pyinfra")
    # in a process of its own: the runner patches the standard library
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
