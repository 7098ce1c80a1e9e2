"""The machine's watch, with the kernel's numbers as data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from medicarche.load.machine import Watch, busy_reasons

if TYPE_CHECKING:
    from pathlib import Path

HZ = os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("user", "idle", "steal", "generator", "cloud", "reasons"),
    [
        (10.0, 10.0, 0.0, 2.0, 7.0, ()),  # 1 s of 20 is others'
        (10.0, 10.0, 0.0, 2.0, 3.0, ("d'autres programmes ont pris 25%",)),
        (8.0, 10.0, 2.0, 2.0, 6.0, ("l'hyperviseur a pris 10%",)),
        (5.0, 10.0, 5.0, 0.0, 0.0, ("l'hyperviseur a pris 25%", "d'autres programmes ont pris 25%")),
    ],
)
def test_others_are_what_nobody_of_us_used(  # noqa: PLR0917 - a table of cases
    tmp_path: Path,
    user: float,
    idle: float,
    steal: float,
    generator: float,
    cloud: float,
    reasons: tuple[str, ...],
) -> None:
    stat = tmp_path / "stat"

    def write(seconds: float, idle: float, steal: float) -> None:
        numbers = (seconds, 0, 0, idle, 0, 0, 0, steal, 0, 0)
        stat.write_text("cpu  " + " ".join(str(round(n * HZ)) for n in numbers) + "\ncpu0 1\n")

    used = iter((100.0, 100.0 + cloud))
    clock = iter((0.0, 10.0))
    write(1000, 5000, 7)
    watch = Watch(lambda: next(used), stat=stat, clock=lambda: next(clock))
    write(1000 + user, 5000 + idle, 7 + steal)
    use = watch.use(generator)
    assert use.seconds == 10
    assert use.busy == pytest.approx(user / 20)
    found = busy_reasons(use)
    assert len(found) == len(reasons)
    for text, expected in zip(found, reasons, strict=True):
        assert text.startswith(expected)


def test_the_kernels_own_numbers_are_read() -> None:
    use = Watch().use(0.0)
    assert 0 <= use.busy <= 1
    assert use.processors >= 1
