"""An instance that hangs in its first boot, on the fake cloud."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from fake_openstack.company import NAME, company, provision
from medicarche import converge, deploying, provisioning
from medicarche.errors import NotReady
from medicarche.progress import SilentReporter

if TYPE_CHECKING:
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections

BOTH = company(("a", "b"))


@pytest.fixture(autouse=True)
def _two_instances(connections: Connections, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"disk")
    provision(connections, image, BOTH)


class Waiting:
    """Takes the place of the wait for SSH: those that hang are ready after so many reboots."""

    def __init__(self, cloud: FakeOpenStack, hanging: str, reboots: int) -> None:
        self.cloud, self.hanging, self.reboots = cloud, hanging, reboots
        self.waits = 0

    def __call__(self, *_: object) -> None:
        """Wait."""
        self.waits += 1
        if len(_reboots(self.cloud)) < self.reboots:
            raise NotReady("not ready after 300 s", names=frozenset({self.hanging}))


def _reboots(cloud: FakeOpenStack) -> list[str]:
    return [s for s, entries in cloud.nova.actions.items() for e in entries if e["action"] == "reboot"]


def _wait(connections: Connections, folder: Path, new: str) -> None:
    selection: Any = SimpleNamespace(folder=folder, environment=SimpleNamespace(name=NAME))
    found = converge.instances(connections, NAME)
    provisioning._ready(selection, connections, found, frozenset(new), SilentReporter(), lambda _: True, None)


def test_a_new_one_is_rebooted_and_its_console_log_kept(
    cloud: FakeOpenStack, connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Waiting(cloud, "b", reboots=1)
    monkeypatch.setattr(deploying, "wait_for_instances", waiting)
    _wait(connections, tmp_path, new="ab")
    (b,) = (i.id for i in converge.instances(connections, NAME) if i.name == "b")
    assert _reboots(cloud) == [b]
    assert waiting.waits == 2
    log = tmp_path / "console-b.log"
    assert log.read_text(encoding="utf-8") == converge.console_log(connections, b)
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("new", "reboots"), [("ab", 1), ("a", 0)], ids=["again", "not ours to reboot"])
def test_one_that_still_hangs_or_was_there_before_is_told(  # noqa: PLR0917 - fixtures, and both cases
    cloud: FakeOpenStack,
    connections: Connections,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    new: str,
    reboots: int,
) -> None:
    monkeypatch.setattr(deploying, "wait_for_instances", Waiting(cloud, "b", reboots=9))
    with pytest.raises(NotReady):
        _wait(connections, tmp_path, new)
    assert len(_reboots(cloud)) == reboots


def test_a_console_that_isnt_there_for_a_moment_is_empty(
    cloud: FakeOpenStack, connections: Connections
) -> None:
    # Nova says so while it makes the machine anew, in the middle of a hard reboot
    a, _ = (i.id for i in converge.instances(connections, NAME))
    server = cloud.nova.servers.pop(a)
    assert deploying._console_log(connections, a) == ""
    cloud.nova.servers[a] = server
    assert "line 4" in deploying._console_log(connections, a)
