"""The objectives file: what each application has to hold under load, beside the environment file.

``environments/medicarche.yaml`` has its objectives in ``environments/medicarche.objectives.yaml``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from medicarche.load.criteria import CRITERIA
from medicarche.spec.document import Document, read
from medicarche.spec.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

__all__ = ["ApplicationObjectives", "Fixed", "Objectives", "file_of", "json_schema", "load_objectives"]

_Positive = Annotated[float, Field(gt=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _limits() -> type[BaseModel]:
    """Return the model of limits: one optional key for each criterion that there is."""
    fields: dict[str, Any] = {}
    for name, criterion in CRITERIA.items():
        low, high = criterion.bounds
        number = Annotated[float | None, Field(ge=low, le=high, description=(type(criterion).__doc__ or ""))]
        fields[name] = (number, None)
    return create_model("Limits", __base__=_Model, **fields)


_Limits: Any = _limits()


class Fixed(_Model):
    """What the fixed scenario, the schedule and the stress ask for."""

    path: str = Field(default="/", pattern=r"^/\S*$", description="The path that is asked for.")
    contains: str = Field(default="", description="What a correct answer holds.")
    what: str = Field(default="", description="What that is, in words for the report.")
    limits: _Limits = Field(default_factory=_Limits, description="Objectives of the fixed scenario.")


class _People(_Model):
    limits: _Limits = Field(default_factory=_Limits, description="Objectives of all transactions together.")
    transactions: dict[str, _Limits] = Field(
        default_factory=dict, description="Objectives by transaction, named as in the scenario."
    )
    gate_users: int = Field(default=3, ge=1, le=1000, description="Users of the short run for CI.")


class _Stress(_Model):
    rate: _Positive = Field(default=2.0, description="Requests a second meanwhile.")
    slowdown: _Positive = Field(
        default=10.0,
        description="How many times slower answers may come; one that keeps the fixed scenario's p95_ms is"
        " never too slow.",
    )
    failures_percent: float = Field(default=1.0, ge=0, le=100, description="Requests that may fail.")


class _Application(_Model):
    fixed: Fixed = Field(default_factory=Fixed, description="The fixed scenario.")
    people: _People = Field(default_factory=_People, description="The ramp-up and the short run.")
    stress: _Stress = Field(default_factory=_Stress, description="Under stress.")


class _File(_Model):
    version: Literal[1] = Field(description="Of this file's form.")
    reference_rate: _Positive | None = Field(
        default=None,
        description="Answers for each second of processor in the calibration of the machine that the limits"
        " are written for; a slower machine gets more time in the short run.",
    )
    applications: dict[str, _Application] = Field(description="Objectives by application.")


@dataclass(frozen=True, slots=True)
class ApplicationObjectives:
    """What one application has to hold.

    Attributes:
        fixed: the fixed scenario's request.
        fixed_limits: criterion → limit of the fixed scenario.
        people: transaction (empty: all together) → criterion → limit.
        gate_users: users of the short run.
        stress_rate: requests a second under stress.
        stress_slowdown: times that answers may be slower then, where they miss the fixed scenario's p95.
        stress_failures: per cent that may fail then.
    """

    fixed: Fixed = field(default_factory=Fixed)
    fixed_limits: Mapping[str, float] = field(default_factory=dict)
    people: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gate_users: int = 3
    stress_rate: float = 2.0
    stress_slowdown: float = 10.0
    stress_failures: float = 1.0


@dataclass(frozen=True, slots=True)
class Objectives:
    """The file's content.

    Attributes:
        source: the file, or None where there is none.
        reference_rate: see the schema.
        applications: application → its objectives.
    """

    source: Path | None = None
    reference_rate: float | None = None
    applications: Mapping[str, ApplicationObjectives] = field(default_factory=dict)

    def of(self, application: str) -> ApplicationObjectives:
        """Return an application's objectives; the defaults, which judge nothing, where it has none."""
        return self.applications.get(application, ApplicationObjectives())


def file_of(environment: Path) -> Path:
    """Return where an environment's objectives are."""
    return environment.with_name(f"{environment.stem}.objectives.yaml")


def load_objectives(path: Path, applications: Iterable[str]) -> Objectives:
    """Read the objectives file; where there is none nothing is judged but correctness.

    Args:
        path: the file.
        applications: the environment's; others in the file are mistakes.

    Raises:
        SpecificationError: with all errors at once, one line each: ``file:line: key: what; what to do``.
    """
    if not path.exists():
        return Objectives()
    document = read(path)
    problems = list(document.problems)
    file = None
    try:
        file = _File.model_validate(document.data)
    except ValidationError as error:
        problems += [_problem(document, detail) for detail in error.errors(include_url=False)]
    known = set(applications)
    named = document.data.get("applications") if isinstance(document.data, dict) else None
    for name in named if isinstance(named, dict) else ():
        if name not in known:
            text = f"no such application in the environment{did_you_mean(name, known)}; correct the name"
            problems.append(document.problem(("applications", name), text))
    if problems or file is None:
        raise document.error(problems)
    return Objectives(
        path, file.reference_rate, {name: _frozen(found) for name, found in file.applications.items()}
    )


def json_schema() -> dict[str, Any]:
    """Return the objectives file's JSON Schema (draft 2020-12), for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_File.model_json_schema(),
        "title": "Medicarche load objectives",
    }


def _frozen(found: _Application) -> ApplicationObjectives:
    people = {"": _set(found.people.limits)}
    people |= {name: _set(limits) for name, limits in found.people.transactions.items()}
    return ApplicationObjectives(
        fixed=found.fixed,
        fixed_limits=_set(found.fixed.limits),
        people={name: limits for name, limits in people.items() if limits},
        gate_users=found.people.gate_users,
        stress_rate=found.stress.rate,
        stress_slowdown=found.stress.slowdown,
        stress_failures=found.stress.failures_percent,
    )


def _set(limits: BaseModel) -> dict[str, float]:
    return {name: float(value) for name, value in limits.model_dump().items() if value is not None}


def _problem(document: Document, detail: ErrorDetails) -> Any:  # noqa: ANN401 - a Problem of spec.document
    path = tuple(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = list(CRITERIA) if "limits" in path or "transactions" in path else []
        listed = f"; known here: {', '.join(known)}" if known else "; remove it, or see the schema"
        return document.problem(path, f"unknown key{did_you_mean(str(path[-1]), known)}{listed}")
    if kind == "missing":
        return document.problem(path, "is missing; add it")
    if kind in {"greater_than_equal", "greater_than"}:
        return document.problem(
            path, f"{detail['input']!r} is too small; more than {next(iter(context.values()))}"
        )
    if kind == "less_than_equal":
        return document.problem(path, f"{detail['input']!r} is too large; write {context['le']:g} or less")
    return document.problem(path, f"{detail['msg'][:1].lower()}{detail['msg'][1:]}; correct the value")
