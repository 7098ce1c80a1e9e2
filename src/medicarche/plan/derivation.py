"""From the environment to resources: everything that the cloud must hold follows from the declaration.

Names and addresses are made from what is declared, never from its position in the file: putting the file in
another order changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from medicarche.plan.cloud_groups import cloud_groups_resources, cloud_groups_rules, keystone_asks
from medicarche.plan.groups import SUPERVISED, application_group, rule_between, rule_with
from medicarche.plan.resources import (
    ApplicationCredential,
    Flavor,
    FloatingIp,
    Image,
    KeyPair,
    Kind,
    Network,
    Port,
    Project,
    Quota,
    Resource,
    RoleAssignment,
    Router,
    RouterInterface,
    SecurityGroup,
    SecurityGroupRule,
    Server,
    Subnet,
    User,
)
from medicarche.plan.ssh_accounts import ssh_accounts_groups, ssh_accounts_groups_of, ssh_accounts_rules
from medicarche.plan.supervision import (
    groups_of_all,
    supervision_groups,
    supervision_rules,
    without_packages,
)
from medicarche.plan.user_data import user_data
from medicarche.spec.ssh_accounts import SSH_ACCOUNTS, asking
from medicarche.spec.supervision import supervisor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from medicarche.spec.environment import Environment, Instance, Site, SubnetSpec

__all__ = ["derive"]

_COMPUTE_LIMITS = {"instances", "vcpus", "ram_mib", "key_pairs"}

_RANK = {kind: index for index, kind in enumerate(Kind)}
_ANYWHERE = "0.0.0.0/0"
_METADATA = "169.254.169.254/32"
_DEBIAN_VERSIONS = {"bookworm": "12", "trixie": "13"}
#: Neutron's descriptions have 255 characters, of which the mark takes up to 174
_LONGEST_PURPOSE = 80


def derive(environment: Environment, site: Site) -> tuple[Resource, ...]:
    """Return all resources that an environment consists of, sorted by kind and name.

    Args:
        environment: as `medicarche.spec.load_environment` gives it.
        site: what the cloud at hand gives.

    Raises:
        KeyError: ``site.image_recipes`` lacks one of the environment's images.
    """
    found: list[Resource] = [
        KeyPair(name=environment.key_pair, public_key=_without_comment(site.public_key)),
        *_people(environment, site),
        *_application_credentials(environment),
        *_quotas(environment),
        *_flavors(environment),
        *_images(environment, site),
        *_networks(environment, site),
        *_routers(environment),
        *_groups(environment),
        *_rules(environment, site),
        *cloud_groups_resources(environment, site),
    ]
    for instance in environment.instances:
        found += _instance(environment, instance, site)
    return tuple(sorted(found, key=lambda resource: (_RANK[resource.kind], resource.name)))


def _without_comment(public_key: str) -> str:
    return " ".join(public_key.split()[:2])


def _people(environment: Environment, site: Site) -> Iterator[Resource]:
    """Yield the accounts of those who work on the cloud, each with the role of the group and no other."""
    project = Project(name=environment.name)
    people = [person for person in environment.people if person.cloud_role is not None]
    if people or keystone_asks(environment, site):
        yield project
    for person in people:
        user = User(name=person.login, purpose=person.name)
        yield user
        yield RoleAssignment(
            name=f"{person.login}-{person.cloud_role}",
            user=user.address,
            project=project.address,
            role=str(person.cloud_role),
        )


def _application_credentials(environment: Environment) -> Iterator[Resource]:
    for credential in environment.application_credentials:
        yield ApplicationCredential(
            name=credential.name, roles=(credential.role,), purpose=credential.why[:_LONGEST_PURPOSE]
        )


def _quotas(environment: Environment) -> Iterator[Resource]:
    limits = sorted(environment.quotas)
    compute = tuple(item for item in limits if item[0] in _COMPUTE_LIMITS)
    network = tuple(item for item in limits if item[0] not in _COMPUTE_LIMITS)
    if compute:
        yield Quota(name="compute", limits=compute)
    if network:
        yield Quota(name="network", limits=network)


def _flavors(environment: Environment) -> Iterator[Resource]:
    for flavor in environment.flavors:
        yield Flavor(
            name=flavor.name,
            vcpus=flavor.vcpus,
            ram_mib=flavor.ram_mib,
            disk_gib=flavor.disk_gib,
            ephemeral_gib=flavor.ephemeral_gib,
            swap_mib=flavor.swap_mib,
            public=flavor.public,
            metadata=tuple(sorted(flavor.metadata)),
        )


def _images(environment: Environment, site: Site) -> Iterator[Resource]:
    for image in environment.images:
        properties = {
            "os_type": "linux",
            "os_distro": "debian",
            "os_version": _DEBIAN_VERSIONS[image.suite],
            "os_admin_user": image.user,
        }
        yield Image(
            name=image.name,
            disk_format=site.disk_format,
            recipe=site.image_recipes[image.name],
            visibility=image.visibility,
            min_disk_gib=-(-image.disk_mib // 1024),
            properties=tuple(sorted(properties.items())),
        )


def _networks(environment: Environment, site: Site) -> Iterator[Resource]:
    for network in environment.networks:
        physical = network.physical_network
        if network.external and physical is None:
            physical = site.external_physical_network
        made = Network(name=network.name, external=network.external, physical_network=physical)
        yield made
        for subnet in network.subnets:
            yield Subnet(
                name=subnet.name,
                network=made.address,
                cidr=subnet.cidr,
                gateway=subnet.gateway,
                dhcp=subnet.dhcp,
                pools=_pools(subnet),
                dns=subnet.dns,
            )


def _pools(subnet: SubnetSpec) -> tuple[tuple[str, str], ...]:
    """Return the declared pools, or those that Neutron would make: all hosts but the gateway.

    They are always written out, so that they can be compared, and follow when the gateway changes.
    """
    if subnet.pools:
        return tuple(sorted(subnet.pools, key=lambda pool: IPv4Address(pool[0])))
    network = IPv4Network(subnet.cidr)
    first, last = network.network_address + 1, network.broadcast_address - 1
    if subnet.gateway is None:
        return ((str(first), str(last)),)
    gateway = IPv4Address(subnet.gateway)
    ranges = ((first, gateway - 1), (gateway + 1, last))
    return tuple((str(low), str(high)) for low, high in ranges if low <= high)


def _routers(environment: Environment) -> Iterator[Resource]:
    for router in environment.routers:
        outside = router.external_network
        made = Router(
            name=router.name,
            external_network=None if outside is None else f"{Kind.NETWORK}/{outside}",
            external_address=router.external_address,
        )
        yield made
        for subnet in router.subnets:
            yield RouterInterface(
                name=f"{router.name}-{subnet}",
                router=made.address,
                subnet=f"{Kind.SUBNET}/{subnet}",
            )


def _groups(environment: Environment) -> Iterator[Resource]:
    for group in environment.security_groups:
        yield SecurityGroup(name=group.name, purpose="shared by instances")
    for application in environment.applications:
        yield SecurityGroup(name=application_group(application.name), purpose=f"{application.name} only")
    yield from supervision_groups(environment)
    yield from ssh_accounts_groups(environment)


def _rules(environment: Environment, site: Site) -> Iterator[Resource]:
    """Yield each rule once, whatever the number of reasons for it."""
    found: dict[str, tuple[SecurityGroupRule, set[str]]] = {}
    rules = (
        *_shared_rules(environment),
        *_application_rules(environment, site),
        *supervision_rules(environment),
        *ssh_accounts_rules(environment),
        *cloud_groups_rules(environment, site),
        *_agents_rules(environment, site),
    )
    for rule in rules:
        found.setdefault(rule.name, (rule, set()))[1].add(rule.purpose)
    for name, (rule, purposes) in found.items():
        yield replace(rule, name=name, purpose="; ".join(sorted(purposes))[:_LONGEST_PURPOSE])


def _shared_rules(environment: Environment) -> Iterator[SecurityGroupRule]:
    for group in environment.security_groups:
        yield rule_with(
            group.name, "egress", "tcp", 80, _METADATA, why="metadata: cloud-init's key and configuration"
        )
        for rule in group.ingress:
            for source in rule.sources:
                yield rule_with(group.name, "ingress", rule.protocol, rule.port, source, why=rule.why)


def _application_rules(environment: Environment, site: Site) -> Iterator[SecurityGroupRule]:
    for application in environment.applications:
        group = application_group(application.name)
        why = f"{application.name} ({application.kind}) over TLS"
        if application.traits.serves == "people":
            yield rule_with(group, "ingress", "tcp", application.port, _ANYWHERE, why=why)
        for user in environment.users_of(application.name):
            theirs = application_group(user.name)
            yield rule_between(group, "ingress", application.port, theirs, why=f"{why}, for {user.name}")
            yield rule_between(theirs, "egress", application.port, group, why=why)
        words, instance = application.egress, application.instance
        for protocol, port, prefix, reason in _egress(environment, words, instance, site):
            yield rule_with(group, "egress", protocol, port, prefix, why=reason)


def _agents_rules(environment: Environment, site: Site) -> Iterator[SecurityGroupRule]:
    """Yield the way to the packages of the agents and of sssd, where no application opens it."""
    words = ("packages",) if site.package_proxy is not None else ("dns", "packages")
    closed = without_packages(environment)
    supervised = closed if supervisor(environment) is not None else ()
    others = sorted(set(closed) & set(asking(environment)) - set(supervised))
    for group, instances in ((SUPERVISED, supervised), (SSH_ACCOUNTS, others)):
        for instance in instances:
            for protocol, port, prefix, reason in _egress(environment, words, instance, site):
                yield rule_with(group, "egress", protocol, port, prefix, why=reason)


def _egress(
    environment: Environment,
    words: Collection[str],
    instance: str,
    site: Site,
) -> Iterator[tuple[str, int, str, str]]:
    """Yield protocol, port, prefix and reason of all that may be reached from an instance by these words."""
    if "dns" in words:
        for prefix in _name_servers(environment, instance):
            yield "udp", 53, prefix, "dns: name resolution"
            yield "tcp", 53, prefix, "dns: name resolution, long answers"
    if "packages" in words:
        if site.package_proxy is not None:
            address, port = site.package_proxy
            yield "tcp", port, f"{address}/32", "packages: through the package proxy"
        else:
            yield "tcp", 80, _ANYWHERE, "packages: mirrors"
            yield "tcp", 443, _ANYWHERE, "packages: mirrors over TLS"
    if "cloud" in words:
        for address, port in site.api:
            yield "tcp", port, f"{address}/32", "cloud: its API"
    if "time" in words:
        yield "udp", 123, _ANYWHERE, "time: NTP"


def _name_servers(environment: Environment, instance_name: str) -> Iterable[str]:
    """Return the prefixes of an instance's name servers: Neutron's in its subnet, and the declared ones."""
    subnet = _subnet(environment, environment.instance(instance_name))
    servers = {f"{server}/32" for server in subnet.dns if IPv4Address(server) not in IPv4Network(subnet.cidr)}
    return (subnet.cidr, *sorted(servers))


def _subnet(environment: Environment, instance: Instance) -> SubnetSpec:
    network = next(network for network in environment.networks if network.name == instance.network)
    subnets = {subnet.name: subnet for subnet in network.subnets}
    return subnets[instance.subnet or min(subnets)]


def _instance(environment: Environment, instance: Instance, site: Site) -> Iterator[Resource]:
    groups = {
        *instance.security_groups,
        *groups_of_all(environment),
        *ssh_accounts_groups_of(environment, instance.name),
        *(application_group(application.name) for application in environment.applications_of(instance.name)),
    }
    subnet = _subnet(environment, instance).name
    port = Port(
        name=instance.name,
        network=f"{Kind.NETWORK}/{instance.network}",
        subnet=f"{Kind.SUBNET}/{subnet}",
        security_groups=tuple(sorted(f"{Kind.SECURITY_GROUP}/{group}" for group in groups)),
    )
    yield port
    yield Server(
        name=instance.name,
        flavor=f"{Kind.FLAVOR}/{instance.flavor}",
        image=f"{Kind.IMAGE}/{instance.image}",
        key_pair=f"{Kind.KEY_PAIR}/{environment.key_pair}",
        port=port.address,
        title=instance.name,
        metadata=instance.metadata,
        user_data=user_data(environment, instance.name, site),
    )
    if instance.floating_ip:
        outside = sorted(
            router.external_network
            for router in environment.routers
            if subnet in router.subnets and router.external_network is not None
        )
        yield FloatingIp(name=instance.name, network=f"{Kind.NETWORK}/{outside[0]}", port=port.address)
