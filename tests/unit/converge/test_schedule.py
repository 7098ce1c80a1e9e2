"""Which actions may begin."""

from __future__ import annotations

import pytest

from medicarche.converge.schedule import Schedule
from medicarche.plan.model import Action, Verb
from medicarche.plan.resources import Network, Server


def _network(name: str, *after: str) -> Action:
    network = Network(name=name)
    return Action(f"create {name}", Verb.CREATE, network.address, network, after=frozenset(after))


def _server(name: str) -> Action:
    server = Server(name=name, flavor="f", image="i", key_pair="k", port="p")
    return Action(f"create {name}", Verb.CREATE, server.address, server)


def _ids(actions: list[Action]) -> list[str]:
    return [action.id for action in actions]


def test_what_comes_after_waits() -> None:
    schedule = Schedule([_network("a"), _network("b", "create a"), _network("c")], 8)
    assert _ids(schedule.ready()) == ["create a", "create c"]
    assert schedule.ready() == []
    schedule.finish("create c")
    assert schedule.ready() == []
    schedule.finish("create a")
    assert _ids(schedule.ready()) == ["create b"]


def test_what_comes_after_a_failure_is_skipped() -> None:
    schedule = Schedule([_network("a"), _network("b", "create a"), _network("c", "create b")], 8)
    schedule.ready()
    schedule.finish("create a", failed=True)
    assert schedule.ready() == []
    assert schedule.skipped == ("create b", "create c")
    assert not schedule.running


def test_a_service_gets_no_more_than_its_limit_at_once() -> None:
    schedule = Schedule([_server(str(n)) for n in range(9)] + [_network("n")], 8)
    assert _ids(schedule.ready()) == ["create 0", "create 1", "create 2", "create 3", "create n"]


def test_what_is_only_waited_for_holds_no_place() -> None:
    schedule = Schedule([_server(str(n)) for n in range(6)], 4)
    schedule.ready()
    schedule.release("create 0")
    assert _ids(schedule.ready()) == ["create 4"]
    assert "create 0" not in schedule.done


def test_a_plan_that_refers_to_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="create absent"):
        Schedule([_network("a", "create absent")], 8)
