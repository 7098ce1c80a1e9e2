"""The environment under test, built once for a run: what the acceptance tests ask for by name."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

from medicarche.pytest_plugin.options import REQUIREMENT, left_out, options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from openstack.connection import Connection
    from testinfra.host import Host

    from medicarche.cloud.connect import Connections
    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.probe import Client
    from medicarche.spec.environment import Application, Environment
    from medicarche.target import Selection
    from medicarche.testing.built import Built

_Made = TypeVar("_Made")
#: the built environment, once a test of this process has asked for it
BUILT = pytest.StashKey["Built"]()
#: a module has the environment for itself, in this process
_MODULES = pytest.StashKey[bool]()
#: a folder that all processes of this run share
SHARED = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def selection(pytestconfig: pytest.Config) -> Selection:
    """The environment and the cloud under test; nothing is built for it."""
    from medicarche.errors import MedicarcheError  # noqa: PLC0415 - only where it is needed
    from medicarche.target import select  # noqa: PLC0415 - likewise

    try:
        return select(options(pytestconfig))
    except MedicarcheError as error:
        _give_up(error)


@pytest.fixture(scope="session")
def environment(provisioned: Built) -> Environment:
    """What the environment file declares, without what couldn't be deployed."""
    return provisioned.selection.environment


@pytest.fixture(scope="session")
def provisioned(
    selection: Selection, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Built:
    """The built environment; the process is in its cloud's network name space from here on."""
    from rich.console import Console  # noqa: PLC0415 - only where it is needed

    from medicarche.errors import MedicarcheError  # noqa: PLC0415 - likewise
    from medicarche.progress import ConsoleReporter  # noqa: PLC0415 - likewise
    from medicarche.testing.built import build_once  # noqa: PLC0415 - likewise

    folder = _shared_folder(tmp_path_factory, pytestconfig)
    try:
        built = build_once(
            selection,
            folder,
            ConsoleReporter(Console(stderr=True)),
            as_is=pytestconfig.getoption("--as-is"),
        )
    except MedicarcheError as error:
        _give_up(error)
    pytestconfig.stash[BUILT] = built
    pytestconfig.stash[SHARED] = folder
    return built


def _give_up(error: Exception) -> NoReturn:
    hint = getattr(error, "hint", None)
    failure = pytest.fail.Exception(f"{error}\n→ {hint}" if hint else str(error), pytrace=False)
    raise failure from None  # one message, not the story of how it came about


@contextmanager
def _in_turn(folder: Path, *, alone: bool) -> Iterator[None]:
    import fcntl  # noqa: PLC0415 - not everywhere, and unit tests run everywhere

    # closing a file gives its lock back, and so does dying
    with (folder / "turn").open("w") as turn:
        # who waits for all the others holds the queue's head meanwhile, so that they can't go on before him
        with (folder / "queue").open("w") as queue:
            fcntl.flock(queue, fcntl.LOCK_EX)
            fcntl.flock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


class ModuleTurn:
    """What the tests of a module set up once and use one after the other, no other test in between."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._known: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], AbstractContextManager[_Made]]) -> _Made:
        """Return what ``make`` has made for the first that asked; it is left after the module's last test."""
        if name not in self._known:
            self._known[name] = self._stack.enter_context(make())
        found: _Made = self._known[name]
        return found


@pytest.fixture(scope="module")
def module_turn(
    provisioned: Built, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[ModuleTurn]:
    """The environment for a module's tests alone, from the first that asks to the last, with what they share.

    For tests that need the same change of the environment, where to make it takes longer than to test it.
    """
    del provisioned  # what they change
    folder = _shared_folder(tmp_path_factory, pytestconfig)
    with _in_turn(folder, alone=True):
        pytestconfig.stash[_MODULES] = True
        try:
            with ExitStack() as stack:
                yield ModuleTurn(stack)
        finally:
            pytestconfig.stash[_MODULES] = False


@pytest.fixture(autouse=True)
def _turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a test that is marked ``alone`` run beside no other one that uses the environment (xdist)."""
    if "provisioned" not in request.fixturenames or request.config.stash.get(_MODULES, False):
        yield
        return
    request.getfixturevalue("provisioned")
    folder = _shared_folder(request.getfixturevalue("tmp_path_factory"), request.config)
    with _in_turn(folder, alone=request.node.get_closest_marker("alone") is not None):
        yield


@pytest.fixture(autouse=True)
def _about_what_is_deployed(request: pytest.FixtureRequest) -> None:
    """Skip a test of an application that isn't deployed; no requirement but its kind's is doubted for it."""
    if "application_name" not in request.fixturenames:
        return
    absent = set(left_out())
    if "provisioned" in request.fixturenames:
        built: Built = request.getfixturevalue("provisioned")
        absent |= {a.name for a in built.selection.environment.applications if not a.deployed}
    name = request.getfixturevalue("application_name")
    if name not in absent:
        return
    own = {i for mark in request.node.callspec.marks if mark.name == REQUIREMENT for i in mark.args}
    told = request.node.user_properties
    told[:] = [(key, value) for key, value in told if key != REQUIREMENT or value in own]
    pytest.skip(f"{name} isn't deployed")


def _shared_folder(factory: pytest.TempPathFactory, config: pytest.Config) -> Path:
    """Return the folder of this run: xdist gives each worker a folder of its own inside of it."""
    own = factory.getbasetemp()
    return own.parent if hasattr(config, "workerinput") else own


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """The folder that all of this run's processes share, and no other run."""
    return _shared_folder(tmp_path_factory, pytestconfig)


@pytest.fixture(scope="session")
def tcp_ports(pytestconfig: pytest.Config) -> Sequence[tuple[int, int]]:
    """The TCP ports that the reachability matrix probes, as ranges."""
    ranges: Sequence[tuple[int, int]] = pytestconfig.getoption("--tcp-ports")
    return ranges


@pytest.fixture(scope="session")
def shared(provisioned: Built, pytestconfig: pytest.Config) -> Callable[[str, Callable[[], Any]], Any]:
    """Do something once a run: ``shared(name, make)`` gives all processes what the first one made (JSON)."""
    from medicarche.testing.shared import once  # noqa: PLC0415 - only where it is needed

    del provisioned  # asked for first: it says where what is shared lies
    return lambda name, make: once(pytestconfig.stash[SHARED], name, make)


@pytest.fixture(scope="session")
def connections(provisioned: Built) -> Connections:
    """Connections to the cloud: as the project's member, and as admin where there is one."""
    return provisioned.connections


@pytest.fixture(scope="session")
def member(connections: Connections) -> Connection:
    """The cloud as the project's member sees it."""
    return connections.member.sdk


@pytest.fixture
def instances(provisioned: Built) -> tuple[InstanceState, ...]:
    """All instances as they are now, asked of the cloud afresh: tests detach and attach addresses."""
    from medicarche import converge  # noqa: PLC0415 - only where it is needed

    return tuple(converge.instances(provisioned.connections, provisioned.selection.environment.name))


@pytest.fixture
def instance(instance_name: str, instances: tuple[InstanceState, ...]) -> InstanceState:
    """The instance that the test is about; asking for it runs the test once for each declared instance."""
    return _named(instance_name, instances)


@pytest.fixture
def application(application_name: str, environment: Environment) -> Application:
    """The application that the test is about; asking for it runs the test once for each declared one."""
    return next(a for a in environment.applications if a.name == application_name)


def _named(name: str, instances: Sequence[InstanceState]) -> InstanceState:
    for instance in instances:
        if instance.name == name:
            return instance
    pytest.fail(f"instance {name} isn't on the cloud", pytrace=False)


@pytest.fixture(scope="session")
def machines(provisioned: Built) -> Iterator[Callable[[InstanceState], Host]]:
    """Give testinfra's host of an instance, commands as root; one connection each for the whole run."""
    from medicarche.testing.machines import machine as connect  # noqa: PLC0415 - brings testinfra along

    known: dict[tuple[str, str | None], Host] = {}

    def get(instance: InstanceState) -> Host:
        # a connection is lost where the address is another one meanwhile
        key = (instance.id, instance.floating_address)
        if key not in known:
            known[key] = connect(provisioned.selection, instance)
        return known[key]

    yield get
    for host in known.values():
        client = host.backend.__dict__.get("client")
        if client is not None:
            client.close()


@pytest.fixture
def machine(instance: InstanceState, machines: Callable[[InstanceState], Host]) -> Host:
    """Testinfra's host of the instance that the test is about."""
    return machines(instance)


@pytest.fixture(scope="session")
def authority(provisioned: Built) -> Path:
    """The certificate of the environment's authority."""
    from medicarche.pki import Authority  # noqa: PLC0415 - only where it is needed

    environment = provisioned.selection.environment
    authority = Authority(
        provisioned.selection.folder, organization=environment.organization, domain=environment.domain
    )
    return authority.ca_certificate


@pytest.fixture(scope="session")
def credentials(provisioned: Built) -> Credentials:
    """The environment's generated passwords."""
    from medicarche.credentials import Credentials as Kept  # noqa: PLC0415 - only where it is needed

    return Kept(provisioned.selection.folder)


@pytest.fixture
def outside(authority: Path) -> Iterator[Client]:
    """A visitor on the external network: an HTTP client that believes the environment's authority only."""
    from medicarche.probe import Client as Visitor  # noqa: PLC0415 - only where it is needed

    with Visitor(authority) as client:
        yield client


@pytest.fixture(scope="session")
def run_medicarche(pytestconfig: pytest.Config) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``medicarche`` as a user does, with this run's environment and cloud; from the host's network."""
    from medicarche.embedded import namespace  # noqa: PLC0415 - only where it is needed

    wanted = options(pytestconfig)
    chosen = {
        "--environment": str(wanted.environment_file),
        "--cloud": wanted.cloud,
        "--admin-cloud": wanted.admin_cloud,
        "--embedded-name": wanted.embedded_name,
    }
    given = [word for name, value in chosen.items() if value for word in (name, value)]
    program = str(Path(sys.executable).with_name("medicarche"))

    def run(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        command = namespace.outside_command([program, *given, *arguments])
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run
