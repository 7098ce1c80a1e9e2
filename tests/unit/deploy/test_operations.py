"""Our pyinfra operations: what was found + what is wanted -> commands."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("pyinfra")

from pyinfra.context import ctx_host

from medicarche.deploy import database_accounts, operations, packages
from medicarche.deploy.applications.wordpress.operations import SiteDifferences
from medicarche.deploy.asking import Together
from medicarche.deploy.database_accounts import DATABASES, Accounts, Procedure
from medicarche.deploy.operations import File, FileStates, Unit, UnitState, UnitStates
from medicarche.deploy.packages import Packages, PackageState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = "été\n"
SUM = hashlib.sha256(CONTENT.encode()).hexdigest()
RIGHT = ("644", "root:root", SUM)


@pytest.fixture(autouse=True)
def details() -> Iterator[list[str]]:
    operations.DETAILS.clear()
    host = SimpleNamespace(name="website", current_op_hash="hash")
    with ctx_host.use(host):
        yield operations.DETAILS["website", "hash"]


@pytest.mark.parametrize(
    ("found", "said", "commands"),
    [
        ({"/etc/a": RIGHT}, [], []),
        ({}, ["/etc/a: is missing"], ["cat >"]),
        ({"/etc/a": ("644", "root:root", "0" * 64)}, ["/etc/a: differs"], ["cat >"]),
        (
            {"/etc/a": ("666", "root:root", SUM)},
            ["/etc/a: 666 root:root becomes 644 root:root"],
            ["chown root:root /etc/a && chmod 644 /etc/a"],
        ),
        ({"/etc/a": RIGHT, "/etc/b": RIGHT}, ["/etc/b: must not be there"], ["rm -f /etc/b"]),
    ],
)
def test_files(
    found: dict[str, tuple[str, str, str]], said: list[str], commands: list[str], details: list[str]
) -> None:
    made = list(operations._file_commands(found, [File("/etc/a", CONTENT)], ["/etc/b"]))
    assert details == said
    assert len(made) == len(commands)
    for command, part in zip(made, commands, strict=True):
        assert part in command.get_raw_value()


def test_a_files_content_is_never_on_a_command_line(details: list[str]) -> None:
    secret = File("/etc/key", "secret-content\n", mode="640")
    (command,) = operations._file_commands({}, [secret], [])
    assert "secret-content" not in command.get_raw_value()
    assert command.connector_arguments["_stdin"] == "secret-content\n"
    raw = command.get_raw_value()
    assert raw.index("umask 077") < raw.index("cat >") < raw.index("chmod 640") < raw.index("mv -T")
    assert "secret-content" not in "".join(details)


def test_files_end_with_a_newline() -> None:
    with pytest.raises(ValueError, match="no newline"):
        File("/etc/a", "a")


def test_file_states_are_read() -> None:
    output = ["644 root:root /etc/a b", "640 root:www-data /etc/c", f"{SUM}  /etc/a b", f"{'0' * 64}  /etc/c"]
    assert FileStates().process(output) == {
        "/etc/a b": ("644", "root:root", SUM),
        "/etc/c": ("640", "root:www-data", "0" * 64),
    }


def test_package_states_are_read() -> None:
    output = [
        "ii |nginx",
        "hi |php:amd64",
        "rc |gone",
        "iU |half",
        "==",
        "The following packages...",
        "==",
        "lost",
    ]
    found = Packages().process(output)
    assert found == PackageState(frozenset({"nginx", "php"}), half_done=True, unwritten="lost")
    assert Packages().process(["ii |a", "==", "=="]) == PackageState(frozenset({"a"}), half_done=False)


def test_commands_that_are_asked_together_are_told_apart() -> None:
    together = Together()
    script = together.command(commands=["echo a; false", "true", "printf 'b\\n==\\nc\\n'"])
    lines = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert together.process(lines.splitlines()) == [["a"], [], ["b", "==", "c"]]


@pytest.mark.parametrize(("boot", "said"), [(None, []), ("this", ["pending"]), ("another", ["lost"])])
def test_what_isnt_on_the_disk_is_seen(
    boot: str | None, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_UNWRITTEN", str(tmp_path / "unwritten"))
    monkeypatch.setattr(packages, "_BOOT", str(tmp_path / "boot"))
    (tmp_path / "boot").write_text("this")
    if boot is not None:
        (tmp_path / "unwritten").write_text(boot)
    last = Packages().command().rpartition("echo ==; ")[2]
    done = subprocess.run(["sh", "-c", last], capture_output=True, text=True, check=False)
    assert done.stdout.split() == said


def test_unit_states_are_read() -> None:
    output = [
        "Id=a.service",
        "ActiveState=active",
        "UnitFileState=enabled",
        "NeedDaemonReload=no",
        "ActiveEnterTimestamp=@100",
        "",
        "Id=b.service",
        "ActiveState=inactive",
        "UnitFileState=disabled",
        "NeedDaemonReload=yes",
        "ActiveEnterTimestamp=",
        "==",
        "99.500000000 /etc/a",
    ]
    states, times = UnitStates().process(output)
    assert states == {
        "a.service": UnitState(enabled=True, active=True, stale=False, started=100.0),
        "b.service": UnitState(enabled=False, active=False, stale=True, started=0.0),
    }
    assert times == {"/etc/a": 99.5}


RUNNING = UnitState(enabled=True, active=True, stale=False, started=100.0)
STAMP = "/run/medicarche/a.service"


@pytest.mark.parametrize(
    ("state", "times", "said"),
    [
        (RUNNING, {"/etc/a": 99.0}, []),
        (RUNNING, {"/etc/a": 101.0}, ["a.service: reload (/etc/a changed)"]),
        # loaded again since; and changed once more after that
        (RUNNING, {"/etc/a": 101.0, STAMP: 102.0}, []),
        (RUNNING, {"/etc/a": 103.0, STAMP: 102.0}, ["a.service: reload (/etc/a changed)"]),
        # the stamp of before a restart by hand doesn't count
        (
            UnitState(enabled=True, active=True, stale=False, started=110.0),
            {"/etc/a": 105.0, STAMP: 102.0},
            [],
        ),
        (
            UnitState(enabled=False, active=False, stale=False, started=0.0),
            {},
            ["a.service: enabled", "a.service: start (wasn't running)"],
        ),
        (
            UnitState(enabled=True, active=True, stale=True, started=100.0),
            {"/etc/a": 99.0},
            ["systemd reads its units again"],
        ),
    ],
)
def test_services(state: UnitState, times: dict[str, float], said: list[str], details: list[str]) -> None:
    unit = Unit("a.service", ("/etc/a",), "reload", check="a --test")
    made = list(operations._unit_commands({"a.service": state}, times, [unit]))
    assert details == said
    assert len(made) == len(said)


def test_what_a_timer_starts_is_read_again_too(details: list[str]) -> None:
    timer = Unit("a.timer")
    _, asked = operations.services_question([timer])
    assert asked["units"] == ["a.timer", "a.service"]
    started = UnitState(enabled=True, active=False, stale=True, started=0.0)
    (command,) = operations._unit_commands({"a.timer": RUNNING, "a.service": started}, {}, [timer])
    assert command.get_raw_value() == "systemctl daemon-reload"
    assert details == ["systemd reads its units again"]


def test_a_configuration_is_checked_before_it_is_loaded_and_stamped_before(details: list[str]) -> None:
    unit = Unit("a.service", ("/etc/a",), "reload", check="a --test")
    (command,) = operations._unit_commands({"a.service": RUNNING}, {"/etc/a": 101.0}, [unit])
    raw = command.get_raw_value()
    assert raw.index("a --test") < raw.index("touch") < raw.index("systemctl reload") < raw.index("mv ")
    assert details


def test_the_sites_answer_is_read_past_what_php_prints() -> None:
    assert SiteDifferences().process(["Deprecated: x", '["option blogname"]']) == ["option blogname"]
    assert SiteDifferences().process(["null"]) is None


def test_a_databases_account_is_asked_for_and_read() -> None:
    question = Accounts().command(tuple(DATABASES))
    subprocess.run(["sh", "-n"], input=question, text=True, check=True)
    lines = [f"{name} {account.right}" for name, account in DATABASES.items()]
    assert Accounts().process(lines) == {name: account.right for name, account in DATABASES.items()}
    # MariaDB tells each right that was given by hand on a line of its own
    more = "GRANT SELECT ON `wordpress`.* TO `prometheus`@`localhost`"
    assert Accounts().process([*lines, f"mariadb {more}"])["mariadb"].endswith(f"\n{more}")
    # no client, or a database that doesn't answer
    assert Accounts().process([]) == {}


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (None, ["mariadb: the supervision's account is missing"]),
        (DATABASES["mariadb"].right + "\nGRANT ALL ON x", ["mariadb: the supervision's account differs"]),
        (DATABASES["mariadb"].right, []),
    ],
)
def test_a_databases_account_has_these_rights_and_no_others(
    shown: str | None, said: list[str], details: list[str]
) -> None:
    found = {"postgresql": DATABASES["postgresql"].right} | ({"mariadb": shown} if shown else {})
    made = list(database_accounts._wanted(found, ("mariadb", "postgresql"), ()))
    assert details == said
    assert len(made) == len(said)
    for command in made:
        read = str(command.connector_arguments["_stdin"])
        # what it had goes with it
        assert read.index("DROP USER IF EXISTS") < read.index("CREATE USER")


def test_a_procedure_is_made_again_where_it_or_a_right_differs(details: list[str]) -> None:
    procedure = Procedure("counts", "application", "BEGIN SELECT 1; END")
    account = DATABASES["mariadb"]
    right = account.right + database_accounts._right([procedure])
    assert list(database_accounts._wanted({"mariadb": right}, ("mariadb",), [procedure])) == []
    other = replace(procedure, body="BEGIN SELECT 2; END")
    for shown in (
        account.right,
        account.right + database_accounts._right([other]),
        right.replace(" ACCOUNT LOCK", ""),
        right.replace("GRANT SELECT", "GRANT SELECT, INSERT"),
        f"{right}\nGRANT SELECT ON `other`.* TO `medicarche`@`localhost`",
        "\n".join(line for line in right.splitlines() if not line.startswith("procedure ")),
    ):
        (command,) = database_accounts._wanted({"mariadb": shown}, ("mariadb",), [procedure])
        read = str(command.connector_arguments["_stdin"])
        # the account whose absence is seen goes last
        order = ["DROP DATABASE", "DROP USER IF EXISTS medicarche", "DROP USER IF EXISTS prometheus"]
        order += ["CREATE USER prometheus", "CREATE DATABASE", "CREATE DEFINER", "GRANT EXECUTE"]
        assert sorted(order, key=read.index) == order
        assert f"{procedure.body} //\nDELIMITER ;" in read
    # one that isn't wanted any more goes, and PostgreSQL has none
    assert len(list(database_accounts._wanted({"mariadb": right}, ("mariadb",), ()))) == 1
    postgresql = {"postgresql": DATABASES["postgresql"].right}
    assert list(database_accounts._wanted(postgresql, ("postgresql",), [procedure])) == []
    assert set(details) == {"mariadb: the supervision's account differs"}


def test_accounts_that_nobody_uses_go(details: list[str]) -> None:
    made = list(database_accounts._unwanted({"postgresql": "t|t|t|-1|"}))
    assert details == ["postgresql: the supervision's account must not be there"]
    assert [c.connector_arguments["_stdin"] for c in made] == ["DROP ROLE IF EXISTS prometheus;\n"]
    assert list(database_accounts._unwanted({})) == []
