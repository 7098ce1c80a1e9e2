"""What Nextcloud tells of itself: the program's text, what it does without an answer, where it is."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

pytest.importorskip("pyinfra")

from pyinfra.context import ctx_host

from medicarche.deploy import operations, supervised
from medicarche.deploy.applications.nextcloud import metrics
from medicarche.deploy.applications.supervision import dashboards, rules
from medicarche.deploy.figures import FIGURES, TEXT_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

NEXTCLOUD = {
    "installed": True,
    "maintenance": False,
    "needsDbUpgrade": False,
    "version": "31.0.2.1",
    "versionstring": "31.0.2",
    "edition": "",
    "productname": "Nextcloud",
    "extendedSupport": False,
}
CONSOLES = Path(dashboards.FILE).parent / "consoles"
ROWS = "accounts\tdatabase\t3\nactive_accounts\t5m\t1\nbackground_jobs_timestamp_seconds\t\t1795000000\n"


@contextmanager
def _server(content: bytes, code: int = 200) -> Iterator[tuple[tuple[str, int], list[dict[str, str]]]]:
    """Serve one answer; yields where, and the requests' headers."""
    seen: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({**self.headers, "path": self.path})
            self.send_response(code)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield ("127.0.0.1", server.server_port), seen
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(name="client")
def _client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program where the database's client is looked for; the database itself is the acceptance tests'."""
    program = tmp_path / "mariadb"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_nextclouds_state_is_asked_by_a_name_that_it_believes() -> None:
    with _server(json.dumps(NEXTCLOUD | {"maintenance": True}).encode()) as (server, seen):
        told = metrics.status(server)
    assert told == [
        ("up", "", 1),
        ("installed", "", True),
        ("maintenance", "", True),
        ("upgrade_needed", "", False),
        ("version_info", "31.0.2.1", 1),
    ]
    assert [(request["path"], request["Host"]) for request in seen] == [("/status.php", "localhost")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", 200),
        (b"<html>not JSON</html>", 200),
        (b"[]", 200),
        (b"null", 200),
        (b'{"error": "Trusted domain error.", "code": 15}', 400),
        (json.dumps(NEXTCLOUD).encode(), 500),
        (b'{"installed": true}', 200),
    ],
)
def test_what_isnt_nextclouds_state_is_told_as_none(
    content: bytes, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with _server(content, code) as (server, _):
        assert metrics.status(server) == [("up", "", 0)]
    assert "status.php" in capsys.readouterr().err


def test_nobody_who_listens_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with _server(b"") as (server, _):
        pass
    assert metrics.status(server) == [("up", "", 0)]
    assert "refused" in capsys.readouterr().err


def test_the_database_is_asked_by_one_call_and_without_a_password(client: Path, tmp_path: Path) -> None:
    _script(client, f'echo "$@" > {tmp_path}/arguments; cat > {tmp_path}/asked; printf "{ROWS}"')
    assert metrics.database() == [
        ("database_up", "", 1),
        ("accounts", "database", 3),
        ("active_accounts", "5m", 1),
        ("background_jobs_timestamp_seconds", "", 1795000000),
    ]
    assert (tmp_path / "asked").read_text() == "CALL medicarche.nextcloud();"
    assert "password" not in (tmp_path / "arguments").read_text()


@pytest.mark.parametrize(
    "script",
    [
        'echo "ERROR 1370 (42000)" >&2; exit 1',
        f'printf "{ROWS}"; echo "ERROR 1146 (42S02)" >&2; exit 1',
        "echo x",
        "echo a b c",
        "printf 'files\\t\\tNULL\\n'",
    ],
)
def test_a_database_that_doesnt_answer_in_full_is_told_as_none(
    client: Path, script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _script(client, script)
    assert metrics.database() == [("database_up", "", 0)]
    said = capsys.readouterr().err
    assert said.startswith("database: ")
    assert ("ERROR" in said) is ("ERROR" in script)


def test_without_a_client_or_a_disk_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert metrics.database() == [("database_up", "", 0)]
    assert metrics.disk(str(tmp_path / "absent")) == []
    free, size = metrics.disk(str(tmp_path))
    assert 0 <= free[2] <= size[2]


def test_the_text_is_what_prometheus_reads() -> None:
    samples = [
        ("accounts", 'a "quoted" \\ name\n', 3.0),
        ("up", "", True),
        ("accounts", "other", 2**53),
        ("measured_timestamp_seconds", "", 1795000000),
        ("files", "", 0.5),
    ]
    made = metrics.text(samples)
    lines = made.splitlines()
    assert made.endswith("\n")
    assert [line for line in lines if not line.startswith("#")] == [
        "medicarche_nextcloud_up 1",
        "medicarche_nextcloud_measured_timestamp_seconds 1795000000",
        'medicarche_nextcloud_accounts{backend="a \\"quoted\\" \\\\ name\\n"} 3',
        f'medicarche_nextcloud_accounts{{backend="other"}} {2**53}',
        "medicarche_nextcloud_files 0.5",
    ]
    # each family once, with what it is, before its samples; none without any
    assert lines.count("# TYPE medicarche_nextcloud_accounts gauge") == 1
    assert len([line for line in lines if line.startswith("# TYPE")]) == 4
    with pytest.raises(KeyError):
        metrics.text([("invented", "", 1)])


def test_names_have_base_units_and_no_counters_end() -> None:
    for name, (label, told) in metrics.FAMILIES.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name), name
        assert not name.endswith(("_total", "_count", "_sum", "_milliseconds", "_minutes", "_kilobytes"))
        assert told.endswith("."), name
        assert label not in {"instance", "job", "name"}


def test_all_that_the_procedure_counts_is_known_and_nobodys_name_is_told() -> None:
    body = FIGURES["nextcloud"].procedure.body
    counted = dict.fromkeys(re.findall(r"^\s+SELECT '(\w+)'", body, re.MULTILINE))
    others = {"up", "database_up", "measured_timestamp_seconds", "installed", "maintenance", "upgrade_needed"}
    others |= {"version_info", "disk_free_bytes", "disk_size_bytes"}
    assert counted.keys() == metrics.FAMILIES.keys() - others
    # a result has a name, a label that is written here (the lists are called kind and within), and a number
    results = re.findall(r"^ +SELECT '\w+', (.*)$", body, re.MULTILINE)
    assert len(results) >= len(counted)
    expected = re.compile(
        r"('\w*'|kind\.name|within\.name), "
        r"(COUNT\(.+\)|COALESCE\(SUM\(.+\), 0\)|configvalue)( FROM .*)?;?$"
    )
    assert [result for result in results if not expected.match(result)] == []
    assert not re.search(r"\b(INSERT|UPDATE|DELETE|INTO|PREPARE|EXECUTE)\b", body)


def test_it_runs_by_itself_and_needs_nothing_of_ours(tmp_path: Path) -> None:
    """As in the instance: the system's Python, isolated; here nothing answers."""
    (program,) = [f for f in FIGURES["nextcloud"].files() if not f.path.startswith("/etc/")]
    copy = tmp_path / "nextcloud-metrics"
    copy.write_text(program.content)
    done = subprocess.run(
        [sys.executable, "-I", str(copy)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": str(tmp_path)},
    )
    assert "medicarche_nextcloud_up 0\n" in done.stdout
    assert "medicarche_nextcloud_database_up 0\n" in done.stdout
    assert "medicarche_nextcloud_measured_timestamp_seconds 1" in done.stdout


# --- where it is -------------------------------------------------------------------------------------------


def _instance(*, kinds: tuple[str, ...] = ("nextcloud",), exporters: tuple[str, ...] = ("instances",)) -> Any:  # noqa: ANN401 - a job's part
    return {
        "private_address": "192.168.222.10",
        "exporters": list(exporters),
        "applications": [{"kind": kind} for kind in kinds],
    }


def test_it_is_where_nextcloud_is_supervised_and_nowhere_else() -> None:
    there = _instance()
    assert set(FIGURES["nextcloud"].paths) <= {f.path for f in supervised.files(there)}
    (timer,) = [u for u in supervised.units(there) if "nextcloud" in u.name]
    assert timer.name == "medicarche-nextcloud-metrics.timer"
    assert [p.name for p in supervised.procedures(there)] == ["nextcloud"]
    for other in (_instance(kinds=("wordpress",)), _instance(exporters=()), _instance(kinds=())):
        assert not [f for f in supervised.files(other) if "nextcloud" in f.path]
        assert not [u for u in supervised.units(other) if "nextcloud" in u.name]
        assert supervised.procedures(other) == ()


def test_its_account_writes_nothing_and_half_a_file_is_never_read() -> None:
    (service,) = [f.content for f in FIGURES["nextcloud"].files() if f.path.endswith(".service")]
    written = f"{TEXT_FILES}/medicarche-nextcloud.prom"
    lines = service.splitlines()
    assert "User=prometheus" in lines
    assert "ProtectSystem=strict" in lines
    # systemd opens it anew for each command: one that is cut off at each opening would be empty in the end
    assert f"StandardOutput=append:{written}.new" in lines
    # else what is wrong would stand among the figures, and none could be read
    assert "StandardError=journal" in lines
    commands = [line for line in lines if line.startswith("ExecStart")]
    assert commands == [
        f"ExecStartPre=+/usr/bin/rm -f {written}.new",
        "ExecStart=/usr/bin/python3 -I /usr/local/lib/medicarche/nextcloud-metrics",
        f"ExecStartPost=+/usr/bin/mv -f {written}.new {written}",
    ]


def test_a_changed_service_changes_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment looks at the timer, and tells systemd to read its units again where it is younger."""
    before = FIGURES["nextcloud"].files()[-1]
    monkeypatch.setattr("medicarche.deploy.figures.TEXT_FILES", "/elsewhere")
    after = FIGURES["nextcloud"].files()[-1]
    assert before.path == after.path == FIGURES["nextcloud"].timer_file
    assert before.content != after.content


def test_it_goes_away_with_the_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = FIGURES["nextcloud"].paths
    question = supervised.Remains().command()
    assert [path for path in paths if f" {path} " not in question] == []
    monkeypatch.setattr(supervised, "ask", lambda _: list(paths))
    operations.DETAILS.clear()
    with ctx_host.use(SimpleNamespace(name="nextcloud", current_op_hash="hash")):
        (command,) = supervised.withdraw._inner()  # pyinfra keeps the function there
    script = str(command.get_raw_value())
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    # a timer stops before what it starts, and both before their files go
    order = (
        "metrics.timer medicarche",
        "metrics.service;",
        "rm -f",
        f"{TEXT_FILES}/medicarche-*.prom*",
        "daemon-reload",
    )
    assert sorted(order, key=script.index) == list(order)
    assert all(path in script for path in paths)


# --- what is made of it ------------------------------------------------------------------------------------


def test_alerts_panels_and_pages_ask_for_figures_that_are_told() -> None:
    told = {f"medicarche_nextcloud_{name}" for name in metrics.FAMILIES}
    asked = {
        "alerts": " ".join(alert.expression for alert in rules.load_alerts()),
        "panels": dashboards.FILE.read_text(encoding="utf-8"),
        "pages": "".join(path.read_text(encoding="utf-8") for path in CONSOLES.iterdir()),
    }
    for where, text in asked.items():
        names = set(re.findall(r"\bmedicarche_nextcloud_\w+", text))
        assert len(names) > 3, where
        assert names <= told, where
    shown = YAML(typ="safe", pure=True).load(asked["panels"])["tableaux"]
    assert "nextcloud" in shown["application"]["sections"]
