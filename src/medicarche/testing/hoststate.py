"""The state of this machine's kernel and network, to be compared: a cloud must leave it as it was."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "BROUGHT_BY_MODULES",
    "VOLATILE",
    "Remains",
    "differences",
    "loop_devices",
    "remains",
    "snapshot",
]

#: settings that change by themselves on an idle machine, each with why; the names are whole, no patterns
VOLATILE: Mapping[str, str] = {
    "fs/aio-nr": "counts the asynchronous requests set up now",
    "fs/dentry-state": "counts cached directory entries",
    "fs/file-nr": "counts open files",
    "fs/inode-nr": "counts cached inodes",
    "fs/inode-state": "counts cached inodes",
    "fs/quota/allocated_dquots": "a statistic",
    "fs/quota/cache_hits": "a statistic",
    "fs/quota/drops": "a statistic",
    "fs/quota/free_dquots": "a statistic",
    "fs/quota/lookups": "a statistic",
    "fs/quota/reads": "a statistic",
    "fs/quota/syncs": "a statistic",
    "fs/quota/writes": "a statistic",
    "kernel/ns_last_pid": "the number of the process that was made last",
    "kernel/perf_event_max_sample_rate": "lowered by the kernel itself where sampling takes too long",
    "kernel/pty/nr": "counts pseudo-terminals in use",
    "kernel/random/entropy_avail": "a fill level",
    "kernel/random/uuid": "another one at each reading",
    "net/netfilter/nf_conntrack_count": "counts the connections of now",
}
#: where settings appear when a kernel module is loaded; a module can't be unloaded safely, so they stay.
#: They may appear, with values that leave the host's own traffic alone; those that were there may not change.
BROUGHT_BY_MODULES: Mapping[str, str] = {
    "net/bridge/": "br_netfilter; see ``medicarche.embedded.preflight.load_modules``",
    "net/netfilter/": "nf_conntrack and its helpers",
    "net/nf_conntrack_max": "nf_conntrack",
}

_NETLINK_NETFILTER = 12  # <linux/netlink.h>
_NFT_SUBSYSTEM = 10 << 8  # <linux/netfilter/nfnetlink.h>: NFNL_SUBSYS_NFTABLES
_NFT_DUMPS = {"tables": 1, "chains": 4, "rules": 7, "sets": 10}  # <linux/netfilter/nf_tables.h>: NFT_MSG_GET*
_DUMP = 0x301  # <linux/netlink.h>: NLM_F_REQUEST | NLM_F_DUMP
_DONE, _ERROR = 3, 2  # NLMSG_DONE, NLMSG_ERROR


def snapshot() -> dict[str, str]:
    """Return the kernel's settings, and the addresses, routes and packet filters of our network name space.

    Packet filters are read from the kernel, so that no program is needed for it: the names of iptables'
    tables, the number of nf_tables' objects. Where ``nft`` or ``iptables-save`` is there, whole rules too.
    """
    found = dict(_settings())
    for name in ("ip_tables_names", "ip6_tables_names", "arp_tables_names"):
        found[name] = "".join(sorted(_read(Path("/proc/net") / name).splitlines(keepends=True)))
    found |= {f"nf_tables {what}": _nft_objects(number) for what, number in _NFT_DUMPS.items()}
    for name, command in {
        "links": ["ip", "-json", "link", "show"],
        "addresses": ["ip", "-json", "address", "show"],
        "routes": ["ip", "-json", "route", "show", "table", "all"],
        "routes, IPv6": ["ip", "-json", "-6", "route", "show", "table", "all"],
        "rules": ["ip", "-json", "rule", "show"],
        "nftables": ["nft", "--stateless", "list", "ruleset"],
        "iptables": ["iptables-save"],
        "ip6tables": ["ip6tables-save"],
    }.items():
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        found[name] = _steady(name, done.stdout)
    return found


def _nft_objects(number: int) -> str:
    """Count nf_tables' objects of a kind in our network name space, of all families (netlink(7))."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        netlink.settimeout(10)
        # struct nlmsghdr, then struct nfgenmsg: family (0: all), version, resource
        netlink.send(struct.pack("=IHHIIBBH", 20, _NFT_SUBSYSTEM | number, _DUMP, 1, 0, 0, 0, 0))
        count = 0
        while True:
            data = netlink.recv(1 << 20)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _DONE:
                    return str(count)
                if kind == _ERROR:
                    (error,) = struct.unpack_from("=i", data, 16)
                    return f"not to be had: {os.strerror(-error)}"  # a kernel without nf_tables
                count += 1
                data = data[(length + 3) & ~3 :]


def _settings() -> Iterator[tuple[str, str]]:
    root = Path("/proc/sys")
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name in VOLATILE or path.is_dir():
            continue
        try:
            yield f"sysctl {name}", path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue  # settings that can only be written, or aren't for this machine


def _steady(name: str, output: str) -> str:
    """Leave out what changes by itself: counters, times of leases."""
    if name.startswith(("nft", "ip6tables", "iptables")):
        lines = [line for line in output.splitlines() if not line.startswith("#")]
        return "\n".join(re.sub(r"\[\d+:\d+\]", "", line) for line in lines)
    entries: list[dict[str, Any]] = json.loads(output or "[]")
    text = json.dumps(entries, sort_keys=True)
    return re.sub(r'"(valid_life_time|preferred_life_time|expires)": \d+,? ?', "", text)


def differences(
    before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    """Return what differs between two snapshots: name → (before, after).

    Settings that came with a kernel module don't count (`BROUGHT_BY_MODULES`).
    """
    return {
        name: (before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not (name not in before and _brought(name))
    }


def _brought(name: str) -> bool:
    return name.removeprefix("sysctl ").startswith(tuple(BROUGHT_BY_MODULES))


@dataclass(frozen=True, slots=True)
class Remains:
    """What there is of a cloud on this machine; all of it empty where there is none.

    Attributes:
        processes: number → command line.
        mounts: in our own mount name space.
        loop_devices: that a file of its folders is behind.
        name_spaces: the files of network name spaces.
        control_groups: their folders.
        pins: processes of others whose mounts keep its network name space alive; only where it isn't mounted
            in our own mount name space, which all others are copies of.
    """

    processes: Mapping[int, str]
    mounts: tuple[str, ...]
    loop_devices: tuple[str, ...]
    name_spaces: tuple[str, ...]
    control_groups: tuple[str, ...]
    pins: tuple[str, ...]

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def remains(words: tuple[str, ...], network: int | None = None) -> Remains:
    """Look for what belongs to a cloud.

    Args:
        words: what its folders and names have in common, and nothing else on this machine has. Those that
            begin with a slash are its folders: a process that has mounted something of them is its own.
        network: the inode of its network name space: whatever process is in there belongs to it.
    """

    def ours(text: str) -> bool:
        return any(word in text for word in words)

    mounted = _read(Path("/proc/self/mountinfo"))
    mounts = [m for m in mounted.splitlines() if ours(m)]
    loops = [p for p in Path("/sys/block").glob("loop*/loop/backing_file") if ours(_read(p))]
    groups = [p for p in Path("/sys/fs/cgroup").rglob("*") if ours(p.name) and p.is_dir()]
    names = [p for p in Path("/run/netns").glob("*") if ours(p.name)]
    return Remains(
        processes=dict(_processes(words, network)),
        mounts=tuple(mounts),
        loop_devices=tuple(f"{p.parts[3]}: {_read(p)}" for p in loops),
        name_spaces=tuple(map(str, names)),
        control_groups=tuple(map(str, groups)),
        pins=() if network is None or _pin(network) in mounted else tuple(_pins(network)),
    )


def loop_devices() -> dict[str, str]:
    """Return the machine's loop devices that have a file behind them: device → file, as its user sees it.

    A cloud's instances name their disks by the node's paths, so only a comparison says whose they are.
    """
    return {p.parts[3]: _read(p).strip() for p in Path("/sys/block").glob("loop*/loop/backing_file")}


def _processes(words: tuple[str, ...], network: int | None) -> Iterator[tuple[int, str]]:
    own = _ancestors()
    host = Path("/proc/self/ns/mnt").stat().st_ino
    folders = tuple({f for word in words if word.startswith("/") for f in (word, _on_its_file_system(word))})
    for process in Path("/proc").glob("[0-9]*"):
        number = int(process.name)
        if number in own:
            continue  # the tests themselves name the cloud on their command lines
        command = _read(process / "cmdline").replace("\0", " ").strip()
        named = command + _read(process / "cgroup")
        mounts = _read(process / "mountinfo")
        try:
            inside = network is not None and (process / "ns/net").stat().st_ino == network
            if (process / "ns/mnt").stat().st_ino == host:
                mounts = ""  # it sees the machine's mounts, as everybody does
        except OSError:
            continue  # ended while we looked
        if inside or any(word in named for word in words) or any(folder in mounts for folder in folders):
            yield number, command or _read(process / "comm").strip()


def _on_its_file_system(folder: str) -> str:
    """Return a folder's path from its file system's root, as mountinfo names what is mounted elsewhere.

    It is another one where ``/tmp``, for instance, is a file system of its own.
    """
    mount = Path(folder).parent
    while not mount.is_mount():
        mount = mount.parent
    return f"/{Path(folder).relative_to(mount)}"


def _pin(network: int) -> str:
    """Return what mountinfo says of a mounted network name space: proc(5), the mount's root."""
    return f" net:[{network}] "


def _pins(network: int) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        if _pin(network) in _read(process / "mountinfo"):
            yield f"{process.name}: {_read(process / 'cmdline')}".replace("\0", " ").strip()


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
