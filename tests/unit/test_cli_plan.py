"""`plan` and `provision` on the command line: exit codes, colour, and servers that are not lost unasked."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from medicarche import connecting, planning
from medicarche.cli import environment as commands
from medicarche.cli import output
from medicarche.cli import planned as planned_module
from medicarche.cli.plan import plan as plan_command
from medicarche.errors import MedicarcheError
from medicarche.options import Options
from medicarche.plan import Observed, Plan, make_plan, mark, render_plan
from medicarche.plan.resources import (
    Flavor,
    Image,
    KeyPair,
    Network,
    Port,
    Resource,
    SecurityGroup,
    Server,
    Subnet,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = Flavor(name="small", vcpus=2, ram_mib=1024, disk_gib=5)
GROUP = SecurityGroup(name="shared")


class _Selection:
    """What `select` gives, as far as `plan` uses it."""

    def enter(self) -> None:
        """Do nothing."""


def _there(*resources: Resource) -> list[Observed]:
    return [Observed(id=f"id-{r.address}", resource=r, mark=mark("lab", r.address)) for r in resources]


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `plan` on a plan that is given."""

    def run(planned: Plan, *arguments: str) -> Any:  # noqa: ANN401 - click's result
        monkeypatch.setattr(connecting, "begin", lambda _: None)
        monkeypatch.setattr(planned_module, "select", lambda _: _Selection())
        found = type("Planned", (), {"plan": planned, "connections": nullcontext()})
        monkeypatch.setattr(planning, "plan", lambda *_: found)
        return CliRunner().invoke(plan_command, list(arguments), standalone_mode=False, obj=Options())

    return run


def test_exit_codes_tell_nothing_changes_and_errors(run: Callable[..., Any]) -> None:
    assert run(make_plan("lab", [SMALL], _there(SMALL))).return_value == 0
    changes = run(make_plan("lab", [SMALL], ()))
    assert changes.return_value == 2
    assert "+ flavor/small  vcpus 2, ram_mib 1024, disk_gib 5" in changes.output
    stranger = [replace(found, mark=None) for found in _there(replace(SMALL, vcpus=1))]
    conflict = run(make_plan("lab", [SMALL], stranger))
    assert isinstance(conflict.exception, MedicarcheError)
    assert "isn't ours and differs" in str(conflict.exception)


def test_json_is_for_programs(run: Callable[..., Any]) -> None:
    done = run(make_plan("lab", [SMALL], ()), "--json")
    assert done.return_value == 2
    assert json.loads(done.output)["counts"]["create"] == 1


@pytest.mark.parametrize(("kind", "first"), [("mermaid", "flowchart LR"), ("dot", "digraph plan {")])
def test_a_graph_on_demand(run: Callable[..., Any], kind: str, first: str) -> None:
    done = run(make_plan("lab", [SMALL], ()), "--graph", kind)
    assert done.output.splitlines()[0] == first
    assert "create flavor/small" in done.output
    assert done.return_value == 2


def test_a_graph_is_no_json(run: Callable[..., Any]) -> None:
    done = run(make_plan("lab", [SMALL], ()), "--graph", "dot", "--json")
    assert isinstance(done.exception, click.UsageError)


def _server_plan(change: str) -> Plan:
    server = Server(name="web", flavor=SMALL.address, image="image/i", key_pair="key_pair/k", port="port/web")
    others: list[Resource] = [
        KeyPair(name="k", public_key="k"),
        Image(name="i", disk_format="raw", recipe="r"),
        Network(name="n"),
        Subnet(name="s", network="network/n", cidr="192.168.222.0/24"),
        Port(name="web", network="network/n", subnet="subnet/s"),
    ]
    there = _there(SMALL, *others, server)
    match change:
        case "replaced":
            return make_plan("lab", [replace(SMALL, disk_gib=9), *others, server], there)
        case "removed":
            return make_plan("lab", [SMALL, *others], there)
    return make_plan("lab", [SMALL, *others, server], there[1:])


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_servers_go_only_if_somebody_says_yes(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = _server_plan(change)
    with pytest.raises(MedicarcheError, match=r"server/web would be removed or replaced.*no terminal"):
        commands._ask(planned)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", lambda *_a, **_k: False)
    with pytest.raises(click.Abort):
        commands._ask(planned)
    monkeypatch.setattr(click, "confirm", lambda *_a, **_k: True)
    assert commands._ask(planned)


def test_all_else_goes_without_a_question() -> None:
    assert commands._ask(make_plan("lab", [], _there(SMALL, GROUP)))
    assert commands._ask(_server_plan("nothing"))


@pytest.mark.parametrize(
    ("terminal", "variables", "coloured"),
    [(True, {"TERM": "xterm"}, True), (True, {"TERM": "xterm", "NO_COLOR": "1"}, False), (False, {}, False)],
)
def test_colour_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,  # noqa: FBT001 - parametrized
    variables: dict[str, str],
    coloured: bool,  # noqa: FBT001 - parametrized
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: terminal))
    output.results().print(output.table(("a",), [("b",)]), style="green")
    output.results().print(render_plan(make_plan("lab", [SMALL], ())))
    assert ("\x1b[32m" in capsys.readouterr().out) is coloured
