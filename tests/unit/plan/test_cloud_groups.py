"""What follows from the directory's groups that have a role on the cloud."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medicarche import deploy
from medicarche.plan import derive
from medicarche.plan.reach import Expected, Policy, Target, VantagePoint, expectation
from medicarche.plan.resources import Domain, GroupRole, Project, Resource, SecurityGroupRule
from medicarche.spec import Environment, Site, load_environment
from medicarche.spec.cloud_groups import people_of
from medicarche.spec.environment import KeystoneSite

FILE = Path(__file__).parents[3] / "environments/example-directory.yaml"
KEYSTONE = KeystoneSite(("10.20.20.1/32",), "/etc/authorities.pem", "digest")
SITE = Site(
    "raw", "lxc", ("10.20.20.1", 3142), {"debian-13": "abc"}, "ssh-ed25519 AAAA", "physnet", keystone=KEYSTONE
)
BASE = "dc=directory,dc=internal"


@pytest.fixture(name="environment", scope="module")
def _environment() -> Environment:
    return load_environment(FILE, traits=deploy.traits)


def _added(environment: Environment, site: Site = SITE) -> dict[str, Resource]:
    """Return what is there for Keystone's sake."""
    without = {r.address for r in derive(environment.without_cloud_groups(), site)}
    return {r.address: r for r in derive(environment, site) if r.address not in without}


def test_what_is_added_is_a_rule_a_domain_and_the_roles(environment: Environment) -> None:
    assert sorted(_added(environment)) == [
        "domain/directory",
        "group_role/direction-reader",
        "group_role/dsi-member",
        "project/directory",
        "security_group_rule/app-directory-ingress-tcp-636-10.20.20.1/32",
    ]
    rule = _added(environment)["security_group_rule/app-directory-ingress-tcp-636-10.20.20.1/32"]
    assert isinstance(rule, SecurityGroupRule)
    assert (rule.direction, rule.protocol, rule.port_min, rule.port_max) == ("ingress", "tcp", 636, 636)


def test_nothing_is_added_where_nobody_asks(environment: Environment) -> None:
    assert _added(environment, replace(SITE, keystone=None)) == {}
    kinds = {type(r) for r in derive(environment.without_cloud_groups(), SITE)}
    assert not kinds & {Domain, GroupRole, Project}


def test_keystone_asks_with_tls_verified_and_a_limit_of_time(environment: Environment) -> None:
    domain = _added(environment)["domain/directory"]
    assert isinstance(domain, Domain)
    assert (domain.server, domain.port, domain.handed_over) == ("floating_ip/directory", 636, "digest")
    options = dict(domain.options)
    assert options["ldap.tls_req_cert"] == "demand"
    assert options["ldap.tls_cacertfile"] == "/etc/authorities.pem"
    assert options["ldap.use_tls"] is False, "StartTLS begins in plain text"
    # only a pool's connections have limits; each attempt takes as long as the first one
    assert options["ldap.use_pool"] is True
    assert options["ldap.use_auth_pool"] is True
    assert options["ldap.pool_retry_max"] == 1
    assert options["ldap.pool_connection_timeout"] == 3
    assert options["ldap.pool_connection_lifetime"] == 1, "a closed connection is an error of Keystone's"
    assert options["ldap.auth_pool_connection_lifetime"] == 1, "an old password would open a kept connection"
    assert "ldap.password" not in options
    assert "ldap.url" not in options


def test_keystone_asks_for_those_who_have_a_role_only(environment: Environment) -> None:
    domain = _added(environment)["domain/directory"]
    assert isinstance(domain, Domain)
    options = dict(domain.options)
    assert options["ldap.group_filter"] == "(|(cn=direction)(cn=dsi))"
    assert options["ldap.user_filter"] == (
        f"(|(memberOf=cn=direction,ou=groups,{BASE})(memberOf=cn=dsi,ou=groups,{BASE}))"
    )
    assert options["ldap.user"] == f"cn=cloud.keystone,ou=services,{BASE}"
    assert options["ldap.user_id_attribute"] == options["ldap.user_name_attribute"] == "uid"


def test_the_directory_s_port_is_opened_to_keystone_s_address_and_to_no_neighbour(
    environment: Environment,
) -> None:
    policy = Policy(environment, derive(environment, SITE), {"directory": "172.21.0.110"})
    target = Target("directory", "floating", "10.20.20.110")
    found = {
        address: span.expected
        for address in ("10.20.20.1", "10.20.20.2", "10.20.20.254", "203.0.113.1", "172.21.0.1")
        for span in expectation(policy, VantagePoint("x", "administrators", address), target)
        if span.first <= 636 <= span.last
    }
    assert found.pop("10.20.20.1") is Expected.OPEN
    assert set(found.values()) == {Expected.FILTERED}


def test_who_is_in_two_groups_has_the_more_powerful_role(environment: Environment) -> None:
    directory = environment.directory
    assert directory is not None
    first = directory.members[0]
    both = replace(first, groups=("direction", "dsi"))
    members = (both, *directory.members[1:])
    changed = replace(environment, directory=replace(directory, members=members))
    assert people_of(changed)[first.login] == "member"
    assert people_of(environment.without_cloud_groups()) == {}
