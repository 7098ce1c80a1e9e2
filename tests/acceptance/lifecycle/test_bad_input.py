"""Bad input: one clear message each, a documented exit code (medicarche.errors), and nothing begun."""

from __future__ import annotations

import re
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_openstack import FakeOpenStack
from medicarche.testing.hoststate import remains

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from medicarche.testing.sandbox import Done, Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1")]


def assert_refused(done: Done, code: int, *words: str, hint: bool = True) -> None:
    """One message, its exit code, what it is about, and a next step; no traceback, no result."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.count("Error:") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert ("→" in done.stderr) or not hint, "no next step"
    for word in words:
        assert word.lower() in done.stderr.lower(), done.stderr


@pytest.fixture
def file(environment_file: Path, tmp_path: Path) -> Path:
    """A copy of the environment file, to be spoilt."""
    copy = tmp_path / "environment.yaml"
    copy.write_text(environment_file.read_text(encoding="utf-8"), encoding="utf-8")
    return copy


# --- the environment file ----------------------------------------------------------------------------------

SPOILT = {
    "an unknown key": (r"^organization:", "organisation:", "organisation"),
    "a wrong type": (r"vcpus: 2", "vcpus: two", "vcpus"),
    "overlapping ranges": (r"cidr: 192\.168\.222\.0/24", "cidr: 10.20.0.0/16", "overlaps with 10.20.20.0/24"),
    "a port claimed twice": (r"port: 8088", "port: 80", "80"),
    "a flavor smaller than its image": (r"disk_mib: 1024", "disk_mib: 9000", "medicarche.small"),
    "no YAML": (r"^networks:", "networks: [", "environment.yaml"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_wrong_environment_file(sandbox: Sandbox, file: Path, what: str) -> None:
    pattern, replacement, word = SPOILT[what]
    text = file.read_text(encoding="utf-8")
    spoilt, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert count == 1
    file.write_text(spoilt, encoding="utf-8")
    for command in ("plan", "provision") if what == "a wrong type" else ("provision",):
        done = sandbox.run("--environment", str(file), command, timeout=120)
        assert_refused(done, 3, word, hint=False)
        assert re.search(r"environment\.yaml:\d+", done.stderr), "which line?"
    assert not remains(sandbox.words)


def test_all_errors_of_a_file_are_told_at_once(sandbox: Sandbox, file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    text = text.replace("vcpus: 2", "vcpus: two").replace("organization", "organisation")
    file.write_text(text, encoding="utf-8")
    done = sandbox.run("--environment", str(file), "plan", timeout=120)
    assert_refused(done, 3, "organisation", "vcpus", hint=False)


def test_no_such_environment_file(sandbox: Sandbox) -> None:
    done = sandbox.run("--environment", "/nowhere.yaml", "plan", timeout=120)
    assert_refused(done, 3, "/nowhere.yaml", hint=False)


# --- the machine -------------------------------------------------------------------------------------------


@pytest.fixture
def public_file(environment_file: Path) -> Iterator[Path]:
    """The environment file where everybody may read it; pytest's own folders are private."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "environment.yaml"
        copy.write_text(environment_file.read_text(encoding="utf-8"), encoding="utf-8")
        Path(folder).chmod(0o755)
        copy.chmod(0o644)
        yield copy


def test_not_root(sandbox: Sandbox, public_file: Path) -> None:
    # may read everything (the interpreter can be anywhere), and do nothing else
    nobody = (
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+dac_read_search",
        "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
    )  # fmt: skip
    for command in (("cloud", "up"), ("provision",), ("cloud", "down"), ("cloud", "purge")):
        done = sandbox.run(
            *command, prefix=nobody, timeout=120,
            MEDICARCHE_HOME="/nonexistent/medicarche", MEDICARCHE_ENVIRONMENT=str(public_file),
        )  # fmt: skip
        assert_refused(done, 4, "root")
    assert not remains(sandbox.words)


def test_too_little_disk(sandbox: Sandbox, tmp_path: Path) -> None:
    """Home and cache on a real file system of 64 MB, mounted where only this command sees it."""
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=64m small "$1" && shift && exec "$@"'
    prefix = ("unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", str(small))
    for name in ("MEDICARCHE_HOME", "MEDICARCHE_CACHE"):
        done = sandbox.run("cloud", "up", prefix=prefix, timeout=300, **{name: str(small)})
        assert_refused(done, 4, "disk", str(small))
    assert not remains(sandbox.words)


def test_too_little_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    """A machine whose kernel says that it has 1 GB: /proc/meminfo is another file, for this command only."""
    poor = tmp_path / "meminfo"
    poor.write_text("MemTotal: 1048576 kB\nMemFree: 524288 kB\nMemAvailable: 786432 kB\n", encoding="ascii")
    script = 'mount --bind "$1" /proc/meminfo && shift && exec "$@"'
    prefix = ("unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", str(poor))
    assert_refused(sandbox.run("cloud", "up", prefix=prefix, timeout=300), 4, "memory", "0.8 GiB")
    assert not remains(sandbox.words)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback that nobody listens on, and nobody else gets meanwhile: bound, not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_registry_that_doesnt_answer(
    sandbox: Sandbox, file: Path, tmp_path: Path, closed_port: int
) -> None:
    registry = f"http://127.0.0.1:{closed_port}"
    with file.open("a", encoding="utf-8") as stream:
        stream.write(f"\nmirrors: {{debian: '{registry}/debian', security: '{registry}/security'}}\n")
    done = sandbox.run(
        "--environment", str(file), "provision", timeout=300, MEDICARCHE_CACHE=str(tmp_path / "cache")
    )
    assert_refused(done, 4, registry, "mirrors")
    assert not remains(sandbox.words)


# --- a cloud of the user's own, at HTTP level --------------------------------------------------------------


@pytest.fixture
def fake() -> Iterator[FakeOpenStack]:
    """An OpenStack on the host's loopback."""
    with FakeOpenStack() as cloud:
        yield cloud


@pytest.fixture
def ask(sandbox: Sandbox, fake: FakeOpenStack, tmp_path: Path) -> Callable[..., Done]:
    """Run a command on that cloud, as its clouds.yaml names it."""
    clouds = fake.write_clouds_yaml(tmp_path / "clouds.yaml")

    def run(*arguments: str, cloud: str = "demo") -> Done:
        return sandbox.run(
            "--cloud", cloud, "--admin-cloud", "admin", *arguments,
            timeout=300, OS_CLIENT_CONFIG_FILE=str(clouds),
        )  # fmt: skip

    return run


def test_a_cloud_that_is_right_is_planned(ask: Callable[..., Done], fake: FakeOpenStack) -> None:
    """Otherwise the refusals below could have any reason."""
    done = ask("plan")
    assert done.returncode == 2, done.stderr
    assert fake.faults.writes == []


def test_a_cloud_that_refuses_the_password(
    ask: Callable[..., Done], fake: FakeOpenStack, tmp_path: Path
) -> None:
    fake.write_clouds_yaml(tmp_path / "clouds.yaml", password="wrong")  # noqa: S106 - it is to be refused
    done = ask("provision", "--yes")
    assert_refused(done, 5, "demo", "refuses the credentials", "clouds.yaml")
    assert "wrong" not in done.stderr
    assert fake.faults.writes == []


def test_a_cloud_without_neutron(ask: Callable[..., Done], fake: FakeOpenStack) -> None:
    fake.keystone.services.remove("network")
    assert_refused(ask("provision", "--yes"), 5, "Neutron", "network")
    assert fake.faults.writes == []


def test_quotas_too_small_are_found_before_anything_is_made(
    ask: Callable[..., Done], fake: FakeOpenStack
) -> None:
    fake.nova.quota |= {"instances": 0, "ram": 512}
    fake.neutron.quota["floatingip"] = 0
    assert_refused(ask("provision", "--yes"), 5, "quota", "instances", "RAM", "floating IPs")
    assert fake.faults.writes == []


def test_a_cloud_that_doesnt_answer(
    ask: Callable[..., Done], fake: FakeOpenStack, tmp_path: Path, closed_port: int
) -> None:
    clouds = tmp_path / "clouds.yaml"
    nobody = f"http://127.0.0.1:{closed_port}"
    clouds.write_text(clouds.read_text(encoding="utf-8").replace(fake.url, nobody), encoding="utf-8")
    assert_refused(ask("provision", "--yes"), 5, f"127.0.0.1:{closed_port}", "answer")


def test_a_cloud_that_nobody_configured(ask: Callable[..., Done]) -> None:
    assert_refused(ask("plan", cloud="unknown"), 5, "unknown", "demo")


# --- no cloud, no command ----------------------------------------------------------------------------------


def test_the_embedded_cloud_isnt_up(nothing: Sandbox) -> None:
    for arguments in (
        ("plan",),
        ("destroy", "--yes"),
        ("ssh", "website", "true"),
        ("console", "website"),
        ("cloud", "enter", "true"),
        ("cloud", "open"),
    ):
        assert_refused(nothing.run(*arguments, timeout=120), 5, "isn't up", "medicarche cloud up")


def test_a_wrong_command_line(sandbox: Sandbox) -> None:
    for arguments in (("no-such-command",), ("plan", "--no-such-option"), ("console",)):
        done = sandbox.run(*arguments, timeout=120)
        assert done.returncode == 64
        assert "Traceback" not in done.stderr
