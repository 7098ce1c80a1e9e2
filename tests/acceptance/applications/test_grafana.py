"""SUP-3: Grafana shows the supervision's dashboards to whom the groups say, and changes nothing of them.

Where it isn't deployed (its makers' archive can't be had everywhere), all of this is skipped, and shown so;
the supervision's own pages, and each query of each dashboard, are tested without it.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from medicarche.deploy.applications.supervision.dashboards import as_json
from medicarche.probe import Client

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page, Response
    from testinfra.host import Host

    from medicarche.credentials import Credentials
    from medicarche.report import Evidence
    from medicarche.spec.environment import Application, Environment

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.requirement("SUP-3"), pytest.mark.application_kind("grafana")]

#: where pages ask for figures, of older and newer versions
_QUERIES = ("/api/datasources/proxy/", "/api/ds/query")
#: the height of a window in which each panel of the longest dashboard is seen, and so asks for its figures
_TALL = 9000


@pytest.fixture
def dashboards(environment: Environment) -> dict[str, dict[str, Any]]:
    """Id of a dashboard → what it should be."""
    cloud = any("cloud" in a.egress for a in environment.applications if a.kind == "supervision")
    made = [json.loads(text) for text in as_json(environment.name, cloud=cloud).values()]
    return {dashboard["uid"]: dashboard for dashboard in made}


@pytest.fixture
def inside(authority: Path, url: str, administrator: tuple[str, str]) -> Iterator[Client]:
    """The local administrator, logged in by the form's own call."""
    with Client(authority, timeout=60) as client:
        assert log_in(client, url, *administrator) == 200
        yield client


def log_in(client: Client, url: str, login: str, password: str) -> int:
    """Do what the log-in page does; returns the status."""
    return client.post(f"{url}/login", json={"user": login, "password": password}).status_code


def test_the_administrator_logs_in_and_nobody_else_by_a_guess(
    inside: Client, outside: Client, url: str, administrator: tuple[str, str]
) -> None:
    assert inside.get(f"{url}/api/user").json()["login"] == administrator[0]
    assert all(cookie.secure for cookie in inside.cookies)
    for login, password in (("admin", "admin"), (administrator[0], "admin"), ("grafana", "grafana")):
        assert log_in(outside, url, login, password) == 401
    for path in ("/api/user", "/api/search", "/api/datasources", "/api/org", "/metrics"):
        # a page that isn't there leads to the log-in page
        assert outside.get(f"{url}{path}").status_code in {302, 401, 404}, path
    assert outside.get(f"{url}/").status_code in {302, 303}
    # the one answer for everybody says that it works, and little else
    assert outside.get(f"{url}/api/health").status_code == 200


def test_its_dashboards_are_the_environments_and_cant_be_changed_there(
    inside: Client, url: str, dashboards: dict[str, dict[str, Any]]
) -> None:
    found = inside.get(f"{url}/api/search?type=dash-db").json()
    assert {entry["uid"] for entry in found} == set(dashboards)
    for uid, expected in dashboards.items():
        answer = inside.get(f"{url}/api/dashboards/uid/{uid}").json()
        assert answer["meta"]["provisioned"] is True
        assert answer["dashboard"]["title"] == expected["title"]
        assert _asked(answer["dashboard"]) == _asked(expected)
        body = {"dashboard": answer["dashboard"], "overwrite": True}
        assert inside.post(f"{url}/api/dashboards/db", json=body).status_code in {400, 403}


def _asked(dashboard: dict[str, Any]) -> list[str]:
    return [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", ())]


def test_it_asks_the_supervision_and_nothing_else(inside: Client, url: str, machine: Host) -> None:
    (source,) = inside.get(f"{url}/api/datasources").json()
    assert (source["type"], source["readOnly"]) == ("prometheus", True)
    proxy = f"{url}/api/datasources/proxy/uid/{source['uid']}"
    answer = inside.get(f"{proxy}/api/v1/query?query=up").json()
    assert answer["data"]["result"]
    # what commands Prometheus isn't to be had this way either
    for path in ("-/quit", "-/reload", "api/v1/admin/tsdb/snapshot"):
        assert inside.post(f"{proxy}/{path}").status_code in {403, 404, 405, 503}, path
    assert machine.service("prometheus").is_running


def test_pages_draw_each_panel_from_figures(
    page: Page,
    url: str,
    administrator: tuple[str, str],
    dashboards: dict[str, dict[str, Any]],
    evidence: Evidence,
) -> None:
    """What each page of a dashboard asks for by itself is answered, in a real browser."""
    page.set_viewport_size({"width": 1600, "height": _TALL})
    page.goto(f"{url}/login")
    page.fill("input[name=user]", administrator[0])
    page.fill("input[name=password]", administrator[1])
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda address: "/login" not in address)
    rows = []
    for uid, dashboard in dashboards.items():
        answered: list[Response] = []
        broken: list[str] = []

        def note(response: Response, answered: list[Response] = answered, broken: list[str] = broken) -> None:
            if any(part in response.url for part in _QUERIES):
                answered.append(response)
            if response.status >= 400:
                broken.append(f"{response.status} {response.url}")

        page.on("response", note)
        page.goto(f"{url}/d/{uid}", wait_until="networkidle")
        page.wait_for_timeout(2000)
        page.remove_listener("response", note)
        assert broken == [], uid
        counted = [_series(response.json()) for response in answered if "query" in response.url]
        panels = [panel for panel in dashboard["panels"] if panel.get("targets")]
        rows.append((dashboard["title"], len(panels), len(counted), sum(map(bool, counted))))
        # some ask of what isn't deployed; a panel may ask several questions
        assert len(counted) >= len(panels), uid
        assert sum(map(bool, counted)) >= len(panels) * 3 // 4, uid
    evidence.table(
        "Ce que Grafana affiche", ("tableau", "panneaux", "questions", "dont répondues par des mesures"), rows
    )


def _series(answer: dict[str, Any]) -> int:
    """Return how many series an answer holds, of Prometheus' own form or of Grafana's."""
    if "results" in answer:
        return sum(len(result.get("frames", ())) for result in answer["results"].values())
    data = answer["data"]
    return len(data["result"] if isinstance(data, dict) else data)


def test_nobody_makes_a_key_that_outlasts_its_owner(inside: Client, url: str) -> None:
    for path in (
        "/api/serviceaccounts",
        "/api/serviceaccounts/1/tokens",
        "/api/auth/keys",
        "/API/Auth//Keys",
        "/apis/iam.grafana.app/v0alpha1/namespaces/default/serviceaccounts",
    ):
        body = {"name": "essai", "role": "Admin"}
        assert inside.post(f"{url}{path}", json=body).status_code == 403, path


@pytest.mark.alone
def test_what_is_changed_in_grafana_by_hand_is_told_and_put_back(
    authority: Path,
    url: str,
    administrator: tuple[str, str],
    application: Application,
    run_medicarche: Run,
) -> None:
    login, password = administrator
    name, other = f"essai-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    with Client(authority, timeout=60) as client, Client(authority, timeout=60) as by_hand:
        assert log_in(client, url, login, password) == 200
        made = client.post(f"{url}/api/admin/users", json={"login": name, "password": other})
        assert made.status_code == 200, made.text
        try:
            assert log_in(by_hand, url, name, other) == 200
            me = client.get(f"{url}/api/user").json()["id"]
            changed = client.put(f"{url}/api/admin/users/{me}/password", json={"password": other})
            assert changed.status_code == 200, changed.text
            shown = run_medicarche("plan", "--deploy")
            assert shown.returncode == 2, shown.stdout + shown.stderr
            assert "the administrator's login or password" in shown.stdout
            done = run_medicarche("provision")
            assert done.returncode == 0, done.stderr
            with Client(authority, timeout=60) as again:
                assert log_in(again, url, login, other) == 401
                assert log_in(again, url, login, password) == 200
            # whose accounts there are is the directory's affair, where there is one
            let_in = 401 if application.roles else 200
            assert by_hand.get(f"{url}/api/user").status_code == let_in
            with Client(authority, timeout=60) as again:
                assert log_in(again, url, name, other) == let_in
        finally:
            client.delete(f"{url}/api/admin/users/{made.json()['id']}", auth=administrator)
    idle = run_medicarche("plan", "--deploy")
    assert idle.returncode == 0, idle.stdout


def test_only_its_own_account_reads_its_secrets_and_its_data(
    machine: Host,
    credentials: Credentials,
    application: Application,
) -> None:
    kept = [credentials.get(f"{application.name}/{purpose}") for purpose in ("administrator", "secret_key")]
    for secret in kept:
        assert secret
        found = machine.check_output("grep -rlF %s /etc /opt/grafana/conf /usr/local/lib || true", secret)
        assert found.split()
        for path in found.split():
            assert (machine.file(path).mode, machine.file(path).group) == (0o640, "grafana"), path
        assert secret not in machine.check_output("ps -e -o args")
    data = machine.file("/var/lib/grafana")
    assert (data.user, data.mode) == ("grafana", 0o750)
    # it can't change its own code
    assert machine.check_output("find -L /opt/grafana -user grafana -print -quit") == ""


def test_its_service_runs_with_few_rights_and_starts_at_boot(
    machine: Host, record_property: Callable[[str, object], None]
) -> None:
    for name in ("nginx", "grafana-server", "prometheus"):
        assert machine.service(name).is_running
        assert machine.service(name).is_enabled
    assert machine.check_output("systemctl --failed --plain --no-legend") == ""
    shown = machine.check_output("systemctl show grafana-server --property=MainPID,MemoryCurrent,User")
    fields = dict(line.split("=", 1) for line in shown.splitlines())
    assert fields["User"] == "grafana"
    rights = machine.check_output("grep -E '^(CapEff|NoNewPrivs|VmRSS)' /proc/%s/status", fields["MainPID"])
    found = dict(line.split(":") for line in rights.splitlines())
    assert (int(found["CapEff"], 16), found["NoNewPrivs"].strip()) == (0, "1")
    record_property("resident memory, KiB", int(found["VmRSS"].split()[0]))


@pytest.mark.alone
def test_taken_out_of_the_file_it_is_gone_and_it_comes_back_with_its_data(  # noqa: PLR0917 - fixtures
    machine: Host,
    administrator: tuple[str, str],
    application: Application,
    authority: Path,
    url: str,
    changed_file: Callable[[Callable[[Any], None]], Path],
    run_medicarche: Run,
) -> None:
    def change(content: Any) -> None:  # noqa: ANN401 - YAML
        del content["applications"][application.name]

    title = f"essai {secrets.token_hex(4)}"
    with Client(authority, timeout=60) as client:
        body = {"dashboard": {"title": title, "panels": []}}
        assert client.post(f"{url}/api/dashboards/db", json=body, auth=administrator).status_code == 200
    without = ("--environment", str(changed_file(change)))
    try:
        shown = run_medicarche(*without, "plan", "--deploy")
        assert shown.returncode == 2, shown.stdout + shown.stderr
        assert "grafana-server.service: must not be there" in shown.stdout
        done = run_medicarche(*without, "provision")
        assert done.returncode == 0, done.stderr
        assert run_medicarche(*without, "plan", "--deploy").returncode == 0
        assert not machine.service("grafana-server").is_running
        assert not machine.file("/opt/grafana").exists
        assert machine.check_output("ls -d /opt/grafana* 2>/dev/null || true") == ""
        assert machine.check_output("ss --no-header --listening --tcp --numeric 'sport = :3000'") == ""
        assert machine.service("prometheus").is_running
    finally:
        back = run_medicarche("provision")
    assert back.returncode == 0, back.stderr
    with Client(authority, timeout=60) as client:
        found = client.get(f"{url}/api/search?query={title}", auth=administrator).json()
        assert [entry["title"] for entry in found] == [title]
        client.delete(f"{url}/api/dashboards/uid/{found[0]['uid']}", auth=administrator)
