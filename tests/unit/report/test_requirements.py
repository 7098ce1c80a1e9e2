"""The requirements as data, and the verdicts on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medicarche.errors import SpecificationError
from medicarche.report import Outcome, Verdict, load_requirements, summarise

if TYPE_CHECKING:
    from pathlib import Path


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
        (["passed", "not run"], Verdict.NOT_PROVED),
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


def test_what_isnt_deployed_is_said_so_unless_it_failed() -> None:
    found = [Outcome("t", "failed", ("B",)), Outcome("u", "not run", ("C",))]
    first, second, third = summarise(["A", "B", "C"], found, {"A", "B"})
    assert (first.verdict, second.verdict) == (Verdict.NOT_DEPLOYED, Verdict.FAILED)
    assert (third.verdict, third.not_run) == (Verdict.NOT_PROVED, ("u",))


def test_another_companys_list_takes_the_place_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "requirements.yaml"
    file.write_text("NET-1: {en: A network., fr: Un réseau., application_kind: odoo}\n", encoding="utf-8")
    (requirement,) = load_requirements(file).values()
    assert (requirement.text("fr"), requirement.text("en")) == ("Un réseau.", "A network.")
    assert (requirement.application_kind, requirement.needs) == ("odoo", "odoo")
    file.write_text("NET-2: {en: A network., fr: Un réseau., needs: odoo}\n", encoding="utf-8")
    (requirement,) = load_requirements.__wrapped__(file).values()
    assert (requirement.application_kind, requirement.needs) == (None, "odoo")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NET-1: {en: A network.}", "NET-1: fr: missing"),
        ("NET-1: {en: 1, fr: Un réseau.}", "NET-1: en: not a text"),
        ("NET-1: {en: a, fr: b, kind: c}", "NET-1: kind: no such key"),
        ("NET-1: {en: a, fr: b, application_kind: 3}", "NET-1: application_kind: not a text"),
        ("NET-1: {en: a, fr: b, needs: 3}", "NET-1: needs: not a text"),
        ("NET-1: a network", "NET-1: not a mapping"),
        ("1: {en: a, fr: b}", "an id is a word"),
        ("- a", "no requirements"),
        ("{", "requirements.yaml"),
        (None, "No such file"),
    ],
)
def test_mistakes_in_a_list_are_told(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "requirements.yaml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecificationError, match=message) as caught:
        load_requirements(file)
    assert str(file) in caught.value.message
