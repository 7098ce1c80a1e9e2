"""Grafana: people of the DSI with a dashboard open, whose panels ask for their figures again and again."""

from __future__ import annotations

import random
from typing import Any

from locust import between, task

from medicarche.load.scenario import Person, of

#: panels that a page has in view, and asks the figures of
_IN_VIEW = 6


@of("grafana")
class Watcher(Person):
    """Somebody who looks at dashboards, and lets them bring themselves up to date."""

    wait_time = between(2, 5)

    def on_start(self) -> None:
        """Log in as the page does."""
        login, password = self.login()
        with self.ask("POST", "/login", "log-in", json={"user": login, "password": password}) as answer:
            self.check(answer, 200)
        self.dashboards: tuple[str, ...] = ()
        self.queries: tuple[str, ...] = ()

    @task(1)
    def search(self) -> None:
        """Look which dashboards there are."""
        with self.ask("GET", "/api/search?type=dash-db", "list of dashboards") as answer:
            found = self.check_json(answer)
            if found is not None and not found:
                answer.failure("no dashboard")
        self.dashboards = tuple(entry["uid"] for entry in found or ())

    @task(3)
    def dashboard(self) -> None:
        """Open one of them."""
        if not self.dashboards:
            self.search()
            return
        uid = random.choice(self.dashboards)  # noqa: S311 - nothing secret
        with self.ask("GET", f"/api/dashboards/uid/{uid}", "dashboard") as answer:
            found = self.check_json(answer, "dashboard")
        self.queries = tuple(_queries(found["dashboard"])) if found else ()
        self._figures()

    @task(6)
    def refresh(self) -> None:
        """Let the open one ask for its figures again."""
        if self.queries:
            self._figures()
        else:
            self.dashboard()

    def _figures(self) -> None:
        for query in self.queries[:_IN_VIEW]:
            asked = {
                "refId": "A",
                "datasource": {"type": "prometheus", "uid": "supervision"},
                "expr": query,
                "range": True,
                "intervalMs": 15_000,
                "maxDataPoints": 500,
            }
            body = {"queries": [asked], "from": "now-1h", "to": "now"}
            with self.ask("POST", "/api/ds/query", "figures of a panel", json=body) as answer:
                found = self.check_json(answer, "results")
                if found and "frames" not in found["results"].get("A", {}):
                    answer.failure("no figures")


def _queries(dashboard: dict[str, Any]) -> list[str]:
    """Return what a dashboard's panels ask, of all instances and applications at once."""
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    for name in ("instance", "application"):
        found = [query.replace(f'="${name}"', '=~".+"') for query in found]
    return [query.replace("$__rate_interval", "2m") for query in found]
