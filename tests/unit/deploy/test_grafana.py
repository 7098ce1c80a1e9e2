"""Grafana: its files, what it is told of the supervision and of the directory, whose sessions end."""

from __future__ import annotations

import base64
import configparser
import http.server
import json
import shutil
import threading
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

pytest.importorskip("pyinfra")

from deploy_job import job_of
from medicarche import deploy
from medicarche.deploy.applications.grafana import operations, people
from medicarche.deploy.applications.supervision.dashboards import as_json
from medicarche.spec import Environment, load_environment
from medicarche.ssh import ensure_key_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[3] / "environments"
BASE = "dc=directory,dc=internal"
ROLES = {"communication": "viewer", "dsi": "administrator"}


@dataclass(frozen=True)
class Machine:
    """What is known of an instance."""

    name: str
    private_address: str
    floating_address: str
    id: str = "1"


@pytest.fixture(name="environment", scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The example's, with a supervision and Grafana in Odoo's place."""
    folder = tmp_path_factory.mktemp("environment")
    shutil.copy(FOLDER / "example-people.csv", folder)
    content = YAML().load((FOLDER / "example-directory.yaml").read_text(encoding="utf-8"))
    del content["applications"]["odoo"]
    watcher = {
        "kind": "supervision",
        "instance": "odoo",
        "title": "Supervision",
        "egress": ["dns", "packages"],
    }
    content["applications"]["supervision"] = {
        **watcher,
        "port": 8890,
        "settings": {"administrator": "secours"},
    }
    content["applications"]["boards"] = {
        **watcher,
        "kind": "grafana",
        "port": 8891,
        "title": "Tableaux de bord",
        "settings": {"administrator": "secours", "archive": "grafana.tar.gz", "sha256": "0" * 64},
        "roles": ROLES,
    }
    file = folder / "environment.yaml"
    with file.open("w", encoding="utf-8") as stream:
        YAML().dump(content, stream)
    return load_environment(
        file, check_settings=deploy.check_settings, private_listeners=deploy.listeners, traits=deploy.traits
    )


def _told(environment: Environment, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    ensure_key_pair(folder, environment.key_pair)
    names = ("directory", "website", "syncthing", "odoo")
    machines = [Machine(name, f"172.21.0.{n}", f"10.20.20.{n}") for n, name in enumerate(names, 110)]
    job = json.loads(json.dumps(job_of(environment, machines, folder)))
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
