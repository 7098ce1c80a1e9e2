"""Graphs as inline SVG: lines over a common axis, with marks. Pure; no script, nothing from elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Line", "chart", "ticks"]

#: told apart by people with any colour vision (Okabe and Ito, "Color Universal Design", 2008)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
_WIDTH, _HEIGHT = 860, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 12, 34
_TICKS = 4
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its name in the legend, and its points; None interrupts it. ``dots`` draws the points too."""

    name: str
    points: Sequence[Point]
    dots: bool = False


def ticks(largest: float, count: int = _TICKS) -> list[float]:
    """Return round numbers from 0 to at least ``largest``."""
    if not largest > 0:
        return [0.0, 1.0]
    rough = largest / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(n * power for n in _NICE if n * power >= rough * (1 - 1e-9))
    return [step * i for i in range(math.ceil(largest / step * (1 - 1e-9)) + 1)]


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_label: str = "secondes",
    y_label: str = "",
    verticals: Sequence[tuple[float, str]] = (),
    horizontals: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Return a graph as an SVG element.

    Args:
        title: read by screen readers too.
        lines: what is drawn.
        x_label: of the horizontal axis.
        y_label: the vertical axis's unit.
        verticals: x → what is there.
        horizontals: y → what is there.
    """
    values = [y for line in lines for _, y in line.points if y is not None]
    if not values:
        return Markup("")
    y_ticks = ticks(max([*values, *(y for y, _ in horizontals)]))
    x_ticks = ticks(max([x for line in lines for x, _ in line.points] + [x for x, _ in verticals]), 8)
    frame = _Frame(x_ticks[-1], y_ticks[-1])
    legend = len(lines) > 1
    height = _HEIGHT + 18 * legend
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        *frame.axes(x_ticks, y_ticks),
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 2}" text-anchor="end">{escape(x_label)}</text>',
        f'<text x="{_LEFT}" y="9" text-anchor="start" class="unit">{escape(y_label)}</text>',
    ]
    for y, text in horizontals:
        parts.append(frame.segment(0, y, frame.x_most, y, "mark"))
        parts.append(
            f'<text x="{_WIDTH - _RIGHT}" y="{frame.y(y) - 4:.1f}" text-anchor="end">{escape(text)}</text>'
        )
    for number, (x, text) in enumerate(verticals):
        parts.append(frame.segment(x, 0, x, frame.y_most, "mark"))
        parts.append(f'<text x="{frame.x(x) + 4:.1f}" y="{_TOP + 12 + 13 * number}">{escape(text)}</text>')
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        parts += frame.line(line, colour)
        if legend:
            x = _LEFT + number * 158
            parts.append(f'<rect x="{x}" y="{_HEIGHT + 6}" width="12" height="4" fill="{colour}"/>')
            parts.append(f'<text x="{x + 17}" y="{_HEIGHT + 12}">{escape(line.name)}</text>')
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - made of numbers and of escaped texts


class _Frame:
    """The drawing's inner rectangle, and how numbers get there."""

    def __init__(self, x_most: float, y_most: float) -> None:
        self.x_most = x_most or 1.0
        self.y_most = y_most or 1.0

    def x(self, value: float) -> float:
        return _LEFT + value / self.x_most * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.y_most * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Iterator[str]:
        for y in y_ticks:
            yield self.segment(0, y, self.x_most, y, "grid")
            yield f'<text x="{_LEFT - 6}" y="{self.y(y) + 4:.1f}" text-anchor="end">{_number(y)}</text>'
        for x in x_ticks:
            place = f'x="{self.x(x):.1f}" y="{_HEIGHT - _BOTTOM + 15}"'
            yield f'<text {place} text-anchor="middle">{_number(x)}</text>'

    def segment(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
        return (
            f'<line x1="{self.x(x1):.1f}" y1="{self.y(y1):.1f}" x2="{self.x(x2):.1f}" y2="{self.y(y2):.1f}"'
            f' class="{kind}"/>'
        )

    def line(self, line: Line, colour: str) -> Iterator[str]:
        path, pen = [], "M"
        for x, y in line.points:
            if y is None:
                pen = "M"
                continue
            path.append(f"{pen}{self.x(x):.1f} {self.y(y):.1f}")
            pen = "L"
        yield f'<path d="{" ".join(path)}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        if line.dots:
            for x, y in line.points:
                if y is not None:
                    yield f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3.2" fill="{colour}"/>'


def _number(value: float) -> str:
    return f"{value:.6g}".replace(".", ",")
