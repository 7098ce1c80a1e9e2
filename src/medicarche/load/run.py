"""A run's record: what was asked, measured and judged; kept as JSON, so that later runs can be compared."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from medicarche.errors import MedicarcheError
from medicarche.load.verdict import Verdict, VerdictKind
from medicarche.private_files import make_private_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from medicarche.load.criteria import Judgement

__all__ = ["VERSION", "Run", "Store"]

#: of the JSON form
VERSION = 1
_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A run.

    Attributes:
        kind: ``fixed``, ``open``, ``ramp``, ``stress`` or ``gate``.
        application: its name in the environment file.
        application_kind: the kind of that application.
        environment: the environment's name.
        cloud: where it was.
        began: in UTC.
        seconds: how long it took.
        parameters: what was asked for; runs are compared where these are the same.
        verdict: what can be said of it.
        answer: the result in one French sentence.
        key_figures: name → number: what is compared with earlier runs.
        judgements: of the objectives.
        series: column → a value for each second, for graphs and for the CSV file.
        data: all else, by kind.
    """

    kind: str
    application: str
    application_kind: str
    environment: str
    cloud: str
    began: datetime
    seconds: float
    parameters: Mapping[str, Any]
    verdict: Verdict
    answer: str
    key_figures: Mapping[str, float] = field(default_factory=dict)
    judgements: Sequence[Judgement] = ()
    series: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What its folder is called; names sort by time."""
        return f"{self.began:%Y%m%dT%H%M%S}-{self.kind}-{self.application}"

    def as_json(self) -> dict[str, Any]:
        """Return the whole as JSON has it."""
        return {
            "version": VERSION,
            "name": self.name,
            "kind": self.kind,
            "application": self.application,
            "application_kind": self.application_kind,
            "environment": self.environment,
            "cloud": self.cloud,
            "began": self.began.isoformat(),
            "seconds": self.seconds,
            "parameters": dict(self.parameters),
            "verdict": {"kind": self.verdict.kind.value, "reasons": list(self.verdict.reasons)},
            "answer": self.answer,
            "key_figures": dict(self.key_figures),
            "judgements": [asdict(judgement) for judgement in self.judgements],
            "series": {name: list(values) for name, values in self.series.items()},
            "data": dict(self.data),
        }

    def as_csv(self) -> str:
        """Return the series: a line for each second."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["second", *self.series])
        length = max((len(values) for values in self.series.values()), default=0)
        for second in range(length):
            row = [values[second] if second < len(values) else None for values in self.series.values()]
            writer.writerow([second, *("" if value is None else f"{value:.6g}" for value in row)])
        return text.getvalue()


class Store:
    """The folder of an environment's runs.

    Args:
        folder: made where it isn't there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = make_private_folder(folder)

    def save(self, run: Run) -> Path:
        """Write a run's JSON and CSV; return its folder."""
        folder = make_private_folder(self.folder / run.name)
        (folder / _FILE).write_text(
            json.dumps(run.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (folder / "seconds.csv").write_text(run.as_csv(), encoding="utf-8")
        return folder

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs as JSON has them, the oldest first; what can't be read isn't one."""
        found = []
        for path in sorted(self.folder.glob(f"*/{_FILE}")):
            try:
                run = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(run, dict) and run.get("version") == VERSION:
                found.append(run)
        return found

    def one(self, name: str) -> dict[str, Any]:
        """Return one run.

        Raises:
            MedicarcheError: there is none of that name.
        """
        for run in self.runs():
            if run["name"] == name:
                return run
        raise MedicarcheError(f"{name}: no such run in {self.folder}", hint="medicarche load runs")

    def before(self, run: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the earlier runs that asked for the same and can be trusted."""
        same = ("kind", "application", "parameters")
        return [
            other
            for other in self.runs()
            if other["name"] < run["name"]
            and all(other[key] == run[key] for key in same)
            and other["verdict"]["kind"] != VerdictKind.INVALID.value
        ]
