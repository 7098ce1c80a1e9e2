"""A plan's graph as Mermaid text, for documents and for looking at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.plan.model import Verb

if TYPE_CHECKING:
    from medicarche.plan.model import Plan

__all__ = ["mermaid"]

_CLASSES = {Verb.CREATE: "create", Verb.UPDATE: "update", Verb.DELETE: "delete"}


def mermaid(plan: Plan) -> str:
    """Return the plan as a Mermaid flow chart; arrows lead from what is done first to what waits."""
    numbers = {action.id: f"a{index}" for index, action in enumerate(plan.actions)}
    lines = ["flowchart LR"]
    for action in plan.actions:
        label = action.id.replace('"', "'").replace("#", "#35;")
        lines.append(f'  {numbers[action.id]}["{label}"]:::{_CLASSES[action.verb]}')
    for action in plan.actions:
        lines += [f"  {numbers[before]} --> {numbers[action.id]}" for before in sorted(action.after)]
    lines += [
        "  classDef create fill:#d4edda,stroke:#28a745",
        "  classDef update fill:#fff3cd,stroke:#ffc107",
        "  classDef delete fill:#f8d7da,stroke:#dc3545",
    ]
    return "\n".join(lines) + "\n"
