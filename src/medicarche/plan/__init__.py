"""Observed + wanted → actions, as a graph. Pure: nothing here does I/O."""

from medicarche.plan.derivation import derive
from medicarche.plan.graph import dot, mermaid
from medicarche.plan.groups import application_group
from medicarche.plan.model import Action, FieldChange, Observed, Plan, Verb, mark
from medicarche.plan.planner import make_plan, plan_destroy
from medicarche.plan.render import plan_as_json, render_plan, summary

__all__ = [
    "Action",
    "FieldChange",
    "Observed",
    "Plan",
    "Verb",
    "application_group",
    "derive",
    "dot",
    "make_plan",
    "mark",
    "mermaid",
    "plan_as_json",
    "plan_destroy",
    "render_plan",
    "summary",
]
