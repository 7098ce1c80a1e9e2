"""Supervision: what is watched follows from the environment; rules, pages and agents are right."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from medicarche import deploy
from medicarche.credentials import Credentials
from medicarche.deploy.applications.supervision import configuration, rules
from medicarche.deploy.job import make_job
from medicarche.deploy.watching import watched
from medicarche.errors import DeploymentError
from medicarche.pki import Authority
from medicarche.spec import load_environment
from medicarche.ssh import Ssh

if TYPE_CHECKING:
    from medicarche.spec import Environment

pytest.importorskip("pyinfra")

ROOT = Path(__file__).parents[3]
FILE = ROOT / "environments" / "example-supervision.yaml"
ALERTS = ROOT / "tests" / "supervision" / "alerts.yaml"
GUIDE = ROOT / "docs" / "supervision.md"
OWN_METRICS = Path(deploy.__file__).parent / "templates" / "supervised" / "own-metrics.sh"


@dataclass(frozen=True)
class Machine:
    """What is known of an instance."""

    name: str
    private_address: str
    floating_address: str | None = None
    id: str = "1"


@pytest.fixture(name="environment")
def _environment() -> Environment:
    return _load(FILE)


def _load(file: Path) -> Environment:
    return load_environment(
        file,
        check_settings=deploy.check_settings,
        private_listeners=deploy.listeners,
        minimum_size=deploy.minimum_size,
        traits=deploy.traits,
    )


def _machines(environment: Environment) -> list[Machine]:
    return [
        Machine(i.name, f"192.168.222.{10 + n}", f"10.20.20.{110 + n}")
        for n, i in enumerate(environment.instances)
    ]


CLOUD = {
    "api": [["10.20.20.1", 5000], ["10.20.20.1", 8774]],
    "entry": {
        "auth_type": "v3applicationcredential",
        "region_name": "RegionOne",
        "auth": {
            "auth_url": "http://127.0.0.1:5000/v3",
            "application_credential_id": "0123",
            "application_credential_secret": "secret-of-the-reader",
        },
    },
}


def _blind(environment: Environment) -> Environment:
    """Return the environment whose supervision doesn't reach the cloud."""
    blind = (replace(a, egress=("dns", "packages")) for a in environment.applications)
    return replace(environment, applications=tuple(blind))


def _job(environment: Environment, tmp_path: Path, machines: list[Machine] | None = None) -> dict[str, Any]:
    job = make_job(
        environment,
        machines if machines is not None else _machines(environment),
        ssh=Ssh(tmp_path, user="debian", key_name="administration"),
        credentials=Credentials(tmp_path),
        authority=Authority(tmp_path, organization="Medicarche", domain=environment.domain),
        package_proxy=None,
        dry_run=False,
        log=tmp_path / "deploy.log",
        cloud=CLOUD,
    )
    return {instance["name"]: instance for instance in job["instances"]}


@pytest.fixture(name="files")
def _files(environment: Environment, tmp_path: Path) -> dict[str, Any]:
    from medicarche.deploy.applications.supervision import operations  # noqa: PLC0415 - it imports pyinfra

    instance = _job(environment, tmp_path)["supervision"]
    (application,) = instance["applications"]
    return {file.path: file for file in operations.files(application, instance)}


# --- what is watched ---------------------------------------------------------------------------------------


def test_all_that_is_declared_is_watched(environment: Environment, tmp_path: Path) -> None:
    job = _job(environment, tmp_path)
    targets = configuration.targets(job["supervision"]["watched"])
    assert [t["labels"]["instance"] for t in targets["instances"]] == ["syncthing", "reserve", "supervision"]
    assert [t["targets"] for t in targets["instances"]] == [[f"192.168.222.{n}:9100"] for n in (10, 11, 12)]
    assert [t["labels"]["instance"] for t in targets["nginx"]] == ["syncthing", "supervision"]
    assert [t["targets"] for t in targets["applications"]] == [
        ["https://192.168.222.10:8885/rest/noauth/health"],
        ["https://192.168.222.12:8890/sante"],
    ]
    assert all(instance["exporters"] for instance in job.values())
    assert "watched" not in job["syncthing"]


def test_what_isnt_deployed_isnt_probed(environment: Environment, tmp_path: Path) -> None:
    job = _job(environment.without(["syncthing"]), tmp_path)
    targets = configuration.targets(job["supervision"]["watched"])
    assert [t["labels"]["application"] for t in targets["applications"]] == ["supervision"]
    assert [t["labels"]["instance"] for t in targets["nginx"]] == ["supervision"]


def test_an_instance_that_the_cloud_lost_is_declared_still(environment: Environment, tmp_path: Path) -> None:
    from medicarche.deploy.applications.supervision import operations  # noqa: PLC0415 - it imports pyinfra

    there = [m for m in _machines(environment) if m.name != "reserve"]
    instance = _job(environment, tmp_path, there)["supervision"]
    targets = configuration.targets(instance["watched"])
    assert [t["labels"]["instance"] for t in targets["instances"]] == ["syncthing", "supervision"]
    files = {f.path: f.content for f in operations.files(instance["applications"][0], instance)}
    declared = files["/var/lib/prometheus/node-exporter/medicarche-declared.prom"]
    assert 'medicarche_declared_instance{name="reserve"} 1\n' in declared


def test_without_supervision_no_instance_is_supervised(environment: Environment, tmp_path: Path) -> None:
    job = _job(environment.without(["supervision"]), tmp_path)
    assert not any(instance["exporters"] or "watched" in instance for instance in job.values())


def test_a_probe_asks_by_name_and_believes_the_environments_authority_only(
    environment: Environment, tmp_path: Path
) -> None:
    seen = _job(environment, tmp_path)["supervision"]["watched"]
    module = configuration.blackbox(seen)["modules"]["syncthing"]["http"]
    assert module["headers"] == {"Host": "syncthing.medicarche.internal:8885"}
    assert module["tls_config"] == {
        "server_name": "syncthing.medicarche.internal",
        "ca_file": "/etc/medicarche/supervision/authorities/syncthing.pem",
    }
    assert module["fail_if_not_ssl"]
    assert 401 not in module["valid_status_codes"]


def test_what_is_for_applications_is_looked_at_for_its_tls(company: Environment, tmp_path: Path) -> None:
    """A directory that hangs takes connections still: only the handshake tells."""
    seen = _job(company, tmp_path)["supervision"]["watched"]
    (target,) = (
        t for t in configuration.targets(seen)["applications"] if t["labels"]["application"] == "directory"
    )
    assert target["targets"] == ["192.168.222.10:636"]
    assert target["labels"]["url"] == "ldaps://directory.medicarche.internal:636/"
    module = configuration.blackbox(seen)["modules"]["directory"]
    assert module["prober"] == "tcp"
    assert module["tcp"]["tls"]
    assert module["tcp"]["tls_config"] == {
        "server_name": "directory.medicarche.internal",
        "ca_file": "/etc/medicarche/supervision/authorities/directory.pem",
    }


def test_instances_are_found_by_the_cloud_and_by_their_mark(environment: Environment, tmp_path: Path) -> None:
    seen = _job(environment, tmp_path)["supervision"]["watched"]
    jobs = {job["job_name"]: job for job in configuration.prometheus(seen)["scrape_configs"]}
    for name, port, matching in (("instances", 9100, "reserve"), ("nginx", 9113, "syncthing")):
        (found,) = jobs[name]["openstack_sd_configs"]
        assert found["identity_endpoint"] == "http://127.0.0.1:5000/v3"
        place, keep, label = jobs[name]["relabel_configs"]
        address = re.fullmatch(place["regex"], f"192.168.222.10:{found['port']}")
        assert address is not None
        assert place["replacement"].replace("$1", address[1]) == f"192.168.222.10:{port}"
        assert keep["source_labels"] == label["source_labels"] == ["__meta_openstack_tag_medicarche"]
        mark = f"medicarche:example-supervision:server/{matching}"
        assert re.fullmatch(keep["regex"], mark)
        assert not re.fullmatch(keep["regex"], mark.replace("example-supervision", "other"))
        assert re.fullmatch(label["regex"], mark)[1] == matching  # type: ignore[index] # it is there
    # the same question for both is asked once
    assert jobs["instances"]["openstack_sd_configs"] == jobs["nginx"]["openstack_sd_configs"]
    nginx = jobs["nginx"]["relabel_configs"][1]["regex"]
    assert not re.fullmatch(nginx, "medicarche:example-supervision:server/reserve")
    assert jobs["cloud"]["static_configs"][0]["targets"] == ["127.0.0.1:9180"]


def test_without_the_cloud_instances_are_those_of_the_file(environment: Environment, tmp_path: Path) -> None:
    seen = _job(_blind(environment), tmp_path)["supervision"]["watched"]
    configured = configuration.prometheus(seen)["scrape_configs"]
    jobs = {job["job_name"]: job for job in configured}
    assert "cloud" not in jobs
    assert jobs["instances"]["file_sd_configs"] == [
        {"files": ["/etc/medicarche/supervision/targets/instances.json"]}
    ]
    assert "openstack" not in json.dumps(configured)


def test_a_cloud_whose_api_isnt_known_is_told(environment: Environment, tmp_path: Path) -> None:
    supervision = next(a for a in environment.applications if a.kind == "supervision")
    with pytest.raises(DeploymentError, match="how instances reach this cloud's API isn't known") as told:
        watched(environment, _machines(environment), supervision, tmp_path, None)
    assert told.value.hint
    assert "remove cloud" in told.value.hint


# --- what is written ---------------------------------------------------------------------------------------


def test_everything_inside_is_on_loopback_and_declared(
    files: dict[str, Any], environment: Environment
) -> None:
    declared = {
        w.port
        for a in _blind(environment).applications
        if a.kind == "supervision"
        for w in deploy.listeners(a)
    }
    found = {}
    for name in ("prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter"):
        arguments = files[f"/etc/default/{name}"].content
        host, port = re.search(r"--web\.listen-address=([^:\s]*):(\d+)", arguments).groups()  # type: ignore[union-attr] # it is there
        found[int(port)] = host
    assert found == dict.fromkeys(declared, "127.0.0.1")
    for name in ("prometheus", "alertmanager"):
        package = "prometheus" if name == "prometheus" else f"prometheus-{name}"
        wanted = f"--web.external-url=https://supervision.medicarche.internal:8890/{name}/ "
        assert wanted in files[f"/etc/default/{package}"].content
    assert "--cluster.listen-address= " in files["/etc/default/prometheus-alertmanager"].content.replace(
        '"', " "
    )


def test_the_password_is_nowhere_in_clear(
    files: dict[str, Any], environment: Environment, tmp_path: Path
) -> None:
    password = Credentials(tmp_path).get("supervision/administrator")
    assert password
    assert [path for path, file in files.items() if password in file.content] == []
    users = files["/etc/nginx/supervision.users"]
    assert (users.mode, users.owner) == ("640", "root:www-data")
    assert users.content.startswith("dsi:{SSHA}")
    assert "auth_basic_user_file" in files["/etc/nginx/applications/supervision.conf"].content
    for file in files.values():  # what a service alone may read isn't among those that everybody may
        assert CLOUD["entry"]["auth"]["application_credential_secret"] not in file.content  # type: ignore[index]
    del environment


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't here")
def test_the_password_line_is_what_nginx_reads() -> None:
    import base64  # noqa: PLC0415 - here only

    line = configuration.password_line("dsi", "secret")
    raw = base64.b64decode(line.strip().partition("}")[2])
    digest, salt = raw[:20], raw[20:]
    made = subprocess.run(
        ["openssl", "dgst", "-sha1", "-binary"], input=b"secret" + salt, capture_output=True, check=True
    ).stdout
    assert made == digest
    assert configuration.password_line("dsi", "other") != line


def test_agents_listen_on_the_private_address_only(environment: Environment, tmp_path: Path) -> None:
    from medicarche.deploy import supervised  # noqa: PLC0415 - it imports pyinfra

    job = _job(environment, tmp_path)
    files = {f.path: f.content for f in supervised.files(job["syncthing"])}
    assert (
        "--web.listen-address=192.168.222.10:9100 " in files["/etc/prometheus/medicarche-instances.arguments"]
    )
    assert "--web.listen-address=192.168.222.10:9113 " in files["/etc/prometheus/medicarche-nginx.arguments"]
    assert "listen 127.0.0.1:9145;" in files["/etc/nginx/conf.d/medicarche-status.conf"]
    # an instance that serves nothing has no nginx
    assert not [path for path in (f.path for f in supervised.files(job["reserve"])) if "nginx" in path]
    assert supervised.packages(job["reserve"]) == ("prometheus-node-exporter",)


COMPANY = ROOT / "environments" / "medicarche.yaml"
#: where the company's file has what shows figures of its own
SERVING = {
    "nginx": {"website", "odoo", "syncthing", "supervision"},
    "apache": {"website"},
    "mariadb": {"website"},
    "postgresql": {"odoo"},
}


@pytest.fixture(name="company")
def _company() -> Environment:
    return _load(COMPANY).without(["nextcloud"])


def test_each_service_of_an_application_has_its_agent(company: Environment, tmp_path: Path) -> None:
    job = _job(company, tmp_path)
    seen = job["supervision"]["watched"]
    assert {name: set(found) for name, found in seen["exporters"].items()} == {
        "instances": set(job),
        **SERVING,
    }
    jobs = {j["job_name"]: j for j in configuration.prometheus(seen)["scrape_configs"]}
    for name, port in (("apache", 9117), ("mariadb", 9104), ("postgresql", 9187)):
        assert {t["labels"]["instance"] for t in configuration.targets(seen)[name]} == SERVING[name]
        place, keep, _ = jobs[name]["relabel_configs"]
        assert place["replacement"] == f"$1:{port}"
        mark = f"medicarche:{company.name}:server/"
        assert {i for i in job if re.fullmatch(keep["regex"], mark + i)} == SERVING[name]


def test_a_services_agent_is_shown_on_the_private_address_and_asks_inside(
    company: Environment, tmp_path: Path
) -> None:
    from medicarche.deploy import supervised  # noqa: PLC0415 - it imports pyinfra

    job = _job(company, tmp_path)
    address = job["website"]["private_address"]
    files = {f.path: f.content for f in supervised.files(job["website"])}
    assert f"--web.listen-address={address}:9104 " in files["/etc/prometheus/medicarche-mariadb.arguments"]
    apache = files["/etc/prometheus/medicarche-apache.arguments"]
    assert f"--web.listen-address={address}:9117 " in apache
    (asked,) = re.findall(r"--scrape_uri=http://(127\.0\.0\.1:\d+)/etat", apache)
    status = files["/etc/apache2/conf-enabled/medicarche-status.conf"]
    assert f"Listen {asked}\n" in status
    assert f"<VirtualHost {asked}>" in status
    odoo = {f.path: f.content for f in supervised.files(job["odoo"])}
    assert "host=/run/postgresql" in odoo["/etc/prometheus/medicarche-postgresql.arguments"]
    assert supervised.databases(job["website"]) == ("mariadb",)
    assert supervised.databases(job["odoo"]) == ("postgresql",)
    assert supervised.databases(job["syncthing"]) == ()
    # Apache and its agent load what is new
    base = {u.name: u.configuration for u in supervised.units(job["website"])}
    assert "/etc/prometheus/medicarche-mariadb.cnf" in base["prometheus-mysqld-exporter.service"]


def test_all_that_an_agent_brings_is_looked_for_when_nobody_supervises(
    company: Environment, tmp_path: Path
) -> None:
    from medicarche.deploy import supervised  # noqa: PLC0415 - it imports pyinfra

    question = supervised.Remains().command()
    for instance in _job(company, tmp_path).values():
        brought = [*(f.path for f in supervised.files(instance)), *supervised.packages(instance)]
        assert [name for name in brought if f" {name} " not in question] == []


# --- alerts ------------------------------------------------------------------------------------------------


def test_each_alert_says_what_to_do_and_leads_to_its_section(files: dict[str, Any]) -> None:
    written = YAML(typ="safe", pure=True).load(files["/etc/medicarche/supervision/alertes.yml"].content)
    page = files["/etc/medicarche/supervision/pages/consignes.html"].content
    guide = GUIDE.read_text(encoding="utf-8")
    found = written["groups"][0]["rules"]
    assert len(found) >= 8
    for rule in found:
        annotations = rule["annotations"]
        address, _, anchor = annotations["consigne"].partition("#")
        assert address == "https://supervision.medicarche.internal:8890/consignes"
        assert f'<section id="{anchor}">' in page
        assert annotations["resume"].endswith(".")
        assert annotations["que_faire"].startswith("1. ")
        assert f"### {rule['alert']}\n" in guide, f"docs/supervision.md has no section {rule['alert']}"
    assert "$labels" not in page
    assert "&lt;instance&gt;" in page


@pytest.mark.parametrize(
    ("name", "expected"), [("DisquePresquePlein", "disque-presque-plein"), ("Absente", "absente")]
)
def test_an_anchor_is_made_of_its_alerts_name(name: str, expected: str) -> None:
    assert rules.anchor(name) == expected


def test_prometheus_reads_the_configuration_and_the_rules_fire(
    files: dict[str, Any], environment: Environment, tmp_path: Path
) -> None:
    promtool = os.environ.get("MEDICARCHE_PROMTOOL") or shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool isn't here; the acceptance test runs it in the supervision's instance")
    seen = _job(environment, tmp_path)["supervision"]["watched"]
    written = YAML(typ="safe", pure=True).load(files["/etc/medicarche/supervision/alertes.yml"].content)
    for rule in written["groups"][0]["rules"]:
        del rule["annotations"]
    (tmp_path / "alertes.yml").write_text(json.dumps(written))
    (tmp_path / "complete.yml").write_text(files["/etc/medicarche/supervision/alertes.yml"].content)
    (tmp_path / "test.yml").write_text(ALERTS.read_text(encoding="utf-8"))
    data = {**configuration.prometheus(seen), "rule_files": [str(tmp_path / "complete.yml")]}
    (tmp_path / "prometheus.yml").write_text(configuration.as_yaml(data))
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "test.yml"]):
        done = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_that_it_fires_and_one_that_it_doesnt() -> None:
    data = YAML(typ="safe", pure=True).load(ALERTS.read_text(encoding="utf-8"))
    fired: set[str] = set()
    silent: set[str] = set()
    for case in data["tests"]:
        for question in case["alert_rule_test"]:
            (fired if question.get("exp_alerts") else silent).add(question["alertname"])
    names = {alert.name for alert in rules.load_alerts()}
    assert fired == names
    assert silent == names


def test_alertmanager_tells_an_instance_that_is_gone_once() -> None:
    (rule,) = configuration.alertmanager()["inhibit_rules"]
    assert rule["equal"] == ["instance"]
    names = {alert.name for alert in rules.load_alerts()}
    for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
        wanted = re.search(r'"([^"]+)"', matcher)
        assert wanted
        assert set(wanted[1].split("|")) <= names


# --- the pages ---------------------------------------------------------------------------------------------


def test_the_pages_ask_for_alerts_and_metrics_that_exist(files: dict[str, Any]) -> None:
    pages = {p: f.content for p, f in files.items() if p.startswith("/etc/medicarche/supervision/consoles/")}
    assert {p.rpartition("/")[2] for p in pages} == {
        "application.html", "cloud.html", "commun.lib", "environnement.html", "instance.html",
    }  # fmt: skip
    # what an application's own program tells is looked at with that program (test_nextcloud_metrics)
    asked = set(re.findall(r"\bmedicarche_(?!nextcloud_)\w+", "".join(pages.values())))
    written = OWN_METRICS.read_text(encoding="utf-8") + "".join(
        f.content for f in files.values() if ".prom" in f.path
    )
    assert asked
    assert {name for name in asked if f"TYPE {name} " not in written} == set()


# --- what an instance uses ---------------------------------------------------------------------------------


def _own(tmp_path: Path, groups: dict[str, str]) -> dict[str, float]:
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    proc.mkdir()
    (proc / "meminfo").write_text("MemTotal: 4000 kB\nMemFree: 100 kB\nMemAvailable: 1000 kB\n")
    (proc / "stat").write_text("cpu 100 20 30 4000 50 6 7 8 0 0\n")
    root.mkdir()
    for name, content in groups.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    target = tmp_path / "own.prom"
    subprocess.run(
        ["sh", str(OWN_METRICS), str(target)],
        env={
            **os.environ,
            "CGROUP_ROOT": str(root),
            "PROC_ROOT": str(proc),
            "ROUNDS": "1",
            "LC_ALL": "fr_FR.UTF-8",
        },
        check=True,
        timeout=30,
    )
    assert [p.name for p in tmp_path.glob("own.prom*")] == ["own.prom"]
    lines = [line.split() for line in target.read_text().splitlines() if not line.startswith("#")]
    return {name.removeprefix("medicarche_"): float(value) for name, value in lines}


def test_a_containers_own_use_comes_from_its_control_groups(tmp_path: Path) -> None:
    groups = {
        "memory/memory.usage_in_bytes": "3000000\n",
        "memory/memory.stat": "cache 5\ntotal_inactive_file 1000000\n",
        "memory/memory.limit_in_bytes": "3500000\n",
        "cpuacct/cpuacct.usage": "12345000000\n",
    }
    assert _own(tmp_path, groups) == {
        "memory_used_bytes": 2_000_000, "memory_limit_bytes": 3_500_000, "cpu_seconds_total": 12.345,
    }  # fmt: skip


def test_version_2_of_control_groups(tmp_path: Path) -> None:
    groups = {
        "memory.current": "3000000\n",
        "memory.stat": "anon 5\ninactive_file 500000\n",
        "memory.max": "max\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
    }
    assert _own(tmp_path, groups) == {
        "memory_used_bytes": 2_500_000, "memory_limit_bytes": 4_096_000, "cpu_seconds_total": 2.5,
    }  # fmt: skip


def test_a_machine_of_its_own_is_what_proc_says(tmp_path: Path) -> None:
    seen = _own(tmp_path, {})
    assert (seen["memory_used_bytes"], seen["memory_limit_bytes"]) == (3000 * 1024, 4000 * 1024)
    assert seen["cpu_seconds_total"] == pytest.approx(171 / os.sysconf("SC_CLK_TCK"))


def test_json_is_what_prometheus_reads(files: dict[str, Any]) -> None:
    for path, file in files.items():
        if path.endswith(".json"):
            assert json.loads(file.content)
