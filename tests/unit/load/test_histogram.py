"""Percentiles against the exact ones."""

from __future__ import annotations

import random
import statistics

import pytest

from medicarche.load.histogram import Histogram


@pytest.mark.parametrize("percent", [50.0, 95.0, 99.0, 99.9])
def test_percentiles_are_right_to_a_thousandth(percent: float) -> None:
    chance = random.Random(7)  # noqa: S311 - test data
    values = sorted(chance.lognormvariate(-3, 1.2) for _ in range(20_000))
    exact = values[int(len(values) * percent / 100) - 1]
    assert Histogram(values).percentile(percent) == pytest.approx(exact, rel=0.002)


def test_the_whole_is_its_parts_together() -> None:
    first, second = Histogram([0.001, 0.002]), Histogram([0.5])
    first.add(second)
    again = Histogram.decode(first.encode())
    for whole in (first, again):
        assert whole.count == 3
        assert whole.mean == pytest.approx(0.503 / 3)
        assert whole.deviation == pytest.approx(statistics.pstdev([0.001, 0.002, 0.5]))
        assert whole.largest == pytest.approx(0.5, rel=0.001)
        assert whole.smallest == pytest.approx(0.001, rel=0.001)


def test_nothing_counted_is_nothing() -> None:
    assert set(Histogram().as_json().values()) == {0}


def test_what_is_out_of_range_is_kept_at_its_edge() -> None:
    found = Histogram([0.0, 99_999.0])
    assert found.count == 2
    assert found.largest == pytest.approx(3600, rel=0.001)
