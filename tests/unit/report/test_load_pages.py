"""The load report: pages that hold all that was measured, well-formed, and load nothing from elsewhere."""

from __future__ import annotations

import datetime as dt
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from medicarche.load.criteria import Judgement
from medicarche.load.machine import MachineUse
from medicarche.load.reports import keep, write_all
from medicarche.load.run import Run, Store
from medicarche.load.samples import Samples
from medicarche.load.verdict import Verdict, VerdictKind
from medicarche.report.load.charts import Line, chart, ticks

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = MachineUse(0.5, 0.1, 0.35, 0.05, 0.0, 2, 10.0).as_json()
VOID = {"meta", "link", "br", "rect", "line", "path", "circle"}


class Balance(HTMLParser):
    """Checks that what is opened is closed, and gathers what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        if tag not in VOID:
            self.open.append(tag)
        self.loaded += [
            str(value) for name, value in attrs if name == "src" or (tag == "link" and name == "href")
        ]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing is left open by it."""

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        assert self.open.pop() == tag


def run(number: int, kind: VerdictKind = VerdictKind.PASSED, **changed: Any) -> Run:  # noqa: ANN401 - any field
    seen = Samples(asked=2)
    seen.statuses.update({200: 1, 503: 1})
    seen.failures.update({"status <503>": 1})
    for values in (seen.ended, seen.latency, seen.service, seen.first_byte):
        values.append(0.25)
    usual: dict[str, Any] = {
        "kind": "fixed",
        "application": "website",
        "application_kind": "wordpress",
        "environment": "medicarche",
        "cloud": "embedded-x",
        "began": dt.datetime(2026, 1, number, tzinfo=dt.UTC),
        "seconds": 10.0,
        "parameters": {"clients": 1},
        "verdict": Verdict(kind, ("trop <lent>",) if kind is not VerdictKind.PASSED else ()),
        "answer": "1 requête sur 2 & pas plus.",
        "key_figures": {"requêtes/s": 100.0 + number},
        "judgements": [Judgement("", "p95_ms", 100, 250.0, kind is VerdictKind.PASSED, "95 % en 250 ms")],
        "series": {"requêtes/s": [1.0, None, 3.0], "p95 (s)": [0.25, 0.25, 0.25]},
        "data": {"figures": seen.as_json(), "machine": MACHINE, "not_deployed": ["nextcloud"]},
    }
    return Run(**{**usual, **changed})


def balanced(page: str) -> Balance:
    found = Balance()
    found.feed(page)
    assert not found.open
    return found


@pytest.mark.parametrize("kind", list(VerdictKind))
def test_a_page_has_the_answer_on_top_and_all_figures(tmp_path: Path, kind: VerdictKind) -> None:
    path = keep(Store(tmp_path), run(1, kind))
    page = path.read_text(encoding="utf-8")
    assert not balanced(page).loaded
    assert page.index("1 requête sur 2 &amp; pas plus.") < page.index("<h2>")
    assert "trop <lent>" not in page
    assert "status &lt;503&gt;" in page
    words = {"passed": "Objectifs tenus", "broken": "Objectif non tenu", "invalid": "Mesure non valable"}
    assert words[kind.value] in page
    assert page.count("<svg") == 2
    assert json.loads((path.parent / "run.json").read_text())["verdict"]["kind"] == kind.value
    lines = (path.parent / "seconds.csv").read_text().splitlines()
    assert lines[:3] == ["second,requêtes/s,p95 (s)", "0,1,0.25", "1,,0.25"]


def test_runs_are_compared_with_valid_ones_of_the_same_kind_before_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in (1, 2, 3):
        keep(store, run(number))
    keep(store, run(4, VerdictKind.INVALID, key_figures={"requêtes/s": 9e9}))
    keep(store, run(5, parameters={"clients": 2}, key_figures={"requêtes/s": 9e9}))
    page = keep(store, run(6, key_figures={"requêtes/s": 200.0})).read_text(encoding="utf-8")
    row = re.search(r"<tr><td>requêtes/s</td><td>200</td>(.*?)</tr>", page, re.DOTALL)
    assert row
    assert "<td>102</td>" in row[1]
    assert "plus" in row[1]


def test_the_summary_has_the_latest_answers_and_every_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert "Aucune mesure" in write_all(store).read_text(encoding="utf-8")
    for number in (1, 2):
        keep(store, run(number, answer=f"réponse {number}"))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    balanced(page)
    assert "réponse 2" in page
    assert re.search(r"Non déployé, non mesuré</span>\s*nextcloud", page)
    assert "réponse 1" not in page
    assert page.count("report.html") == 3
    assert "<svg" in page


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 0.25, 0.5, 0.75, 1]),
        (93, [0, 25, 50, 75, 100]),
        (0.003, [0, 0.001, 0.002, 0.003]),
    ],
)
def test_ticks_are_round_and_reach_the_largest(largest: float, expected: list[float]) -> None:
    assert ticks(largest) == pytest.approx(expected)


def test_a_graph_stays_in_its_frame_and_breaks_where_nothing_is() -> None:
    drawn = chart("x", [Line("a", [(0, 1.0), (1, None), (2, 3.0)], dots=True)], verticals=[(5, "<genou>")])
    path = re.search(r'd="([^"]+)"', drawn)
    assert path
    assert path[1].count("M") == 2
    assert "&lt;genou&gt;" in drawn
    assert all(0 <= float(n) <= 860 for n in re.findall(r'(?:x|x1|x2|cx)="([\d.]+)"', drawn))
    assert chart("x", [Line("a", [(0, None)])]) == ""
