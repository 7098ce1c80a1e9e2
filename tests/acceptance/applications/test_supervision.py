"""SUP-1, SUP-3: the supervision sees all that is declared, and says what is wrong and what to do.

What must be seen is computed from the environment file, never written down here.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import requests
from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack.connection import Connection

from medicarche.deploy.applications.supervision.dashboards import load_dashboards
from medicarche.planning import site_of
from medicarche.probe import Endpoint, PortState, scan
from medicarche.spec.supervision import EXPORTERS, NODE, SERVICES, exporters
from medicarche.testing.browser import browse
from medicarche.testing.supervision import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.probe import Client
    from medicarche.report import Evidence
    from medicarche.spec.environment import Application, Environment
    from medicarche.testing.built import Built
    from medicarche.testing.supervision import Watch

    Machines = Callable[[InstanceState], Host]

pytestmark = pytest.mark.application_kind("supervision")

#: seconds until a new target was asked twice
SOON = 60.0


def _deployed(environment: Environment) -> list[Application]:
    return [a for a in environment.applications if a.deployed]


# --- what is seen ------------------------------------------------------------------------------------------


@pytest.mark.requirement("SUP-1")
def test_all_that_the_environment_file_declares_is_seen(
    environment: Environment, watch: Watch, evidence: Evidence
) -> None:
    serving = {a.instance for a in environment.for_people}
    expected = {("instances", i.name) for i in environment.instances} | {("nginx", name) for name in serving}
    expected |= {("applications", a.name) for a in _deployed(environment)}
    services = {(service, a.instance) for a in _deployed(environment) for service in a.traits.services}
    expected |= services

    def seen() -> dict[tuple[str, str], str]:
        name = {"applications": "application"}
        return {
            (t["labels"]["job"], t["labels"][name.get(t["labels"]["job"], "instance")]): t["health"]
            for t in watch.targets()
        }

    until(lambda: set(seen().values()) == {"up"}, "all targets are up", SOON)
    found = seen()
    rows = [(*key, found.get(key, "absent")) for key in sorted(expected)]
    evidence.table(
        "Ce qui est supervisé, d'après le fichier d'environnement", ("source", "nom", "état"), rows
    )
    jobs = {"instances", "nginx", "applications", *SERVICES}
    assert {key for key in found if key[0] in jobs} == expected
    until(
        lambda: {value for _, value in watch.query("probe_success")} == {1.0}, "all applications answer", SOON
    )
    assert {labels["application"] for labels, _ in watch.query("probe_success == 1")} == {
        a.name for a in _deployed(environment)
    }
    # their agents answer, and are answered
    found_up = watch.query("apache_up == 1 or mysql_up == 1 or pg_up == 1")
    assert {(labels["job"], labels["instance"]) for labels, _ in found_up} == services


@pytest.mark.requirement("SUP-3")
def test_every_panel_for_grafana_has_figures_of_all_that_is_declared(
    environment: Environment, watch: Watch, evidence: Evidence
) -> None:
    """Each query of each dashboard, asked of Prometheus itself with every choice at once."""
    deployed = _deployed(environment)
    looks_at_cloud = any("cloud" in a.egress for a in deployed if a.kind == "supervision")
    # a service that no application has has no figures, nor has an application that isn't there
    services = {service for a in deployed for service in a.traits.services} | {a.kind for a in deployed}
    prefixes = {
        "apache": "apache_",
        "mariadb": "mysql_",
        "nextcloud": "medicarche_nextcloud_",
        "postgresql": "pg_",
    }

    def measured(query: str) -> bool:
        of = {service for service, prefix in prefixes.items() if re.search(rf"\b{prefix}", query)}
        return not of or bool(of & services)

    asked = {
        (name, panel.title, legend): re.sub(r'="\$\w+"', '=~".+"', query.replace("$__rate_interval", "2m"))
        for name, dashboard in load_dashboards().items()
        if name != "cloud" or looks_at_cloud
        for panels in dashboard.rows.values()
        for panel in panels
        for legend, query in panel.queries.items()
        if measured(query)
    }
    empty: set[tuple[str, str, str]] = set()

    def all_have_figures() -> bool:
        empty.clear()
        empty.update(which for which, query in asked.items() if not watch.query(query))
        return not empty

    try:
        until(all_have_figures, "every panel has figures", SOON)
    finally:
        rows = [(*which, "rien" if which in empty else "oui") for which in asked]
        evidence.table("Les tableaux de bord pour Grafana", ("tableau", "panneau", "série", "mesurée"), rows)
    serving = {a.instance for a in environment.for_people}
    pages = {a.name for a in environment.for_people}
    for label, declared in (
        ("instance", {i.name for i in environment.instances}),
        ("application", {a.name for a in deployed}),
    ):
        heading = {"instance": "Instances", "application": "Applications, vues par leurs utilisateurs"}[label]
        for panel in load_dashboards()["environnement"].rows[heading]:
            (query,) = panel.queries.values()
            shown = {labels[label] for labels, _ in watch.query(query.replace("$__rate_interval", "2m"))}
            # nginx stands in front of what people open, and nothing else has pages
            there = serving if "nginx_" in query else pages if "_http_" in query else declared
            assert shown == there, panel.title


@pytest.mark.requirement("SUP-1")
def test_an_instances_figures_are_its_own_and_not_the_hosts(
    environment: Environment, instances: tuple[InstanceState, ...], watch: Watch, machines: Machines
) -> None:
    flavors = {f.name: f for f in environment.flavors}
    limits = {labels["instance"]: value for labels, value in watch.query("medicarche_memory_limit_bytes")}
    used = {labels["instance"]: value for labels, value in watch.query("medicarche_memory_used_bytes")}
    sizes = {
        labels["instance"]: value
        for labels, value in watch.query('node_filesystem_size_bytes{mountpoint="/"}')
    }
    for instance in instances:
        flavor = flavors[environment.instance(instance.name).flavor]
        assert limits[instance.name] <= flavor.ram_mib * 2**20
        assert 0 < used[instance.name] < limits[instance.name]
        shown = machines(instance).check_output("df --block-size=1 --output=size / | tail -1")
        assert sizes[instance.name] == int(shown)


@pytest.mark.requirement("SUP-1")
def test_the_agents_cost_little(
    instances: tuple[InstanceState, ...], machines: Machines, evidence: Evidence, application: Application
) -> None:
    rows = []
    for instance in instances:
        host = machines(instance)
        ticks = int(host.check_output("getconf CLK_TCK"))
        shown = host.check_output(
            "ps -o pid=,comm=,rss=,etimes= -C %s",
            ",".join([*(e.program[:15] for e in EXPORTERS), "own-metrics"]),
        )
        for line in shown.splitlines():
            pid, command, rss, lived = line.split()
            # proc(5): user and system time, its own and that of its children
            fields = host.check_output("cat /proc/%s/stat", pid).rpartition(")")[2].split()
            cpu = sum(map(int, fields[11:15])) / ticks
            share = cpu / max(int(lived), 1)
            rows.append((instance.name, command, f"{int(rss) / 1024:.0f}", f"{share:.2%}"))
            assert int(rss) < 60 * 1024, line
            assert cpu > 0, line
            assert share <= 0.02 or int(lived) < 60, (line, cpu)
    evidence.table("Ce que coûtent les agents", ("instance", "programme", "Mio", "d'un cœur"), rows)
    assert application.instance in {row[0] for row in rows}
    assert {row[0] for row in rows} == {i.name for i in instances}


@pytest.mark.requirement("SUP-1", "CLOUD-7")
def test_nobody_but_the_supervision_reaches_an_agent(
    environment: Environment,
    application: Application,
    instances: tuple[InstanceState, ...],
    machines: Machines,
) -> None:
    agents = [(i, e.port) for i in instances for e in exporters(environment, i.name)]
    assert {i.name for i, port in agents if port == NODE.port} == {i.name for i in instances}
    outside = [Endpoint(str(i.floating_address), port) for i, port in agents if i.floating_address]
    assert set(scan(outside).values()) == {PortState.FILTERED}
    private = [(target.private_address, port) for target, port in agents]
    for source in instances:
        found = _connected(machines(source), private)
        for target, port in agents:
            if source.name != target.name:
                reached = (target.private_address, port) in found
                assert reached is (source.name == application.instance), (source.name, target.name, port)


#: database → how it is asked with its agent's account, and what that account must not read
_CLIENTS = {
    "mariadb": "mariadb --batch --skip-column-names --user=prometheus",
    "postgresql": "psql -XAtq -v VERBOSITY=verbose --host=/run/postgresql --username=prometheus",
}
#: what each says where a right is missing, in whatever language: MariaDB's error, PostgreSQL's SQLSTATE
_REFUSED = {"mariadb": "ERROR 1142", "postgresql": "42501"}
_KEPT = {
    "mariadb": ("SELECT * FROM mysql.global_priv;", "SELECT * FROM wordpress.wp_users;"),
    "postgresql": ("SELECT * FROM pg_authid;", "SELECT * FROM res_users;"),
}


@pytest.fixture
def databases(
    environment: Environment, instances: tuple[InstanceState, ...], machines: Machines
) -> list[tuple[str, InstanceState, Host]]:
    """The databases of the environment's applications: kind, instance, its machine."""
    by_name = {i.name: i for i in instances}
    found = [
        (kind, by_name[a.instance], machines(by_name[a.instance]))
        for a in _deployed(environment)
        for kind in sorted(_CLIENTS.keys() & set(a.traits.services))
    ]
    if not found:
        pytest.skip("no application of this environment has a database")
    return found


@pytest.mark.requirement("SUP-1")
@pytest.mark.usefixtures("application")
def test_an_agent_reads_no_data_and_nobody_else_takes_its_account(
    databases: list[tuple[str, InstanceState, Host]],
) -> None:
    for kind, _, host in databases:
        in_it = [""]
        if kind == "postgresql":
            shown = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"
            in_it = host.check_output('runuser -u postgres -- psql -XAtqc "%s"' % shown).split()  # noqa: UP031 - of SQL's own
            assert len(in_it) > 1
        for name in in_it:
            client = f"{_CLIENTS[kind]} {name}"
            asked = host.run(f"echo 'SELECT 1;' | runuser -u prometheus -- {client}")
            assert (asked.rc, asked.stdout.strip()) == (0, "1"), asked.stderr
            # an account of the system that isn't the agent's
            assert host.run(f"echo 'SELECT 1;' | runuser -u nobody -- {client}").rc != 0
            answers = {
                question: host.run(f"echo '{question}' | runuser -u prometheus -- {client}")
                for question in _KEPT[kind]
            }
            assert [question for question, answer in answers.items() if answer.stdout] == [], kind
            said = [answer.stderr for answer in answers.values()]
            assert any(_REFUSED[kind] in words for words in said), said


def _connected(machine: Host, endpoints: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return those of some TCP endpoints that an instance reaches; it tries them all at once."""
    tries = "".join(
        f"(timeout 3 bash -c ': < /dev/tcp/{address}/{port}' && echo {address} {port}) & "
        for address, port in endpoints
    )
    shown = machine.check_output(f"{{ {tries}wait; }} 2>/dev/null")
    return {(address, int(port)) for address, port in map(str.split, shown.splitlines())}


# --- the cloud itself --------------------------------------------------------------------------------------


@pytest.fixture
def looks(application: Application) -> None:
    """Skip where the environment file doesn't let the supervision reach the cloud."""
    if "cloud" not in application.egress:
        pytest.skip("the supervision doesn't look at the cloud: no cloud in its egress")


@pytest.mark.requirement("SUP-2")
@pytest.mark.usefixtures("looks")
def test_the_clouds_own_figures_are_those_of_its_api(
    watch: Watch, provisioned: Built, member: Connection, evidence: Evidence
) -> None:
    until(lambda: watch.query("openstack_part_up"), "the cloud's figures come", SOON)
    parts = {labels["part"]: value for labels, value in watch.query("openstack_part_up")}
    refused = {labels["part"] for labels, value in watch.query("openstack_part_refused") if value}
    evidence.table("Les parties du cloud", ("partie", "répond", "refusé"), [
        (part, value, part in refused) for part, value in sorted(parts.items())
    ])  # fmt: skip
    assert {part for part, value in parts.items() if not value} <= refused
    counted = Counter(server.status for server in member.compute.servers())
    shown = {labels["status"]: int(value) for labels, value in watch.query("openstack_instances")}
    assert shown == dict(counted)
    limits = member.compute.get("/limits").json()["limits"]["absolute"]
    for name, key in (("instances", "totalInstancesUsed"), ("ram_mib", "totalRAMUsed")):
        ((_, value),) = watch.query(f'openstack_compute_quota_used{{resource="{name}"}}')
        assert value == limits[key]
    admin = provisioned.connections.admin
    if admin is not None and not refused:
        agents = {(a.agent_type, a.host): a.is_alive for a in admin.sdk.network.agents()}
        seen = watch.query("openstack_agent_up")
        assert {(labels["agent"], labels["host"]): bool(value) for labels, value in seen} == agents
        services = {s.binary for s in admin.sdk.compute.services()}
        assert {labels["service"] for labels, _ in watch.query("openstack_service_up == 1")} == services
        assert watch.query("openstack_hypervisor_memory_used_bytes > 0")
    ((_, calls),) = watch.query("openstack_scrape_calls")
    assert calls <= 8


@pytest.mark.requirement("SUP-2")
@pytest.mark.usefixtures("looks")
def test_what_it_looks_at_the_cloud_with_may_only_look(machine: Host, provisioned: Built) -> None:
    assert provisioned.selection.embedded is not None
    entry = provisioned.selection.embedded.reader_entry()
    sdk = Connection(**entry)
    assert isinstance(sdk.session.auth, BaseIdentityPlugin)
    assert set(sdk.session.auth.get_access(sdk.session).role_names or ()) == {"reader"}
    body = {"security_group": {"name": "medicarche-acceptance"}}
    assert sdk.network.post("/security-groups", json=body).status_code == 403
    # and nobody else reads it there
    secret = entry["auth"]["application_credential_secret"]
    found = machine.check_output("grep -rlF %s /etc /usr/local/lib /var/lib/prometheus || true", secret)
    for path in found.split():
        assert machine.file(path).mode == 0o640, path
        assert machine.file(path).group == "prometheus", path
    assert found.split()
    assert secret not in machine.check_output("ps -e -o args")


@pytest.mark.requirement("SUP-2", "CLOUD-7")
@pytest.mark.usefixtures("looks")
def test_nobody_but_the_supervision_reaches_the_clouds_api(
    application: Application, instances: tuple[InstanceState, ...], machines: Machines, provisioned: Built
) -> None:
    api = site_of(provisioned.selection).api
    assert api
    for source in instances:
        expected = set(api) if source.name == application.instance else set()
        assert _connected(machines(source), api) == expected, source.name


@pytest.mark.requirement("SUP-2")
@pytest.mark.usefixtures("looks")
def test_instances_are_found_by_the_clouds_api(watch: Watch, environment: Environment) -> None:
    found = [t for t in watch.targets() if t["labels"]["job"] == "instances"]
    for target in found:
        assert target["discoveredLabels"]["__meta_openstack_instance_status"]
    assert {t["labels"]["instance"] for t in found} == {i.name for i in environment.instances}


# --- who looks ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("SUP-3")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/instance",
        "/application",
        "/consignes",
        "/prometheus/api/v1/targets",
        "/alertmanager/api/v2/status",
    ],
)
def test_its_pages_want_the_password(
    outside: Client, url: str, administrator: tuple[str, str], path: str
) -> None:
    assert outside.get(f"{url}{path}").status_code == 401
    assert outside.get(f"{url}{path}", auth=(administrator[0], "wrong")).status_code == 401
    assert outside.get(f"{url}{path}", auth=administrator).status_code == 200
    # the one page for everybody says that it works, and nothing else
    assert len(outside.get(f"{url}/sante").text) < 60


@pytest.mark.requirement("SUP-3")
def test_nothing_is_changed_from_outside(outside: Client, url: str, administrator: tuple[str, str]) -> None:
    for path in ("/prometheus/-/reload", "/prometheus/-/quit", "/prometheus/api/v1/admin/tsdb/snapshot"):
        assert outside.post(f"{url}{path}", auth=administrator).status_code == 403


@pytest.mark.requirement("SUP-3")
def test_the_overview_shows_everything_in_french(
    environment: Environment,
    instance: InstanceState,
    url: str,
    administrator: tuple[str, str],
    authority: Path,
) -> None:
    port = int(url.rpartition(":")[2])
    with browse(str(instance.floating_address), port, authority) as page:
        page.set_extra_http_headers(_basic(administrator))
        page.goto(f"{url}/")
        text = page.inner_text("main")
        for word in ("Vue d'ensemble", "Alertes en cours", "Applications", "Instances"):
            assert word in text
        for each in _deployed(environment):
            assert each.title in text
        for other in environment.instances:
            page.goto(f"{url}/")
            page.click(f"table >> nth=1 >> text='{other.name}'")
            page.wait_for_selector(f"h1:has-text('{other.name}')")
            assert "répond" in page.inner_text("main")
        for each in _deployed(environment):
            page.goto(f"{url}/application?nom={each.name}")
            assert each.title in page.inner_text("h1")
            assert "répond" in page.inner_text("main")


def _basic(login: tuple[str, str]) -> dict[str, str]:
    prepared = requests.Request("GET", "https://x.invalid/", auth=login).prepare()
    return {"Authorization": str(prepared.headers["Authorization"])}
