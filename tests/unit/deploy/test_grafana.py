"""Grafana: its files, what it is told of the supervision and of the directory, whose sessions end."""

from __future__ import annotations

import base64
import configparser
import http.server
import json
import subprocess
import threading
import tomllib
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

pytest.importorskip("pyinfra")

from pyinfra.context import ctx_host

from deploy_job import in_odoos_place, job_of_all
from medicarche.deploy.applications.grafana import operations, people
from medicarche.deploy.applications.supervision.dashboards import as_json
from medicarche.deploy.operations import DETAILS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from medicarche.spec import Environment

BASE = "dc=directory,dc=internal"
ROLES = {"communication": "viewer", "dsi": "administrator"}


@pytest.fixture(name="environment", scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The example's, with a supervision and Grafana in Odoo's place."""
    supervision = {
        "kind": "supervision",
        "port": 8890,
        "title": "Supervision",
        "settings": {"administrator": "secours"},
        "egress": ["dns", "packages"],
    }
    boards = {
        "kind": "grafana",
        "port": 8891,
        "title": "Tableaux de bord",
        "settings": {"administrator": "secours", "archive": "grafana.tar.gz", "sha256": "0" * 64},
        "roles": ROLES,
    }
    folder = tmp_path_factory.mktemp("environment")
    return in_odoos_place(folder, {"supervision": supervision, "boards": boards})


def _told(environment: Environment, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    job = json.loads(json.dumps(job_of_all(environment, folder)))
    return next(
        (part, instance)
        for instance in job["instances"]
        for part in instance["applications"]
        if part["name"] == "boards"
    )


@pytest.fixture(name="told")
def _given(environment: Environment, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is told of Grafana, and of its instance."""
    return _told(environment, tmp_path)


def _ini(content: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(content)
    return read


def test_only_its_own_account_reads_its_secrets(told: Any) -> None:  # noqa: ANN401 - JSON
    application, instance = told
    secret = operations._secrets(application)
    assert {(file.mode, file.owner) for file in secret} == {("640", "root:grafana")}
    hidden = [application["secrets"][purpose] for purpose in ("administrator", "secret_key", "directory")]
    assert all(any(word in file.content for file in secret) for word in hidden)
    for file in operations.files(application, instance):
        assert not [word for word in hidden if word in file.content], file.path
    # its configuration names where they are
    security = _ini({f.path: f for f in operations.files(*told)}[operations._INI].content)["security"]
    assert {security["admin_password"], security["secret_key"]} == {
        f"$__file{{{file.path}}}" for file in secret if not file.path.endswith(".toml")
    }


def test_nothing_leaves_the_instance_and_nobody_gets_in_unasked(told: Any) -> None:  # noqa: ANN401 - JSON
    read = _ini({f.path: f for f in operations.files(*told)}[operations._INI].content)
    assert read["server"]["http_addr"] == "127.0.0.1"
    switched_off = {
        "analytics": ("reporting_enabled", "check_for_updates", "check_for_plugin_updates"),
        "auth.anonymous": ("enabled",),
        "news": ("news_feed_enabled",),
        "plugins": ("plugin_admin_enabled", "preinstall_auto_update"),
        "public_dashboards": ("enabled",),
        "snapshots": ("enabled", "external_enabled"),
        "users": ("allow_sign_up", "allow_org_create"),
    }
    assert {read[section][key] for section, keys in switched_off.items() for key in keys} == {"false"}
    assert read["plugins"]["preinstall_disabled"] == "true"
    assert read["security"]["cookie_secure"] == "true"
    assert read["users"]["default_language"] == "fr-FR"


def test_it_is_given_the_supervision_and_its_dashboards_and_nothing_else(
    told: Any,  # noqa: ANN401 - JSON
) -> None:
    files = {f.path: f.content for f in operations.files(*told)}
    (source,) = YAML(typ="safe").load(files[operations._SOURCES])["datasources"]
    assert source["url"] == "http://127.0.0.1:9090/prometheus"
    (provider,) = YAML(typ="safe").load(files[operations._PROVIDERS])["providers"]
    folder = provider["options"]["path"]
    given = {path.rpartition("/")[2]: text for path, text in files.items() if path.startswith(f"{folder}/")}
    # this environment's supervision doesn't look at the cloud
    assert given == as_json("directory", cloud=False)
    assert provider["allowUiUpdates"] is False


def test_without_a_supervision_that_is_deployed_it_has_no_figures_to_show(
    environment: Environment, tmp_path: Path
) -> None:
    told = _told(environment.without(["supervision"]), tmp_path)
    files = {f.path: f.content for f in operations.files(*told)}
    assert YAML(typ="safe").load(files[operations._SOURCES])["datasources"] == []
    assert not [path for path in files if path.startswith(operations._DASHBOARDS)]


def test_it_asks_the_directory_over_tls_for_its_own_people_the_most_powerful_first(
    told: Any,  # noqa: ANN401 - JSON
) -> None:
    (file,) = [file for file in operations._secrets(told[0]) if file.path.endswith(".toml")]
    (server,) = tomllib.loads(file.content)["servers"]
    assert (server["host"], server["port"]) == ("172.21.0.110", 636)
    assert (server["use_ssl"], server["ssl_skip_verify"]) == (True, False)
    assert server["bind_dn"] == f"cn=boards,ou=services,{BASE}"
    assert server["bind_password"] == told[0]["secrets"]["directory"]
    among = "".join(f"(memberOf=cn={group},ou=groups,{BASE})" for group in ("dsi", "communication"))
    assert server["search_filter"] == f"(&(uid=%s)(|{among}))"
    assert [tuple(mapping.values()) for mapping in server["group_mappings"]] == [
        (f"cn=dsi,ou=groups,{BASE}", "Admin", True),
        (f"cn=communication,ou=groups,{BASE}", "Viewer", False),
    ]
    files = {f.path: f.content for f in operations.files(*told)}
    assert server["root_ca_cert"] in files
    assert _ini(files[operations._INI])["auth.ldap"]["enabled"] == "true"


def test_without_roles_it_asks_no_directory(environment: Environment, tmp_path: Path) -> None:
    alone = tuple(replace(a, roles={}) if a.name == "boards" else a for a in environment.applications)
    told = _told(replace(environment, applications=alone), tmp_path)
    files = {f.path: f.content for f in operations.files(*told)}
    assert _ini(files[operations._INI])["auth.ldap"]["enabled"] == "false"
    assert not [file for file in operations._secrets(told[0]) if file.path.endswith(".toml")]
    assert operations._wanted(told[0])["people"] is None


# --- taken out of the environment file ---------------------------------------------------------------------


def _abandoned(environment: Environment, folder: Path) -> dict[str, list[str]]:
    return {i["name"]: i["abandoned"] for i in job_of_all(environment, folder)["instances"]}


def test_it_leaves_the_supervisions_instance_where_it_is_declared_no_more(
    environment: Environment, tmp_path: Path
) -> None:
    others = tuple(a for a in environment.applications if a.name != "boards")
    gone = replace(environment, applications=others)
    none: dict[str, list[str]] = {"directory": [], "website": [], "syncthing": [], "odoo": []}
    assert _abandoned(gone, tmp_path) == {**none, "odoo": ["grafana"]}
    # whose archive can't be had just now isn't declared any less
    assert _abandoned(environment.without(["boards"]), tmp_path) == none
    assert _abandoned(environment, tmp_path) == none


def test_what_is_taken_out_is_all_of_it_but_its_data(monkeypatch: pytest.MonkeyPatch, told: Any) -> None:  # noqa: ANN401 - JSON
    question = operations.Remains().command()
    # else it would list all packages
    assert "dpkg" not in question
    monkeypatch.setattr(operations, "ask", lambda _: [operations._UNIT])
    DETAILS.clear()
    with ctx_host.use(SimpleNamespace(name="supervision", current_op_hash="hash")):
        (command,) = operations.withdraw._inner()  # pyinfra keeps the function there
    script = str(command.get_raw_value())
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    order = (
        "disable -q --now grafana-server.service",
        "/opt/grafana",
        f"rm -f -- {operations._UNIT}",
        "daemon-reload",
    )
    assert sorted(order, key=script.index) == list(order)
    assert "/var/lib/grafana" not in script
    written = [f.path for f in (*operations.files(*told), *operations._secrets(told[0]))]
    shared = ("/etc/nginx/", operations._AUTHORITY, "/usr/local/lib/medicarche/code_tree.py")
    for path in written:
        parts = (path, operations._FOLDER) if path.startswith(operations._FOLDER) else (path,)
        assert path.startswith(shared) or any(f" {part} " in f"{script} " for part in parts), path
    monkeypatch.setattr(operations, "ask", lambda _: [])
    assert list(operations.withdraw._inner()) == []


# --- who may be in -----------------------------------------------------------------------------------------

DSI, ALICE, BOB, CAROL, HAND = range(1, 6)


class Known:
    """A Grafana's accounts and sessions, served as its HTTP interface does."""

    def __init__(self) -> None:
        self.accepted = "dsi:right"
        self.administrator = True
        self.sessions = {ALICE, BOB, CAROL, HAND}
        self.disabled: set[int] = set()
        self.users = {DSI: "dsi", ALICE: "alice", BOB: "bob", CAROL: "carol", HAND: "hand"}
        self.roles = {DSI: "Admin", ALICE: "Admin", BOB: "Viewer", CAROL: "Viewer", HAND: "Editor"}

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        """Return status and content."""
        path = path.partition("?")[0]
        whole: dict[str, Any] = {
            "/api/health": {},
            "/api/user": {"login": "dsi", "isGrafanaAdmin": self.administrator},
            "/api/org/users": [{"userId": n, "role": role} for n, role in self.roles.items()],
            "/api/users": [self._user(n) for n in self.users],
        }
        if path in whole:
            return 200, whole[path]
        number, what = path.removeprefix("/api/admin/users/").split("/")
        return self._of(int(number), f"{method} {what}")

    def _user(self, number: int) -> dict[str, Any]:
        return {
            "id": number,
            "login": self.users[number],
            "isAdmin": self.roles[number] == "Admin",
            "isDisabled": number in self.disabled,
            "authLabels": [] if number in {DSI, HAND} else ["LDAP"],
        }

    def _of(self, number: int, asked: str) -> tuple[int, Any]:
        if asked == "GET auth-tokens":
            return 200, [{"id": 1}] if number in self.sessions else []
        if asked == "POST logout":
            self.sessions.discard(number)
            return 200, {}
        # Grafana refuses it of accounts that aren't its own
        if asked == "POST disable" and number == HAND:
            self.disabled.add(number)
            return 200, {}
        return 500, {"message": asked}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[Known]:
    """A Grafana to ask."""
    found = Known()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            expected = "Basic " + base64.b64encode(found.accepted.encode()).decode()
            right = self.path == "/api/health" or self.headers["Authorization"] == expected
            status, content = found.answer(self.command, self.path) if right else (401, {})
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as port:
        monkeypatch.setattr(people, "API", f"http://127.0.0.1:{port}/api")
        yield found


@contextmanager
def _serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def _wanted(**members: str) -> dict[str, Any]:
    return {"login": "dsi", "password": "right", "people": members}


def test_who_left_moved_or_came_by_hand_is_out_and_the_others_stay(known: Known) -> None:
    wanted = _wanted(alice="administrator", bob="administrator")
    assert people.differences(wanted) == [
        "hand: an account that isn't the directory's",
        "bob: a session that isn't right any more",
        "carol: a session that isn't right any more",
        "hand: a session that isn't right any more",
    ]
    people.apply(wanted)
    assert known.sessions == {ALICE}
    assert known.disabled == {HAND}
    assert people.differences(wanted) == []


def test_without_a_directory_its_own_accounts_are_nobodys_business(known: Known) -> None:
    wanted = {**_wanted(), "people": None}
    people.apply(wanted)
    # those that came from a directory have no way in any more
    assert known.sessions == {HAND}
    assert known.disabled == set()
    assert people.differences(wanted) == []


def test_an_administrator_who_is_none_any_more_is_seen(known: Known) -> None:
    known.accepted = "dsi:another"
    assert people.differences(_wanted()) == ["the administrator's login or password"]
    known.accepted, known.administrator = "dsi:right", False
    assert people.differences(_wanted()) == ["the administrator's rights"]


def test_a_grafana_that_doesnt_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "API", "http://127.0.0.1:9/api")
    monkeypatch.setattr(people, "START", 0.1)
    assert people.differences(_wanted()) == ["the service doesn't answer"]
    with pytest.raises(SystemExit, match="doesn't answer"):
        people.apply(_wanted())
