"""Quotas and extensions, before anything is created."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_openstack.company import company
from medicarche.cloud.check import check
from medicarche.errors import CloudUnsuitable, QuotaTooSmall

if TYPE_CHECKING:
    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections

FIVE = company(("a", "b", "c", "d", "e"))


def test_enough(connections: Connections) -> None:
    check(connections, FIVE)


def test_all_quotas_that_are_too_small_are_told_at_once(
    cloud: FakeOpenStack, connections: Connections
) -> None:
    cloud.nova.quota |= {"instances": 4, "cores": 9, "ram": 5119, "key_pairs": 0}
    cloud.neutron.quota |= dict.fromkeys(cloud.neutron.quota, 0)
    with pytest.raises(QuotaTooSmall) as caught:
        check(connections, FIVE)
    lines = caught.value.message.splitlines()[1:]
    assert sorted(line.strip() for line in lines) == sorted(
        [
            "instances: 5 needed, 4 of 4 left",
            "cores: 10 needed, 9 of 9 left",
            "RAM in MiB: 5120 needed, 5119 of 5119 left",
            "key pairs: 1 needed, 0 of 0 left",
            "networks: 1 needed, 0 of 0 left",
            "subnets: 1 needed, 0 of 0 left",
            "routers: 1 needed, 0 of 0 left",
            "ports: 7 needed, 0 of 0 left",
            "security groups: 2 needed, 0 of 0 left",
            "security-group rules: 6 needed, 0 of 0 left",
            "floating IPs: 5 needed, 0 of 0 left",
        ]
    )
    assert cloud.faults.writes == []
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("details", [True, False], ids=["with usage", "counted"])
def test_what_is_used_counts(cloud: FakeOpenStack, connections: Connections, *, details: bool) -> None:
    if not details:
        cloud.neutron.extensions.remove("quota_details")
    cloud.neutron.quota["network"] = 1
    connections.member.network.post("/networks", {"network": {"name": "n"}})
    with pytest.raises(QuotaTooSmall, match="networks: 1 needed, 0 of 1 left"):
        check(connections, FIVE)


def test_unlimited(cloud: FakeOpenStack, connections: Connections) -> None:
    cloud.nova.quota |= dict.fromkeys(cloud.nova.quota, -1)
    cloud.neutron.quota |= dict.fromkeys(cloud.neutron.quota, -1)
    check(connections, FIVE)


def test_a_size_that_is_there_already_counts(cloud: FakeOpenStack, connections: Connections) -> None:
    cloud.nova.quota["cores"] = 31
    admin = connections.admin
    assert admin is not None
    flavor = {
        "name": "medicarche.small",
        "vcpus": 32,
        "ram": 1,
        "disk": 1,
        "os-flavor-access:is_public": True,
    }
    admin.compute.post("/flavors", {"flavor": flavor})
    servers = [resource for resource in company() if resource.kind.value == "server"]
    with pytest.raises(QuotaTooSmall, match="cores: 32 needed, 31 of 31 left"):
        check(connections, servers)


def test_a_missing_extension(cloud: FakeOpenStack, connections: Connections) -> None:
    cloud.neutron.extensions.remove("router")
    cloud.neutron.extensions.remove("standard-attr-description")
    with pytest.raises(CloudUnsuitable, match=r"lacks: router \(routers\), standard-attr-description"):
        check(connections, FIVE)
