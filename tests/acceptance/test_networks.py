"""CLOUD-3: the networks, the router between them, and what leaves by NAT."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest

from medicarche.probe import Capture

if TYPE_CHECKING:
    from openstack.connection import Connection
    from testinfra.host import Host

    from medicarche.cloud.connect import Connections
    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Environment
    from medicarche.testing.built import Built

pytestmark = pytest.mark.requirement("CLOUD-3")


def test_the_networks_and_subnets_are_as_declared(connections: Connections, environment: Environment) -> None:
    member = connections.member.sdk
    networks = {n.name: n for n in member.network.networks()}
    # the subnets of an external network are shown to an admin only
    seer = connections.admin.sdk if connections.admin is not None else member
    subnets = {s.name: s for s in seer.network.subnets()}
    for declared in environment.networks:
        network = networks[declared.name]
        assert network.is_router_external is declared.external
        assert network.status == "ACTIVE"
        for wanted in declared.subnets:
            if declared.external and connections.admin is None:
                continue
            subnet = subnets[wanted.name]
            assert subnet.network_id == network.id
            assert ipaddress.ip_network(subnet.cidr) == ipaddress.ip_network(wanted.cidr)
            assert (subnet.gateway_ip, subnet.is_dhcp_enabled) == (wanted.gateway, wanted.dhcp)
            if wanted.pools:
                pools = {(p["start"], p["end"]) for p in subnet.allocation_pools}
                assert pools == set(wanted.pools)


def test_the_router_joins_them(member: Connection, environment: Environment) -> None:
    routers = {r.name: r for r in member.network.routers()}
    gateways = {s.name: s.gateway for n in environment.networks for s in n.subnets}
    for declared in environment.routers:
        router = routers[declared.name]
        assert router.status == "ACTIVE"
        interfaces = member.network.ports(device_id=router.id, device_owner="network:router_interface")
        inside = {ip["ip_address"] for port in interfaces for ip in port.fixed_ips}
        assert inside == {gateways[name] for name in declared.subnets}
        if declared.external_network is None:
            continue
        gateway = router.external_gateway_info
        network = member.network.get_network(gateway["network_id"])
        assert network.name == declared.external_network
        if declared.external_address is not None:
            outside = {ip["ip_address"] for ip in gateway["external_fixed_ips"]}
            assert outside == {declared.external_address}


def test_an_instance_leaves_under_an_external_address(
    provisioned: Built, machine: Host, instance: InstanceState
) -> None:
    site = provisioned.selection.embedded and provisioned.selection.embedded.site_facts()
    if not site or site.package_proxy is None:
        pytest.skip("on a configured cloud nobody of ours sits on the external network to see it")
    address, port = site.package_proxy
    reached = (address, port)
    with Capture(lambda p: (p.destination, p.destination_port) == reached) as capture:
        machine.check_output(f"timeout 5 bash -c ': < /dev/tcp/{address}/{port}'")
    sources = {packet.source for packet in capture.packets}
    # on its way the packet passes the private network, under the private address, and then the router
    assert instance.floating_address in sources


def test_the_instances_sit_on_their_network_with_its_router_as_their_way_out(
    environment: Environment, instance: InstanceState, machine: Host
) -> None:
    declared = environment.instance(instance.name)
    (network,) = [n for n in environment.networks if n.name == declared.network]
    routes = machine.check_output("ip -4 route show default")
    assert routes.split()[:3] == ["default", "via", network.subnets[0].gateway]
    addresses = machine.check_output("ip -4 -brief address show scope global")
    assert f"{instance.private_address}/" in addresses
