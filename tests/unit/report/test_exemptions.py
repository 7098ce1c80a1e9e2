"""Exemptions: data with a reason and an owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from medicarche.errors import SpecificationError
from medicarche.report import exemptions_of, load_exemptions

GOOD = """
- check: bp-028/R5
  scope: [website]
  reason: {fr: Parce que., en: Because.}
  owner: {fr: Exploitation, en: Operations}
  review: 2027-06-30
"""


def test_an_exemption_covers_its_check_where_it_is_said(tmp_path: Path) -> None:
    file = tmp_path / "exemptions.yaml"
    file.write_text(GOOD, encoding="utf-8")
    (accepted,) = load_exemptions(file)
    assert accepted.covers("bp-028/R5", "website")
    assert not accepted.covers("bp-028/R5", "odoo")
    assert not accepted.covers("bp-028/R8", "website")
    assert accepted.review.isoformat() == "2027-06-30"
    assert load_exemptions(tmp_path / "there is none") == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("check: bp-028/R5", "check: 5", "check: not a text"),
        ("[website]", "website", "scope: not a list of names"),
        ("en: Because.", "de: Weil.", "reason: not a text in each of en, fr"),
        ("en: Operations", "en: 3", "owner: not a text"),
        ("2027-06-30", "soon", "review: not a date"),
        ("  review", "  until", "until: no such key"),
        ("- check", "check", "exemptions.yaml"),
    ],
)
def test_mistakes_are_told_with_the_file_and_the_entry(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = tmp_path / "exemptions.yaml"
    assert old in GOOD
    file.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(SpecificationError, match=message):
        load_exemptions(file)


def test_every_environments_own_are_right() -> None:
    for environment in (Path(__file__).parents[3] / "environments").glob("*.yaml"):
        for accepted in load_exemptions(exemptions_of(environment)):
            assert accepted.reason["fr"] != accepted.reason["en"]
