"""Where a run's time went."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from medicarche.converge.trace import Timing, chrome_trace, keep, summarize
from medicarche.plan.model import Action, Verb
from medicarche.plan.resources import Network

if TYPE_CHECKING:
    from pathlib import Path

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _action(name: str, *after: str) -> Action:
    return Action(name, Verb.CREATE, f"network/{name}", Network(name=name), after=frozenset(after))


ACTIONS = (_action("a"), _action("b", "a"), _action("c"), _action("d", "b", "c"))
TIMINGS = (
    Timing("a", 0.0, 1.0, 1.0),
    Timing("c", 0.0, 1.5, 1.5),
    Timing("b", 1.2, 1.7, 3.2),
    Timing("d", 3.4, 4.4, 4.4),
)


def test_the_critical_path_is_the_longest_chain() -> None:
    summary = summarize(ACTIONS, TIMINGS, wall=4.4, parallelism=8)
    assert summary.path == ("a", "b", "d")
    assert abs(summary.critical - 4.0) < 1e-9
    assert summary.lower_bound == summary.critical
    assert "1.10 times its lower bound of 4.0 s" in str(summary)


def test_work_that_must_share_few_places_is_a_bound_too() -> None:
    summary = summarize(ACTIONS, TIMINGS, wall=4.4, parallelism=1)
    assert abs(summary.work - 4.0) < 1e-9
    assert abs(summarize(ACTIONS, TIMINGS, wall=4.4, parallelism=8).work - 4.0 / 6) < 1e-9


def test_nothing_was_run() -> None:
    assert summarize(ACTIONS, (), wall=0.0, parallelism=8).path == ()


def test_the_file_opens_in_a_trace_viewer(tmp_path: Path) -> None:
    summary = summarize(ACTIONS, TIMINGS, wall=4.4, parallelism=8)
    path = keep(tmp_path, chrome_trace(ACTIONS, TIMINGS, summary, began=BEGAN), began=BEGAN)
    assert path.name == "20260102T030405Z.trace.json"
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    assert {event["ph"] for event in events} == {"X"}
    lanes = {event["name"]: event["tid"] for event in events if event["name"] != "call"}
    assert lanes["a"] != lanes["c"]
    (call,) = [event for event in events if event["name"] == "call"]
    assert call["dur"] == 500_000


def test_a_bounded_number_is_kept(tmp_path: Path) -> None:
    made = [keep(tmp_path, {}, began=BEGAN + timedelta(seconds=second), kept=3) for second in range(5)]
    assert sorted(tmp_path.iterdir()) == made[2:]


def test_two_runs_of_one_second_have_a_file_each(tmp_path: Path) -> None:
    assert keep(tmp_path, {}, began=BEGAN) < keep(tmp_path, {}, began=BEGAN)
