"""The matrix as a picture and as a table."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from medicarche.plan.matrix import Cell, Matrix
from medicarche.plan.reach import Expected, Span, Target, VantagePoint
from medicarche.report.reachability import COLUMNS, Language, matrix_svg, matrix_table

OUTSIDE = VantagePoint("outside", "outside", "203.0.113.1")
ROUTER = VantagePoint("router", "router", "192.168.222.1")
WEBSITE = Target("web<site>", "floating", "10.20.20.110")
ODOO = Target("odoo", "private", "192.168.222.20")
EXPECTED = (Span("tcp", 1, 79, Expected.FILTERED), Span("tcp", 80, 80, Expected.OPEN))
MATRIX = Matrix(
    (
        Cell(OUTSIDE, WEBSITE, EXPECTED, {"tcp": {"open": [[80, 80]]}}, probes=1_234_567),
        Cell(OUTSIDE, ODOO, EXPECTED, {"tcp": {"open": [[22, 22], [80, 80]]}}),
        Cell(ROUTER, WEBSITE, EXPECTED, not_tried="nobody is there"),
    ),
    {},
    12.6,
)
SVG = "{http://www.w3.org/2000/svg}"


def _tree(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own words, and to see that they are well-formed


def _fill(svg: str, title: str) -> str:
    for group in _tree(svg).iter(f"{SVG}g"):
        if (group.findtext(f"{SVG}title") or "").startswith(title):
            return group.find(f"{SVG}rect").attrib["fill"]  # type: ignore[union-attr] # each has one
    raise AssertionError(title)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_colours_say_what_differs(language: Language) -> None:
    svg = matrix_svg(MATRIX, language)
    fills = [_fill(svg, t) for t in ("outside → web<site>", "outside → odoo", "router → web<site>")]
    assert len(set(fills)) == 3
    legend = {"fr": "écart avec la déclaration", "en": "differs from the declaration"}[language]
    texts = [t.text for t in _tree(svg).iter(f"{SVG}text")]
    assert legend in texts
    assert "tcp 22" in texts
    assert "80" in texts


def test_numbers_are_written_as_in_the_language() -> None:
    assert "1\N{NO-BREAK SPACE}234\N{NO-BREAK SPACE}567 essais en 13 s" in matrix_svg(MATRIX)
    assert "1,234,567 probes in 13 s" in matrix_svg(MATRIX, "en")


def test_the_table() -> None:
    rows = matrix_table(MATRIX)
    assert {len(row) for row in rows} == {len(COLUMNS["fr"])}
    assert ("extérieur", "odoo", "192.168.222.20", "tcp", "22", "filtré", "ouvert") in rows
    assert ("router", "web<site>", "10.20.20.110", "tcp", "80", "ouvert", "non essayé") in rows
    assert ("outside", "odoo", "192.168.222.20", "tcp", "22", "filtered", "open") in matrix_table(
        MATRIX, "en"
    )
