"""What of a server is changed in place on the fake cloud: metadata, name, and whether it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fake_openstack import Fault, Kind
from fake_openstack.company import NAME, company, plan, provision
from medicarche.plan.resources import Resource, Server

if TYPE_CHECKING:
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections


def test_a_servers_metadata_follows_the_file(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    def with_metadata(*metadata: tuple[str, str]) -> tuple[Resource, ...]:
        return tuple(replace(r, metadata=metadata) if isinstance(r, Server) else r for r in company())

    provision(connections, image, with_metadata(("owner", "dsi"), ("site", "arche")))
    (server,) = cloud.nova.servers.values()
    mark = {"medicarche": f"medicarche:{NAME}:server/website"}
    assert server["metadata"] == {"owner": "dsi", "site": "arche", **mark}
    server["metadata"]["added by hand"] = "x"
    server["metadata"]["owner"] = "somebody"
    provision(connections, image, with_metadata(("owner", "dsi")))
    assert server["metadata"] == {"owner": "dsi", **mark}
    assert [s["id"] for s in cloud.nova.servers.values()] == [server["id"]]


def _titled() -> tuple[Resource, ...]:
    return tuple(replace(r, title=r.name) if isinstance(r, Server) else r for r in company())


def test_a_server_that_was_renamed_and_stopped_is_named_and_started(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    provision(connections, image, _titled())
    (server,) = cloud.nova.servers.values()
    server |= {"name": "nobody-knows", "status": "SHUTOFF"}
    (action,) = plan(connections, _titled()).actions
    assert [(c.field, c.old, c.new) for c in action.changes] == [
        ("title", "nobody-knows", "website"),
        ("running", "no", "yes"),
    ]
    provision(connections, image, _titled())
    assert (server["name"], server["status"]) == ("website", "ACTIVE")
    assert plan(connections, _titled()).empty


@pytest.mark.usefixtures("already_there")
def test_a_start_whose_answer_is_lost_is_a_start(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    (server,) = cloud.nova.servers.values()
    server["status"] = "SHUTOFF"
    cloud.order(Fault(Kind.LOSE, "POST", "/servers/[^/]+/action"))
    provision(connections, image)
    assert server["status"] == "ACTIVE"
