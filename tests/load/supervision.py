"""Supervision: somebody of the DSI in front of its pages, and somebody who looks for a cause."""

from __future__ import annotations

import base64
import random
import re
import time

from locust import between, task

from medicarche.load.scenario import Person, of

_INSTANCES = re.compile(r'href="/instance\?nom=([a-z0-9-]+)"')
_APPLICATIONS = re.compile(r'href="/application\?nom=([a-z0-9-]+)"')
_HOUR = 3600


class Authenticated(Person):
    """Somebody who has given the browser the password."""

    abstract = True

    def on_start(self) -> None:
        """Give the password, which the browser then sends with each request."""
        login = base64.b64encode(":".join(self.login()).encode()).decode()
        self.headers = {"Authorization": f"Basic {login}"}


@of("supervision")
class Watcher(Authenticated):
    """Somebody who has the overview open, and looks closer now and then."""

    weight = 3
    wait_time = between(2, 5)
    instances: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()

    @task(6)
    def overview(self) -> None:
        """Look whether all is well."""
        self._overview()

    @task(2)
    def instance(self) -> None:
        """Look at one instance."""
        self._look_closer("/instance", "an instance's page", self.instances)

    @task(2)
    def application(self) -> None:
        """Look at one application."""
        self._look_closer("/application", "an application's page", self.applications)

    @task(1)
    def instructions(self) -> None:
        """Read what to do about an alert."""
        self._page("/consignes", "instructions", "InstanceAbsente")

    def _look_closer(self, path: str, page: str, names: tuple[str, ...]) -> None:
        """Open the page of one of those that the overview names; the overview, where it hasn't been seen."""
        if names:
            name = random.choice(names)  # noqa: S311 - nothing secret
            self._page(f"{path}?nom={name}", page, name)
        else:
            self._overview()

    def _overview(self) -> None:
        text = self._page("/", "overview", "Alertes en cours")
        self.instances = tuple(sorted(set(_INSTANCES.findall(text))))
        self.applications = tuple(sorted(set(_APPLICATIONS.findall(text))))

    def _page(self, path: str, name: str, contains: str) -> str:
        with self.ask("GET", path, name, headers=self.headers) as answer:
            return self.check(answer, 200, contains=contains, page=True)


@of("supervision")
class Engineer(Authenticated):
    """Somebody who looks for a cause: asks Prometheus for the last hour, and Alertmanager for the alerts."""

    weight = 1

    @task(2)
    def targets(self) -> None:
        """Ask which agents answer."""
        with self.ask("GET", "/prometheus/api/v1/query?query=up", "query", headers=self.headers) as answer:
            found = self.check_json(answer, "data")
            if found is not None and not found["data"]["result"]:
                answer.failure("no series")

    @task(2)
    def last_hour(self) -> None:
        """Ask for an hour of all instances' processors."""
        now = int(time.time())
        expression = "rate(medicarche_cpu_seconds_total[2m])"
        path = f"/prometheus/api/v1/query_range?query={expression}&start={now - _HOUR}&end={now}&step=15"
        with self.ask("GET", path, "query of an hour", headers=self.headers) as answer:
            self.check_json(answer, "data")

    @task(1)
    def alerts(self) -> None:
        """Ask for the alerts."""
        with self.ask("GET", "/alertmanager/api/v2/alerts", "alerts", headers=self.headers) as answer:
            self.check_json(answer)
