"""What the machine must give before a cloud is started: everything that is missing is told at once."""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medicarche import host_packages
from medicarche.errors import CommandError, MachineError
from medicarche.process import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["check", "missing_packages"]

#: program → the Debian (and Ubuntu) package that it comes from
PROGRAMS: Final = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "journalctl": "systemd",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "losetup": "mount",
    "mount": "mount",
    "umount": "mount",
    "ip": "iproute2",
    "modprobe": "kmod",
    "ssh": "openssh-client",
}
_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_GIB: Final = 1024**3
#: measured: layers 2.1 GiB, an image and its build 2 GiB, four instances with applications 4 GiB
DISK_FOR_CACHE: Final = 6 * _GIB
DISK_FOR_CLOUD: Final = 3 * _GIB
#: measured: the control plane 3.3 GiB; instances of 1 GiB that use half of it
MEMORY: Final = 6 * _GIB
_MODULES: Final = (
    "overlay",
    "loop",
    "bridge",
    "veth",
    "ip_set",
    "ip_set_hash_net",
    "nf_tables",
    "nf_nat",
    "xt_physdev",
)
_SECONDS: Final = 10


def check(*, home: Path, cache: Path, sources: Sequence[str], cached: bool, running: bool) -> None:
    """Look at everything that a start needs, but for the programs whose packages are `missing_packages`.

    Args:
        home: the folder that clouds are in.
        cache: the folder of the cached layers.
        sources: sources.list(5) lines that the layers are built from; empty where mmdebstrap chooses.
        cached: whether the layers are there already.
        running: whether the cloud runs: it has its memory then.

    Raises:
        MachineError: with one line for each thing that is wrong.
    """
    if os.geteuid() != 0:
        raise MachineError(
            "the embedded OpenStack is started by root: it makes name spaces, mounts and loop devices",
            hint="run it with sudo, or use a cloud of your own: --cloud NAME",
        )
    problems = [*_disk(home, cache, cached=cached), *_kernel()]
    if not running:
        problems += _memory()
    if not cached:
        problems += _registry(sources)
    if problems:
        raise MachineError(
            "this machine can't carry the embedded OpenStack:\n" + "\n".join(f"- {p}" for p in problems),
            hint="put that right, or use a cloud of your own: --cloud NAME",
        )


def missing_packages() -> tuple[str, ...]:
    """Return the names of the Debian packages whose programs, or whose keys, aren't there."""
    keyring = () if _KEYRING.is_file() else ("debian-archive-keyring",)
    return tuple(sorted((*host_packages.missing(PROGRAMS), *keyring)))


def load_modules() -> None:
    """Load the kernel modules that the node needs; it isn't allowed to load any by itself.

    ``br_netfilter`` would let the host's own bridges pass through its firewall from then on: where it wasn't
    loaded before, that is switched off for the host's name space again.
    """
    bridge = Path("/proc/sys/net/bridge")
    fresh = not bridge.is_dir()
    for module in (*_MODULES, "br_netfilter"):
        try:
            run(["modprobe", "--quiet", module], timeout=20)
        except CommandError:
            continue  # built in, or named otherwise: what is needed is tried by itself
    if fresh and bridge.is_dir():
        for setting in bridge.glob("bridge-nf-call-*"):
            setting.write_text("0")


def _disk(home: Path, cache: Path, *, cached: bool) -> Iterable[str]:
    wanted: dict[int, tuple[int, Path]] = {}
    for path, size in ((home, DISK_FOR_CLOUD), (cache, 0 if cached else DISK_FOR_CACHE)):
        there = next(p for p in (path, *path.parents) if p.exists())
        device = there.stat().st_dev
        wanted[device] = (wanted.get(device, (0, there))[0] + size, there)
    for size, there in wanted.values():
        free = shutil.disk_usage(there).free
        if free < size:
            yield (
                f"{there}: {free / _GIB:.1f} GiB of disk are free, {size / _GIB:.0f} GiB are needed"
                " (MEDICARCHE_HOME and MEDICARCHE_CACHE choose other places)"
            )


def _memory(meminfo: Path = Path("/proc/meminfo")) -> Iterable[str]:
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    available = int(match[1]) * 1024 if match else 0
    if available < MEMORY:
        yield f"{available / _GIB:.1f} GiB of memory are available, {MEMORY / _GIB:.0f} GiB are needed"


def _kernel() -> Iterable[str]:
    load_modules()
    systems = Path("/proc/filesystems").read_text(encoding="ascii").split()
    if "overlay" not in systems:
        yield "the kernel has no overlayfs (module overlay)"
    if not Path("/dev/loop-control").exists():
        yield "the kernel has no loop devices (module loop)"
    if not Path("/sys/fs/cgroup").is_dir():
        yield "no control groups are mounted at /sys/fs/cgroup"
    for what, command in (
        ("bridges (module bridge)", "ip link add test type bridge"),
        ("pairs of virtual Ethernet devices (module veth)", "ip link add test type veth peer name test2"),
        (
            "filtering on bridges (module br_netfilter)",
            "test -e /proc/sys/net/bridge/bridge-nf-call-iptables",
        ),
    ):
        try:
            # tried in a network name space that ends with it
            run(["unshare", "--net", "--", "sh", "-c", command], timeout=20)
        except CommandError:
            yield f"the kernel has no {what}, or doesn't let us use it"


def _registry(sources: Sequence[str]) -> Iterable[str]:
    for line in sources:
        words = [w for w in re.sub(r"\[[^\]]*\]", "", line).split() if w != "deb"]
        url = f"{words[0]}/dists/{words[1]}/InRelease"
        try:
            with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - http and https only, see mirrors
                answer.read(1)
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            yield (
                f"the package registry can't be reached: {url}: {reason}"
                " (the environment file's mirrors: name another)"
            )
