"""Criteria, objectives, verdicts, comparison, flavors: what was measured is data here."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medicarche.errors import SpecificationError
from medicarche.load.calibration import Calibration
from medicarche.load.compare import compare
from medicarche.load.criteria import CRITERIA, judge
from medicarche.load.figures import Figures
from medicarche.load.flavors import Need, judge_flavor
from medicarche.load.histogram import Histogram
from medicarche.load.instance import InstanceUse
from medicarche.load.machine import MachineUse
from medicarche.load.objectives import Objectives, file_of, json_schema, load_objectives
from medicarche.load.saturation import first_exhausted, pressures
from medicarche.load.verdict import VerdictKind, decide, generator_reasons
from medicarche.spec.environment import FlavorSpec

FREE = MachineUse(0.5, 0.1, 0.35, 0.05, 0.0, 2, 10.0)
BUSY = MachineUse(0.9, 0.1, 0.3, 0.5, 0.0, 2, 10.0)


def seen(*, good: int = 200, slow: float = 0.1, failures: dict[str, int] | None = None) -> Figures:
    return Figures(Histogram([slow] * good), Counter(failures or {}), Counter({"200": good}), 10.0)


# --- criteria ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criterion", "limit", "figures", "passed"),
    [
        ("p95_ms", 150, seen(slow=0.1), True),
        ("p95_ms", 90, seen(slow=0.1), False),
        ("p95_ms", 90, seen(good=10), None),
        ("p99_ms", 90, seen(good=50), None),
        ("failures_percent", 1, seen(failures={"x": 2}), True),
        ("failures_percent", 1, seen(failures={"x": 20}), False),
        ("failures_percent", 99, Figures(), False),  # nothing was asked: nothing went well
        ("minimum_rate", 20, seen(), True),
        ("minimum_rate", 21, seen(), False),
        ("refused", 0, seen(failures={"status 503": 9}), True),
        ("refused", 0, seen(failures={"refused": 1}), False),
    ],
)
def test_each_criterion_judges(
    criterion: str,
    limit: float,
    figures: Figures,
    passed: bool | None,  # noqa: FBT001 - what is expected
) -> None:
    (found,) = judge({"": {criterion: limit}}, {}, figures)
    assert found.passed is passed
    assert CRITERIA[criterion].french in found.text


def test_a_long_time_is_written_in_plain_figures() -> None:
    (found,) = judge({"": {"p95_ms": 2000}}, {}, seen(slow=14.39))
    assert re.search(r" 14\d{3} ms \(au plus 2000 ms\)$", found.text), found.text


def test_a_slow_machine_gets_more_time_and_no_more_failures() -> None:
    limits = {"": {"p95_ms": 60, "minimum_rate": 30, "failures_percent": 1}}
    figures = seen(slow=0.1, failures={"x": 20})
    assert [j.passed for j in judge(limits, {}, figures)] == [False, False, False]
    assert [j.passed for j in judge(limits, {}, figures, slowness=2)] == [True, True, False]


def test_transactions_are_judged_by_their_own_figures() -> None:
    found = judge(
        {"home": {"p95_ms": 50}, "search": {"p95_ms": 50}}, {"home": seen(slow=0.1)}, seen(slow=0.01)
    )
    assert [(j.transaction, j.passed) for j in found] == [("home", False)]


# --- objectives --------------------------------------------------------------------------------------------


def test_the_companys_objectives_are_read() -> None:
    environment = Path(__file__).parents[3] / "environments/medicarche.yaml"
    names = ["website", "odoo", "syncthing", "nextcloud", "grafana", "supervision"]
    found = load_objectives(file_of(environment), names)
    assert found.of("website").people[""]["p95_ms"] > 0
    assert found.of("unknown").people == {}
    assert set(json_schema()["properties"]) == {"version", "reference_rate", "applications"}


def test_no_file_judges_nothing_but_correctness(tmp_path: Path) -> None:
    assert load_objectives(tmp_path / "none.yaml", []) == Objectives()


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("version: 2\napplications: {}\n", [":1: version: "]),
        (
            "version: 1\napplications: {websit: {}}\n",
            [":2: applications.websit: no such application", "website"],
        ),
        (
            "version: 1\napplications:\n  website:\n    people:\n      limits: {p95: 3, p99_ms: 0.5}\n",
            [":5: applications.website.people.limits.p95: unknown key (did you mean 'p95_ms'?)", "too small"],
        ),
        (
            "version: 1\napplications:\n  website:\n    fixed: {path: x}\n",
            [":4: applications.website.fixed.path"],
        ),
        ("version: 1\napplications:\n  website: {stress: {rate: 0}}\n", ["stress.rate: 0 is too small"]),
        ("version: 1\n", [":1: applications: is missing"]),
        ("- 1\n", [":1: "]),
    ],
)
def test_all_errors_are_told_with_their_lines(tmp_path: Path, text: str, errors: list[str]) -> None:
    file = tmp_path / "x.objectives.yaml"
    file.write_text(text)
    with pytest.raises(SpecificationError) as caught:
        load_objectives(file, ["website"])
    for error in errors:
        assert error in caught.value.message


# --- verdicts ----------------------------------------------------------------------------------------------


def test_a_busy_machine_makes_good_and_bad_invalid() -> None:
    for limit in (50, 500):
        judgements = judge({"": {"p95_ms": limit}}, {}, seen(slow=0.1))
        assert decide(judgements, BUSY, measured=200).kind is VerdictKind.INVALID
        expected = VerdictKind.PASSED if limit == 500 else VerdictKind.BROKEN
        assert decide(judgements, FREE, measured=200).kind is expected


def test_nothing_measured_is_invalid() -> None:
    assert decide((), FREE, measured=0).kind is VerdictKind.INVALID


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        ({}, 0),
        ({"processor_seconds": 9.0}, 1),
        ({"rate": 8000.0}, 1),
        ({"lag": 2.0}, 1),
        ({"lag": 2.0, "rate": 9000.0, "processor_seconds": 10.0}, 3),
    ],
)
def test_a_generator_at_its_limit_is_told(changed: dict[str, Any], reasons: int) -> None:
    usual: dict[str, Any] = {"rate": 100.0, "processor_seconds": 1.0, "seconds": 10.0, "lag": 0.1}
    found = generator_reasons(**{**usual, **changed}, calibration=Calibration(10_000, 20_000, 0.01))
    assert len(found) == reasons


# --- comparison --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "word"),
    [
        ([100, 101, 99], 108, "stable"),  # a tenth is always noise
        ([100, 101, 99], 130, "plus"),
        ([100, 101, 99], 70, "moins"),
        ([100, 140, 60], 130, "stable"),  # they differ that much by chance
        ([100, 101], 500, "trop peu de mesures"),
    ],
)
def test_changes_are_told_from_noise(before: list[float], now: float, word: str) -> None:
    (found,) = compare({"x": now}, [{"key_figures": {"x": value}} for value in before])
    assert found.word == word


# --- what is exhausted, and flavors ------------------------------------------------------------------------


def use(**changed: Any) -> InstanceUse:  # noqa: ANN401 - fields of many types
    usual: dict[str, Any] = {
        "at": 0.0, "cpu": 0.5, "memory": 300 * 2**20, "memory_limit": 2**30, "oom_kills": 0,
        "commands": {"apache2": 0.3, "mariadbd": 0.1}, "processes": {"apache2": 5, "mariadbd": 1},
        "workers": 10,
    }  # fmt: skip
    return InstanceUse(**{**usual, **changed})


def test_the_resource_that_is_full_first_is_named() -> None:
    calm = pressures([use()] * 5, processors=2)
    full = pressures([use(cpu=1.9)] * 5, processors=2)
    later = pressures([use(cpu=1.9, memory=2**30)] * 5, processors=2)
    found = first_exhausted([calm, full, later])
    assert found is not None
    assert found.resource == "processeur"
    assert calm[0].use < 0.85


@pytest.mark.parametrize(
    ("changed", "resource"),
    [
        ({"memory": 1000 * 2**20}, "mémoire"),
        ({"commands": {"mariadbd": 1.9}, "cpu": 1.7}, "base de données"),
        ({"processes": {"apache2": 11}, "queues": {8080: 4}}, "processus PHP"),
    ],
)
def test_each_resource_can_be_the_one(changed: dict[str, Any], resource: str) -> None:
    assert pressures([use(**changed)] * 5, processors=2)[0].resource == resource


def test_idle_children_arent_busy_ones() -> None:
    (found,) = [p for p in pressures([use(processes={"apache2": 11})], processors=2) if "PHP" in p.resource]
    assert found.use < 0.85


SMALL, LARGE = FlavorSpec("small", 2, 1024, 5), FlavorSpec("large", 2, 2048, 9)
GIB = 2**30


@pytest.mark.parametrize(
    ("flavor", "need", "word", "declared"),
    [
        (SMALL, Need(700 * 2**20, 2 * GIB, survived=True, in_time=True), "suffisant", "small"),
        (SMALL, Need(900 * 2**20, 2 * GIB, survived=True, in_time=True), "trop petit", "large"),
        (SMALL, Need(300 * 2**20, 2 * GIB, survived=False, in_time=True), "trop petit", "small"),
        (SMALL, Need(300 * 2**20, 2 * GIB, survived=True, in_time=False), "trop petit", "small"),
        (SMALL, Need(700 * 2**20, 4 * GIB, survived=True, in_time=True), "trop petit", "large"),
        (LARGE, Need(700 * 2**20, 2 * GIB, survived=True, in_time=True), "plus que nécessaire", "small"),
        (SMALL, Need(5 * GIB, 2 * GIB, survived=True, in_time=True), "trop petit", None),
    ],
)
def test_a_flavor_is_judged_by_what_its_application_needs(
    flavor: FlavorSpec, need: Need, word: str, declared: str | None
) -> None:
    found = judge_flavor(flavor, need, [LARGE, SMALL])
    assert (found.word, found.declared) == (word, declared)
    assert word in found.text


def test_the_published_schema_is_the_codes() -> None:
    published = Path(__file__).parents[3] / "docs/objectives.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == json_schema()
