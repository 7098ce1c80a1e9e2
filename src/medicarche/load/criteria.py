"""The criteria that objectives are made of: each one a small class. Pure.

A new one is a class with `Criterion`'s attributes, in `CRITERIA`; its name is the key in the objectives file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medicarche.load.figures import Figures

__all__ = ["CRITERIA", "Criterion", "Judgement", "judge"]

_MILLISECONDS = 1000.0
#: a percentile of fewer answers than these says nothing: 1 / (1 - percent), at least
_FEWEST = {95.0: 20, 99.0: 100}


def _figure(value: float) -> str:
    """Write four significant digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - see above


@dataclass(frozen=True, slots=True)
class Judgement:
    """One criterion's verdict.

    Attributes:
        transaction: what was judged; empty for all transactions together.
        criterion: its name.
        limit: of the objectives file, scaled where it is a time and the machine is slow.
        value: what was measured, in the limit's unit; None where too little was measured to say.
        passed: whether it holds; None where it can't be said.
        text: the whole in a French sentence, as reports show it.
    """

    transaction: str
    criterion: str
    limit: float
    value: float | None
    passed: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion; subclasses say what is measured and which side of the limit is good."""

    name: ClassVar[str]
    french: ClassVar[str]
    unit: ClassVar[str] = ""
    lower_is_better: ClassVar[bool] = True
    is_time: ClassVar[bool] = False
    #: smallest and largest limit that makes sense
    bounds: ClassVar[tuple[float, float]] = (0.0, 1e9)

    def value(self, figures: Figures) -> float | None:
        """Return what was measured, or None where too little was."""
        raise NotImplementedError

    def judge(self, transaction: str, limit: float, figures: Figures, *, slowness: float = 1.0) -> Judgement:
        """Judge the figures.

        Args:
            transaction: whose figures they are.
            limit: of the objectives file.
            figures: what was measured.
            slowness: how many times slower this machine is than the one that the limits are written for:
                limits in time are multiplied by it, and rates divided.
        """
        scaled = limit
        if self.is_time:
            scaled = limit * slowness
        elif not self.lower_is_better:
            scaled = limit / slowness
        value = self.value(figures)
        subject = f"{transaction or 'ensemble'} : {self.french}"
        bound = f"{'au plus' if self.lower_is_better else 'au moins'} {scaled:g}{self.unit}"
        if value is None:
            return Judgement(transaction, self.name, scaled, None, None, f"{subject} : trop peu de mesures")
        passed = value <= scaled if self.lower_is_better else value >= scaled
        return Judgement(
            transaction, self.name, scaled, value, passed, f"{subject} {_figure(value)}{self.unit} ({bound})"
        )


class _Percentile(Criterion):
    percent: ClassVar[float]
    unit = " ms"
    is_time = True
    bounds = (1.0, 600_000.0)

    def value(self, figures: Figures) -> float | None:
        """Return the percentile in milliseconds; failures have none, the failure rate counts them."""
        if figures.succeeded < _FEWEST[self.percent]:
            return None
        return figures.latency.percentile(self.percent) * _MILLISECONDS


class P95(_Percentile):
    """95 of 100 correct answers came within this time."""

    name = "p95_ms"
    french = "95 % des réponses en"
    percent = 95.0


class P99(_Percentile):
    """99 of 100 correct answers came within this time."""

    name = "p99_ms"
    french = "99 % des réponses en"
    percent = 99.0


class FailureRate(Criterion):
    """The part of the requests without a correct answer, in per cent."""

    name = "failures_percent"
    french = "échecs"
    unit = " %"
    bounds = (0.0, 100.0)

    def value(self, figures: Figures) -> float | None:
        """Return the part in per cent; where nothing was asked, all has failed."""
        return figures.failure_rate * 100


class MinimumRate(Criterion):
    """Correct answers a second."""

    name = "minimum_rate"
    french = "débit"
    unit = " requêtes/s"
    lower_is_better = False

    def value(self, figures: Figures) -> float | None:
        """Return the rate."""
        return figures.rate


class Refused(Criterion):
    """Connections that nobody took."""

    name = "refused"
    french = "connexions refusées"

    def value(self, figures: Figures) -> float | None:
        """Return how many there were."""
        return float(figures.refused)


CRITERIA: Mapping[str, Criterion] = {
    c.name: c for c in (P95(), P99(), FailureRate(), MinimumRate(), Refused())
}


def judge(
    objectives: Mapping[str, Mapping[str, float]],
    transactions: Mapping[str, Figures],
    whole: Figures,
    *,
    slowness: float = 1.0,
) -> tuple[Judgement, ...]:
    """Judge a run.

    Args:
        objectives: transaction (empty: all together) → criterion → limit.
        transactions: their figures.
        whole: the figures of all together.
        slowness: see `Criterion.judge`.
    """
    found = []
    for transaction, limits in objectives.items():
        figures = transactions.get(transaction) if transaction else whole
        if figures is None:
            continue  # a short run doesn't come to every transaction
        for name, limit in limits.items():
            found.append(CRITERIA[name].judge(transaction, limit, figures, slowness=slowness))
    return tuple(found)
