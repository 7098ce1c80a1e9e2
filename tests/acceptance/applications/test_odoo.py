"""APP-1: Odoo, as people and programs use it."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page
    from testinfra.host import Host

    from medicarche.probe import Client
    from medicarche.spec.environment import Environment

    Call = Callable[..., Any]

pytestmark = [pytest.mark.requirement("APP-1"), pytest.mark.application_kind("odoo")]


def rpc(client: Client, url: str, service: str, method: str, *arguments: object) -> Any:  # noqa: ANN401 - any JSON
    """Call the external API (Odoo's documentation, "External RPC API"); the whole answer."""
    params = {"service": service, "method": method, "args": arguments}
    answer = client.post(
        f"{url}/jsonrpc", json={"jsonrpc": "2.0", "method": "call", "id": 1, "params": params}
    )
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture
def call(outside: Client, url: str, administrator: tuple[str, str]) -> Call:
    """Call a model's method as the administrator."""
    user, password = administrator
    outside.headers["Connection"] = "keep-alive"
    uid = rpc(outside, url, "common", "authenticate", "odoo", user, password, {})["result"]
    assert uid, "the API refused the login"

    def model(name: str, method: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401 - any JSON
        answer = rpc(
            outside, url, "object", "execute_kw", "odoo", uid, password, name, method, arguments, options
        )
        assert "error" not in answer, answer["error"]
        return answer["result"]

    return model


# --- logging in --------------------------------------------------------------------------------------------


def test_a_person_logs_in_and_sees_the_web_client_in_french(
    page: Page, url: str, administrator: tuple[str, str]
) -> None:
    page.goto(f"{url}/web/login")
    assert "Mot de passe" in page.inner_text("form.oe_login_form")
    page.fill("input[name=login]", administrator[0])
    page.fill("input[name=password]", administrator[1])
    page.click("form.oe_login_form button[type=submit]")
    page.wait_for_selector(".o_web_client .o_main_navbar")
    assert "/odoo" in page.url
    page.click(".o_navbar_apps_menu button, .o_navbar_apps_menu .dropdown-toggle")
    page.wait_for_selector(".o-dropdown--menu, .o_app")
    apps = " ".join(page.locator(".o-dropdown--menu, .o_home_menu").all_inner_texts())
    for name in ("Contacts", "CRM", "Ventes", "Facturation", "Inventaire", "Employés"):
        assert name in apps, f"{name} isn't in: {apps}"


def form_login(client: Client, url: str, user: str, password: str) -> bool:
    """Log in through the login page's form; a refusal is answered by the form again, with status 200."""
    page = client.get(f"{url}/web/login").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token, "the login page has no form"
    answer = client.post(
        f"{url}/web/login",
        data={"csrf_token": token[1], "login": user, "password": password, "redirect": ""},
    )
    assert answer.status_code in {200, 303}
    return answer.status_code == 303 and "/web/login" not in answer.headers["location"]


def test_the_generated_password_opens_it_and_its_cookie_is_kept_safe(
    outside: Client, url: str, administrator: tuple[str, str]
) -> None:
    assert form_login(outside, url, *administrator)
    (cookie,) = [c for c in outside.cookies if c.name == "session_id"]
    assert cookie.secure
    assert cookie.has_nonstandard_attr("HttpOnly") or cookie.has_nonstandard_attr("httponly")


@pytest.mark.parametrize(
    ("user", "password"), [("dsi", "wrong"), ("admin", "admin"), ("dsi", "dsi"), ("dsi", "")]
)
def test_no_other_login_does(outside: Client, url: str, user: str, password: str) -> None:
    assert not form_login(outside, url, user, password)
    answer = rpc(outside, url, "common", "authenticate", "odoo", user, password, {})
    assert not answer.get("result")


def test_wrong_passwords_are_counted_by_visitors_address(outside: Client, url: str, machine: Host) -> None:
    login = f"nobody.{secrets.token_hex(4)}"
    assert not form_login(outside, url, login, "wrong")
    told = machine.check_output("journalctl --unit odoo --no-pager --output cat --grep %s", login)
    (address,) = re.findall(rf"Login failed for login:{login} from ([0-9.]+)", told)
    # behind one address everybody would wait for a minute as soon as anybody had guessed five times
    assert address != "127.0.0.1"


# --- the work ----------------------------------------------------------------------------------------------


def test_a_quotation_for_a_new_customer_is_made_and_confirmed(call: Call) -> None:
    name = f"Laboratoire d'essai {secrets.token_hex(4)}"
    partner = call("res.partner", "create", {"name": name, "is_company": True})
    product = call(
        "product.product", "create", {"name": f"Analyse {name}", "list_price": 250.0, "type": "service"}
    )
    order = call(
        "sale.order",
        "create",
        {"partner_id": partner, "order_line": [(0, 0, {"product_id": product, "product_uom_qty": 4})]},
    )
    try:
        (made,) = call("sale.order", "read", [order], ["state", "amount_untaxed", "amount_tax", "name"])
        assert made["state"] == "draft"
        assert made["amount_untaxed"] == pytest.approx(1000.0)
        # France's standard rate: the company's country decided about the chart of accounts
        assert made["amount_tax"] == pytest.approx(200.0)
        call("sale.order", "action_confirm", [order])
        (confirmed,) = call("sale.order", "read", [order], ["state"])
        assert confirmed["state"] == "sale"
    finally:
        call("sale.order", "action_cancel", [order])
        call("sale.order", "unlink", [order])
        call("product.product", "write", [product], {"active": False})
        call("res.partner", "write", [partner], {"active": False})


def test_the_company_and_its_language_are_the_environments(call: Call, environment: Environment) -> None:
    (company,) = call("res.company", "search_read", [("id", "=", 1)], ["name", "country_id", "currency_id"])
    assert company["name"] == environment.organization
    assert company["country_id"][1] == "France"
    assert company["currency_id"][1] == "EUR"
    languages = call("res.lang", "search_read", [("active", "=", True)], ["code"])
    assert environment.locale.language.partition(".")[0] in {found["code"] for found in languages}


# --- what is closed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/web/database/manager", "/web/database/selector", "/web/database/create"])
def test_the_database_manager_is_closed(outside: Client, url: str, path: str) -> None:
    assert outside.get(f"{url}{path}").status_code == 404
    assert outside.post(f"{url}{path}", data={"master_pwd": "admin"}).status_code == 404


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("list", []),
        ("dump", ["admin", "odoo", "zip"]),
        ("drop", ["admin", "odoo"]),
        ("create_database", ["admin", "theirs", False, "fr_FR", "admin"]),
    ],
)
def test_the_api_tells_nothing_of_databases_either(
    outside: Client, url: str, method: str, arguments: list[object]
) -> None:
    answer = rpc(outside, url, "db", method, *arguments)
    assert "result" not in answer
    assert "AccessDenied" in answer["error"]["data"]["name"]


# --- in the instance and through the proxy -----------------------------------------------------------------


@pytest.fixture
def session(outside: Client, url: str, administrator: tuple[str, str]) -> str:
    """A logged-in session's cookie."""
    assert form_login(outside, url, *administrator)
    return outside.cookies["session_id"]


@pytest.fixture
def secure(url: str, authority: Path) -> Iterator[ssl.SSLSocket]:
    """A TLS connection to the proxy."""
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=str(authority))
    with (
        socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as connection,
    ):
        yield connection


def test_a_websocket_connects_through_the_proxy(secure: ssl.SSLSocket, url: str, session: str) -> None:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = [
        "GET /websocket?version=19.0-1 HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        f"Origin: {url}",
        f"Cookie: session_id={session}",
        "User-Agent: medicarche-acceptance",
    ]
    secure.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        received = secure.recv(4096)
        assert received, answer
        answer += received
    head = answer.partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("HTTP/1.1 101 "), head
    # RFC 6455, section 4.2.2: only a server that understood the greeting can say this
    accepted = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()  # noqa: S324 - RFC 6455 says so
    assert f"sec-websocket-accept: {base64.b64encode(accepted).decode()}".lower() in head.lower()


@pytest.mark.parametrize("name", ["nginx", "odoo", "postgresql", "ssh"])
def test_its_services_run_and_start_at_boot(machine: Host, name: str) -> None:
    assert machine.service(name).is_running
    assert machine.service(name).is_enabled
    assert machine.check_output("systemctl --failed --plain --no-legend") == ""


def test_the_database_has_no_network_and_its_account_no_right_to_make_others(machine: Host) -> None:
    assert machine.check_output("ss --no-header --listening --tcp --numeric 'sport = :5432'") == ""
    query = "runuser -u postgres -- psql -tAc %s"
    assert machine.check_output(query, "SHOW listen_addresses") == ""
    rights = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'odoo'"
    assert machine.check_output(query, rights) == "f|f|f"


def test_only_odoo_itself_comes_from_unstable(machine: Host) -> None:
    listed = machine.check_output("apt list --installed 2>/dev/null")
    lines = [line for line in listed.splitlines() if "odoo" in line.partition("/")[0]]
    assert lines
    stable = machine.check_output("dpkg-query -W -f '${Version}' libc6")
    assert "deb13" in stable or stable.startswith("2.41"), f"libc6 {stable} isn't trixie's"


def test_the_modules_that_are_installed_are_compiled_and_no_others(machine: Host) -> None:
    """Debian's package brings some 600 modules, and would compile them all, twice."""
    folder = "/usr/lib/python3/dist-packages/odoo/addons"
    found = machine.check_output(f"ls -d {folder}/*/__pycache__").split()
    compiled = {path.removeprefix(f"{folder}/").partition("/")[0] for path in found}
    query = "runuser -u postgres -- psql -tA -d odoo -c %s"
    names = machine.check_output(query, "SELECT name FROM ir_module_module WHERE state = 'installed'")
    brought = set(machine.check_output(f"ls {folder}").split())
    assert compiled == set(names.split()) & brought
    assert len(compiled) < len(brought) / 2
