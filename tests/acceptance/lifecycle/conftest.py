"""Clouds of the tests' own: they are started, killed and purged. Slow; needs root.

One cloud is shared by the whole run, since starting one takes a minute. A test asks for the state that it
needs (`nothing`, `built`), and gets it whatever the tests before it did; the order below is that in which
this costs least.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from medicarche.probe import Capture
from medicarche.spec import load_environment
from medicarche.testing.hoststate import snapshot
from medicarche.testing.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from medicarche.probe import Packet

ORDER = (
    "test_bad_input",
    "test_kills",
    "test_commands",
    "test_outside",
    "test_untouched_host",
    "test_recovery",
    "test_purge",
    "test_half_written_cache",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests in the order in which they need the fewest starts of a cloud."""
    ours = [i for i, item in enumerate(items) if item.path.stem in ORDER]
    ordered = sorted((items[i] for i in ours), key=lambda item: ORDER.index(item.path.stem))
    for place, item in zip(ours, ordered, strict=True):
        items[place] = item


def cloud_name(folder: Path) -> str:
    """Return a name that no other cloud on this machine has."""
    return "l" + hashlib.sha256(str(folder).encode()).hexdigest()[:7]


@pytest.fixture(scope="session")
def environment_file(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """The company's environment, but for all applications except the web site: a cloud's life needs one."""
    company = pytestconfig.rootpath / "environments" / "medicarche.yaml"
    yaml = YAML()
    content = yaml.load(company.read_text(encoding="utf-8"))
    for name in set(content["instances"]) - {"website"}:
        del content["instances"][name]
    for name, application in list(content["applications"].items()):
        if application["instance"] != "website":
            del content["applications"][name]
    # its instance is gone, and whoever would ask it
    content.pop("directory", None)
    for application in content["applications"].values():
        application.pop("roles", None)
    file: Path = tmp_path_factory.mktemp("environment") / "environment.yaml"
    with file.open("w", encoding="utf-8") as stream:
        yaml.dump(content, stream)
    return file


@pytest.fixture(scope="session")
def prefixes(environment_file: Path) -> list[str]:
    """The address ranges of the environment's networks."""
    environment = load_environment(environment_file)
    return [subnet.cidr for network in environment.networks for subnet in network.subnets]


@pytest.fixture(scope="session")
def watch(prefixes: list[str]) -> Iterator[Capture]:
    """Watch the host's own interfaces, below every guard, as long as any of these tests runs."""
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]

    def forbidden(packet: Packet) -> bool:
        return any(ipaddress.ip_address(packet.destination) in network for network in networks)

    with Capture(forbidden) as capture:
        yield capture
    assert capture.packets == (), "sent to the cloud's private addresses from outside of it"


@pytest.fixture(scope="session")
def before(_root: None) -> Mapping[str, str]:
    """The host's settings, addresses, routes and filters before any of these clouds was there."""
    return snapshot()


@pytest.fixture(scope="session")
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("the embedded cloud needs root")


@pytest.fixture(scope="session")
def sandbox(
    before: Mapping[str, str],  # noqa: ARG001 - taken before the first cloud
    watch: Capture,  # noqa: ARG001 - open as long as there is a cloud
    environment_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[Sandbox]:
    """The cloud of this run, not started yet; purged at the end."""
    folder: Path = tmp_path_factory.mktemp("cloud")
    made = Sandbox(cloud_name(folder), folder, pytestconfig.rootpath, file=environment_file)
    yield made
    made.purge()


@pytest.fixture(autouse=True)
def _nothing_sent(request: pytest.FixtureRequest) -> Iterator[None]:
    """Blame the test during which a packet went where none may."""
    if "sandbox" not in request.fixturenames:
        yield
        return
    capture: Capture = request.getfixturevalue("watch")
    known = capture.packets
    yield
    assert capture.packets == known, "sent to the cloud's private addresses from outside of it"


@pytest.fixture(scope="session")
def _known() -> set[str]:
    """What is known of the cloud: ``built``, or nothing."""
    return set()


@pytest.fixture
def nothing(sandbox: Sandbox, _known: set[str]) -> Sandbox:
    """No cloud at all; the test may do what it likes."""
    _known.clear()
    if sandbox.home.exists():
        sandbox.purge()
    return sandbox


@pytest.fixture
def built(sandbox: Sandbox, _known: set[str]) -> Sandbox:
    """The environment, built; the test leaves it as it is."""
    if "built" not in _known:
        sandbox.expect("provision", "--yes")
        _known.add("built")
    return sandbox


@pytest.fixture
def breakable(built: Sandbox, _known: set[str]) -> Sandbox:
    """The environment, built; the test may break it: the next one that needs it mends it."""
    _known.clear()
    return built
