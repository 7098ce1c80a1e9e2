"""How a plan is told to a person, and to a program."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from medicarche.plan import (
    Observed,
    Plan,
    make_plan,
    mark,
    mermaid,
    plan_as_json,
    render_plan,
    summary,
)
from medicarche.plan.resources import Flavor, KeyPair, Network, SecurityGroup, SecurityGroupRule, Subnet

SMALL = Flavor(name="small", vcpus=2, ram_mib=1024, disk_gib=5)
NETWORK = Network(name="private")
SUBNET = Subnet(name="private", network="network/private", cidr="192.168.222.0/24")
GROUP = SecurityGroup(name="shared")


def _there(resource: Flavor | Network | Subnet | SecurityGroup, *, owner: str = "lab") -> Observed:
    return Observed(
        id=f"{resource.kind}-{resource.name}", resource=resource, mark=mark(owner, resource.address)
    )


@pytest.fixture(name="plan")
def _plan() -> Plan:
    observed = [
        _there(replace(SMALL, disk_gib=8)),
        _there(NETWORK),
        _there(replace(SUBNET, dns=("[red]10.0.0.1",))),
        _there(SecurityGroup(name="old")),
        _there(GROUP),
        Observed(
            id="hand",
            resource=SecurityGroupRule(name="hand", group="security_group/shared", direction="egress"),
            mark=None,
        ),
    ]
    return make_plan("lab", [SMALL, NETWORK, SUBNET, GROUP, KeyPair(name="admin", public_key="k")], observed)


def _text(plan: Plan) -> str:
    console = Console(file=StringIO(), width=200, color_system=None)
    console.print(render_plan(plan))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_each_difference_is_told_once(plan: Plan) -> None:
    assert _text(plan).splitlines() == [
        (
            "- security_group_rule/hand (hand): Neutron's default: everything may leave"
            "  egress IPv4 all to anywhere in security_group/shared"
        ),
        "- security_group/old (security_group-old): no longer wanted",
        "~ subnet/private: dns differs",
        "    dns: [red]10.0.0.1 → none",
        "± flavor/small: replaced, disk_gib differs",
        "    disk_gib: 8 → 5",
        "+ key_pair/admin  public_key k",
        "",
        "lab: 1 to create, 1 to update, 1 to replace, 2 to delete",
    ]


def test_nothing_to_do_is_said() -> None:
    plan = make_plan("lab", [NETWORK], [_there(NETWORK)])
    assert _text(plan) == "lab: nothing to do\n"
    assert summary(plan) == "nothing to do"


def test_conflicts_and_notes_are_told() -> None:
    plan = make_plan("lab", [SMALL], [_there(replace(SMALL, vcpus=1), owner="other")])
    assert "! flavor/small is in the cloud already, isn't ours and differs" in _text(plan)
    plan = make_plan("lab", [SMALL], [_there(SMALL, owner="other")])
    assert "note: flavor/small is the cloud's own (flavor-small)" in _text(plan)


def test_as_json(plan: Plan) -> None:
    data = json.loads(json.dumps(plan_as_json(plan)))
    assert data["counts"] == {"create": 1, "update": 1, "replace": 1, "delete": 2}
    assert data["empty"] is False
    update = next(action for action in data["actions"] if action["verb"] == "update")
    assert update == {
        "id": "update subnet/private",
        "verb": "update",
        "kind": "subnet",
        "address": "subnet/private",
        "cloud_id": "subnet-private",
        "content": "cidr 192.168.222.0/24",
        "reason": "dns differs",
        "replacement": False,
        "changes": [{"field": "dns", "old": "[red]10.0.0.1", "new": "none"}],
        "after": [],
    }
    assert data["kept"]["network/private"] == "network-private"


def test_mermaid() -> None:
    text = mermaid(make_plan("lab", [NETWORK, SUBNET], ()))
    assert text.splitlines()[:4] == [
        "flowchart LR",
        '  a0["create network/private"]:::create',
        '  a1["create subnet/private"]:::create',
        "  a0 --> a1",
    ]


@pytest.mark.parametrize("wanted", [[NETWORK, NETWORK], [SUBNET]])
def test_what_contradicts_itself_is_a_mistake_of_the_program(wanted: list[Network | Subnet]) -> None:
    with pytest.raises(ValueError, match=r"wanted twice|isn't wanted"):
        make_plan("lab", wanted, ())
