"""``medicarche cloud ...``: what each command answers, and its exit code."""

from __future__ import annotations

import json
import re
import stat
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from pathlib import Path

    from medicarche.testing.sandbox import Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1")]


def test_status(built: Sandbox) -> None:
    assert f"embedded OpenStack {built.name}: ready" in built.expect("cloud", "status")
    told = json.loads(built.expect("cloud", "status", "--json"))
    assert told["state"] == "ready"
    assert told["waiting"] == {}
    assert told["netns"] == str(built.network)


@pytest.mark.requirement("CLOUD-2")
def test_open_and_password(built: Sandbox) -> None:
    """What `open` shows leads there from the host's loopback; `password` is that of the user it names."""
    shown = built.expect("cloud", "open")
    password = built.expect("cloud", "password").strip()
    assert len(password) >= 16
    assert password not in shown
    dashboard = re.search(r"http://127\.0\.0\.1:\d+/", shown)
    assert dashboard is not None, shown
    answer = requests.get(dashboard[0], timeout=60)
    assert answer.status_code == 200
    assert "csrfmiddlewaretoken" in answer.text
    site = re.search(r"https://127\.0\.0\.1:\d+/", shown)
    assert site is not None, shown
    name = re.search(r"user (\S+), domain Default", shown)
    assert name is not None, shown
    token = built.ask_cloud(
        f"""
import openstack, sys
as_person = openstack.connect(auth_url="http://127.0.0.1:5000/v3", username={name[1]!r},
    password={password!r}, user_domain_name="Default", project_domain_name="Default",
    project_name={name[1]!r}, load_envvars=False, load_yaml_config=False)
show(bool(as_person.authorize()))
"""
    )
    assert token is True


def test_secrets_are_readable_by_their_owner_only(built: Sandbox) -> None:
    for name in ("clouds.yaml", "secrets.json"):
        assert stat.S_IMODE((built.cloud / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(built.cloud.stat().st_mode) == 0o700


def test_logs(built: Sandbox) -> None:
    assert built.expect("cloud", "logs").strip()
    for service in ("keystone", "nova-compute", "mariadb"):
        assert built.expect("cloud", "logs", service).strip(), service
    few = built.expect("cloud", "logs", "--lines", "2", "nova-compute").strip().splitlines()
    assert 1 <= len(few) <= 4, few  # of its journal and of its file
    done = built.run("cloud", "logs", "no-such-service", timeout=120)
    assert done.returncode == 1
    assert "no service 'no-such-service'" in done.stderr
    assert "nova-compute" in done.stderr, "which are there?"
    assert built.run("cloud", "logs", "--lines", "0", timeout=120).returncode == 64


def test_enter(built: Sandbox) -> None:
    """A command runs in the cloud's network, with its own options, and its exit code is ours."""
    assert "10.20.20.1/24" in built.expect("cloud", "enter", "--", "ip", "-o", "-4", "address", "show")
    assert built.expect("cloud", "enter", "ip", "-V").startswith("ip utility")
    assert built.expect("cloud", "enter", "--", "sh", "-c", "echo $OS_CLOUD") == "medicarche\n"
    built.expect("cloud", "enter", "--", "sh", "-c", "exit 7", code=7)
    done = built.run("cloud", "enter", "--", "no-such-program", timeout=120)
    assert done.returncode == 1
    assert "no-such-program" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_runs_at_once_dont_meet(built: Sandbox) -> None:
    first = built.start("provision", "--yes")
    try:
        first.wait_until(first.says(r"^… (Compare the cloud|Comparing|Deploying|Waiting)"), timeout=300)
        # with nothing to do it may end before the second one has begun
        first.stop()
        for command in (("provision", "--yes"), ("destroy", "--yes")):
            second = built.run(*command, timeout=120)
            assert second.returncode == 6, second.stderr
            assert f"process {first.pid}" in second.stderr
    finally:
        first.kill()
    built.expect("provision", "--yes")


def test_a_quota_too_small_is_found_on_a_real_cloud_too(
    built: Sandbox, environment_file: Path, tmp_path: Path
) -> None:
    """One more instance than the project may have: nothing of it is made, its ports and rules neither."""
    text = environment_file.read_text(encoding="utf-8")
    second = (
        "  second: {flavor: medicarche.small, image: debian-13, network: private,"
        " security_groups: [private-sg], floating_ip: true}"
    )
    more = text.replace("\ninstances:\n", f"\ninstances:\n{second}\n")
    assert more != text
    file = tmp_path / "environment.yaml"
    file.write_text(more, encoding="utf-8")
    count = (
        "show([len(list(f())) for f in (member.network.ports, member.network.ips, member.compute.servers)])"
    )
    before = built.ask_cloud(count)
    old = built.ask_cloud("show(admin.get_compute_quotas(member.current_project_id)['instances'])")
    built.ask_cloud("admin.set_compute_quotas(member.current_project_id, instances=1)")
    try:
        done = built.run("--environment", str(file), "provision", "--yes")
        assert done.returncode == 5, done.stdout + done.stderr
        assert "instances: 1 needed, 0 of 1 left" in done.stderr
        assert built.ask_cloud(count) == before
    finally:
        built.ask_cloud(f"admin.set_compute_quotas(member.current_project_id, instances={old})")
    built.expect("--environment", str(file), "plan", code=2)
