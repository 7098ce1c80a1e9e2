"""The project's commands: ``nox -s provision`` is the main job, ``nox -s tests`` all that CI runs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["provision"]

ROOT = Path(__file__).resolve().parent
PYTHON_FILES = ("src", "tests", "benchmarks", "noxfile.py", "conftest.py", "run")


#: what the tests need beyond the project's own extras
TESTING = ("hypothesis>=6.112", "jsonschema>=4.23", "prometheus-client>=0.21", "pytest-timeout>=2.3")
#: seconds until a test that hangs fails, and says where; far above what the slowest needs on a busy machine
STUCK = ("--timeout=900",)
STUBS = ("types-jsonschema", "types-ldap3", "types-paramiko", "types-requests")


def install(session: nox.Session, *extras: str, also: tuple[str, ...] = ()) -> None:
    """Install the project, editable, with some of its extras; not again where nothing of that has changed."""
    # a session is many processes: let the first of them compile the project for all
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    project = f".[{','.join(extras)}]" if extras else "."
    wanted = hashlib.sha256(repr((project, also, (ROOT / "pyproject.toml").read_text())).encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / "medicarche-installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    session.install("-q", "-e", project, *also)
    stamp.write_text(wanted)


@nox.session
def provision(session: nox.Session) -> None:
    """Build the environment: on the cloud that is configured, else on an embedded OpenStack."""
    install(session, "deploy")
    session.run("medicarche", "provision", *session.posargs)


@nox.session
def destroy(session: nox.Session) -> None:
    """Remove the environment from its cloud: what carries its mark, and nothing else."""
    install(session, "deploy")
    session.run("medicarche", "destroy", *session.posargs)


@nox.session
def unit(session: nox.Session) -> None:
    """Unit tests: no root, no network."""
    install(session, "deploy", "acceptance", also=TESTING)
    # one process more than cores: there are tests that mostly wait
    workers = str((os.cpu_count() or 1) + 1)
    session.run("pytest", "tests/unit", "-n", workers, "--dist=worksteal", *STUCK, *session.posargs)


@nox.session(name="fault-sample")
def fault_sample(session: nox.Session) -> None:
    """A sample of the fault sweep: each row of its table once; a cloud that dies. No root, no network."""
    install(session, "deploy", "acceptance", also=TESTING)
    tests = ("tests/faults/test_sample.py", "tests/faults/test_dying_cloud.py")
    session.run("pytest", *tests, "-n", "auto", *STUCK, *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Fault sweep: all that can go wrong, at every call, on a fake cloud. Minutes; no root, no network."""
    install(session, "deploy", "acceptance", also=TESTING)
    session.run("pytest", "tests/faults", "-n", "auto", *STUCK, *session.posargs)


@nox.session
def random(session: nox.Session) -> None:
    """Random environments, random drift, 10,000 malformed files. Minutes; no root, no network."""
    install(session, "deploy", "acceptance", also=TESTING)
    many = {"MEDICARCHE_MALFORMED": "10000", "MEDICARCHE_RANDOM": "300"}
    tests = ("tests/unit/spec/test_malformed.py", "tests/unit/converge/test_random.py")
    session.run("pytest", *tests, "-n", "auto", *session.posargs, env=many)


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmark beside an Ansible playbook of the same scope, on an embedded cloud of its own. As root."""
    install(session, "deploy")
    theirs = Path(session.virtualenv.location).with_name("bench-ansible")
    requirements = ROOT / "benchmarks" / "ansible" / "requirements.txt"
    if not (theirs / "bin" / "ansible-playbook").exists():
        session.run("python", "-m", "venv", str(theirs))
        session.run(str(theirs / "bin" / "pip"), "install", "-q", "-r", str(requirements), external=True)
    os.environ.setdefault("MEDICARCHE_EMBEDDED_NAME", "b" + hashlib.sha256(bytes(ROOT)).hexdigest()[:6])
    playbook = theirs / "bin" / "ansible-playbook"
    paths = {"PYTHONPATH": str(ROOT / "tests")}
    session.run("python", "benchmarks/bench.py", "--ansible", str(playbook), *session.posargs, env=paths)


@nox.session
def acceptance(session: nox.Session) -> None:
    """Acceptance test plan; builds what isn't there yet, and writes the report (reports/acceptance)."""
    install(session, "deploy", "acceptance", "load")
    session.run(
        *("pytest", "tests/acceptance", "-m", "not lifecycle", "-n", "auto", "--maxschedchunk=1"),
        *session.posargs,
    )


@nox.session
def lifecycle(session: nox.Session) -> None:
    """The embedded cloud's life: kills, recovery, purge, an untouched host. Uses clouds of its own."""
    install(session, "deploy", "acceptance")
    report = "--acceptance-report=reports/lifecycle"
    session.run("pytest", "tests/acceptance", "-m", "lifecycle", report, *session.posargs)


@nox.session
def mutations(session: nox.Session) -> None:
    """Break the environment, one thing at a time: the acceptance tests must see it; ``-- -m ""`` for all."""
    install(session, "deploy", "acceptance")
    report = "--acceptance-report=reports/mutations"
    session.run("pytest", "tests/mutations", "-m", "not slow", report, *session.posargs)


@nox.session
def load(session: nox.Session) -> None:
    """Short load run of each application; ``-- ramp odoo``, ``-- fixed``: see ``medicarche load``."""
    install(session, "deploy", "load")
    # 9: the run is invalid, since the machine was too busy; it is said loudly, and neither passes nor fails
    session.run("medicarche", "load", *(session.posargs or ("gate",)), success_codes=[0, 9])


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: all rules, formatting."""
    session.install("-q", "ruff==0.17.6")
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, tests included."""
    install(session, "deploy", "acceptance", also=("mypy==2.4.1", "nox", *TESTING, *STUBS))
    session.run("mypy")


@nox.session
def purge(session: nox.Session) -> None:
    """Remove the embedded cloud."""
    install(session)
    session.run("medicarche", "cloud", "purge", *session.posargs)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """All that CI runs, on an embedded cloud of this checkout's own, which is purged at the end."""
    os.environ.setdefault("MEDICARCHE_EMBEDDED_NAME", "t" + hashlib.sha256(bytes(ROOT)).hexdigest()[:6])
    session.log("embedded cloud of these tests: %s", os.environ["MEDICARCHE_EMBEDDED_NAME"])
    proof = ("provision", "acceptance", "load", "lifecycle")
    for name in ("lint", "types", "unit", "fault-sample", *proof, "purge"):
        session.notify(name)
