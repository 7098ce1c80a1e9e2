"""A plan as a person reads it, and as a program does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from medicarche.plan.differences import described
from medicarche.plan.model import Action, Plan, Verb
from medicarche.plan.resources import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

__all__ = ["plan_as_json", "render_plan", "summary"]

_CREATED = ("+", "green")
_CHANGED = ("~", "yellow")
_REPLACED = ("±", "magenta")
_DELETED = ("-", "red")


def summary(plan: Plan) -> str:
    """Return the plan in one line: ``3 to create, 1 to delete``, or ``nothing to do``."""
    counts = {verb: count for verb, count in plan.counts().items() if count}
    return ", ".join(f"{count} to {verb}" for verb, count in counts.items()) or "nothing to do"


def render_plan(plan: Plan) -> RenderableType:
    """Return what rich prints: what is created, changed, replaced and deleted, with reasons, and notes."""
    lines: list[Text] = []
    for action in plan.actions:
        lines += _lines(action)
    if plan.notes:
        lines += [Text(), *(Text(f"  note: {note}", style="dim") for note in plan.notes)]
    if plan.conflicts:
        lines += [Text(), *(Text(f"! {conflict}", style="bold red") for conflict in plan.conflicts)]
    if lines:
        lines.append(Text())
    lines.append(Text(f"{plan.environment}: {summary(plan)}", style="bold"))
    return Group(*lines)


def _lines(action: Action) -> Iterable[Text]:
    if action.replacement and action.verb is Verb.DELETE:
        return  # its other half says it all
    if action.replacement:
        sign, style = _REPLACED
        yield Text(f"{sign} {action.address}: replaced, {action.reason}", style=style)
    elif action.verb is Verb.CREATE:
        sign, style = _CREATED
        why = "" if action.reason == "missing" else f": {action.reason}"
        yield Text.assemble((f"{sign} {action.address}{why}", style), _content(action))
        return
    elif action.verb is Verb.UPDATE:
        sign, style = _CHANGED
        yield Text(f"{sign} {action.address}: {action.reason}", style=style)
    else:
        sign, style = _DELETED
        cloud_id = action.observed.id if action.observed is not None else ""
        told = Text(f"{sign} {action.address} ({cloud_id}): {action.reason}", style=style)
        yield told + _content(action) if action.kind is Kind.SECURITY_GROUP_RULE else told
    for change in action.changes:
        yield Text(f"    {change.field}: {change.old} → {change.new}")


def _content(action: Action) -> Text:
    subject = action.wanted or (action.observed and action.observed.resource)
    text = described(subject) if subject else ""
    return Text(f"  {text}" if text else "", style="dim")


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as data for other programs.

    ``environment``: its name. ``empty``: there is nothing to do. ``counts``: create, update, replace,
    delete. ``actions``: in an order that can be run, each with ``id``, ``verb``, ``kind``, ``address``,
    ``cloud_id`` (null for what isn't there yet), ``content`` in a few words, ``reason``,
    ``replacement``, ``changes`` (``field``, ``old``, ``new``) and ``after`` (ids of the actions before it).
    ``kept``: address → the cloud's id.
    ``notes`` and ``conflicts``: sentences; a plan with conflicts isn't run.
    """
    return {
        "environment": plan.environment,
        "empty": plan.empty,
        "counts": plan.counts(),
        "actions": [
            {
                "id": action.id,
                "verb": action.verb.value,
                "kind": action.kind.value,
                "address": action.address,
                "cloud_id": action.observed.id if action.observed is not None else None,
                "content": _content(action).plain.strip(),
                "reason": action.reason,
                "replacement": action.replacement,
                "changes": [{"field": c.field, "old": c.old, "new": c.new} for c in action.changes],
                "after": sorted(action.after),
            }
            for action in plan.actions
        ],
        "kept": dict(plan.kept),
        "notes": list(plan.notes),
        "conflicts": list(plan.conflicts),
    }
