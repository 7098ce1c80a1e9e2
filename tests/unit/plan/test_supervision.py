"""Who may reach whose metrics: it follows from the supervision's presence alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medicarche import deploy
from medicarche.plan import derive
from medicarche.plan.reach import Expected, Policy, Target, VantagePoint, expectation
from medicarche.plan.resources import Port, SecurityGroup, SecurityGroupRule
from medicarche.spec import Environment, Site, listeners, load_environment
from medicarche.spec.supervision import EXPORTER_PORTS, supervisor

ENVIRONMENTS = Path(__file__).parents[3] / "environments"
SITE = Site("raw", "lxc", ("10.20.20.1", 3142), {"debian-13": "abc"}, "ssh-ed25519 AAAA", "physnet")
ADDRESSES = {"syncthing": "192.168.222.10", "reserve": "192.168.222.11", "supervision": "192.168.222.12"}
WATCHER = VantagePoint("supervision", "instance", ADDRESSES["supervision"], "10.20.20.112")


@pytest.fixture(name="environment")
def _environment() -> Environment:
    return load_environment(ENVIRONMENTS / "example-supervision.yaml")


@pytest.fixture(name="policy")
def _policy(environment: Environment) -> Policy:
    return Policy(environment, derive(environment, SITE), ADDRESSES)


def _state(policy: Policy, source: VantagePoint, target: Target, port: int) -> Expected:
    spans = expectation(policy, source, target)
    return next(s.expected for s in spans if s.protocol == "tcp" and s.first <= port <= s.last)


def _private(name: str) -> Target:
    return Target(name, "private", ADDRESSES[name])


def test_the_supervision_alone_reaches_an_instances_metrics(policy: Policy) -> None:
    assert _state(policy, WATCHER, _private("syncthing"), 9100) is Expected.OPEN
    assert _state(policy, WATCHER, _private("syncthing"), 9113) is Expected.OPEN
    assert _state(policy, WATCHER, _private("reserve"), 9100) is Expected.OPEN
    others = [
        VantagePoint("reserve", "instance", ADDRESSES["reserve"], "10.20.20.111"),
        VantagePoint("administrators", "administrators", "10.20.20.254"),
        VantagePoint("outside", "outside", "203.0.113.1"),
        VantagePoint("router", "router", "192.168.222.1", "10.20.20.224"),
    ]
    for source in others:
        for port in (9100, 9113):
            assert _state(policy, source, _private("syncthing"), port) is Expected.FILTERED, (source, port)


def test_each_end_lets_the_other_one_pass_and_nobody_else(policy: Policy) -> None:
    # both ends are closed by themselves: a neighbour that got a way out wouldn't get in
    for port in (9100, 9113, 8885):
        assert policy.enters("syncthing", "tcp", port, ADDRESSES["supervision"])
        assert policy.leaves("supervision", "tcp", port, ADDRESSES["syncthing"])
    for port in (9100, 9113):
        assert not policy.enters("syncthing", "tcp", port, ADDRESSES["reserve"])
        assert not policy.leaves("syncthing", "tcp", port, ADDRESSES["supervision"])
        assert not policy.leaves("supervision", "tcp", port, "10.20.20.110")


def test_what_is_for_applications_is_reached_by_the_supervision_too() -> None:
    """The directory's instances ask by SSH accounts' group, which is another matter: without it here."""
    company = load_environment(ENVIRONMENTS / "medicarche.yaml", traits=deploy.traits)
    assert company.directory is not None
    company = replace(company, directory=replace(company.directory, ssh_groups=()))
    addresses = {i.name: f"192.168.222.{10 + n}" for n, i in enumerate(company.instances)}
    policy = Policy(company, derive(company, SITE), addresses)
    for name, open_ in (("supervision", True), ("website", True), ("nextcloud", True), ("directory", False)):
        assert policy.enters("directory", "tcp", 636, addresses[name]) is open_, name
        assert policy.leaves(name, "tcp", 636, addresses["directory"]) is open_, name
    # Grafana in its instance asks the directory too
    here = tuple(a for a in company.applications if a.instance != "supervision")
    gone = replace(company, applications=here)
    policy = Policy(gone, derive(gone, SITE), addresses)
    assert not policy.enters("directory", "tcp", 636, addresses["supervision"])


def test_a_services_metrics_are_the_supervisions_alone(environment: Environment) -> None:
    having = replace(
        environment,
        applications=tuple(
            replace(a, traits=replace(a.traits, services=("apache", "mariadb")))
            if a.name == "syncthing"
            else a
            for a in environment.applications
        ),
    )
    policy = Policy(having, derive(having, SITE), ADDRESSES)
    neighbour = VantagePoint("reserve", "instance", ADDRESSES["reserve"], "10.20.20.111")
    for port in (9104, 9117):
        assert _state(policy, WATCHER, _private("syncthing"), port) is Expected.OPEN
        assert _state(policy, neighbour, _private("syncthing"), port) is Expected.FILTERED
        assert _state(policy, WATCHER, _private("reserve"), port) is Expected.FILTERED
    assert _state(policy, WATCHER, _private("syncthing"), 9187) is Expected.FILTERED
    # what a service tells its agent stays inside
    shown = {w.port: w.address for w in listeners(having, "syncthing") if w.port in EXPORTER_PORTS}
    assert {port for port, address in shown.items() if address == "127.0.0.1"} == {9145, 9146}
    assert set(shown) == {9100, 9104, 9113, 9117, 9145, 9146}


def test_a_group_counts_by_private_addresses_only(policy: Policy) -> None:
    # through a floating address the supervision comes under its own, which is no member of the group
    floating = Target("syncthing", "floating", "10.20.20.110")
    assert _state(policy, WATCHER, floating, 9100) is Expected.FILTERED
    outside = replace(WATCHER, name="outside", kind="outside")
    assert _state(policy, outside, floating, 9100) is Expected.FILTERED


def test_an_instance_whose_address_isnt_known_lets_nobody_in(environment: Environment) -> None:
    policy = Policy(environment, derive(environment, SITE), {})
    assert _state(policy, WATCHER, _private("syncthing"), 9100) is Expected.FILTERED


def test_the_supervision_asks_each_application_as_a_visitor_does(policy: Policy) -> None:
    assert _state(policy, WATCHER, _private("syncthing"), 8885) is Expected.OPEN
    assert _state(policy, WATCHER, _private("syncthing"), 22) is Expected.FILTERED
    assert _state(policy, WATCHER, _private("reserve"), 8885) is Expected.FILTERED


def test_an_instance_that_serves_nothing_shows_its_own_metrics_only(
    environment: Environment, policy: Policy
) -> None:
    assert {w.port for w in listeners(environment, "reserve")} == {22, 9100}
    assert {w.port for w in listeners(environment, "syncthing")} == {22, 80, 8885, 9100, 9113, 9145}
    assert _state(policy, WATCHER, _private("reserve"), 9113) is Expected.FILTERED
    # what isn't bound to loopback is open to others, and nothing else is
    shown = [w for w in listeners(environment, "syncthing") if w.port in EXPORTER_PORTS]
    assert {(w.address, w.public) for w in shown} == {("private", True), ("127.0.0.1", False)}


def test_agents_come_to_an_instance_that_no_application_opens_packages_for(environment: Environment) -> None:
    def packages(wanted: Environment) -> set[str]:
        return {
            rule.group
            for rule in derive(wanted, SITE)
            if isinstance(rule, SecurityGroupRule) and rule.direction == "egress" and rule.port_min == 3142
        }

    assert "security_group/supervised" in packages(environment)
    served = tuple(i for i in environment.instances if i.name != "reserve")
    assert "security_group/supervised" not in packages(replace(environment, instances=served))


def test_an_instance_that_is_added_is_supervised_with_no_further_word(environment: Environment) -> None:
    new = replace(environment.instance("reserve"), name="new")
    more = replace(environment, instances=(*environment.instances, new))
    (port,) = (r for r in derive(more, SITE) if isinstance(r, Port) and r.name == "new")
    assert "security_group/supervised" in port.security_groups
    policy = Policy(more, derive(more, SITE), {**ADDRESSES, "new": "192.168.222.13"})
    assert _state(policy, WATCHER, Target("new", "private", "192.168.222.13"), 9100) is Expected.OPEN


def test_without_supervision_there_is_nothing_of_it(environment: Environment) -> None:
    gone = replace(
        environment,
        applications=tuple(a for a in environment.applications if a.kind != "supervision"),
    )
    assert supervisor(gone) is None
    wanted = derive(gone, SITE)
    assert "supervised" not in {r.name for r in wanted if isinstance(r, SecurityGroup)}
    assert not [r for r in wanted if isinstance(r, SecurityGroupRule) and r.remote_group]
    assert {w.port for i in gone.instances for w in listeners(gone, i.name)} == {22, 80, 8885}


def test_one_that_isnt_deployed_keeps_its_place_and_nothing_listens(environment: Environment) -> None:
    left_out = environment.without(["supervision"])
    policy = Policy(left_out, derive(left_out, SITE), ADDRESSES)
    assert _state(policy, WATCHER, _private("syncthing"), 9100) is Expected.REFUSED


def test_the_clouds_api_is_reached_by_who_asks_for_it_only(environment: Environment) -> None:
    site = replace(SITE, api=(("10.20.20.1", 5000),))

    def asking(wanted: Environment) -> set[str]:
        return {
            rule.group
            for rule in derive(wanted, site)
            if isinstance(rule, SecurityGroupRule) and rule.port_min == 5000
        }

    assert asking(environment) == {"security_group/app-supervision"}
    wanted = tuple(replace(a, egress=("packages",)) for a in environment.applications)
    assert asking(replace(environment, applications=wanted)) == set()
