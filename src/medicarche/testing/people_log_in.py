"""Logging in to each kind of application as a person does: over HTTPS, by its own page's way."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from medicarche.testing.nextcloud import OCS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from medicarche.probe import Client

__all__ = ["LOGINS", "LogIn", "Odoo", "Visit", "unthrottled"]


class Visit(NamedTuple):
    """Somebody's try to log in. ``role``: what the person is in the application; None who is refused."""

    application: str
    login: str
    role: str | None


class LogIn(Protocol):
    """How people log in to a kind of application."""

    def __call__(
        self, client: Client, url: str, login: str, password: str, *, local: bool = False
    ) -> str | None:
        """Log in, and return the role that the application gives; None where it refuses.

        ``local``: as the local administrator, whom the directory doesn't know.
        """
        ...

    def still(self, client: Client, url: str) -> bool:
        """Tell whether somebody who has logged in is still in."""
        ...


class _WordPress:
    """By ``wp-login.php``; the role is what WordPress's REST interface tells the person."""

    def __call__(
        self, client: Client, url: str, login: str, password: str, *, local: bool = False
    ) -> str | None:
        del local  # the same page
        client.get(f"{url}/wp-login.php")
        data = {"log": login, "pwd": password, "redirect_to": f"{url}/wp-admin/", "testcookie": "1"}
        client.post(f"{url}/wp-login.php", data=data)
        if not self.still(client, url):
            return None
        nonce = client.get(f"{url}/wp-admin/admin-ajax.php?action=rest-nonce").text
        me = client.get(f"{url}/wp-json/wp/v2/users/me?context=edit", headers={"X-WP-Nonce": nonce})
        assert me.status_code == 200, me.text  # noqa: PLR2004, S101 - a test's helper
        (role,) = me.json()["roles"]
        return str(role)

    def still(self, client: Client, url: str) -> bool:
        return client.get(f"{url}/wp-admin/").status_code == 200  # noqa: PLR2004 - else to the login page


class _Syncthing:
    """By the login page's own call; who is in governs the node."""

    def __call__(
        self, client: Client, url: str, login: str, password: str, *, local: bool = False
    ) -> str | None:
        if local:
            client.auth = (login, password)
            answer = client.get(f"{url}/secours/rest/system/status")
            return "administrator" if answer.status_code == 200 else None  # noqa: PLR2004 - else 401
        data = {"username": login, "password": password}
        answer = client.post(f"{url}/rest/noauth/auth/password", json=data)
        if answer.status_code != 204:  # noqa: PLR2004 - else 403
            assert not [c for c in client.cookies if c.name.startswith("sessionid")]  # noqa: S101 - a test's helper
            return None
        return "administrator" if self.still(client, url) else None

    def still(self, client: Client, url: str) -> bool:
        client.get(f"{url}/")
        tokens = {f"X-{c.name}": str(c.value) for c in client.cookies if c.name.startswith("CSRF-Token")}
        return client.get(f"{url}/rest/system/status", headers=tokens).status_code == 200  # noqa: PLR2004 - else 403


class Odoo:
    """By the login page's form; the role is the first whose groups Odoo says that the person has."""

    #: role → what its people may do, the most powerful first
    ROLES: Final[Mapping[str, frozenset[str]]] = {
        "administrator": frozenset({"base.group_system"}),
        "user": frozenset(
            {
                "account.group_account_invoice",
                "sales_team.group_sale_salesman_all_leads",
                "stock.group_stock_user",
            }
        ),
        "accounting": frozenset({"account.group_account_user"}),
        "sales": frozenset({"sales_team.group_sale_salesman_all_leads"}),
        "stock": frozenset({"stock.group_stock_user"}),
        "hr": frozenset({"hr.group_hr_user"}),
        "employee": frozenset({"base.group_user"}),
    }
    #: what only administrators may do
    MANAGERS: Final = frozenset(
        {
            "account.group_account_manager",
            "hr.group_hr_manager",
            "sales_team.group_sale_manager",
            "stock.group_stock_manager",
        }
    )

    def __call__(
        self, client: Client, url: str, login: str, password: str, *, local: bool = False
    ) -> str | None:
        """Log in by the form, and return the most powerful role."""
        del local  # the same page
        page = client.get(f"{url}/web/login").text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token, "the login page has no form"  # noqa: S101 - a test's helper
        data = {"csrf_token": token[1], "login": login, "password": password, "redirect": ""}
        answer = client.post(f"{url}/web/login", data=data)
        if answer.status_code != 303:  # noqa: PLR2004 - else the form again
            assert not self.still(client, url)  # noqa: S101 - a test's helper
            return None
        theirs = self.groups(client, url)
        return next((role for role, groups in self.ROLES.items() if groups <= theirs), None)

    def groups(self, client: Client, url: str) -> frozenset[str]:
        """Return which of the groups that are named above the person has."""
        me = self._call(client, url, "/web/session/get_session_info")["uid"]
        asked = self.MANAGERS.union(*self.ROLES.values())
        return frozenset(
            group for group in asked if self.model(client, url, "res.users", "has_group", [me], group)
        )

    def model(self, client: Client, url: str, name: str, method: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Call a model's method as who is logged in, as the web client does."""
        params = {"model": name, "method": method, "args": arguments, "kwargs": {}}
        return self._call(client, url, f"/web/dataset/call_kw/{name}/{method}", **params)

    def still(self, client: Client, url: str) -> bool:
        """Tell whether the session is a person's."""
        return client.get(f"{url}/odoo").status_code == 200  # noqa: PLR2004 - else to the login page

    @staticmethod
    def _call(client: Client, url: str, path: str, **params: object) -> Any:  # noqa: ANN401 - JSON
        answer = client.post(f"{url}{path}", json={"jsonrpc": "2.0", "method": "call", "params": params})
        told = answer.json()
        assert "result" in told, told["error"]["data"]["message"]  # noqa: S101 - a test's helper
        return told["result"]


class _Nextcloud:
    """By the login page's form; the role follows from the groups that Nextcloud says that the person has."""

    def __call__(
        self, client: Client, url: str, login: str, password: str, *, local: bool = False
    ) -> str | None:
        del local  # the same page
        # of this visitor's session
        client.get(f"{url}/login")
        token = client.get(f"{url}/csrftoken").json()["token"]
        data = {"user": login, "password": password, "requesttoken": token}
        answer = client.post(f"{url}/login", data=data, headers={"Origin": url})
        assert answer.status_code != 429, "Nextcloud throttles this address"  # noqa: PLR2004, S101 - a test's helper
        me = self._me(client, url)
        if me is None:
            return None
        assert me["id"] == login, me  # noqa: S101 - a test's helper
        return "administrator" if "admin" in me["groups"] else "user"

    def still(self, client: Client, url: str) -> bool:
        return self._me(client, url) is not None

    def _me(self, client: Client, url: str) -> dict[str, Any] | None:
        answer = client.get(f"{url}/ocs/v2.php/cloud/user", headers=OCS)
        if answer.status_code != 200:  # noqa: PLR2004 - else 401
            return None
        found: dict[str, Any] = answer.json()["ocs"]["data"]
        return found

    @classmethod
    @contextmanager
    def unthrottled(cls, client: Client, url: str, login: str, password: str) -> Iterator[None]:
        """Let everybody try as often as they like: Nextcloud slows down and refuses a whole address."""
        exempt = f"{url}/apps/bruteforcesettings/ipwhitelist"
        asked: dict[str, Any] = {"headers": OCS, "auth": (login, password)}
        answer = client.post(exempt, data={"ip": "0.0.0.0", "mask": 0}, **asked)  # noqa: S104 - all addresses
        assert answer.status_code == 200, answer.text  # noqa: PLR2004, S101 - a test's helper
        try:
            yield
        finally:
            client.delete(f"{exempt}/{answer.json()['id']}", **asked)


class _Grafana:
    """By the log-in page's own call; the role is what Grafana says that the person has."""

    def __call__(
        self, client: Client, url: str, login: str, password: str, *, local: bool = False
    ) -> str | None:
        del local  # the same page
        answer = client.post(f"{url}/login", json={"user": login, "password": password})
        if answer.status_code != 200:  # noqa: PLR2004 - else 401
            assert not self.still(client, url)  # noqa: S101 - a test's helper
            return None
        me = client.get(f"{url}/api/user").json()
        assert me["login"] == login, me  # noqa: S101 - a test's helper
        (organization,) = client.get(f"{url}/api/user/orgs").json()
        return "administrator" if me["isGrafanaAdmin"] else str(organization["role"]).lower()

    def still(self, client: Client, url: str) -> bool:
        return client.get(f"{url}/api/user").status_code == 200  # noqa: PLR2004 - else 401


#: kind of application → how people log in
LOGINS: Final[Mapping[str, LogIn]] = {
    "grafana": _Grafana(),
    "nextcloud": _Nextcloud(),
    "odoo": Odoo(),
    "syncthing": _Syncthing(),
    "wordpress": _WordPress(),
}
_LIMIT: Final = "base.login_cooldown_after"


@contextmanager
def unthrottled(client: Client, kind: str, url: str, login: str, password: str) -> Iterator[None]:
    """Let an application answer every try to log in meanwhile.

    Odoo refuses everybody behind an address for a minute after five failures in a row, whoever tries: a whole
    company that is tested from one address would be refused without having been looked at. Nextcloud makes an
    address wait for up to 25 s, and refuses it after ten failures in half an hour.

    Args:
        client: a visitor, who isn't logged in.
        kind: of application.
        url: the application's.
        login: the local administrator's.
        password: the local administrator's.
    """
    if kind == "nextcloud":
        with _Nextcloud.unthrottled(client, url, login, password):
            yield
        return
    if kind != "odoo":
        yield
        return
    odoo = Odoo()
    assert odoo(client, url, login, password, local=True) == "administrator", "wait a minute"  # noqa: S101 - a test's helper
    before = odoo.model(client, url, "ir.config_parameter", "get_param", _LIMIT)
    odoo.model(client, url, "ir.config_parameter", "set_param", _LIMIT, "0")
    try:
        yield
    finally:
        odoo.model(client, url, "ir.config_parameter", "set_param", _LIMIT, before)
