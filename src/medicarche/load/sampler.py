"""Runs inside of an instance: one JSON line a second of what it uses.

It is sent over SSH (`medicarche.load.instance`), so it imports nothing but the standard library. In an
instance that is a container /proc shows the host's processor and memory: what counts there are the
instance's own control groups, and its own processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp writes it
_MOST_COMMANDS = 12


def _number(*names: str) -> int | None:
    """Return the first of these files that holds a number."""
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            return int((_CGROUP / name).read_text())
    return None


def _field(name: str, key: str) -> int | None:
    """Return a line's value of a file of 'key value' lines."""
    with contextlib.suppress(OSError, ValueError):
        for line in (_CGROUP / name).read_text().splitlines():
            words = line.split()
            if words[:1] == [key]:
                return int(words[-1])
    return None


def _processor() -> float:
    """Return the seconds of processor that the instance has used."""
    version_1 = _number("cpuacct/cpuacct.usage")
    if version_1 is not None:
        return version_1 / 1e9
    version_2 = _field("cpu.stat", "usage_usec")
    if version_2 is not None:
        return version_2 / 1e6
    words = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(words) - words[3] - words[4]) / _TICKS  # a machine of its own


def _memory() -> dict[str, int | None]:
    """Return used, file cache that could be given back, limit and kills, as far as they are known."""
    used = _number("memory/memory.usage_in_bytes", "memory.current")
    cache = _field("memory/memory.stat", "total_inactive_file")
    if cache is None:
        cache = _field("memory.stat", "inactive_file")
    limit = _number("memory/memory.limit_in_bytes", "memory.max")
    both = _number("memory/memory.memsw.usage_in_bytes")
    swapped = _number("memory.swap.current") if both is None else max(both - (used or 0), 0)
    kills = _field("memory.events", "oom_kill")
    if kills is None:
        kills = _kills()
    info = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, value = line.split()[:2]
        info[name.rstrip(":")] = int(value) * 1024
    if used is None:
        used, cache = info["MemTotal"] - info["MemAvailable"], 0
    if limit is None or limit > info["MemTotal"]:
        limit = info["MemTotal"]
    return {"used": used, "cache": cache or 0, "limit": limit, "oom_kills": kills, "swapped": swapped}


def _kills() -> int | None:
    """Return how often the kernel killed for want of memory; version 1 counts in the victim's own group."""
    found = [
        _field(str(path.relative_to(_CGROUP)), "oom_kill")
        for path in (_CGROUP / "memory").rglob("memory.oom_control")
    ]
    return sum(count or 0 for count in found) if found else None


def _commands() -> dict[str, dict[str, float]]:
    """Return command → seconds of processor, resident bytes and number of its processes; the largest ones."""
    found: dict[str, dict[str, float]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except OSError:
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        words = text[text.rindex(")") + 2 :].split()
        entry = found.setdefault(name, {"cpu": 0.0, "rss": 0, "count": 0})
        # with the children that it has waited for: short-lived ones would be lost
        entry["cpu"] += sum(int(word) for word in words[11:15]) / _TICKS
        entry["rss"] += int(words[21]) * _PAGE
        entry["count"] += 1
    largest = sorted(found.items(), key=lambda item: -item[1]["cpu"])[:_MOST_COMMANDS]
    return dict(largest)


def _queues() -> dict[int, int]:
    """Return port → connections that wait until their server takes them (proc(5): rx_queue of a listener)."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == _LISTENING:
            found[int(words[1].split(":")[1], 16)] = int(words[4].split(":")[1], 16)
    return found


def _network() -> dict[str, int]:
    """Return bytes received and sent, but for the loopback interface."""
    received = sent = 0
    for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
        name, _, rest = line.partition(":")
        if name.strip() != "lo":
            words = rest.split()
            received += int(words[0])
            sent += int(words[8])
    return {"received": received, "sent": sent}


def _web_workers() -> int | None:
    """Return how many requests Apache answers at the same time at most, or None without Apache."""
    for path in sorted(Path("/etc/apache2/sites-enabled").glob("*.conf")):
        with contextlib.suppress(OSError):
            match = re.search(r"^\s*MaxRequestWorkers\s+(\d+)", path.read_text(), re.MULTILINE)
            if match:
                return int(match.group(1))
    return None


def main() -> None:
    """Write a line a second until nobody reads it any more."""
    workers = _web_workers()
    due = time.monotonic()
    while True:
        disk = os.statvfs("/")
        sample = {
            "at": time.time(),
            "cpu": _processor(),
            "memory": _memory(),
            "commands": _commands(),
            "queues": _queues(),
            "network": _network(),
            "disk": {
                "size": disk.f_blocks * disk.f_frsize,
                "used": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            },
            "workers": workers,
        }
        sys.stdout.write(json.dumps(sample) + "\n")
        sys.stdout.flush()
        due += 1
        time.sleep(max(due - time.monotonic(), 0))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
