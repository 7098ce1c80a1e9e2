"""The acceptance report as one HTML file without anything outside of it, and beside it as JSON."""

from __future__ import annotations

import base64
import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from ruamel.yaml import YAML

from medicarche.errors import MedicarcheError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from medicarche.report.evidence import Item
    from medicarche.report.model import Check, Report

__all__ = ["html", "write"]

_HERE = Path(__file__).parent
_MONTHS = (
    *("janvier", "février", "mars", "avril", "mai", "juin", "juillet"),
    *("août", "septembre", "octobre", "novembre", "décembre"),
)


@dataclass(frozen=True, slots=True)
class _Group:
    """Tests of one function: those that differ by their parameters only stand in one line."""

    title: str
    tests: tuple[Check, ...]

    @property
    def outcome(self) -> str:
        outcomes = {test.outcome for test in self.tests}
        return next(word for word in ("failed", "skipped", "passed") if word in outcomes)

    @property
    def passed(self) -> int:
        return sum(test.outcome == "passed" for test in self.tests)

    @property
    def seconds(self) -> float:
        return sum(test.seconds for test in self.tests)

    @property
    def began(self) -> str:
        return min(test.started_at for test in self.tests)


def write(report: Report, folder: Path) -> Path:
    """Write the report as ``report.html`` and ``report.json``; returns the HTML file.

    Raises:
        MedicarcheError: they can't be written there.
    """
    page = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(report.as_json(), encoding="utf-8")
        page.write_text(html(report), encoding="utf-8")
    except OSError as error:
        raise MedicarcheError(
            f"the acceptance report can't be written: {error}",
            hint="name another folder: --acceptance-report",
        ) from error
    return page


def html(report: Report) -> str:
    """Return the report as a page to be read on a screen, printed and signed."""
    number = {test.id: n for n, test in enumerate(report.tests, start=1)}
    shown = [test for test in report.tests if test.evidence or test.outcome == "failed"]
    return _template(report.language).render(
        report=report,
        style=(_HERE / "templates" / "report.css").read_text(encoding="utf-8"),
        t={key: found[report.language] for key, found in _texts().items()},
        groups={
            result.id: _groups(test for test in report.tests if result.id in test.requirements)
            for result in report.requirements
        },
        number=number,
        shown=shown,
        annexed={test.id for test in shown},
    )


@cache
def _template(language: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    french = language == "fr"
    environment.filters["day"] = lambda text: _day(text, french=french)
    environment.filters["time"] = lambda text: dt.datetime.fromisoformat(text).strftime("%H:%M:%S")
    environment.filters["seconds"] = lambda value: _seconds(value, french=french)
    environment.filters["picture"] = _picture
    return environment.get_template("report.html.j2")


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    texts: Mapping[str, Mapping[str, str]] = YAML(typ="safe").load(
        (_HERE / "texts.yaml").read_text(encoding="utf-8")
    )
    return texts


def _groups(tests: Iterable[Check]) -> list[_Group]:
    found: dict[str, list[Check]] = defaultdict(list)
    for test in tests:
        found[test.id.partition("[")[0]].append(test)
    return [_Group(tests[0].title.partition(" [")[0], tuple(tests)) for tests in found.values()]


def _picture(item: Item | str) -> str:
    """Return SVG as an address of its own: in an image nothing of it is run, and nothing loaded."""
    svg = item if isinstance(item, str) else item.text
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _day(text: str, *, french: bool) -> str:
    when = dt.datetime.fromisoformat(text)
    if not french:
        return f"{when:%d %B %Y}, {when:%H:%M} UTC"
    day = "1er" if when.day == 1 else str(when.day)
    return f"{day} {_MONTHS[when.month - 1]} {when.year} à {when:%H h %M} (UTC)"


def _seconds(value: float, *, french: bool) -> str:
    if value >= 120:  # noqa: PLR2004 - from two minutes on
        return f"{int(value // 60)} min {int(value % 60)} s"
    text = f"{value:.1f} s"
    return text.replace(".", ",") if french else text
