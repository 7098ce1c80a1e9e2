"""Logging in to each kind of application as a person does: over HTTPS, by its own page's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medicarche.probe import Client

__all__ = ["LOGINS", "LogIn", "Visit"]


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


#: kind of application → how people log in
LOGINS: Final[Mapping[str, LogIn]] = {"syncthing": _Syncthing(), "wordpress": _WordPress()}
