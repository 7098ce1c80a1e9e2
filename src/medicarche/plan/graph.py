"""A plan's graph as Mermaid or Graphviz text, for documents and for looking at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.plan.model import Action, Plan, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["dot", "mermaid"]

_CLASSES = {Verb.CREATE: "create", Verb.UPDATE: "update", Verb.DELETE: "delete"}
#: fill and border
_COLOURS = {
    Verb.CREATE: ("#d4edda", "#28a745"),
    Verb.UPDATE: ("#fff3cd", "#ffc107"),
    Verb.DELETE: ("#f8d7da", "#dc3545"),
}


def mermaid(plan: Plan) -> str:
    """Return the plan as a Mermaid flow chart; arrows lead from what is done first to what waits."""
    numbers = _numbers(plan)
    lines = ["flowchart LR"]
    for action in plan.actions:
        label = action.id.replace('"', "'").replace("#", "#35;")
        lines.append(f'  {numbers[action.id]}["{label}"]:::{_CLASSES[action.verb]}')
    lines += [f"  {before} --> {after}" for before, after in _arrows(plan, numbers)]
    for verb, (fill, stroke) in _COLOURS.items():
        lines.append(f"  classDef {_CLASSES[verb]} fill:{fill},stroke:{stroke}")
    return "\n".join(lines) + "\n"


def dot(plan: Plan) -> str:
    """Return the plan in Graphviz's language; arrows lead from what is done first to what waits."""
    numbers = _numbers(plan)
    lines = ["digraph plan {", "  rankdir=LR;", '  node [shape=box, style=filled, fontname="sans-serif"];']
    for action in plan.actions:
        fill, stroke = _COLOURS[action.verb]
        label = _quoted(action)
        lines.append(f'  {numbers[action.id]} [label="{label}", fillcolor="{fill}", color="{stroke}"];')
    lines += [f"  {before} -> {after};" for before, after in _arrows(plan, numbers)]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(action: Action) -> str:
    return action.id.replace("\\", "\\\\").replace('"', '\\"')


def _numbers(plan: Plan) -> dict[str, str]:
    return {action.id: f"a{index}" for index, action in enumerate(plan.actions)}


def _arrows(plan: Plan, numbers: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the dependencies that don't follow from others: the chart stays readable."""
    behind: dict[str, frozenset[str]] = {}
    for action in plan.actions:  # in topological order
        indirect = frozenset().union(*(behind[before] for before in action.after))
        behind[action.id] = indirect | action.after
        for before in sorted(action.after - indirect):
            yield numbers[before], numbers[action.id]
