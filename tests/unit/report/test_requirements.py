"""The requirements as data, and the verdicts on them."""

from __future__ import annotations

import pytest

from medicarche.report import Outcome, Verdict, load_requirements, summarise


def test_every_requirement_is_there_in_both_languages() -> None:
    counts = {"CLOUD": 10, "APP": 4, "LOAD": 4, "SUP": 3, "DIR": 2, "PEOPLE": 1}
    expected = [f"{area}-{number}" for area, count in counts.items() for number in range(1, count + 1)]
    known = load_requirements()
    assert list(known) == expected
    for requirement in known.values():
        assert requirement.english.endswith((".", "?"))
        assert requirement.french.endswith((".", "?"))
        assert requirement.english != requirement.french


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([], Verdict.NOT_PROVED),
        (["passed"], Verdict.PROVED),
        (["passed", "passed"], Verdict.PROVED),
        (["passed", "failed"], Verdict.FAILED),
        (["skipped"], Verdict.NOT_PROVED),
        (["passed", "skipped"], Verdict.NOT_PROVED),
        (["skipped", "failed"], Verdict.FAILED),
    ],
)
def test_the_verdict_follows_from_all_tests(outcomes: list[str], verdict: Verdict) -> None:
    found = [Outcome(f"test_{n}", outcome, ("CLOUD-2",)) for n, outcome in enumerate(outcomes)]
    first, second = summarise(["CLOUD-1", "CLOUD-2"], found)
    assert (first.id, first.verdict) == ("CLOUD-1", Verdict.NOT_PROVED)
    assert (second.id, second.verdict) == ("CLOUD-2", verdict)


def test_a_test_counts_for_each_requirement_that_it_names() -> None:
    summaries = summarise(["A", "B"], [Outcome("t", "passed", ("A", "B"))])
    assert [s.passed for s in summaries] == [("t",), ("t",)]


@pytest.mark.parametrize("outcome", [Outcome("t", "passed", ("C",)), Outcome("t", "xpassed", ("A",))])
def test_an_unknown_id_or_outcome_is_an_error(outcome: Outcome) -> None:
    with pytest.raises(ValueError, match=r"^t: "):
        summarise(["A"], [outcome])
