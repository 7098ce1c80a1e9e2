"""The sampler as it runs in an instance: as a program of its own, on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files

import pytest

from medicarche.load.instance import uses


def test_it_tells_what_this_machine_uses_every_second() -> None:
    program = files("medicarche.load").joinpath("sampler.py").read_text(encoding="utf-8")
    # isolated: what it imports is there wherever Python is
    command = [sys.executable, "-I", "-S", "-u", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        samples = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.terminate()
    found = uses(samples)
    assert len(found) == 2
    assert samples[2]["at"] - samples[0]["at"] == pytest.approx(2, abs=1.5)
    for use in found:
        assert 0 <= use.cpu <= 1024
        assert 0 < use.memory <= use.memory_limit
        assert 0 < use.disk_used < use.disk_size
        assert use.received >= 0
        assert use.processes
    assert all(0 < len(sample["commands"]) <= 12 for sample in samples)


def test_use_is_what_grew_between_two_samples() -> None:
    def sample(at: float, cpu: float, seconds: float, received: int) -> dict[str, object]:
        return {
            "at": at,
            "cpu": cpu,
            "memory": {"used": 500, "cache": 100, "limit": 1000, "oom_kills": 1},
            "commands": {"odoo": {"cpu": seconds, "rss": 5, "count": 3}},
            "queues": {"8069": 7},
            "network": {"received": received, "sent": 0},
            "disk": {"size": 10, "used": 4},
            "workers": None,
        }

    (use,) = uses([sample(10, 100, 5, 1000), sample(12, 103, 6, 5000)])
    assert (use.cpu, use.commands["odoo"], use.received) == (1.5, 0.5, 2000)
    assert (use.memory, use.queues, use.processes) == (400, {8069: 7}, {"odoo": 3})
