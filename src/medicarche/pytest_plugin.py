"""Fixtures, options and the requirement marker of the acceptance tests.

Enable it from a root ``conftest.py``: ``pytest_plugins = ("medicarche.pytest_plugin",)``. It does nothing in
a run without acceptance tests: whatever is slow to import is imported where it is first used.

The environment is built once, by the fixture `provisioned`, and is never torn down: that is the user's
decision (``medicarche destroy``, ``medicarche cloud purge``). From then on the test process is in the
embedded cloud's network name space.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from openstack.connection import Connection
    from testinfra.host import Host

    from medicarche.cloud import Connections
    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.probe import Client
    from medicarche.spec.environment import Application, Environment
    from medicarche.target import Options, Selection
    from medicarche.testing.built import Built

_MARKER = "requirement"
_KIND = "application_kind"
_BUILT = pytest.StashKey["Built"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that say which environment on which cloud."""
    group = parser.getgroup("medicarche", "Medicarche: the environment under test")
    group.addoption("--environment", metavar="FILE", type=Path, help="the environment file")
    group.addoption(
        "--cloud", metavar="NAME", help="an entry of clouds.yaml; default: OS_CLOUD, else embedded"
    )
    group.addoption("--admin-cloud", metavar="NAME", help="an entry with administrator's rights")
    group.addoption("--embedded-name", metavar="NAME", help="the embedded cloud's name")
    group.addoption(
        "--without",
        metavar="NAME",
        action="append",
        help="an application that isn't deployed, nor tested; default: MEDICARCHE_WITHOUT",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", f"{_MARKER}(*ids): the requirements that the test proves")
    config.addinivalue_line("markers", "lifecycle: starts, kills and purges clouds of its own; slow")
    # openstacksdk warns its own developers of its own code when a list of servers or rules is read
    config.addinivalue_line("filterwarnings", "ignore:The _compute_attributes method is deprecated")
    config.addinivalue_line("markers", "alone: changes the environment; no other test may run beside it")
    config.addinivalue_line(
        "markers",
        f"{_KIND}(kind): runs once for each deployed application of that kind; isn't there for none",
    )
    if config.getoption("--without"):
        # for `medicarche provision` too, which tests run as a user does
        os.environ["MEDICARCHE_WITHOUT"] = " ".join(config.getoption("--without"))


# --- the requirement marker ------------------------------------------------------------------------------


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse acceptance tests that name no requirement, or one that isn't known.

    Tests of a kind of application of which none is deployed are taken out: they have nothing to be about.
    Tests that change the environment come last: the others look at it as it was built.

    Raises:
        pytest.UsageError: naming all such tests at once.
    """
    about_nothing = [item for item in items if _is_about_nothing(item)]
    if about_nothing:
        config.hook.pytest_deselected(items=about_nothing)
        items[:] = [item for item in items if item not in about_nothing]
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)
    wrong = []
    for item in items:
        named = (cast("str", i) for marker in item.iter_markers(_MARKER) for i in marker.args)
        ids = tuple(dict.fromkeys(named))
        if not ids:
            if _is_acceptance(item):
                wrong.append(f"{item.nodeid}: names no requirement (@pytest.mark.{_MARKER})")
            continue
        from medicarche.report import load_requirements  # noqa: PLC0415 - only where it is needed

        unknown = [i for i in ids if i not in load_requirements()]
        if unknown:
            wrong.append(f"{item.nodeid}: {', '.join(unknown)}: no such requirement")
        item.user_properties += [(_MARKER, i) for i in ids]
    if wrong:
        raise pytest.UsageError("\n".join(wrong))


def _is_acceptance(item: pytest.Item) -> bool:
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    return "provisioned" in fixtures or "acceptance" in item.path.parts[:-1][-3:]


def _is_about_nothing(item: pytest.Item) -> bool:
    """Tell whether pytest has put a skipped stand-in where no application of the wanted kind is deployed."""
    if item.get_closest_marker(_KIND) is None:
        return False
    given: Mapping[str, object] = getattr(getattr(item, "callspec", None), "params", {})
    return not isinstance(given.get("application_name"), str)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``instance_name`` or ``application_name`` once for each one declared."""
    wanted = {"instance_name", "application_name"} & set(metafunc.fixturenames)
    if not wanted:
        return
    from medicarche.errors import MedicarcheError  # noqa: PLC0415 - only where it is needed
    from medicarche.spec import load_environment  # noqa: PLC0415 - likewise

    try:
        environment = load_environment(_environment_file(metafunc.config))
    except MedicarcheError as error:
        raise pytest.Collector.CollectError(error.message) from error
    if "instance_name" in wanted:
        metafunc.parametrize("instance_name", [i.name for i in environment.instances])
    if "application_name" in wanted:
        left_out = _without()
        kinds = {marker.args[0] for marker in metafunc.definition.iter_markers(_KIND)}
        chosen = [
            pytest.param(a.name, marks=_requirements_of(a.kind), id=a.name)
            for a in environment.applications
            if a.deployed and a.name not in left_out and (not kinds or a.kind in kinds)
        ]
        metafunc.parametrize("application_name", chosen)


def _requirements_of(kind: str) -> list[pytest.MarkDecorator]:
    """What a test of a deployed application proves besides: the requirement of its kind, and of no other."""
    from medicarche.report import load_requirements  # noqa: PLC0415 - only where it is needed

    ids = [r.id for r in load_requirements().values() if r.application_kind == kind]
    return [pytest.mark.requirement(*ids)] if ids else []


# --- fixtures ----------------------------------------------------------------------------------------------


def _environment_file(config: pytest.Config) -> Path:
    given = config.getoption("--environment") or os.environ.get("MEDICARCHE_ENVIRONMENT")
    # the default belongs to the project, wherever pytest was started
    return Path(given) if given else config.rootpath / "environments" / "medicarche.yaml"


def _options(config: pytest.Config) -> Options:
    from medicarche.target import Options as Wanted  # noqa: PLC0415 - brings openstacksdk along

    return Wanted(
        environment_file=_environment_file(config),
        cloud=config.getoption("--cloud"),
        admin_cloud=config.getoption("--admin-cloud") or os.environ.get("MEDICARCHE_ADMIN_CLOUD"),
        embedded_name=config.getoption("--embedded-name"),
        without=_without(),
    )


def _without() -> tuple[str, ...]:
    """Return the names of the applications that aren't to be deployed."""
    return tuple(os.environ.get("MEDICARCHE_WITHOUT", "").split())


@pytest.fixture(scope="session")
def selection(pytestconfig: pytest.Config) -> Selection:
    """The environment and the cloud under test; nothing is built for it."""
    from medicarche.errors import MedicarcheError  # noqa: PLC0415 - only where it is needed
    from medicarche.target import select  # noqa: PLC0415 - likewise

    try:
        return select(_options(pytestconfig))
    except MedicarcheError as error:
        _give_up(error)


@pytest.fixture(scope="session")
def environment(selection: Selection) -> Environment:
    """What the environment file declares."""
    return selection.environment


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
        built = build_once(selection, folder, ConsoleReporter(Console(stderr=True)))
    except MedicarcheError as error:
        _give_up(error)
    pytestconfig.stash[_BUILT] = built
    return built


def _give_up(error: Exception) -> NoReturn:
    hint = getattr(error, "hint", None)
    failure = pytest.fail.Exception(f"{error}\n→ {hint}" if hint else str(error), pytrace=False)
    raise failure from None  # one message, not the story of how it came about


@pytest.fixture(autouse=True)
def _turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a test that is marked ``alone`` run beside no other one that uses the environment (xdist)."""
    if "provisioned" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("provisioned")
    import fcntl  # noqa: PLC0415 - not everywhere, and unit tests run everywhere

    alone = request.node.get_closest_marker("alone") is not None
    folder = _shared_folder(request.getfixturevalue("tmp_path_factory"), request.config)
    # closing a file gives its lock back, and so does dying
    with (folder / "turn").open("w") as turn:
        # who waits for all the others holds the queue's head meanwhile, so that they can't go on before him
        with (folder / "queue").open("w") as queue:
            fcntl.flock(queue, fcntl.LOCK_EX)
            fcntl.flock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def _shared_folder(factory: pytest.TempPathFactory, config: pytest.Config) -> Path:
    """Return the folder of this run: xdist gives each worker a folder of its own inside of it."""
    own = factory.getbasetemp()
    return own.parent if hasattr(config, "workerinput") else own


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

    options = _options(pytestconfig)
    chosen = {
        "--environment": str(options.environment_file),
        "--cloud": options.cloud,
        "--admin-cloud": options.admin_cloud,
        "--embedded-name": options.embedded_name,
    }
    given = [word for name, value in chosen.items() if value for word in (name, value)]
    program = str(Path(sys.executable).with_name("medicarche"))

    def run(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        command = namespace.outside_command([program, *given, *arguments])
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


# --- what is told afterwards -------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Put what an engineer needs beside a failed test: journals, sockets, rules."""
    report = cast("pytest.TestReport", (yield))
    built = item.config.stash.get(_BUILT, None)
    if report.failed and report.when == "call" and built is not None:
        arguments: Mapping[str, object] = getattr(item, "funcargs", {})
        from medicarche.testing.evidence import gather  # noqa: PLC0415 - only where it is needed

        concerned = _concerned(arguments, built)
        report.sections += [(f"medicarche: {title}", text) for title, text in gather(built, concerned)]
    return report  # type: ignore[return-value] # a wrapper hook returns the result (pluggy)


def _concerned(arguments: Mapping[str, object], built: Built) -> tuple[InstanceState, ...]:
    """Return the instances that a failed test was about; all of a small environment where it doesn't say."""
    names = {
        getattr(arguments.get("instance"), "name", None),
        getattr(arguments.get("application"), "instance", None),
    }
    return tuple(i for i in built.instances if i.name in names) or built.instances[:3]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the requirements, and what was proved of each, after a run with acceptance tests."""
    outcomes = _outcomes(terminalreporter)
    if not outcomes:
        return
    from medicarche.report import Outcome, Verdict, load_requirements, summarise  # noqa: PLC0415 - as above

    if _without():
        terminalreporter.section("not deployed, by --without: not proved")
        terminalreporter.line(", ".join(_without()))
    terminalreporter.section("requirements")
    known = load_requirements()
    found = [Outcome(test, outcome, ids) for test, (outcome, ids) in outcomes.items()]
    for summary in summarise(known, found):
        counts = (("passed", summary.passed), ("failed", summary.failed), ("skipped", summary.skipped))
        detail = ", ".join(f"{len(tests)} {word}" for word, tests in counts if tests) or "no test ran"
        colour = {Verdict.PROVED: "green", Verdict.FAILED: "red", Verdict.NOT_PROVED: "yellow"}
        terminalreporter.write(f"{summary.verdict.value:<11}", **{colour[summary.verdict]: True})
        terminalreporter.line(f"{summary.id:<9} {detail}")


def _outcomes(reporter: pytest.TerminalReporter) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return test → its outcome and requirements. A test that fails in its set-up or tear-down failed."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for category, outcome in (
        ("passed", "passed"),
        ("skipped", "skipped"),
        ("failed", "failed"),
        ("error", "failed"),
    ):
        for report in reporter.stats.get(category, []):
            ids = tuple(value for name, value in getattr(report, "user_properties", ()) if name == _MARKER)
            if ids:
                found[report.nodeid] = (outcome, ids)
    return found
