"""What a test attaches: bounded, checked, and the same behind a process boundary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from medicarche.report import Evidence, Item
from medicarche.report.evidence import LONGEST, MOST_ROWS, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'


def test_all_kinds_survive_as_plain_data() -> None:
    items: list[Item] = []
    evidence = Evidence(items.append)
    evidence.text("a text", "è")
    evidence.table("a table", ["port", "state"], [[22, "open"], (80, None)])
    evidence.svg("a picture", SVG)
    evidence.command("a command", "ss -tln", "LISTEN")
    assert [item.kind for item in items] == ["text", "table", "svg", "command"]
    assert items[1].rows == (("22", "open"), ("80", "None"))
    assert (items[3].command, items[3].text) == ("ss -tln", "LISTEN")
    assert [Item.from_data(json.loads(json.dumps(item.as_data()))) for item in items] == items


def test_long_evidence_is_cut_and_says_so() -> None:
    items: list[Item] = []
    evidence = Evidence(items.append)
    evidence.text("long", "a" * LONGEST + "the end")
    evidence.table("many", ["n", "m"], [[n, n] for n in range(MOST_ROWS + 5)])
    assert items[0].text.startswith("[... 7 characters left out]\n")
    assert items[0].text.endswith("the end")
    assert len(items[1].rows) == MOST_ROWS + 1
    assert items[1].rows[-1] == ("[... 5 rows left out]", "")


@pytest.mark.parametrize(
    ("attach", "message"),
    [
        (lambda e: e.table("t", ["a", "b"], [[1]]), "t: a row of 1 cells under 2 columns"),
        (lambda e: e.svg("s", "<svg/>"), "s: not SVG: svg; is xmlns there?"),
        (lambda e: e.svg("s", "a picture"), "s: not SVG: syntax error"),
        (lambda e: e.svg("s", SVG + " " * 2_000_000), "s: a picture of 20000"),
    ],
)
def test_what_cant_be_shown_is_refused(attach: Callable[[Evidence], None], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        attach(Evidence(lambda _: None))


def test_the_end_of_a_long_text_is_kept() -> None:
    text = shorten("a" * 100 + "the end", longest=10)
    assert text.endswith("aaathe end")
    assert text.startswith("[... 97 characters left out]")
    assert shorten("short", longest=10) == "short"
