"""Syncthing: a person in front of its pages, and a program that asks its REST interface."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from locust import between, constant_pacing, task

from medicarche.load.scenario import Person, of


@of("syncthing")
class Administrator(Person):
    """Somebody who looks after the folders: the page asks for all this every few seconds."""

    weight = 3
    wait_time = between(1, 3)
    token = ("", "")

    def on_start(self) -> None:
        """Log in, and take the token that every later request has to show."""
        user, password = self.login_in_charge()
        login = {"username": user, "password": password}
        with self.ask("POST", "/rest/noauth/auth/password", "administrator logs in", json=login) as answer:
            self.check(answer, 204)
        self._open()

    @task(1)
    def open_the_page(self) -> None:
        """Open the page."""
        self._open()

    @task(6)
    def watch(self) -> None:
        """What the open page asks for again and again; refused, it loads itself anew.

        Syncthing keeps the tokens of 25 pages and forgets the others; a page that is refused takes a new one
        (``syncthingController.js``: 403 reloads it).
        """
        headers = {f"X-{self.token[0]}": self.token[1]} if self.token[0] else {}
        for path, name, key in (
            ("/rest/system/status", "state of the node", "myID"),
            ("/rest/system/connections", "connections", "total"),
            ("/rest/stats/device", "devices", ""),
        ):
            with self.ask("GET", path, name, headers=headers) as answer:
                self.check_json(answer, *((key,) if key else ()))
                refused = answer.status_code == HTTPStatus.FORBIDDEN
            if refused:
                self._open()
                return

    def _open(self) -> None:
        with self.ask("GET", "/", "page") as answer:
            self.check(answer, 200, contains="syncthing", page=True)
        for cookie in self.client.cookiejar:
            if cookie.name.startswith("CSRF-Token"):
                self.token = (cookie.name, str(cookie.value))


@of("syncthing")
class Program(Person):
    """A program with the key of the REST interface: it looks whether all is synchronised."""

    weight = 1
    wait_time = constant_pacing(1)

    def on_start(self) -> None:
        """Take the key."""
        self.headers = {"X-API-Key": self.secret("api_key")}

    @task(3)
    def completion(self) -> None:
        """Ask how far everything is synchronised."""
        self._get("/rest/db/completion", "completion", "completion")

    @task(1)
    def configuration(self) -> None:
        """Read the configuration."""
        self._get("/rest/config", "configuration", "folders", "devices")

    def _get(self, path: str, name: str, *keys: str) -> Any:  # noqa: ANN401 - any JSON
        with self.ask("GET", path, name, headers=self.headers) as answer:
            return self.check_json(answer, *keys)
