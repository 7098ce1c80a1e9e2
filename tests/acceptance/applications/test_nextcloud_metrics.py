"""SUP-1: what the supervision knows of Nextcloud is what Nextcloud itself says, fresh, and costs little.

Where Nextcloud isn't deployed all of this is skipped, and shown so; where nobody supervises, likewise.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from medicarche.probe import Client
from medicarche.spec.supervision import supervisor
from medicarche.testing.nextcloud import OCC, OCS
from medicarche.testing.supervision import Watch, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.report import Evidence
    from medicarche.spec.environment import Environment

    Person = tuple[str, str]
    Figure = Callable[..., float]

pytestmark = [pytest.mark.requirement("SUP-1"), pytest.mark.application_kind("nextcloud")]

_MEBIBYTE = 1 << 20
_UNIT = "medicarche-nextcloud-metrics"
_PROGRAM = "/usr/local/lib/medicarche/nextcloud-metrics"
_FILE = "/var/lib/prometheus/node-exporter/medicarche-nextcloud.prom"
#: seconds until Prometheus has read what was just measured: it asks every 15 s
READ = 45.0
#: seconds that a figure may be old: measured every 60 s, read every 15 s, and some for a machine that is busy
OLD = 100.0
#: runs whose cost is measured together: one alone is too short for the kernel's clock
RUNS = 20


@pytest.fixture
def watch(
    environment: Environment,
    instances: tuple[InstanceState, ...],
    outside: Client,
    credentials: Credentials,
) -> Watch:
    """The supervision of the environment, as somebody who has its password."""
    watcher = supervisor(environment)
    if watcher is None or not watcher.deployed:
        pytest.skip("nobody supervises this environment")
    address = next(i.floating_address for i in instances if i.name == watcher.instance)
    password = credentials.get(f"{watcher.name}/administrator")
    assert password
    return Watch(outside, f"https://{address}:{watcher.port}", (watcher.settings["administrator"], password))


@pytest.fixture
def figure(watch: Watch, instance: InstanceState) -> Figure:
    """Give a figure of this Nextcloud, as Prometheus has it."""

    def figure(name: str, **labels: str) -> float:
        chosen = ",".join(f'{k}="{v}"' for k, v in {"instance": instance.name, **labels}.items())
        found = watch.query(f"medicarche_nextcloud_{name}{{{chosen}}}")
        assert len(found) == 1, (name, labels, found)
        return found[0][1]

    return figure


@pytest.fixture
def measure(machine: Host, figure: Figure) -> Callable[[], None]:
    """Measure now, and wait until Prometheus has read it."""

    def measure() -> None:
        asked = int(machine.check_output("date +%s"))
        # one that has begun before isn't ours: a start joins one that is under way
        machine.check_output(f"systemctl stop {_UNIT}.service && systemctl start {_UNIT}.service")
        until(lambda: figure("measured_timestamp_seconds") >= asked, "Prometheus has read it", READ)

    return measure


@contextmanager
def _colleague(authority: Path, url: str, administrator: Person) -> Iterator[tuple[Client, Person]]:
    """A second person and its HTTP client, for as long as it is needed."""
    person = (f"essai-{secrets.token_hex(4)}", secrets.token_urlsafe(24))
    users = f"{url}/ocs/v2.php/cloud/users"
    # each has a session of its own
    with Client(authority, timeout=60) as their, Client(authority, timeout=60) as client:
        data = {"userid": person[0], "password": person[1]}
        answer = their.post(users, data=data, headers=OCS, auth=administrator)
        assert answer.status_code == 200, answer.text
        try:
            yield client, person
        finally:
            their.delete(f"{users}/{person[0]}", headers=OCS, auth=administrator)


@pytest.mark.alone
def test_its_figures_are_what_nextcloud_itself_says(  # noqa: PLR0917 - fixtures
    outside: Client,
    url: str,
    administrator: Person,
    machine: Host,
    watch: Watch,
    instance: InstanceState,
    figure: Figure,
    measure: Callable[[], None],
    evidence: Evidence,
) -> None:
    """Asked of its own status page, of its app serverinfo, of occ, and of the machine."""

    def ocs(path: str) -> Any:  # noqa: ANN401 - JSON
        answer = outside.get(f"{url}/ocs/v2.php/{path}", headers=OCS, auth=administrator)
        assert answer.status_code == 200, answer.text
        return answer.json()["ocs"]["data"]

    status = outside.get(f"{url}/status.php").json()
    told = ocs("apps/serverinfo/api/v1/info?format=json&skipApps=true&skipUpdate=true")
    shares, active = told["nextcloud"]["shares"], told["activeUsers"]
    cron = machine.check_output(f"{OCC} config:app:get core lastcron")
    listed = json.loads(machine.check_output(f"{OCC} user:list --info --limit=100000 --output=json"))
    backends = Counter(person["backend"] for person in listed.values())
    free, size = map(
        int,
        machine.check_output("df --block-size=1 --output=avail,size /var/lib/nextcloud | tail -1").split(),
    )
    measure()
    expected = {
        ("up",): 1,
        ("database_up",): 1,
        ("installed",): status["installed"],
        ("maintenance",): status["maintenance"],
        ("upgrade_needed",): status["needsDbUpgrade"],
        ("active_accounts", "within", "5m"): active["last5minutes"],
        ("active_accounts", "within", "1h"): active["last1hour"],
        ("active_accounts", "within", "24h"): active["last24hours"],
        ("shares", "kind", "user"): shares["num_shares_user"],
        ("shares", "kind", "group"): shares["num_shares_groups"],
        ("shares", "kind", "link"): shares["num_shares_link"],
        ("shares", "kind", "email"): shares["num_shares_mail"],
        ("shares", "kind", "remote"): shares["num_fed_shares_sent"],
        ("background_jobs_timestamp_seconds",): int(cron),
        ("disk_size_bytes",): size,
    }
    found = {key: figure(key[0], **({key[1]: key[2]} if key[1:] else {})) for key in expected}
    rows = [(" ".join(key), f"{found[key]:.0f}", f"{expected[key]:.0f}") for key in expected]
    evidence.table(
        "Nextcloud, vu par la supervision et par lui-même", ("mesure", "supervision", "lui-même"), rows
    )
    assert found == expected
    (version,) = watch.query(f'medicarche_nextcloud_version_info{{instance="{instance.name}"}}')
    assert version[0]["version"] == status["version"]
    assert figure("accounts", backend="database") == backends["Database"]
    # it keeps those who have left the directory, until somebody removes what they had
    assert not backends["LDAP"] or figure("accounts", backend="directory") >= backends["LDAP"]
    # others write beside it
    assert abs(figure("disk_free_bytes") - free) < 256 * _MEBIBYTE
    assert _MEBIBYTE < figure("database_bytes") < size


@pytest.mark.alone
def test_what_people_do_is_seen(  # noqa: PLR0917 - fixtures
    authority: Path,
    url: str,
    administrator: Person,
    figure: Figure,
    measure: Callable[[], None],
    evidence: Evidence,
) -> None:
    watched = {
        "compte": ("accounts", {"backend": "database"}, 1),
        "compte utilisé": ("active_accounts", {"within": "5m"}, 1),
        "mot de passe d'application": ("tokens", {"kind": "application"}, 1),
        "fichier": ("files", {}, 1),
        "place prise": ("data_bytes", {"kind": "files"}, _MEBIBYTE),
        "partage par lien": ("shares", {"kind": "link"}, 1),
        "partage avec une personne": ("shares", {"kind": "user"}, 1),
        "connexion refusée": ("throttled_logins", {}, 1),
    }

    def look() -> dict[str, float]:
        measure()
        return {what: figure(name, **labels) for what, (name, labels, _) in watched.items()}

    # the administrator's own use doesn't count as new; a session is kept from the second request on
    with Client(authority, timeout=60) as client:
        for _ in range(2):
            client.get(f"{url}/ocs/v2.php/cloud/users", headers=OCS, auth=administrator)
    before = look()
    with _colleague(authority, url, administrator) as (client, person):
        with Client(authority, timeout=60) as stranger:
            home = f"{url}/remote.php/dav/files/{person[0]}/"
            assert stranger.request("PROPFIND", home, auth=(person[0], "wrong")).status_code == 401
        after_refusal = look()
        # as a synchronisation program does: it gets a password of its own, and uses that
        made = client.get(f"{url}/ocs/v2.php/core/getapppassword", headers=OCS, auth=person)
        assert made.status_code == 200, made.text
        own = (person[0], made.json()["ocs"]["data"]["apppassword"])
        sent = client.put(f"{home}essai.bin", data=secrets.token_bytes(_MEBIBYTE), auth=own)
        assert sent.status_code == 201
        for kind in ({"shareType": 3}, {"shareType": 0, "shareWith": administrator[0]}):
            share = client.post(
                f"{url}/ocs/v2.php/apps/files_sharing/api/v1/shares",
                data={"path": "/essai.bin", **kind},
                headers=OCS,
                auth=own,
            )
            assert share.status_code == 200, share.text
        during = look()
    after = look()
    rows = [(what, *(f"{seen[what]:.0f}" for seen in (before, during, after))) for what in watched]
    evidence.table("Ce qui est vu", ("mesure", "avant", "pendant", "après"), rows)
    # a log-in that succeeds from the same network makes it forget the refused ones
    refused = "connexion refusée"
    assert after_refusal[refused] == before[refused] + 1
    for what, (_, _, more) in watched.items():
        if what != refused:
            assert during[what] == before[what] + more, what
    # what has no time of its own is as before
    for what in watched.keys() - {refused, "compte utilisé"}:
        assert after[what] == before[what], what


@pytest.mark.alone
@pytest.mark.requirement("SUP-3")
def test_maintenance_is_seen(
    machine: Host, watch: Watch, instance: InstanceState, figure: Figure, measure: Callable[[], None]
) -> None:
    machine.check_output(f"{OCC} maintenance:mode --on")
    try:
        measure()
        assert figure("maintenance") == 1
        assert figure("up") == 1
        # the rest is known all the same
        assert figure("accounts", backend="database") >= 1
        assert "en maintenance" in watch.get("/instance", nom=instance.name).text
    finally:
        machine.check_output(f"{OCC} maintenance:mode --off")
    measure()
    assert figure("maintenance") == 0
    assert "en maintenance" not in watch.get("/instance", nom=instance.name).text


@pytest.mark.alone
@pytest.mark.requirement("SUP-3")
def test_a_database_that_is_older_than_the_code_is_seen(
    machine: Host, watch: Watch, instance: InstanceState, figure: Figure, measure: Callable[[], None]
) -> None:
    """As after new code was unpacked: what Nextcloud has written down of its installation is older."""
    version = machine.check_output(f"{OCC} config:system:get version")
    machine.check_output(f"{OCC} config:system:set version --value=%s", f"{version.partition('.')[0]}.0.0.0")
    try:
        measure()
        assert figure("upgrade_needed") == 1
        assert "attend une mise à jour" in watch.get("/instance", nom=instance.name).text
    finally:
        machine.check_output(f"{OCC} config:system:set version --value=%s", version)
    measure()
    assert figure("upgrade_needed") == 0


def test_it_is_measured_every_minute_by_itself(
    machine: Host, figure: Figure, watch: Watch, instance: InstanceState
) -> None:
    first = figure("measured_timestamp_seconds")
    until(lambda: figure("measured_timestamp_seconds") > first, "it is measured again", OLD)
    age = f'time() - medicarche_nextcloud_measured_timestamp_seconds{{instance="{instance.name}"}}'
    ((_, seconds),) = watch.query(age)
    assert 0 <= seconds < OLD
    assert machine.service(f"{_UNIT}.timer").is_enabled
    assert machine.service(f"{_UNIT}.timer").is_running


_COST = """
import glob, json, resource, subprocess, sys

def served():
    'Ticks of what answers it: all of their processes, those that have ended too'
    total = 0
    for path in glob.glob('/proc/[0-9]*/stat'):
        try:
            head, _, rest = open(path).read().rpartition(')')
        except OSError:
            continue
        if head.partition('(')[2] in ('apache2', 'mariadbd'):
            total += sum(map(int, rest.split()[11:15]))
    return total

runs = int(sys.argv[1])
before = served()
for _ in range(runs):
    command = ['runuser', '-u', 'prometheus', '--', 'python3', '-I', sys.argv[2]]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
own = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([(own.ru_utime + own.ru_stime) / runs, (served() - before) / runs, own.ru_maxrss]))
"""


def test_measuring_costs_little(machine: Host, watch: Watch, evidence: Evidence) -> None:
    """Of its own, and of the database and the web server for it; one run a minute."""
    del watch
    own, ticks, kibibytes = json.loads(
        machine.check_output("python3 -c %s %s %s", _COST, str(RUNS), _PROGRAM)
    )
    served = ticks / int(machine.check_output("getconf CLK_TCK"))
    evidence.table(
        "Ce que coûte la mesure de Nextcloud, une fois par minute",
        ("processeur, programme", "processeur, Apache et MariaDB", "d'un cœur", "Mio"),
        [
            (
                f"{own * 1000:.0f} ms",
                f"{served * 1000:.0f} ms",
                f"{(own + served) / 60:.2%}",
                f"{kibibytes / 1024:.0f}",
            )
        ],
    )
    assert own > 0
    # half of what an agent may cost; measured: a quarter of a percent
    assert (own + served) / 60 < 0.01
    assert kibibytes < 60 * 1024


def test_what_measures_reads_neither_files_nor_data(machine: Host, watch: Watch) -> None:
    del watch
    shown = machine.check_output(f"systemctl show -p User,ProtectSystem,NoNewPrivileges {_UNIT}.service")
    assert set(shown.split()) == {"User=prometheus", "ProtectSystem=strict", "NoNewPrivileges=yes"}
    as_it = "runuser -u prometheus --"
    for path in ("/var/lib/nextcloud/config/config.php", "/var/lib/nextcloud/data"):
        assert machine.run(f"{as_it} test -r {path}").rc != 0, path
    assert machine.file(_FILE).user == "root"
    client = "mariadb --batch --skip-column-names --user=prometheus"
    for question in ("SELECT * FROM nextcloud.oc_users;", "SELECT * FROM nextcloud.oc_appconfig;"):
        asked = machine.run(f"echo '{question}' | {as_it} {client}")
        assert asked.stdout == ""
        assert "ERROR 1142" in asked.stderr, asked.stderr
    # it may not even see what the procedure does, let alone change it
    for question in ("DROP PROCEDURE medicarche.nextcloud;", "CREATE TABLE medicarche.t (i INT);"):
        assert machine.run(f"echo '{question}' | {as_it} {client}").rc != 0, question
    call = "echo 'CALL medicarche.nextcloud();' |"
    rows = machine.check_output(f"{call} {as_it} {client}").splitlines()
    assert len(rows) > 15
    assert [row for row in rows if not re.fullmatch(r"[a-z_]+\t[a-z0-9-]*\t\d+", row)] == []
    for other in ("nobody", "www-data"):
        account = "www-data" if other == "www-data" else "prometheus"
        refused = machine.run(
            f"{call} runuser -u {other} -- mariadb --batch --skip-column-names --user={account}"
        )
        assert (refused.rc != 0, refused.stdout) == (True, ""), other


def test_the_pages_show_it(watch: Watch, instance: InstanceState, outside: Client, url: str) -> None:
    page = watch.get("/instance", nom=instance.name).text
    assert "<h2>Nextcloud</h2>" in page
    section = page.partition("<h2>Nextcloud</h2>")[2].partition("<h2>")[0]
    assert outside.get(f"{url}/status.php").json()["version"] in section
    assert "inconnu" not in section
    assert "<td>Nextcloud</td><td><span" in page
