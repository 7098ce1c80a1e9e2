"""CLOUD-4: flavors sized per application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from openstack.connection import Connection

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Environment

pytestmark = pytest.mark.requirement("CLOUD-4")


def test_each_flavor_is_as_declared(member: Connection, environment: Environment) -> None:
    found = {f.name: f for f in member.compute.flavors(details=True, get_extra_specs=True)}
    for wanted in environment.flavors:
        flavor = found[wanted.name]
        assert (flavor.vcpus, flavor.ram, flavor.disk) == (wanted.vcpus, wanted.ram_mib, wanted.disk_gib)
        assert (flavor.ephemeral or 0, flavor.swap or 0) == (wanted.ephemeral_gib, wanted.swap_mib)
        assert flavor.is_public is wanted.public
        assert flavor.extra_specs == dict(wanted.metadata)


def test_each_instance_has_its_flavor(
    member: Connection, environment: Environment, instance: InstanceState
) -> None:
    server = member.compute.get_server(instance.id)
    wanted = environment.instance(instance.name).flavor
    declared = next(f for f in environment.flavors if f.name == wanted)
    # since microversion 2.47 a server carries its flavor's sizes, before that the flavor's id
    flavor = server.flavor
    if flavor.original_name is None and flavor.vcpus is None:
        flavor = member.compute.get_flavor(flavor.id)
    assert (flavor.vcpus, flavor.ram, flavor.disk) == (declared.vcpus, declared.ram_mib, declared.disk_gib)
