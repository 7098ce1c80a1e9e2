"""Life after the first day: what is changed is put right, and what stopped or was rebuilt serves again."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from openstack.connection import Connection
    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.probe import Client
    from medicarche.spec.environment import Application, Environment

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Machines = Callable[[InstanceState], Host]

pytestmark = [pytest.mark.requirement("CLOUD-1", "CLOUD-6"), pytest.mark.alone]

#: seconds that Nova may take to stop or rebuild an instance, on a busy machine
PATIENCE = 300.0
_NO_TAGLINE = "UPDATE wp_options SET option_value = '' WHERE option_name = 'blogdescription'"
#: kind → a setting of its own changed by hand, in the instance, as root; and how a plan names it
BY_HAND = {
    "grafana": (
        "echo '; essai' >> /etc/medicarche/grafana/grafana.ini",
        "/etc/medicarche/grafana/grafana.ini: differs",
    ),
    "wordpress": (
        f'echo "{_NO_TAGLINE}" | mariadb wordpress',
        "blogdescription",
    ),
    "odoo": (
        "cd / && echo \"UPDATE res_company SET name = ''\" | runuser -u postgres -- psql -q odoo",
        "the company's name and country",
    ),
    "syncthing": (
        "sed -i '/globalAnnounceEnabled/s/false/true/' /var/lib/syncthing/state/config.xml",
        "option globalAnnounceEnabled",
    ),
    "nextcloud": (
        "mariadb nextcloud --execute \"DELETE FROM oc_group_user WHERE gid = 'admin'\"",
        "the administrator's group",
    ),
    "supervision": (
        "echo '# essai' >> /etc/medicarche/supervision/alertes.yml",
        "/etc/medicarche/supervision/alertes.yml: differs",
    ),
}


@pytest.fixture
def deployed(environment: Environment) -> tuple[Application, ...]:
    """The applications for people that are deployed."""
    found = environment.for_people
    assert found
    return found


@pytest.fixture
def named(instances: tuple[InstanceState, ...]) -> dict[str, InstanceState]:
    """The instances by name."""
    return {i.name: i for i in instances}


def _compare(run_medicarche: Run, *options: str) -> tuple[int, dict[str, Any]]:
    """Run ``plan --deploy``; its exit code, and what it says as JSON."""
    done = run_medicarche(*options, "plan", "--json", "--deploy")
    assert done.returncode in {0, 2}, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, shown


def _provision(run_medicarche: Run, *options: str) -> str:
    done = run_medicarche(*options, "provision", timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _serve(run_medicarche: Run, deployed: tuple[Application, ...]) -> None:
    """Assert that all applications answer, and that nothing is left to do."""
    done = run_medicarche("status", "--json")
    assert done.returncode == 0, done.stderr
    states = {a["name"]: a["state"] for a in json.loads(done.stdout)["applications"]}
    assert {a.name: states[a.name] for a in deployed} == {a.name: "answering" for a in deployed}
    code, shown = _compare(run_medicarche)
    assert code == 0, shown


def test_what_was_changed_by_hand_is_shown_and_put_back(
    run_medicarche: Run,
    deployed: tuple[Application, ...],
    named: dict[str, InstanceState],
    machines: Machines,
) -> None:
    for application in deployed:
        machine = machines(named[application.instance])
        machine.check_output(BY_HAND[application.kind][0])
        machine.check_output(f"chmod 666 /etc/nginx/applications/{application.name}.conf")
        machine.check_output("echo '# essai' >> /etc/nginx/conf.d/medicarche.conf && systemctl stop nginx")
    code, shown = _compare(run_medicarche)
    assert code == 2
    for application in deployed:
        details = shown["deployment"]["instances"][application.instance]["details"]
        lines = [line for operation in details.values() for line in operation]
        for wanted in (
            BY_HAND[application.kind][1],
            f"/etc/nginx/applications/{application.name}.conf: 666 root:root becomes 6",
            "/etc/nginx/conf.d/medicarche.conf: differs",
            "nginx.service: start (wasn't running)",
        ):
            assert any(wanted in line for line in lines), f"{application.name}: {wanted} isn't in {lines}"
    _provision(run_medicarche)
    _serve(run_medicarche, deployed)


def test_a_changed_setting_changes_just_that(
    run_medicarche: Run,
    changed_file: Callable[[Callable[[Any], None]], Path],
    deployed: tuple[Application, ...],
    named: dict[str, InstanceState],
    outside: Client,
) -> None:
    site = next((a for a in deployed if a.kind == "wordpress"), None)
    if site is None:
        pytest.skip("the environment has no web site")
    tagline = f"Une autre devise {secrets.token_hex(4)}"
    changed = changed_file(
        lambda content: content["applications"][site.name]["settings"].update(tagline=tagline)
    )
    option = ("--environment", str(changed))
    try:
        code, shown = _compare(run_medicarche, *option)
        assert code == 2
        assert shown["actions"] == []
        inside = shown["deployment"]["instances"]
        found = {name: i["details"] for name, i in inside.items() if i["changed"]}
        assert list(found) == [site.instance]
        (lines,) = found[site.instance].values()
        # the home page begins with it
        assert sorted(lines) == ["option blogdescription", "the home page's words"]
        said = _provision(run_medicarche, *option)
        assert "cloud: nothing to do" in said
        assert "instances: 1 changes" in said
        page = outside.get(f"https://{named[site.instance].floating_address}:{site.port}/")
        assert tagline in page.text
    finally:
        _provision(run_medicarche)
    assert _compare(run_medicarche)[0] == 0


def _wait(member: Connection, instance: InstanceState, *wanted: str) -> str:
    """Wait until Nova says one of these states of an instance, and return it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        server = member.compute.get_server(instance.id)
        if server.status in wanted and server.task_state is None:
            return str(server.status)
        time.sleep(1)
    pytest.fail(f"{instance.name}: not {' or '.join(wanted)} within {PATIENCE:.0f} s")


def test_what_was_stopped_is_started_again_with_its_data(
    run_medicarche: Run,
    deployed: tuple[Application, ...],
    named: dict[str, InstanceState],
    machines: Machines,
    member: Connection,
) -> None:
    mark = f"/var/lib/essai-{secrets.token_hex(4)}"
    # two may be in one
    first, *others = dict.fromkeys(application.instance for application in deployed)
    for name in (first, *others):
        machines(named[name]).check_output(f"touch {mark} && sync")
    for name in others:
        member.compute.stop_server(named[name].id)
    for name in others:
        _wait(member, named[name], "SHUTOFF")
    # who types `reboot` in a container ends it, and Nova calls it ACTIVE for some seconds more; a virtual
    # machine comes back by itself. Either way `provision` may come right behind
    machines(named[first]).run("systemctl --no-block reboot")
    _provision(run_medicarche)
    for name in (first, *others):
        machine = machines(named[name])
        assert machine.file(mark).exists, name
        machine.check_output(f"rm {mark}")
    _serve(run_medicarche, deployed)


def test_a_rebuilt_instance_serves_again(
    run_medicarche: Run,
    deployed: tuple[Application, ...],
    named: dict[str, InstanceState],
    machines: Machines,
    member: Connection,
) -> None:
    # the one that takes the fewest packages: the others are built by the same operations
    chosen = next((a for a in deployed if a.kind == "syncthing"), deployed[0])
    instance = named[chosen.instance]
    keys = "cat /etc/ssh/ssh_host_ed25519_key.pub"
    before = machines(instance).check_output(keys)
    image = member.compute.get_server(instance.id).image.id
    member.compute.rebuild_server(instance.id, image=image)
    _wait(member, instance, "ACTIVE")
    said = _provision(run_medicarche)
    assert "instances: nothing to do" not in said, "it wasn't rebuilt"
    assert machines(instance).check_output(keys) != before
    _serve(run_medicarche, deployed)
