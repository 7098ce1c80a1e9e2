"""Odoo, Nextcloud and Syncthing: settings, sizes, files, and the scripts that run in the instances."""

from __future__ import annotations

import importlib
import json
import re
import sys
import types
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medicarche import deploy
from medicarche.deploy.templating import render
from medicarche.spec.environment import Application

pytest.importorskip("pyinfra")

APPLICATIONS = {
    "odoo": Application("odoo", "odoo", "odoo", 8087, "Odoo", {"administrator": "dsi", "country": "FR"}, ()),
    "nextcloud": Application(
        "nextcloud", "nextcloud", "nextcloud", 8806, "Nextcloud", {"administrator": "dsi"}, ()
    ),
    "syncthing": Application(
        "syncthing", "syncthing", "syncthing", 8885, "Syncthing", {"administrator": "dsi"}, ()
    ),
}
SCRIPTS = {
    "odoo": "odoo_database.py.j2",
    "nextcloud": "nextcloud.py.j2",
    "syncthing": "syncthing.py.j2",
}


def _part(kind: str) -> dict[str, Any]:
    application = APPLICATIONS[kind]
    secrets = {purpose: f"secret-{purpose}-{'x' * 16}" for purpose in deploy.KINDS[kind].secrets}
    return {
        "name": application.name,
        "kind": kind,
        "port": application.port,
        "serves": "people",
        "directory": None,
        "https_at": deploy.KINDS[kind].https_at or str(application.port),
        "artefact": {"path": None, "sha256": "0" * 64},
        "title": application.title,
        "settings": dict(application.settings),
        "secrets": secrets,
    }


def _instance(kind: str) -> dict[str, Any]:
    return {
        "name": kind,
        "host_names": [f"{kind}.medicarche.internal", "10.20.20.105", "localhost"],
        "organization": "Medicarche",
        "domain": "medicarche.internal",
        "language": "fr_FR.UTF-8",
        "timezone": "Europe/Paris",
        "mirror": "http://mirror.example/debian",
        "applications": [_part(kind)],
    }


def _files(kind: str) -> dict[str, Any]:
    module = importlib.import_module(deploy.KINDS[kind].module)
    return {file.path: file for file in module.files(_part(kind), _instance(kind))}


def _script(kind: str) -> types.ModuleType:
    folder = Path(deploy.__file__).parent / "applications" / kind / "templates"
    module = types.ModuleType(f"script_{kind}")
    exec(compile(render(folder, SCRIPTS[kind]), SCRIPTS[kind], "exec"), module.__dict__)  # noqa: S102 - ours
    return module


def test_what_unpacks_nextclouds_archive_is_beside_its_script() -> None:
    files = _files("nextcloud")
    (script,) = [path for path in files if path.endswith("/nextcloud.py")]
    assert "\nimport code_tree\n" in files[script].content
    assert Path(script).with_name("code_tree.py").as_posix() in files


# --- settings and sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_the_companys_settings_are_right(kind: str) -> None:
    assert list(deploy.check_settings(APPLICATIONS[kind])) == []


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("odoo", {"country": None}, "country: the company's country"),
        ("odoo", {"country": "France"}, "country: the company's country"),
        ("odoo", {"modules": "project ../etc"}, "modules: '../etc' isn't a module's technical name"),
        ("odoo", {"administrator": "admin"}, "administrator: 'admin' is what attackers try first"),
        ("syncthing", {"administrator": "D S I"}, "administrator: a login of"),
        ("syncthing", {"them": "x"}, "them: unknown; known are administrator"),
        ("nextcloud", {"archive": "http://example.org/n.zip"}, "archive: an https URL, or a file's path"),
        ("nextcloud", {"archive": "nextcloud.rar"}, "archive: one of .tar.bz2"),
        ("nextcloud", {"sha256": "abc"}, "sha256: 64 hexadecimal digits"),
        ("nextcloud", {"phone_region": "33"}, "phone_region: a country"),
    ],
)
def test_wrong_settings_are_told_one_by_one(kind: str, settings: dict[str, str | None], said: str) -> None:
    given = {**APPLICATIONS[kind].settings, **settings}
    wrong = replace(APPLICATIONS[kind], settings={k: v for k, v in given.items() if v is not None})
    (found,) = deploy.check_settings(wrong)
    assert found.startswith(said)


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_the_companys_flavors_carry_them(kind: str) -> None:
    minimum = deploy.minimum_size(APPLICATIONS[kind])
    assert minimum is not None
    # CLOUD-4: 1 GiB of memory, 5 GB of disk and more
    assert minimum.ram_mib <= 1024
    assert minimum.disk_gib <= 5


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_no_secret_is_in_a_file_that_everybody_reads(kind: str) -> None:
    secrets = _part(kind)["secrets"].values()
    for file in _files(kind).values():
        if int(file.mode, 8) & 0o007:
            assert not [secret for secret in secrets if secret in file.content], file.path


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_what_nginx_passes_to_is_what_is_declared(kind: str) -> None:
    declared = {f"{w.address}:{w.port}" for w in deploy.listeners(APPLICATIONS[kind])}
    text = "".join(file.content for path, file in _files(kind).items() if path.startswith("/etc/nginx/"))
    behind = set(re.findall(r"127\.0\.0\.1:\d+", text))
    assert behind
    assert behind <= declared


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_nothing_listens_beyond_loopback_by_its_own_configuration(kind: str) -> None:
    for path, file in _files(kind).items():
        assert "0.0.0.0" not in file.content, path  # noqa: S104 - looked for, not bound
        assert "[::]" not in file.content, path


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_the_public_port_is_served_once(kind: str) -> None:
    instance = _instance(kind)
    site = render(Path(deploy.__file__).parent / "templates", "sites.conf.j2", **instance)
    files = _files(kind)
    text = site + "".join(f.content for p, f in files.items() if p.startswith("/etc/nginx/"))
    port = APPLICATIONS[kind].port
    assert len(re.findall(rf"listen {port}( ssl default_server)?;", text)) == 1


def test_odoo_comes_from_unstable_and_nothing_else_does() -> None:
    files = _files("odoo")
    assert "Pin: release n=sid\nPin-Priority: 100" in files["/etc/apt/preferences.d/medicarche-odoo"].content
    source = files["/etc/apt/sources.list.d/medicarche-odoo.sources"].content
    assert "URIs: http://mirror.example/debian\nSuites: sid\n" in source
    assert "Check-Valid-Until: no" in source
    assert "Signed-By: " in source


def test_odoo_listens_by_a_socket_unit_and_stays_down_while_its_database_is_made() -> None:
    """Its own queue is 16 connections long; and whoever is let in by the socket starts the service."""
    files = _files("odoo")
    inner = next(li for li in deploy.KINDS["odoo"].listeners if li.process == "odoo")
    socket_unit = files["/etc/systemd/system/odoo.socket"].content
    assert f"ListenStream={inner.address}:{inner.port}\n" in socket_unit
    assert f"http_port = {inner.port}\n" in files["/etc/odoo/medicarche.conf"].content
    assert "Requires=odoo.socket\n" in files["/etc/systemd/system/odoo.service.d/medicarche.conf"].content
    script = next(f.content for path, f in files.items() if path.endswith("odoo_database.py"))
    assert '["systemctl", "stop", "odoo.socket", "odoo.service"]' in script


def test_odoos_modules_arent_compiled_as_its_package_comes() -> None:
    """They are there twice; `py3compile` reads type, versions and folder between bars."""
    files = _files("odoo")
    lines = files["/usr/share/python3/bcep/medicarche-odoo"].content.splitlines()
    folders = [line.split("|")[2] for line in lines if not line.startswith("#")]
    assert folders == [f"/usr/lib/python3/dist-packages/{folder}" for folder in ("odoo/addons", "addons")]
    script = next(f.content for path, f in files.items() if path.endswith("odoo_database.py"))
    assert f'MODULES = "{folders[0]}"' in script


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_no_location_of_nginx_drops_the_headers_of_its_server(kind: str) -> None:
    """A block that sets one header inherits none (nginx's documentation, ``proxy_set_header``)."""
    for path, file in _files(kind).items():
        outer, *blocks = re.split(r"(?m)^location ", file.content) if path.startswith("/etc/nginx/") else [""]
        if "proxy_set_header" in outer:
            assert not [block for block in blocks if "proxy_set_header" in block], path


def test_odoos_databases_are_closed_and_its_websocket_is_open() -> None:
    files = _files("odoo")
    configuration = files["/etc/odoo/medicarche.conf"].content
    for line in ("list_db = False", "proxy_mode = True", "http_interface = 127.0.0.1", "workers = 2"):
        assert line in configuration
    proxy = files["/etc/nginx/applications/odoo.conf"].content
    assert "proxy_pass http://127.0.0.1:8072;" in proxy
    assert "$connection_upgrade" in proxy
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in proxy


def test_the_master_password_is_told_as_a_hash_that_is_the_same_every_time() -> None:
    from medicarche.deploy.applications.odoo.operations import master_password_hash  # noqa: PLC0415 - pyinfra

    made = master_password_hash("secret")
    assert made == master_password_hash("secret")
    assert made != master_password_hash("secret2")
    _, kind, rounds, salt, digest = made.split("$")
    assert kind == "pbkdf2-sha512"
    # passlib's alphabet
    assert re.fullmatch(r"[A-Za-z0-9./]{22}", salt)
    assert re.fullmatch(r"[A-Za-z0-9./]{86}", digest)
    assert int(rounds) >= 210_000


def test_syncthings_pages_and_peers_share_its_port() -> None:
    stream = _files("syncthing")["/etc/nginx/stream.d/syncthing.conf"].content
    assert "listen 8885;" in stream
    assert '"~(^|,)bep/1\\.0(,|$)" 127.0.0.1:22000;' in stream
    assert "default 127.0.0.1:8443;" in stream


def test_nextcloud_trusts_its_own_names_and_proxy_only() -> None:
    text = _files("nextcloud")["/var/lib/nextcloud/config/medicarche.config.php"].content
    assert "'nextcloud.medicarche.internal'," in text
    assert "'trusted_proxies' => ['127.0.0.1']" in text
    assert "'default_language' => 'fr'" in text
    assert "'default_locale' => 'fr_FR'" in text


def test_nothing_of_nextclouds_waits_in_memory() -> None:
    files = _files("nextcloud")
    for kind in ("apache2", "cli"):
        text = files[f"/etc/php/8.4/{kind}/conf.d/90-medicarche.ini"].content
        assert "upload_tmp_dir = /var/tmp\nsys_temp_dir = /var/tmp\n" in text
    text = files["/var/lib/nextcloud/config/medicarche.config.php"].content
    assert "'tempdirectory' => '/var/tmp'" in text


# --- the scripts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_a_script_is_python_and_acts_only_when_run(kind: str) -> None:
    folder = Path(deploy.__file__).parent / "applications" / kind / "templates"
    text = render(folder, SCRIPTS[kind])
    compile(text, SCRIPTS[kind], "exec")
    assert text.rstrip().splitlines()[-1].startswith("        sys.exit(")
    assert '\nif __name__ == "__main__":\n' in text


def _configuration(**gui: str) -> str:
    made = "".join(f"<{name}>{value}</{name}>" for name, value in gui.items())
    return (
        '<configuration version="37"><folder id="essai" path="/x"/>'
        f'<gui enabled="true" tls="false" sendBasicAuthPrompt="false">{made}</gui>'
        "<options><listenAddress>default</listenAddress><globalAnnounceEnabled>true</globalAnnounceEnabled>"
        '<urAccepted>0</urAccepted></options><defaults><folder path="~"/></defaults></configuration>'
    )


def test_syncthings_configuration_is_put_right_and_then_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _script("syncthing")
    path = tmp_path / "config.xml"
    monkeypatch.setitem(script.__dict__, "CONFIGURATION", path)
    path.write_text(
        _configuration(address="0.0.0.0:8384", user="x", apikey="x", insecureSkipHostcheck="true")
    )
    wanted: dict[str, Any] = {"login": "dsi", "api_key": "key", "ldap": {}}
    tree, found = script.configuration(wanted)
    assert {"pages: address", "pages: user", "pages: apikey", "pages: insecureSkipHostcheck"} <= set(found)
    assert {"option listenAddress", "option globalAnnounceEnabled", "option urAccepted"} <= set(found)
    tree.write(path)
    assert script.configuration(wanted)[1] == []
    root = ET.parse(path).getroot()  # noqa: S314 - written two lines above
    assert root.findtext("options/listenAddress") == "tcp://127.0.0.1:22000"
    # what belongs to its users
    assert [f.get("id") for f in root.findall("folder")] == ["essai"]


def test_syncthing_asks_the_directory_and_then_no_password_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _script("syncthing")
    path = tmp_path / "config.xml"
    monkeypatch.setitem(script.__dict__, "CONFIGURATION", path)
    path.write_text(_configuration(address="127.0.0.1:8384", user="dsi", apikey="key"))
    wanted: dict[str, Any] = {"login": "dsi", "api_key": "key", "ldap": {"address": "172.21.0.2:636"}}
    tree, found = script.configuration(wanted)
    assert {"pages: authMode", "directory: address"} <= set(found)
    tree.write(path)
    assert script.configuration(wanted)[1] == []
    tree, found = script.configuration({**wanted, "ldap": {}})
    assert found == ["pages: authMode"]
    tree.write(path)
    root = ET.parse(path).getroot()  # noqa: S314 - written one line above
    assert root.findtext("gui/authMode") == "static"


def test_what_the_scripts_are_given_has_no_other_way_than_standard_input() -> None:
    from medicarche.deploy.applications.odoo import operations  # noqa: PLC0415 - pyinfra

    wanted = json.loads(operations._wanted(_part("odoo"), _instance("odoo")))
    assert wanted["password"] == _part("odoo")["secrets"]["administrator"]
    assert wanted["modules"][:3] == ["contacts", "crm", "sale_management"]
    assert wanted["servers"] == []
    assert wanted["people"] == {}
    assert "medicarche_directory" not in wanted["modules"]


# --- Odoo's people of the directory ------------------------------------------------------------------------

BASE = "dc=medicarche,dc=internal"


@pytest.fixture
def asking() -> dict[str, Any]:
    """Odoo's part, asking the directory."""
    part = _part("odoo")
    part["secrets"]["directory"] = "secret-of-the-service-account"
    part["directory"] = {
        "base": BASE,
        "address": "192.168.222.110:636",
        "authority": "-----BEGIN CERTIFICATE-----\n",
        "account": f"cn=odoo,ou=services,{BASE}",
        "roles": [{"group": f"cn=dsi,ou=groups,{BASE}", "role": "administrator"}],
        "filter": f"(&(uid=%s)(|(memberOf=cn=dsi,ou=groups,{BASE})))",
        "members": {"alice.moreau": "administrator"},
        "people": {"alice.moreau": {"name": "Alice Moreau", "mail": "a@example.org", "roles": ["sales"]}},
    }
    return part


def test_odoo_asks_the_directory_for_its_own_groups_by_a_verified_certificate(asking: dict[str, Any]) -> None:
    from medicarche.deploy.applications.odoo import operations  # noqa: PLC0415 - pyinfra

    wanted = json.loads(operations._wanted(asking, _instance("odoo")))
    assert wanted["modules"][-1] == "medicarche_directory"
    (server,) = wanted["servers"]
    assert (server["ldap_server"], server["ldap_server_port"]) == ("192.168.222.110", 636)
    assert server["ldap_filter"] == f"(&(uid=%s)(|(memberOf=cn=dsi,ou=groups,{BASE})))"
    assert server["create_user"] is False
    found = {file.path: file for file in operations.files(asking, _instance("odoo"))}
    assert not [p for p, f in found.items() if "secret-of-the-service-account" in f.content]
    folder = "/usr/local/lib/medicarche/odoo"
    assert f"addons_path = {folder}\n" in found["/etc/odoo/medicarche.conf"].content
    module = found[f"{folder}/medicarche_directory/__init__.py"].content
    compile(module, "__init__.py", "exec")
    assert "OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND" in module
    assert 'AUTHORITY = "/etc/odoo/directory.pem"' in module
    assert found["/etc/odoo/directory.pem"].content == asking["directory"]["authority"]
    (odoo,) = [unit for unit in operations.units(asking, list(found)) if unit.name == "odoo.service"]
    assert {"/etc/odoo/directory.pem", f"{folder}/medicarche_directory/__init__.py"} <= {*odoo.configuration}


class Cursor:
    """Answers what Odoo's database would, by a word of the query."""

    def __init__(self, answers: dict[str, list[tuple[Any, ...]]]) -> None:
        self._answers = answers
        self._found: list[tuple[Any, ...]] = []

    def execute(self, query: str, values: tuple[Any, ...]) -> None:
        """Find the answer."""
        assert values == ()
        (self._found,) = [answer for word, answer in self._answers.items() if word in query]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give it."""
        return self._found


#: Odoo's groups by their external ids
GROUPS = {
    "base.group_multi_company": 1,
    "base.group_user": 2,
    "base.group_system": 3,
    "base.group_partner_manager": 4,
    "sales_team.group_sale_salesman_all_leads": 5,
    "sales_team.group_sale_manager": 6,
}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ((True, "Alice Moreau", "a@example.org", False, [2, 4, 5]), []),
        # that comes and goes with the number of companies
        ((True, "Alice Moreau", "a@example.org", False, [1, 2, 4, 5]), []),
        ((True, "Alice Moreau", "a@example.org", False, [2, 3]), ["alice.moreau becomes sales"]),
        ((False, "Alice Moreau", "a@example.org", False, [2]), ["alice.moreau is let in (sales)"]),
        (
            (True, "Alice", "a@example.org", True, [2, 4, 5]),
            ["alice.moreau: name", "alice.moreau has a password that the directory knows nothing of"],
        ),
        (None, ["alice.moreau is let in (sales)"]),
    ],
)
def test_odoos_people_are_compared_by_their_marks(
    asking: dict[str, Any], there: tuple[Any, ...] | None, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from medicarche.deploy.applications.odoo import operations  # noqa: PLC0415 - pyinfra

    monkeypatch.setitem(sys.modules, "psycopg2", types.ModuleType("psycopg2"))
    script = _script("odoo")
    wanted = json.loads(operations._wanted(asking, _instance("odoo")))
    left = ("person_bob.le-goff", 8, "bob.le-goff", True, "Bob", "b@example.org", False, [2])
    gone = ("person_old.one", 9, "old.one", False, "Old", "o@example.org", False, [2])
    mine = [("person_alice.moreau", 7, "alice.moreau", *there)] if there else []
    cursor = Cursor(
        {
            "'res.groups'": list(GROUPS.items()),
            "'user_admin'": [(3,), (6,), (1,)],
            "'medicarche'": [left, gone, *mine],
        }
    )
    assert script.people_differences(cursor, wanted) == ["bob.le-goff is out", *said]
    chief = {"name": "C", "mail": "c@example.org", "roles": ["administrator"]}
    people, _ = script.as_wanted(cursor, {**wanted, "people": {"c": chief}})
    # all that the local administrator has, too
    assert people["c"]["groups"] == {2, 3, 6}
