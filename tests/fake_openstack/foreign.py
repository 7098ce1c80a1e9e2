"""Objects of others in the same project and cloud, named as ours are: never to be touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fake_openstack.company import PUBLIC_KEY

if TYPE_CHECKING:
    from medicarche.cloud.connect import Connections

__all__ = ["make"]


def make(connections: Connections) -> None:
    """Make objects with our names: several of each, without a mark and with that of another environment."""
    member, admin = connections.member, connections.admin
    assert admin is not None
    network, compute = member.network, member.compute
    flavor = admin.compute.post(
        "/flavors",
        {"flavor": {"name": "theirs", "vcpus": 1, "ram": 64, "disk": 1, "os-flavor-access:is_public": True}},
    )["flavor"]
    compute.post("/os-keypairs", {"keypair": {"name": "administration", "public_key": PUBLIC_KEY}})
    for number, description in enumerate(
        ("", "medicarche:other:network/private", "medicarche:medicarche2:x")
    ):
        common = {"description": description}
        net = network.post("/networks", {"network": {"name": "private", **common}})["network"]
        subnet = {"name": "private-subnet", "network_id": net["id"], "ip_version": 4, **common}
        subnet |= {"cidr": f"172.31.{number}.0/24", "gateway_ip": f"172.31.{number}.1"}
        made = network.post("/subnets", {"subnet": subnet})["subnet"]
        router = network.post("/routers", {"router": {"name": "router", **common}})["router"]
        network.put(f"/routers/{router['id']}/add_router_interface", {"subnet_id": made["id"]})
        group = network.post("/security-groups", {"security_group": {"name": "web-sg", **common}})
        rule = {"security_group_id": group["security_group"]["id"], "direction": "ingress", **common}
        network.post("/security-group-rules", {"security_group_rule": {**rule, "protocol": "tcp"}})
        port = {"name": "website", "network_id": net["id"], "fixed_ips": [{"subnet_id": made["id"]}]}
        port |= {"security_groups": [group["security_group"]["id"]], **common}
        held = network.post("/ports", {"port": port})["port"]
        image = member.image.post(
            "/images", {"name": "debian-13", "disk_format": "raw", "visibility": "private"}
        )
        member.image.upload(f"/images/{image['id']}/file", b"theirs")
        server = {"name": "website", "flavorRef": flavor["id"], "imageRef": image["id"]}
        server |= {"key_name": "administration", "networks": [{"port": held["id"]}]}
        compute.post("/servers", {"server": {**server, "metadata": {"medicarche": description}}})
    for _ in range(3):
        compute.collection("/servers/detail", "servers")  # until they are built
