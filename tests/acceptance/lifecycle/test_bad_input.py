"""Bad input: one clear message each, a documented exit code (medicarche.errors), and nothing begun."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from medicarche.testing.hoststate import remains
from medicarche.testing.sandbox import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from medicarche.testing.sandbox import Done, Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1")]


def assert_refused(done: Done, code: int, *words: str) -> None:
    """One message, its exit code, what it is about; no traceback, and a next step where it isn't the file."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.count("Error:") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word.lower() in done.stderr.lower(), done.stderr


@pytest.fixture
def file(sandbox: Sandbox, tmp_path: Path) -> Path:
    """A copy of the company's environment file, to be spoilt."""
    copy = tmp_path / "environment.yaml"
    copy.write_text(
        (sandbox.project / "environments" / "medicarche.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return copy


SPOILT = {
    "an unknown key": (r"^organization:", "organisation:", "organisation"),
    "a wrong type": (r"vcpus: 2", "vcpus: two", "vcpus"),
    "overlapping ranges": (r"cidr: 192\.168\.222\.0/24", "cidr: 10.20.0.0/16", "10.20.20.0/24"),
    "a port claimed twice": (r"port: 8088", "port: 80", "80"),
    "a flavor smaller than its image": (r"disk_mib: 1024", "disk_mib: 9000", "medicarche.small"),
    "no YAML": (r"^networks:", "networks: [", "environment.yaml"),
}


@pytest.mark.parametrize("what", SPOILT)
@pytest.mark.parametrize("command", ["plan", "provision"])
def test_a_wrong_environment_file(sandbox: Sandbox, file: Path, what: str, command: str) -> None:
    pattern, replacement, word = SPOILT[what]
    text = file.read_text(encoding="utf-8")
    spoilt, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert count == 1
    file.write_text(spoilt, encoding="utf-8")
    done = sandbox.run("--environment", str(file), command, timeout=60)
    assert_refused(done, 3, word)
    assert re.search(r"environment\.yaml:\d+", done.stderr), "which line?"
    assert not remains(sandbox.words)


def test_all_errors_of_a_file_are_told_at_once(sandbox: Sandbox, file: Path) -> None:
    text = (
        file.read_text(encoding="utf-8")
        .replace("vcpus: 2", "vcpus: two")
        .replace("organization", "organisation")
    )
    file.write_text(text, encoding="utf-8")
    done = sandbox.run("--environment", str(file), "plan", timeout=60)
    assert_refused(done, 3, "organisation", "vcpus")


def test_no_such_environment_file(sandbox: Sandbox) -> None:
    assert_refused(sandbox.run("--environment", "/nowhere.yaml", "plan", timeout=60), 3, "/nowhere.yaml")


def test_not_root(sandbox: Sandbox) -> None:
    # may read everything (the interpreter can be anywhere), and do nothing else
    nobody = (
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+dac_read_search",
        "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
    )  # fmt: skip
    done = sandbox.run("cloud", "up", prefix=nobody, timeout=60)
    assert_refused(done, 4, "root")
    assert not remains(sandbox.words)


def test_too_little_disk(sandbox: Sandbox, tmp_path: Path) -> None:
    """The home folder on a real file system of 64 MB, mounted where only this command sees it."""
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=64m small "$1" && shift && exec "$@"'
    prefix = ("unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", str(small))
    done = sandbox.run("cloud", "up", prefix=prefix, timeout=120, MEDICARCHE_HOME=str(small))
    assert_refused(done, 4, "disk")


def test_too_little_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    """A machine whose kernel says that it has 1 GB."""
    poor = tmp_path / "meminfo"
    poor.write_text("MemTotal: 1048576 kB\nMemFree: 524288 kB\nMemAvailable: 786432 kB\n", encoding="ascii")
    script = 'mount --bind "$1" /proc/meminfo && shift && exec "$@"'
    prefix = ("unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", str(poor))
    assert_refused(sandbox.run("cloud", "up", prefix=prefix, timeout=120), 4, "memory")


def test_a_registry_that_doesnt_answer(sandbox: Sandbox, file: Path, tmp_path: Path) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write(
            "\nmirrors: {debian: 'http://127.0.0.1:9/debian', security: 'http://127.0.0.1:9/security'}\n"
        )
    done = sandbox.run(
        "--environment", str(file), "provision", timeout=120, MEDICARCHE_CACHE=str(tmp_path / "cache")
    )
    assert_refused(done, 4, "127.0.0.1:9")


CLOUDS = """
clouds:
  silent:
    auth: {auth_url: 'http://127.0.0.1:9/v3', username: x, password: x, project_name: x,
           user_domain_name: Default, project_domain_name: Default}
    region_name: RegionOne
"""


def test_a_cloud_that_doesnt_answer(sandbox: Sandbox, tmp_path: Path) -> None:
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(CLOUDS, encoding="utf-8")
    done = sandbox.run("--cloud", "silent", "plan", timeout=120, OS_CLIENT_CONFIG_FILE=str(clouds))
    assert_refused(done, 5, "127.0.0.1:9")


def test_a_cloud_that_nobody_configured(sandbox: Sandbox, tmp_path: Path) -> None:
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(CLOUDS, encoding="utf-8")
    done = sandbox.run("--cloud", "unknown", "plan", timeout=60, OS_CLIENT_CONFIG_FILE=str(clouds))
    assert_refused(done, 5, "unknown")


def test_the_embedded_cloud_isnt_up(sandbox: Sandbox) -> None:
    for arguments in (
        ("plan",),
        ("destroy", "--yes"),
        ("ssh", "website", "true"),
        ("cloud", "enter", "true"),
    ):
        assert_refused(sandbox.run(*arguments, timeout=60), 5, "isn't up")


def test_a_wrong_command_line(sandbox: Sandbox) -> None:
    for arguments in (("no-such-command",), ("plan", "--no-such-option"), ("console",)):
        done = sandbox.run(*arguments, timeout=60)
        assert done.returncode == 64
        assert "Traceback" not in done.stderr


# --- on a cloud that is up ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def up(sandbox: Sandbox) -> Sandbox:
    """The cloud, up and empty."""
    sandbox.expect("cloud", "up")
    return sandbox


def test_a_cloud_that_refuses_the_password(up: Sandbox, tmp_path: Path) -> None:
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(
        CLOUDS.replace("silent", "refusing").replace("127.0.0.1:9", "127.0.0.1:5000"), encoding="utf-8"
    )
    command = ("env", f"OS_CLIENT_CONFIG_FILE={clouds}", PROGRAM, "--cloud", "refusing", "plan")
    done = up.run("cloud", "enter", "--", *command, timeout=120)
    assert_refused(done, 5, "refuse")


@pytest.mark.parametrize(("quota", "word"), [("instances", "instances"), ("ram", "ram"), ("cores", "cores")])
def test_a_quota_too_small_is_found_before_anything_is_made(up: Sandbox, quota: str, word: str) -> None:
    count = "show([len(list(member.network.networks())), len(list(member.image.images()))])"
    before = up.ask_cloud(count)
    old = up.ask_cloud(f"show(admin.get_compute_quotas(member.current_project_id)['{quota}'])")
    up.ask_cloud(f"admin.set_compute_quotas(member.current_project_id, {quota}=0)")
    try:
        done = up.run("provision", "--yes")
        assert_refused(done, 5, "quota", word)
        assert up.ask_cloud(count) == before
    finally:
        up.ask_cloud(f"admin.set_compute_quotas(member.current_project_id, {quota}={old})")


def test_a_cloud_without_neutron(up: Sandbox) -> None:
    """Its endpoints are taken out of the catalogue, and put back."""
    up.ask_cloud(_ENDPOINTS.format(enabled=False))
    try:
        assert_refused(up.run("plan", timeout=120), 5, "neutron")
    finally:
        up.ask_cloud(_ENDPOINTS.format(enabled=True))
    assert up.run("plan", timeout=120).returncode == 2


_ENDPOINTS = """
service = next(s for s in admin.identity.services() if s.type == "network")
for endpoint in admin.identity.endpoints(service_id=service.id):
    admin.identity.update_endpoint(endpoint, is_enabled={enabled})
"""
