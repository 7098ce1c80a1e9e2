"""h2load's table read, and ours written."""

from __future__ import annotations

import pytest

from medicarche.errors import CommandError
from medicarche.load.h2load import read
from medicarche.load.samples import Samples
from medicarche.load.table import duration, fixed_table, size

# as h2load of nghttp2 1.52.0 wrote it
TEXT = """\
finished in 10.37s, 9646.92 req/s, 39.89MB/s
requests: 100000 total, 100000 started, 100000 done, 99998 succeeded, 2 failed, 1 errored, 0 timeout
status codes: 100000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 413.51MB (433600000) total, 18.02MB (18900000) headers (space savings 0.00%)
                     min         max         mean         sd        +/- sd
time for request:       27us     43.02ms     10.25ms      6.09ms    70.12%
time for connect:     1.51ms     14.40ms      7.77ms      3.43ms    67.00%
time to 1st byte:    12.41ms      1.26s     19.59ms      3.84ms    64.00%
req/s           :      96.50      100.57       97.53        0.92    77.00%
"""


def test_h2loads_table_is_read() -> None:
    found = read(TEXT, 2.0)
    assert (found.succeeded, found.failed, found.rate) == (99998, 2, 9646.92)
    assert found.per_core == 49999
    assert found.times["request"] == pytest.approx(
        {"min": 27e-6, "max": 0.04302, "mean": 0.01025, "deviation": 0.00609}
    )
    assert found.times["first_byte"]["max"] == 1.26


def test_something_else_is_an_error() -> None:
    with pytest.raises(CommandError, match="something else"):
        read("h2load: could not connect", 1.0)


def test_our_table_has_the_same_rows() -> None:
    seen = Samples(asked=3)
    seen.statuses.update({200: 1, 404: 1, 503: 1})
    seen.failures.update({"status 404": 1, "status 503": 1})
    for value in (seen.ended, seen.latency, seen.service, seen.first_byte):
        value.append(0.0025)
    seen.seconds = 2.0
    lines = fixed_table(seen.as_json()).splitlines()
    assert lines[0].startswith("finished in 2.00s, 0.50 req/s")
    assert lines[1] == "requests: 3 total, 1 succeeded, 2 failed"
    assert lines[2] == "status codes: 1 2xx, 0 3xx, 1 4xx, 1 5xx"
    assert [line.split(":")[0] for line in lines[5:8]] == [
        "time for request", "time for connect", "time to 1st byte",
    ]  # fmt: skip
    assert "2.50ms" in lines[5]
    assert lines[-2:] == ["failed: 1 x status 404", "failed: 1 x status 503"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.000027, "27.0us"), (0.00151, "1.51ms"), (0.327, "327ms"), (2.3, "2.30s")]
)
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1536, "1.50 KB"), (433_600_000, "413.51 MB")])
def test_sizes_are_those_of_h2load(count: int, text: str) -> None:
    assert size(count) == text
