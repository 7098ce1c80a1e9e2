"""The state of this machine's kernel and network, to be compared: a cloud must leave it as it was."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Remains", "differences", "remains", "snapshot"]

#: kernel settings that are counters, or random: they change by themselves
_VOLATILE = re.compile(
    r"fs/(dentry-state|inode-state|inode-nr|file-nr|aio-nr|epoll/.*)$"
    r"|fs/quota/|fs/binfmt_misc/"
    r"|kernel/(random/.*|ns_last_pid|pty/nr|perf_event_max_sample_rate|hostname|domainname)$"
    r"|kernel/(sched_domain|keys)/|net/netfilter/nf_conntrack_count$|debug/"
)


def snapshot() -> dict[str, str]:
    """Return the kernel's settings, and the addresses, routes and packet filters of our network name space.

    What the machine has no program for is left out (and is so in every snapshot).
    """
    found = dict(_settings())
    for name, command in {
        "links": ["ip", "-json", "link", "show"],
        "addresses": ["ip", "-json", "address", "show"],
        "routes": ["ip", "-json", "route", "show", "table", "all"],
        "routes, IPv6": ["ip", "-json", "-6", "route", "show", "table", "all"],
        "rules": ["ip", "-json", "rule", "show"],
        "nftables": ["nft", "list", "ruleset"],
        "iptables": ["iptables-save"],
        "ip6tables": ["ip6tables-save"],
    }.items():
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        found[name] = _steady(name, done.stdout)
    return found


def _settings() -> Iterator[tuple[str, str]]:
    root = Path("/proc/sys")
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if _VOLATILE.search(name) or path.is_dir():
            continue
        try:
            yield f"sysctl {name}", path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue  # settings that can only be written, or aren't for this machine


def _steady(name: str, output: str) -> str:
    """Leave out what changes by itself: counters, times of leases."""
    if name.startswith(("nft", "ip6tables", "iptables")):
        lines = [line for line in output.splitlines() if not line.startswith("#")]
        return "\n".join(re.sub(r"\[\d+:\d+\]|counter packets \d+ bytes \d+", "", line) for line in lines)
    entries: list[dict[str, Any]] = json.loads(output or "[]")
    text = json.dumps(entries, sort_keys=True)
    return re.sub(r'"(valid_life_time|preferred_life_time|expires)": \d+,? ?', "", text)


def differences(
    before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    """Return what differs between two snapshots: name → (before, after)."""
    return {
        name: (before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }


@dataclass(frozen=True, slots=True)
class Remains:
    """What there is of a cloud on this machine; all of it empty where there is none."""

    processes: tuple[str, ...]
    mounts: tuple[str, ...]
    loop_devices: tuple[str, ...]
    name_spaces: tuple[str, ...]
    control_groups: tuple[str, ...]

    def __bool__(self) -> bool:
        return any((self.processes, self.mounts, self.loop_devices, self.name_spaces, self.control_groups))


def remains(words: tuple[str, ...], network: int | None = None) -> Remains:
    """Look for what belongs to a cloud.

    Args:
        words: what its folders and names have in common, and nothing else on this machine has.
        network: the inode of its network name space: whatever process is in there belongs to it.
    """

    def ours(text: str) -> bool:
        return any(word in text for word in words)

    mounts = [m for m in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines() if ours(m)]
    loops = [p for p in Path("/sys/block").glob("loop*/loop/backing_file") if ours(_read(p))]
    groups = [p for p in Path("/sys/fs/cgroup").rglob("*") if ours(p.name) and p.is_dir()]
    names = [p for p in Path("/run/netns").glob("*") if ours(p.name)]
    return Remains(
        processes=tuple(_processes(words, network)),
        mounts=tuple(mounts),
        loop_devices=tuple(f"{p.parts[3]}: {_read(p)}" for p in loops),
        name_spaces=tuple(map(str, names)),
        control_groups=tuple(map(str, groups)),
    )


def _processes(words: tuple[str, ...], network: int | None) -> Iterator[str]:
    own = _ancestors()
    for folder in Path("/proc").glob("[0-9]*"):
        number = int(folder.name)
        if number in own:
            continue  # the tests themselves name the cloud on their command lines
        command = _read(folder / "cmdline").replace("\0", " ").strip()
        try:
            inside = network is not None and (folder / "ns/net").stat().st_ino == network
        except OSError:
            continue  # ended while we looked
        if inside or any(word in command or word in _read(folder / "cgroup") for word in words):
            yield f"{number}: {command or _read(folder / 'comm').strip()}"


def _ancestors() -> set[int]:
    found, number = set(), "self"
    while number not in {"0", ""}:
        status = _read(Path("/proc") / number / "stat")
        if not status:
            break
        found.add(int(status.split(" ", 1)[0]))
        number = status.rpartition(")")[2].split()[1]
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
