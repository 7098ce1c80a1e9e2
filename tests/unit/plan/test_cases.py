"""The planner's cases, kept as data: wanted + observed → actions. ``cases/creation.yaml`` tells the form."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from medicarche.plan import Observed, Plan, make_plan, mark, plan_as_json, plan_destroy
from medicarche.plan.resources import Resource

CASES = Path(__file__).with_name("cases")
KINDS: dict[str, type[Resource]] = {kind.kind.value: kind for kind in Resource.__subclasses__()}
ENVIRONMENT = "lab"
KEYS = {
    "case", "present", "missing", "observed", "references", "without", "change", "add", "destroy",
    "actions", "after", "reasons", "changes", "counts", "kept", "notes", "conflicts", "sorted",
}  # fmt: skip


def _read(path: Path) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(path)
    return content


SITE = _read(CASES / "site.yaml")


def _tuples(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _resource(values: dict[str, Any]) -> Resource:
    fields = {key: _tuples(value) for key, value in values.items() if key != "kind"}
    return KINDS[values["kind"]](**fields)


def _wanted(case: dict[str, Any]) -> dict[str, Resource]:
    found = {}
    for values in (*SITE, *case.get("add", ())):
        resource = _resource(values)
        if resource.address not in case.get("without", ()):
            found[resource.address] = resource
    return found


def _observed(case: dict[str, Any], before: dict[str, Resource]) -> list[Observed]:
    """Make what is there: it is as it was before ``change``."""
    references = case.get("references", {})
    present = case["present"]
    addresses = [a for a in before if a not in case.get("missing", ())] if present == "all" else present
    found = [
        Observed(
            id=address,
            resource=before[address],
            mark=mark(ENVIRONMENT, address),
            status="ACTIVE",
            references=tuple(references.get(address, {}).items()),
        )
        for address in addresses
    ]
    for values in case.get("observed", ()):
        own = dict(values)
        seen = {key: own.pop(key) for key in ("id", "status", "in_use", "created_at") if key in own}
        seen["references"] = tuple(references.get(seen["id"], {}).items())
        owner = own.pop("mark", None)
        if "is" in own:
            address = own["is"]
            changes = {key: _tuples(value) for key, value in own.get("but", {}).items()}
            resource = dataclasses.replace(before[address], **changes)
            owner = owner or mark(ENVIRONMENT, address)
        else:
            resource = _resource(own)
        found.append(Observed(resource=resource, mark=None if owner == "none" else owner, **seen))
    return found


def _all_cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{path.stem}: {case['case']}")
        for path in sorted(CASES.glob("*.yaml"))
        if path.stem != "site"
        for case in _read(path)
    ]


@pytest.mark.parametrize("case", _all_cases())
def test_case(case: dict[str, Any]) -> None:
    assert set(case) <= KEYS
    before = _wanted(case)
    observed = _observed(case, before)
    wanted = dict(before)
    for address, values in case.get("change", {}).items():
        changes = {key: _tuples(value) for key, value in values.items()}
        wanted[address] = dataclasses.replace(wanted[address], **changes)

    if case.get("destroy"):
        plan = plan_destroy(ENVIRONMENT, observed)
    else:
        plan = make_plan(ENVIRONMENT, list(wanted.values()), observed)

    _check_actions(plan, case)
    by_id = {action.id: action for action in plan.actions}
    for action, reason in case.get("reasons", {}).items():
        assert by_id[action].reason == reason
    for action, changes in case.get("changes", {}).items():
        assert [f"{c.field}: {c.old} → {c.new}" for c in by_id[action].changes] == changes
    if "counts" in case:
        assert {verb: n for verb, n in plan.counts().items() if n} == case["counts"]
    if "kept" in case:
        assert len(plan.kept) == case["kept"]
    _check_sentences(plan.notes, case.get("notes", ()))
    _check_sentences(plan.conflicts, case.get("conflicts", ()))


def _check_actions(plan: Plan, case: dict[str, Any]) -> None:
    done = [action.id for action in plan.actions]
    if case.get("sorted"):
        assert sorted(done) == sorted(case["actions"])
    else:
        assert done == case["actions"]
    for index, action in enumerate(plan.actions):
        assert action.after <= set(done[:index])
    for action_id, before in case.get("after", {}).items():
        after = next(action.after for action in plan.actions if action.id == action_id)
        assert after == set(before)
    assert [a["id"] for a in plan_as_json(plan)["actions"]] == done


def _check_sentences(said: tuple[str, ...], expected: list[str]) -> None:
    assert len(said) == len(expected), said
    for sentence, part in zip(said, expected, strict=True):
        assert part in sentence
