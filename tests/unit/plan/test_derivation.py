"""What follows from the declaration: resources, rules, user data; whatever the order of the file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from ruamel.yaml import YAML

from medicarche.plan import derive, make_plan
from medicarche.plan.resources import (
    ApplicationCredential,
    FloatingIp,
    Image,
    KeyPair,
    Network,
    Port,
    Quota,
    Resource,
    RoleAssignment,
    Router,
    SecurityGroupRule,
    Server,
    Subnet,
    User,
)
from medicarche.spec import Environment, Instance, Person, Site, load_environment
from medicarche.spec.environment import ApplicationCredentialSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

ENVIRONMENTS = Path(__file__).parents[3] / "environments"
R = TypeVar("R", bound=Resource)
SITE = Site(
    disk_format="raw",
    hypervisor="lxc",
    package_proxy=("10.20.20.1", 3142),
    image_recipes={"debian-13": "abc"},
    public_key="ssh-ed25519 AAAA somebody@somewhere\n",
    external_physical_network="physnet",
)


@pytest.fixture(name="environment")
def _environment() -> Environment:
    """The company's, of which only the web site is left, and nobody's directory."""
    company = load_environment(ENVIRONMENTS / "medicarche.yaml")
    return dataclasses.replace(
        company,
        instances=tuple(i for i in company.instances if i.name == "website"),
        applications=tuple(a for a in company.applications if a.name == "website"),
        directory=None,
    )


@pytest.fixture(name="two")
def _two(environment: Environment) -> Environment:
    """Two applications, each in an instance of its own."""
    (website,) = environment.applications
    instance = environment.instance("website")
    other = dataclasses.replace(
        website, name="odoo", kind="odoo", instance="erp", port=8087, egress=("dns", "time")
    )
    return dataclasses.replace(
        environment,
        instances=(instance, dataclasses.replace(instance, name="erp")),
        applications=(website, other),
    )


def _of(resources: Sequence[Resource], kind: type[R]) -> list[R]:
    return [resource for resource in resources if isinstance(resource, kind)]


def _rules(
    resources: Sequence[Resource], group: str, direction: str
) -> set[tuple[str | None, int | None, str | None]]:
    return {
        (rule.protocol, rule.port_min, rule.remote_prefix)
        for rule in _of(resources, SecurityGroupRule)
        if rule.group == f"security_group/{group}"
        and rule.direction == direction
        and rule.port_min == rule.port_max
    }


def test_each_instance_opens_its_own_application_s_port_only(two: Environment) -> None:
    resources = derive(two, SITE)
    everybody = "0.0.0.0/0"
    assert _rules(resources, "private-sg", "ingress") == {
        ("tcp", 22, "10.20.20.0/24"),
        ("tcp", 80, everybody),
    }
    assert _rules(resources, "app-website", "ingress") == {("tcp", 8088, everybody)}
    assert _rules(resources, "app-odoo", "ingress") == {("tcp", 8087, everybody)}
    ports = {port.name: port.security_groups for port in _of(resources, Port)}
    assert ports == {
        "website": ("security_group/app-website", "security_group/private-sg"),
        "erp": ("security_group/app-odoo", "security_group/private-sg"),
    }


def test_what_leaves_is_what_is_declared(two: Environment) -> None:
    resources = derive(two, SITE)
    subnet = "192.168.222.0/24"
    assert _rules(resources, "private-sg", "egress") == {("tcp", 80, "169.254.169.254/32")}
    assert _rules(resources, "app-website", "egress") == {
        ("udp", 53, subnet),
        ("tcp", 53, subnet),
        ("tcp", 3142, "10.20.20.1/32"),
    }
    assert _rules(resources, "app-odoo", "egress") == {
        ("udp", 53, subnet),
        ("tcp", 53, subnet),
        ("udp", 123, "0.0.0.0/0"),
    }


def test_without_a_package_proxy_the_mirrors_are_reached_directly(environment: Environment) -> None:
    site = dataclasses.replace(SITE, package_proxy=None)
    rules = _rules(derive(environment, site), "app-website", "egress")
    assert {("tcp", 80, "0.0.0.0/0"), ("tcp", 443, "0.0.0.0/0")} <= rules
    (server,) = _of(derive(environment, site), Server)
    assert "Proxy" not in server.user_data


def test_declared_name_servers_are_reached(environment: Environment) -> None:
    external, private = environment.networks
    subnets = (dataclasses.replace(private.subnets[0], dns=("10.20.20.1", "192.168.222.9")),)
    networks = (external, dataclasses.replace(private, subnets=subnets))
    rules = _rules(derive(dataclasses.replace(environment, networks=networks), SITE), "app-website", "egress")
    assert {p for protocol, port, p in rules if port == 53} == {"192.168.222.0/24", "10.20.20.1/32"}


def test_a_rule_says_why_and_is_there_once(environment: Environment) -> None:
    (group,) = environment.security_groups
    rule = group.ingress[0]
    twice = dataclasses.replace(
        group, ingress=(rule, dataclasses.replace(rule, why="backup"), *group.ingress[1:])
    )
    resources = derive(dataclasses.replace(environment, security_groups=(twice,)), SITE)
    found = [r for r in _of(resources, SecurityGroupRule) if r.port_min == 22]
    assert [r.purpose for r in found] == ["administration over SSH; backup"]
    assert all(r.purpose for r in _of(resources, SecurityGroupRule))


def test_descriptions_fit_with_the_longest_names(environment: Environment) -> None:
    """Neutron's descriptions have 255 characters, for the mark and the purpose."""
    name = "a" * 63
    (website,) = environment.applications
    longest = dataclasses.replace(
        environment,
        name="e" * 32,
        applications=(dataclasses.replace(website, name=name, port=65535, kind="k" * 63),),
    )
    for rule in _of(derive(longest, SITE), SecurityGroupRule):
        mark = f"medicarche:{longest.name}:{rule.address}"
        assert len(f"{mark} {rule.purpose}") <= 255


def test_network(environment: Environment) -> None:
    resources = derive(environment, SITE)
    networks = {network.name: network for network in _of(resources, Network)}
    assert networks["external"].physical_network == "physnet"
    assert networks["private"].physical_network is None
    subnets = {subnet.name: subnet.pools for subnet in _of(resources, Subnet)}
    # as Neutron would choose them: all but the gateway
    assert subnets["private-subnet"] == (("192.168.222.2", "192.168.222.254"),)
    assert subnets["external-subnet"] == (("10.20.20.100", "10.20.20.199"),)
    (router,) = _of(resources, Router)
    assert (router.external_network, router.external_address) == ("network/external", "10.20.20.224")


@pytest.mark.parametrize(
    ("gateway", "pools"),
    [
        (None, (("192.168.222.1", "192.168.222.254"),)),
        ("192.168.222.254", (("192.168.222.1", "192.168.222.253"),)),
        ("192.168.222.9", (("192.168.222.1", "192.168.222.8"), ("192.168.222.10", "192.168.222.254"))),
    ],
)
def test_pools_leave_the_gateway_out(
    environment: Environment,
    gateway: str | None,
    pools: tuple[tuple[str, str], ...],
) -> None:
    external, private = environment.networks
    subnets = (dataclasses.replace(private.subnets[0], gateway=gateway),)
    networks = (external, dataclasses.replace(private, subnets=subnets))
    alone = dataclasses.replace(environment, networks=networks, routers=(), instances=(), applications=())
    resources = derive(alone, SITE)
    found = {subnet.name: subnet.pools for subnet in _of(resources, Subnet)}
    assert found["private-subnet"] == pools


def test_image_key_and_address(environment: Environment) -> None:
    resources = derive(environment, SITE)
    (image,) = _of(resources, Image)
    assert (image.recipe, image.min_disk_gib, image.disk_format) == ("abc", 1, "raw")
    assert dict(image.properties)["os_version"] == "13"
    assert _of(resources, KeyPair)[0].public_key == "ssh-ed25519 AAAA"
    (floating,) = _of(resources, FloatingIp)
    assert (floating.network, floating.port) == ("network/external", "port/website")


def test_an_image_without_recipe_is_a_mistake_of_the_caller(environment: Environment) -> None:
    with pytest.raises(KeyError):
        derive(environment, dataclasses.replace(SITE, image_recipes={}))


def test_user_data(environment: Environment) -> None:
    (server,) = _of(derive(environment, SITE), Server)
    first, _, rest = server.user_data.partition("\n")
    assert first == "#cloud-config"
    content = YAML(typ="safe", pure=True).load(rest)
    assert content["fqdn"] == "website.medicarche.internal"
    assert content["timezone"] == "Europe/Paris"
    assert content["ssh_pwauth"] is False
    assert content["disable_root"] is True
    assert content["apt"]["preserve_sources_list"] is True
    assert 'Acquire::http::Proxy "http://10.20.20.1:3142";' in content["apt"]["conf"]


def test_the_order_of_the_file_says_nothing(two: Environment) -> None:
    groups = tuple(dataclasses.replace(g, ingress=tuple(reversed(g.ingress))) for g in two.security_groups)
    turned = dataclasses.replace(
        two,
        networks=tuple(reversed(two.networks)),
        flavors=tuple(reversed(two.flavors)),
        instances=tuple(_turned(instance) for instance in reversed(two.instances)),
        applications=tuple(reversed(two.applications)),
        security_groups=groups,
    )
    assert derive(turned, SITE) == derive(two, SITE)


def _turned(instance: Instance) -> Instance:
    return dataclasses.replace(instance, security_groups=tuple(reversed(instance.security_groups)))


def test_what_is_derived_can_be_planned(two: Environment) -> None:
    resources = derive(two, SITE)
    plan = make_plan(two.name, resources, ())
    # the project is the only thing that is there already
    assert {a.address for a in plan.actions} == {r.address for r in resources} - {"project/medicarche"}
    assert not plan.conflicts


def test_people_have_an_account_and_the_role_of_their_group(environment: Environment) -> None:
    nobody = Person(login="jo", name="Jo", group="laboratory", cloud_role=None)
    environment = dataclasses.replace(environment, people=(*environment.people, nobody))
    resources = derive(environment, SITE)
    assert {user.name: user.purpose for user in _of(resources, User)} == {
        "claire.martin": "Claire Martin",
        "karim.benali": "Karim Benali",
        "sophie.nguyen": "Sophie Nguyen",
    }
    assert {(r.user, r.role, r.project) for r in _of(resources, RoleAssignment)} == {
        ("user/claire.martin", "admin", "project/medicarche"),
        ("user/karim.benali", "member", "project/medicarche"),
        ("user/sophie.nguyen", "reader", "project/medicarche"),
    }


def test_a_program_s_credential_has_its_role_only(environment: Environment) -> None:
    credential = ApplicationCredentialSpec(name="supervision", role="reader", why="finds the instances")
    environment = dataclasses.replace(environment, application_credentials=(credential,))
    (made,) = _of(derive(environment, SITE), ApplicationCredential)
    assert (made.name, made.roles, made.purpose) == ("supervision", ("reader",), "finds the instances")


def test_limits_are_of_the_service_that_counts(environment: Environment) -> None:
    environment = dataclasses.replace(environment, quotas=(("vcpus", 8), ("ports", 20), ("instances", 4)))
    assert [(quota.name, quota.limits) for quota in _of(derive(environment, SITE), Quota)] == [
        ("compute", (("instances", 4), ("vcpus", 8))),
        ("network", (("ports", 20),)),
    ]


def test_metadata_goes_to_the_server(environment: Environment) -> None:
    (website,) = environment.instances
    website = dataclasses.replace(website, metadata=(("owner", "dsi"),))
    (server,) = _of(derive(dataclasses.replace(environment, instances=(website,)), SITE), Server)
    assert server.metadata == (("owner", "dsi"),)
