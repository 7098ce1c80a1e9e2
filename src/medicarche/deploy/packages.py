"""The pyinfra operation that installs Debian's packages: one question, few commands, nothing lost by a kill.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation

from medicarche.deploy.asking import ask
from medicarche.deploy.operations import note, shell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from pyinfra.api.command import StringCommand

__all__ = ["PackageState", "Packages", "packages", "purge_command"]


@dataclass(frozen=True, slots=True)
class PackageState:
    """What dpkg says: installed package names; what was left half-done.

    ``unwritten``: ``pending`` where a run was killed before all of it was on the disk, ``lost`` where the
    machine failed before; else empty.
    """

    installed: frozenset[str]
    half_done: bool
    unwritten: str = ""


#: there, with the present boot's name in it, while packages are written without waiting for the disk
_UNWRITTEN = "/var/lib/medicarche/packages-unwritten"
_BOOT = "/proc/sys/kernel/random/boot_id"
_WRITE = f"sync --file-system / && rm {_UNWRITTEN}"


class Packages(FactBase[PackageState]):
    """The packages' state, in one command."""

    def command(self) -> str:
        """Ask dpkg and its audit."""
        return (
            "dpkg-query -W -f '${db:Status-Abbrev}|${binary:Package}\\n'; "
            "echo ==; dpkg --audit | head -1; "
            f"echo ==; if [ -e {_UNWRITTEN} ]; then"
            f' [ "$(cat {_UNWRITTEN})" = "$(cat {_BOOT})" ] && echo pending || echo lost; fi'
        )

    def process(self, output: Iterable[str]) -> PackageState:
        """Read both parts."""
        parts: list[list[str]] = [[]]
        for line in output:
            if line.strip() == "==":
                parts.append([])
            elif line.strip():
                parts[-1].append(line)
        installed = frozenset(
            name.partition(":")[0]
            for status, _, name in (line.partition("|") for line in parts[0])
            if status[1:2] == "i"
        )
        return PackageState(installed, half_done=bool(parts[1]), unwritten="".join(parts[2]))


#: minutes for which apt's lists are taken as fresh
_LISTS_FRESH = 24 * 60
_STAMP = "/var/lib/apt/periodic/update-success-stamp"
#: decided in the instance, when its turn comes: a source that this run has written isn't in the lists yet
_UPDATE = (
    f'if [ -z "$(find {_STAMP} -mmin -{_LISTS_FRESH} 2>/dev/null)" ]'
    f' || [ -n "$(find /etc/apt/sources.list /etc/apt/sources.list.d -newer {_STAMP} 2>/dev/null)" ]; then'
    " apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any update"
    f" && touch {_STAMP}; fi"
)
_APT = (
    "DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300"
    " -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
)


def purge_command(names: Iterable[str]) -> str:
    """Return the command that takes packages away, with their configuration."""
    return f"{_APT} purge {shlex.join(names)}"


def _written_at_once(command: str) -> str:
    """Run apt without a wait for the disk at each file, which takes most of its time; write all at its end.

    A killed run loses nothing by it, a machine that fails may: the file that stays says so to the next run
    (docs/decisions/0008).
    """
    return (
        f"mkdir -p {_UNWRITTEN.rpartition('/')[0]} && cp {_BOOT} {_UNWRITTEN} && sync {_UNWRITTEN}"
        f" && {command.replace(_APT, f'{_APT} -o Dpkg::Options::=--force-unsafe-io')}"
        f" && {_WRITE}"
    )


@operation()
def packages(wanted: Sequence[str]) -> Generator[StringCommand, None, None]:
    """Install packages that aren't there, keeping configuration files; finish what a kill left.

    Before something is installed, what is there already is brought up to date.
    """
    state = ask(Packages)
    if state.half_done:
        note("dpkg was interrupted")
        # the interrupted run may still be going on in the instance: it holds dpkg's lock
        yield shell(
            "for i in $(seq 60); do DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confold"
            " && exit 0; sleep 5; done; exit 1"
        )
        yield shell(f"{_APT} -f install")
    if state.unwritten == "lost":
        note("the machine failed while packages were being written")
        names = "dpkg-query -W -f '${db:Status-Abbrev}|${binary:Package}\\n' | sed -n 's/^.i.|//p'"
        yield shell(_UPDATE)
        yield shell(f"{_APT} --reinstall install $({names}) && rm {_UNWRITTEN}")
    missing = sorted(set(wanted) - state.installed)
    if not missing:
        if state.unwritten == "pending":
            note("a run was cut off before they were on the disk")
            yield shell(_WRITE)
        return
    note(f"missing: {', '.join(missing)}")
    yield shell(_UPDATE)
    # what the image was built with may have been mended since
    upgrade = f"{_APT} --no-install-recommends --with-new-pkgs upgrade"
    install = f"{_APT} --no-install-recommends install {shlex.join(missing)}"
    yield shell(_written_at_once(f"{upgrade} && {install}"))
