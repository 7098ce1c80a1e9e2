"""Two projects of one cloud, each with an environment of the same name: neither takes the other's."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fake_openstack.company import NAME, company, destroy, plan, provision
from fake_openstack.fixtures import still_clock
from fake_openstack.keystone import User
from medicarche.cloud.connect import Connections, connect
from medicarche.cloud.marks import address_of, description, project_of
from medicarche.plan.resources import Flavor, Resource, Router, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Target


@pytest.fixture(name="other")
def _other(cloud: FakeOpenStack, target: Target, tmp_path: Path) -> Iterator[Connections]:
    """A member of another project, with the same admin."""
    cloud.keystone.users["other"] = User("other", "secret", "project-other", ("member",))
    assert target.clouds_yaml is not None
    entries = target.clouds_yaml.read_text(encoding="utf-8")
    demo = entries[entries.index("  demo:") : entries.index("  admin:")]
    path = tmp_path / "two.yaml"
    path.write_text(entries + demo.replace("demo", "other"), encoding="utf-8")
    with closing(connect(replace(target, clouds_yaml=path, cloud="other"), clock=still_clock())) as connected:
        yield connected


@pytest.mark.usefixtures("already_there")
def test_one_uses_what_the_other_made_and_removes_nothing_of_it(
    cloud: FakeOpenStack, connections: Connections, other: Connections, image: Path
) -> None:
    first = cloud.census()
    notes = "\n".join(plan(other, _elsewhere()).notes)
    for shared in ("flavor/medicarche.small", "network/external", "image/debian-13"):
        assert f"{shared} is the cloud's own" in notes
    provision(other, image, _elsewhere())
    assert plan(other, _elsewhere()).empty
    assert plan(connections).empty
    destroy(other)
    assert cloud.census() == first
    assert plan(connections).empty


@pytest.mark.usefixtures("already_there")
def test_the_first_leaves_what_the_second_made(
    cloud: FakeOpenStack, connections: Connections, other: Connections, image: Path
) -> None:
    larger = tuple(
        replace(r, name="medicarche.large", disk_gib=9) if isinstance(r, Flavor) else r for r in _elsewhere()
    )
    larger = tuple(
        replace(r, flavor="flavor/medicarche.large") if isinstance(r, Server) else r for r in larger
    )
    provision(other, image, larger)
    cloud.nova.servers.clear()  # what would hold the flavors
    destroy(connections)
    assert [flavor["name"] for flavor in cloud.nova.flavors.values()] == ["medicarche.large"]
    assert plan(other, larger).counts()["create"]


@pytest.mark.usefixtures("already_there")
def test_what_was_marked_without_a_project_is_still_ours(
    cloud: FakeOpenStack, connections: Connections
) -> None:
    neutron = cloud.neutron
    for store in (cloud.nova.flavors, neutron.networks, neutron.subnets):
        for raw in store.values():
            raw["description"] = raw["description"].replace(" project=project-demo", "")
    for raw in cloud.glance.images.values():
        del raw["medicarche_project"]
    assert plan(connections).empty
    destroy(connections)
    assert cloud.census() == {}


def test_a_network_that_another_project_shares_with_us_is_not_ours(
    cloud: FakeOpenStack, connections: Connections, other: Connections
) -> None:
    mark = f"medicarche:{NAME}:network/private"
    other.member.network.post(
        "/networks", {"network": {"name": "private", "description": mark, "shared": True}}
    )
    for raw in cloud.neutron.networks.values():
        raw["shared"] = True
    assert "create network/private" in {action.id for action in plan(connections).actions}
    destroy(connections)
    assert cloud.census() == {"networks": 1}


def test_a_description_names_mark_project_and_purpose() -> None:
    flavor = Flavor(name="small", vcpus=1, ram_mib=1, disk_gib=1)
    text = description("lab", flavor, "abc")
    assert text == "medicarche:lab:flavor/small project=abc"
    assert address_of("lab", text) == "flavor/small"
    assert project_of(text) == "abc"
    assert project_of(description("lab", flavor)) is None
    assert project_of(None) is None
    assert project_of("medicarche:lab:security_group/x a project=of somebody") is None


def _elsewhere() -> tuple[Resource, ...]:
    """Return the company again; a router's fixed address can be had once."""
    return tuple(replace(r, external_address=None) if isinstance(r, Router) else r for r in company())
