"""Who may be in Grafana: its administrator, and the sessions of people whom the directory no longer lets in.

Written by Medicarche; changes are put back. It runs in Grafana's instance by the system's Python, as root,
and imports nothing of Medicarche's. "check" says as a JSON list what differs, and changes nothing; "apply"
changes it. Standard input: a JSON object: login and password of the local administrator; people, login to
role, of those whom the directory lets in, or null where no directory is asked.

Grafana asks the directory at each log-in, and gives the role then. What it keeps is the session: of somebody
who has left, or is something else now, it is ended here; nobody's account or settings are removed.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any, Final

API = "http://127.0.0.1:3000/api"
DATABASE = "/var/lib/grafana/grafana.db"
CODE = "/opt/grafana"
INI = "/etc/medicarche/grafana/grafana.ini"
ACCOUNT = "grafana"
#: of the first account, which is the local administrator's (Grafana's own ``reset-admin-password`` takes it)
FIRST = 1
#: Grafana's words → ours
ROLES: Final = {"Admin": "editor", "Editor": "editor", "Viewer": "viewer"}
#: seconds for one answer, and for a Grafana that is just starting
PATIENCE = 20.0
START = 120.0
_PAGE = 1000
_UNAUTHORIZED = 401
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Grafana:
    """Grafana's HTTP interface, as the local administrator."""

    def __init__(self, login: str, password: str) -> None:
        """Say who asks."""
        self._authorization = "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()

    def ask(self, path: str, method: str = "GET") -> Any:  # noqa: ANN401 - JSON
        """Return an answer's content.

        Raises:
            OSError: there is none, or it is a refusal (`urllib.error.HTTPError`).
        """
        request = urllib.request.Request(  # noqa: S310 - of the constant above
            API + path,
            method=method,
            data=b"{}" if method != "GET" else None,
            headers={"Authorization": self._authorization, "Content-Type": "application/json"},
        )
        with _DIRECT.open(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def users(self) -> list[dict[str, Any]]:
        """Return all accounts."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            part = self.ask(f"/users?perpage={_PAGE}&page={page}")
            found += part
            if len(part) < _PAGE:
                return found
            page += 1

    def roles(self) -> dict[int, str]:
        """Return account's number → what it is in the one organization, in Grafana's words."""
        return {user["userId"]: user["role"] for user in self.ask("/org/users")}

    def has_sessions(self, user: int) -> bool:
        """Tell whether somebody is in."""
        return bool(self.ask(f"/admin/users/{user}/auth-tokens"))


def administrator_differs(grafana: Grafana, login: str) -> str:
    """Say what is wrong with the local administrator; nothing where all is well."""
    try:
        me = grafana.ask("/user")
    except urllib.error.HTTPError as error:
        if error.code != _UNAUTHORIZED:
            raise
        return "the administrator's login or password"
    return "" if me["isGrafanaAdmin"] and me["login"] == login else "the administrator's rights"


def sessions_to_end(
    grafana: Grafana, users: list[dict[str, Any]], people: dict[str, str] | None
) -> list[tuple[int, str]]:
    """Return number and login of those whose sessions aren't (any more) what the directory says."""
    roles = grafana.roles()
    found = []
    for user in users:
        # without a directory its accounts are Grafana's own affair, but for those that came from one
        if user["id"] == FIRST or (people is None and not user["authLabels"]):
            continue
        is_now = "administrator" if user["isAdmin"] else ROLES.get(roles.get(user["id"], ""))
        may = (people or {}).get(user["login"]) if user["authLabels"] else None
        if (may is None or may != is_now) and grafana.has_sessions(user["id"]):
            found.append((user["id"], user["login"]))
    return found


def own_accounts(users: list[dict[str, Any]], people: dict[str, str] | None) -> list[tuple[int, str]]:
    """Return those who could get in with a password of Grafana's own, where the directory says who may."""
    if people is None:
        return []
    return [
        (user["id"], user["login"])
        for user in users
        if user["id"] != FIRST and not user["authLabels"] and not user["isDisabled"]
    ]


def differences(wanted: dict[str, Any]) -> list[str]:
    """Say what differs, in words."""
    grafana = Grafana(wanted["login"], wanted["password"])
    try:
        wrong = administrator_differs(grafana, wanted["login"])
        if wrong:
            return [wrong]
        users, people = grafana.users(), wanted["people"]
        return [
            *(f"{login}: an account that isn't the directory's" for _, login in own_accounts(users, people)),
            *(
                f"{login}: a session that isn't right any more"
                for _, login in sessions_to_end(grafana, users, people)
            ),
        ]
    except OSError:
        return ["the service doesn't answer"]


def wait(grafana: Grafana) -> None:
    """Wait for a Grafana that is starting.

    Raises:
        SystemExit: it doesn't answer in its time.
    """
    deadline = time.monotonic() + START
    while True:
        try:
            grafana.ask("/health")
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"Grafana doesn't answer {START:.0f} s after its start: {error}")
            time.sleep(1)
        else:
            return


def restore_administrator(wanted: dict[str, Any]) -> None:
    """Give the first account its login, rights and password back, whatever has become of them.

    Grafana's interface needs an administrator's password, which is what may be lost.
    """
    grafana = pwd.getpwnam(ACCOUNT)
    # what SQLite leaves beside its file has to be Grafana's own
    os.setegid(grafana.pw_gid)
    os.seteuid(grafana.pw_uid)
    try:
        with sqlite3.connect(DATABASE, timeout=PATIENCE) as database:
            changed = database.execute(
                "UPDATE user SET login = ?, is_admin = 1, is_disabled = 0 WHERE id = ?",
                (wanted["login"], FIRST),
            ).rowcount
            database.execute("UPDATE org_user SET role = 'Admin' WHERE user_id = ?", (FIRST,))
            # wrong passwords that were tried hold up the right one for minutes
            database.execute("DELETE FROM login_attempt WHERE username = ?", (wanted["login"],))
        database.close()
    finally:
        os.seteuid(0)
        os.setegid(0)
    if not changed:
        sys.exit(f"Grafana's first account, the administrator's, was removed: {DATABASE} has to be put back")
    subprocess.run(
        [
            *("runuser", "-u", ACCOUNT, "--", f"{CODE}/bin/grafana", "cli"),
            *("--homepath", CODE, "--config", INI),
            *("admin", "reset-admin-password", "--password-from-stdin"),
        ],
        input=wanted["password"] + "\n",
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
        cwd="/",
    )


def apply(wanted: dict[str, Any]) -> None:
    """Change what differs."""
    grafana = Grafana(wanted["login"], wanted["password"])
    wait(grafana)
    if administrator_differs(grafana, wanted["login"]):
        restore_administrator(wanted)
        wrong = administrator_differs(grafana, wanted["login"])
        if wrong:
            sys.exit(f"Grafana doesn't take what was given back: {wrong}")
    users, people = grafana.users(), wanted["people"]
    for user, _ in own_accounts(users, people):
        grafana.ask(f"/admin/users/{user}/disable", "POST")
    for user, _ in sessions_to_end(grafana, users, people):
        grafana.ask(f"/admin/users/{user}/logout", "POST")


def _main() -> None:
    wanted = json.load(sys.stdin)
    if sys.argv[1] == "check":
        sys.stdout.write(json.dumps(differences(wanted)) + "\n")
    else:
        apply(wanted)


if __name__ == "__main__":
    try:
        _main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd[:8]))} ... ended with code {error.returncode}")
