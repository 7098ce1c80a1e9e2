"""What one list lacks is looked for again before it is made."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fake_openstack import Fault, Kind
from fake_openstack.company import plan, provision
from medicarche.cloud.listing import united
from medicarche.cloud.observe import FIRST, _read

if TYPE_CHECKING:
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections


#: what servers can't change: who sees a server on something that isn't there plans another server, and asks
STOOD_ON = {
    "/network/v2.0/networks",
    "/network/v2.0/ports",
    "/compute/v2.1/os-keypairs",
    "/compute/v2.1/flavors/detail",
}
KINDS = (
    ("neutron", "networks"),
    ("neutron", "subnets"),
    ("neutron", "routers"),
    ("neutron", "ports"),
    ("neutron", "security_groups"),
    ("neutron", "security_group_rules"),
    ("neutron", "floatingips"),
    ("nova", "servers"),
    ("nova", "flavors"),
    ("glance", "images"),
)


def _emptied(body: Any) -> Any:  # noqa: ANN401 - JSON
    return {key: [] if isinstance(value, list) else value for key, value in body.items()}


LISTS = (
    "/network/v2.0/networks",
    "/network/v2.0/subnets",
    "/network/v2.0/routers",
    "/network/v2.0/ports",
    "/network/v2.0/security-groups",
    "/network/v2.0/floatingips",
    "/compute/v2.1/servers/detail",
    "/compute/v2.1/os-keypairs",
    "/compute/v2.1/flavors/detail",
    "/image/v2/images",
)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.usefixtures("already_there")
def test_a_list_that_comes_back_empty_once_leads_to_nothing(
    cloud: FakeOpenStack, connections: Connections, path: str
) -> None:
    fault = Fault(Kind.CHANGE, "GET", f"{path}($|\\?)", change=_emptied)
    cloud.order(fault)
    assert plan(connections).empty
    assert not fault.times


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.usefixtures("already_there")
def test_a_list_that_comes_back_empty_twice_leads_to_nothing_either(
    cloud: FakeOpenStack, connections: Connections, image: Path, path: str
) -> None:
    """What is to be made in an environment that is there is asked for by its mark before."""
    before, census = cloud.snapshot(), cloud.census()
    fault = Fault(Kind.CHANGE, "GET", f"{path}($|\\?)", change=_emptied, times=2)
    cloud.order(fault)
    provision(connections, image)
    assert not fault.times
    assert cloud.census() == census
    assert plan(connections).empty
    if path in STOOD_ON:
        return
    after = cloud.snapshot()
    for service, kind in KINDS:
        assert after[service][kind].keys() == before[service][kind].keys(), kind


def test_in_a_new_environment_nothing_is_asked_for_by_its_mark(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    provision(connections, image)
    assert not [path for _, path in cloud.faults.calls if "description=" in path]


@pytest.mark.usefixtures("already_there")
def test_where_nothing_is_missing_nothing_is_asked_twice(
    cloud: FakeOpenStack, connections: Connections
) -> None:
    cloud.faults.calls.clear()
    assert plan(connections).empty
    asked = [call for call in cloud.faults.calls if "/flavors" not in call[1] and "/subnets" not in call[1]]
    assert len(asked) == len(set(asked))


def test_what_either_look_has_seen_is_there_as_the_later_one_saw_it() -> None:
    first: dict[str, list[dict[str, Any]]] = {
        "routers": [{"id": "a", "name": "old"}, {"id": "b"}],
        "keypairs": [{"keypair": {"name": "k"}}],
    }
    second: dict[str, list[dict[str, Any]]] = {
        "routers": [{"id": "c"}, {"id": "a", "name": "new"}],
        "keypairs": [{"keypair": {"name": "k"}}],
    }
    assert united(first, second) == {
        "routers": [{"id": "a", "name": "new"}, {"id": "b"}, {"id": "c"}],
        "keypairs": [{"keypair": {"name": "k"}}],
    }


def test_a_role_is_one_however_often_it_is_seen() -> None:
    role = {"user": {"id": "u"}, "role": {"id": "r"}, "scope": {"project": {"id": "p"}}, "links": {}}
    again = {"links": {"assignment": "x"}, **{key: role[key] for key in ("scope", "role", "user")}}
    assert united({"role_assignments": [role]}, {"role_assignments": [again]}) == {
        "role_assignments": [again]
    }


def test_one_list_of_each_service_is_asked_for_before_the_rest() -> None:
    """Each process of a service that sees a token for the first time has Keystone look at it."""
    together = threading.Barrier(len(FIRST))
    answered: list[str] = []
    early: list[str] = []

    def first(key: str) -> list[dict[str, Any]]:
        together.wait(timeout=60)  # all of them at once
        answered.append(key)
        return [{"id": key}]

    def other(key: str) -> list[dict[str, Any]]:
        early.extend(FIRST - set(answered))
        return [{"id": key}]

    keys = ("networks", *FIRST, "ports", "images")
    found = _read({key: partial(first if key in FIRST else other, key) for key in keys})
    assert found == {key: [{"id": key}] for key in keys}
    assert early == []
