"""What must be found from where, as it follows from the declaration; and what was found beside it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from medicarche.plan import derive
from medicarche.plan.matrix import Cell, Matrix, deviations, received_undeclared
from medicarche.plan.reach import (
    Expected,
    Placed,
    Policy,
    Span,
    Target,
    VantagePoint,
    administrators_address,
    expectation,
    outside_address,
    targets,
)
from medicarche.spec import Environment, Site, load_environment

FILE = Path(__file__).parents[3] / "environments" / "medicarche.yaml"
SITE = Site("raw", "lxc", ("10.20.20.1", 3142), {"debian-13": "abc"}, "ssh-ed25519 AAAA", "physnet")
OUTSIDE = VantagePoint("outside", "outside", "203.0.113.1")
DSI = VantagePoint("administrators", "administrators", "10.20.20.254")
ROUTER = VantagePoint("router", "router", "192.168.222.1", "10.20.20.224")
ODOO = VantagePoint("odoo", "instance", "192.168.222.20", "10.20.20.120")
PUBLIC = Target("website", "floating", "10.20.20.110")
PRIVATE = Target("website", "private", "192.168.222.10")


@pytest.fixture(name="environment")
def _environment() -> Environment:
    return load_environment(FILE)


@pytest.fixture(name="policy")
def _policy(environment: Environment) -> Policy:
    return Policy(environment, derive(environment, SITE), {})


def _open(policy: Policy, source: VantagePoint, target: Target) -> list[tuple[str, int]]:
    spans = expectation(policy, source, target, udp=(53, 123))
    return [
        (s.protocol, port)
        for s in spans
        if s.expected is Expected.OPEN
        for port in range(s.first, s.last + 1)
    ]


def _state(
    policy: Policy, source: VantagePoint, target: Target, port: int, protocol: str = "tcp"
) -> Expected:
    (span,) = (
        s
        for s in expectation(policy, source, target, udp=(53, 123))
        if s.protocol == protocol and s.first <= port <= s.last
    )
    return span.expected


@pytest.mark.parametrize("target", [PUBLIC, PRIVATE], ids=lambda t: t.kind)
def test_outside_reaches_what_is_public_and_administrators_ssh_too(policy: Policy, target: Target) -> None:
    assert _open(policy, OUTSIDE, target) == [("tcp", 80), ("tcp", 8088)]
    assert _open(policy, DSI, target) == [("tcp", 22), ("tcp", 80), ("tcp", 8088)]
    assert _state(policy, OUTSIDE, target, 22) is Expected.FILTERED
    assert _state(policy, OUTSIDE, target, 8087) is Expected.FILTERED
    assert _state(policy, OUTSIDE, target, 53, "udp") is Expected.FILTERED


def test_the_router_counts_by_the_address_that_is_seen(policy: Policy) -> None:
    assert ("tcp", 22) not in _open(policy, ROUTER, PRIVATE)
    assert ("tcp", 22) in _open(policy, ROUTER, PUBLIC)  # translated, it has an administrators' address


def test_an_instance_reaches_its_egress_and_nothing_else(policy: Policy) -> None:
    assert _open(policy, ODOO, PUBLIC) == []
    assert _open(policy, ODOO, PRIVATE) == []
    names = Target("private-subnet", "dns", "192.168.222.2", frozenset({("tcp", 53), ("udp", 53)}))
    assert _open(policy, ODOO, names) == [("tcp", 53), ("udp", 53)]
    assert _state(policy, ODOO, names, 123, "udp") is Expected.FILTERED
    packages = Target("packages", "packages", "10.20.20.1", frozenset({("tcp", 3142)}))
    assert _open(policy, ODOO, packages) == [("tcp", 3142)]
    assert _state(policy, ODOO, packages, 5000) is Expected.FILTERED
    router = Target("router", "router", "192.168.222.1")
    assert _state(policy, ODOO, router, 53) is Expected.CLOSED  # it may ask there; nobody answers
    assert _state(policy, OUTSIDE, router, 22) is Expected.CLOSED


def test_a_port_that_is_let_in_and_has_no_listener_is_refused(environment: Environment) -> None:
    gone = replace(
        environment,
        applications=tuple(replace(a, deployed=a.name != "website") for a in environment.applications),
    )
    policy = Policy(gone, derive(gone, SITE), {})
    assert _state(policy, OUTSIDE, PUBLIC, 8088) is Expected.REFUSED


def test_all_ports_are_in_exactly_one_span(policy: Policy) -> None:
    spans = [s for s in expectation(policy, OUTSIDE, PUBLIC) if s.protocol == "tcp"]
    assert (spans[0].first, spans[-1].last) == (1, 65_535)
    assert all(a.last + 1 == b.first for a, b in pairwise(spans))


def test_the_addresses_from_outside_and_of_an_administrator(environment: Environment) -> None:
    assert outside_address(environment) == "203.0.113.1"
    assert outside_address(replace(environment, administrators=("203.0.113.0/24",))) == "198.51.100.1"
    assert outside_address(replace(environment, administrators=("0.0.0.0/0",))) is None
    assert administrators_address(environment) == ("10.20.20.254",)
    assert administrators_address(replace(environment, administrators=("10.9.8.7/32",))) == ("10.9.8.7",)
    crowded = replace(environment, administrators=("10.20.20.224/32",))  # the router's own
    assert administrators_address(crowded) == ()


def test_what_is_probed(environment: Environment) -> None:
    found = targets(
        environment,
        [Placed("website", "192.168.222.10", "10.20.20.110"), Placed("odoo", "192.168.222.20", None)],
        name_servers={"192.168.222.2": "private-subnet"},
        package_proxy=("10.20.20.1", 3142),
        elsewhere="203.0.113.1",
    )
    assert [(t.kind, t.address) for t in found] == [
        ("private", "192.168.222.10"),
        ("floating", "10.20.20.110"),
        ("private", "192.168.222.20"),
        ("router", "192.168.222.1"),
        ("router", "10.20.20.224"),
        ("dns", "192.168.222.2"),
        ("metadata", "169.254.169.254"),
        ("packages", "10.20.20.1"),
        ("elsewhere", "203.0.113.1"),
    ]


# --- the comparison ----------------------------------------------------------------------------------------

_EXPECTED = (
    Span("tcp", 1, 21, Expected.FILTERED),
    Span("tcp", 22, 22, Expected.OPEN),
    Span("tcp", 23, 79, Expected.FILTERED),
    Span("tcp", 80, 80, Expected.REFUSED),
    Span("tcp", 81, 65_535, Expected.FILTERED),
    Span("udp", 53, 53, Expected.FILTERED),
)
_AS_DECLARED = {"open": [[22, 22]], "refused": [[80, 80]]}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"tcp": _AS_DECLARED}, []),
        (
            {"tcp": {"refused": [[80, 80]]}},
            ["from outside to website (10.20.20.110), tcp 22: declared open, found silent"],
        ),
        (
            {"tcp": {**_AS_DECLARED, "open": [[22, 22], [5432, 5433]]}},
            ["from outside to website (10.20.20.110), tcp 5432-5433: declared filtered, found open"],
        ),
        (
            {"tcp": {"open": [[22, 22]], "refused": [[79, 81]]}},
            [
                "from outside to website (10.20.20.110), tcp 79: declared filtered, found refused",
                "from outside to website (10.20.20.110), tcp 81: declared filtered, found refused",
            ],
        ),
        (
            {"tcp": {"open": [[22, 22], [80, 80]]}},
            ["from outside to website (10.20.20.110), tcp 80: declared refused, found open"],
        ),
        (
            {"tcp": _AS_DECLARED, "udp": {"refused": [[53, 53]]}},
            ["from outside to website (10.20.20.110), udp 53: declared filtered, found refused"],
        ),
        (
            {"tcp": {**_AS_DECLARED, "unreachable": [[65_535, 65_535]]}},
            ["from outside to website (10.20.20.110), tcp 65535: declared filtered, found unreachable"],
        ),
    ],
)
def test_both_ways(found: dict[str, dict[str, list[list[int]]]], said: list[str]) -> None:
    assert [str(d) for d in deviations(Cell(OUTSIDE, PUBLIC, _EXPECTED, found))] == said


def test_what_was_not_tried_is_no_deviation_and_no_proof() -> None:
    cell = Cell(OUTSIDE, PUBLIC, _EXPECTED, not_tried="nobody there")
    assert deviations(cell) == ()
    rows = list(Matrix((cell,), {}, 0).rows())
    assert {row[-1] for row in rows} == {"not tried"}


def test_rows_hold_every_port_once() -> None:
    cell = Cell(
        OUTSIDE, PUBLIC, _EXPECTED, {"tcp": {"open": [[22, 22]], "refused": [[79, 81]]}}, probes=65_536
    )
    matrix = Matrix((cell,), {}, 1.5)
    rows = [row for row in matrix.rows() if row[3] == "tcp"]
    assert sum(last - first + 1 for _, _, _, _, first, last, _, _ in rows) == 65_535
    assert matrix.probes == 65_536


def test_what_arrives_is_judged_by_the_rules(policy: Policy) -> None:
    received = {
        "website": (("203.0.113.1", "tcp", 80), ("203.0.113.1", "tcp", 22), ("10.20.20.254", "tcp", 22)),
        "odoo": (("192.168.222.10", "udp", 53),),
    }
    assert received_undeclared(policy, Matrix((), received, 0)) == (
        "odoo received udp 53 from 192.168.222.10, which no rule lets in",
        "website received tcp 22 from 203.0.113.1, which no rule lets in",
    )
