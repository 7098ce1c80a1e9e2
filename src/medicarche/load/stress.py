"""Stress of an instance by stress-ng while its application is lightly used (LOAD-3)."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from medicarche.deploy import KINDS
from medicarche.errors import DeploymentError
from medicarche.load import generator
from medicarche.load.engine import Limits
from medicarche.load.flavors import FlavorVerdict, Need, judge_flavor
from medicarche.load.histogram import Histogram
from medicarche.load.verdict import Verdict, VerdictKind, decide
from medicarche.load.words import count, decimal, not_judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from medicarche.load.bench import Bench
    from medicarche.load.connection import Request
    from medicarche.load.instance import InstanceUse, InstanceWatch
    from medicarche.load.objectives import ApplicationObjectives
    from medicarche.load.run import Run
    from medicarche.load.samples import Samples
    from medicarche.load.targets import LoadTarget
    from medicarche.spec.environment import FlavorSpec

__all__ = ["Stressor", "stress", "stressors"]

_PACKAGE = "stress-ng"
_APT = ("sudo", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes")
#: in the instance: the packages that we add, noted before the first of them is there; whole, or not there
_ADDED = "/var/lib/medicarche/packages-of-stress"
_NOTE = 'mkdir -p "${0%/*}" && echo "$1" > "$0.new" && mv "$0.new" "$0"'
_PATIENCE = 300.0
_MIB = 2**20
#: seconds until the instance's next sample has come
_LAST_SAMPLE = 1.5
#: what the application's main processes are: their numbers change when they are started again
_SERVICES = "systemctl list-units --type=service --state=running --plain --no-legend --no-pager"
#: the instance's own limit of memory and swap together (control groups version 1), or of swap (version 2)
_SWAP_LIMIT = """
cd /sys/fs/cgroup
if [ -f memory/memory.memsw.limit_in_bytes ]; then
  echo "$1" > memory/memory.memsw.limit_in_bytes
elif [ -f memory.swap.max ]; then
  echo "$2" > memory.swap.max
fi
"""
#: the limit of the fixed scenario that says how slow an answer may be
_BORNE = "p95_ms"
#: part of the memory that is left which is filled, so that nothing need be killed
_FILL = 0.85


@dataclass(frozen=True, slots=True)
class Stressor:
    """One kind of stress.

    Attributes:
        name: in French, as in reports.
        arguments: of stress-ng.
        exceeds: it asks for more memory than there is: the kernel has to kill it, and nothing else.
    """

    name: str
    arguments: tuple[str, ...]
    exceeds: bool = False


def stressors(flavor: FlavorSpec, memory_used: int) -> tuple[Stressor, ...]:
    """Return what is done to an instance of a flavor.

    Sizes are given in bytes: in an instance that is a container, stress-ng's own parts of the memory would be
    those of the host.
    """
    left = max(flavor.ram_mib - memory_used // _MIB, 64)
    disk = "256M"
    return (
        Stressor("processeur", ("--cpu", str(flavor.vcpus))),
        Stressor("mémoire", ("--vm", "1", "--vm-bytes", f"{int(left * _FILL)}M", "--vm-keep")),
        Stressor(
            "plus que la mémoire",
            ("--vm", "1", "--vm-bytes", f"{flavor.ram_mib}M", "--vm-keep", "--oomable"),
            exceeds=True,
        ),
        Stressor("entrées-sorties", ("--iomix", "1", "--iomix-bytes", disk, "--temp-path", "/var/tmp")),  # noqa: S108 - in the instance
        Stressor("disque", ("--hdd", "1", "--hdd-bytes", disk, "--temp-path", "/var/tmp")),  # noqa: S108 - as above
    )


@dataclass(slots=True)
class _Phase:
    """What was seen in one phase."""

    name: str
    seen: Samples
    uses: Sequence[InstanceUse]
    stressor: str = ""
    kills: int = 0
    restarted: tuple[str, ...] = ()

    @property
    def p95(self) -> float:
        return Histogram(self.seen.latency).percentile(95)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "stressor": self.stressor,
            "figures": self.seen.as_json(),
            "cpu": max((use.cpu for use in self.uses), default=0.0),
            "memory": max((use.memory for use in self.uses), default=0),
            "swapped": max((use.swapped for use in self.uses), default=0),
            "kills": self.kills,
            "restarted": list(self.restarted),
        }


class _Patient:
    """The instance under stress, and the application in it."""

    def __init__(self, bench: Bench, target: LoadTarget, watch: InstanceWatch, seconds: float) -> None:
        self._bench = bench
        self._flavor = bench.flavor(target)
        self._instance = bench.instance(target)
        self._ssh = bench.selection.ssh(bench.selection.user_of(self._instance.name))
        self._request: Request = bench.request(target)
        self._rate = bench.objectives_of(target).stress_rate
        self._watch = watch
        self._seconds = seconds

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command in the instance."""
        code, output, errors = self._ssh.run(self._instance, command, timeout=_PATIENCE)
        return code, output + errors

    @contextmanager
    def stress_ng(self) -> Iterator[None]:
        """Have stress-ng in the instance for as long as the block runs; it is left as it was.

        Raises:
            DeploymentError: it can't be installed.
        """
        code, left = self.run("cat", _ADDED)
        if code == 0:
            # a run that was killed left its packages, and perhaps the limit of swap
            self._unlimit_swap()
            self._remove(left.split())
        if _PACKAGE in self._packages():
            yield
            return
        self.run(*_APT, "update")
        install = (*_APT, "install", "--no-install-recommends")
        code, said = self.run(*install, "--simulate", _PACKAGE)
        added = [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]
        try:
            if not code:
                code, said = self.run("sudo", "sh", "-c", _NOTE, _ADDED, " ".join(added))
            if not code:
                code, said = self.run(*install, _PACKAGE)
            if code:
                raise DeploymentError(
                    f"{self._instance.name}: {_PACKAGE} can't be installed:\n{said[-500:]}",
                    hint="does the application's egress in the environment file have 'packages'?",
                )
            yield
        finally:
            self._remove(added)

    def _remove(self, packages: Sequence[str]) -> None:
        """Take packages away that were added; dpkg refuses those that others have come to need."""
        self.run("sudo", "dpkg", "--purge", *packages)
        self.run("sudo", "rm", "-f", _ADDED)

    def phase(self, stressor: Stressor | None, name: str) -> _Phase:
        """Use the application lightly, under stress or not, and note what became of it."""
        began, services = time.time(), self._services()
        kills = self._kills()
        said: list[str] = []
        with self._as_declared() if stressor is not None and stressor.exceeds else nullcontext():
            thread = None
            if stressor is not None:
                thread = threading.Thread(target=self._stress, args=(stressor, said), daemon=True)
                thread.start()
            limits = Limits(answer=20.0, connections=20)
            seen = generator.open_schedule(
                self._request, rate=self._rate, seconds=self._seconds, limits=limits
            )
            if thread is not None:
                thread.join(_PATIENCE)
            time.sleep(_LAST_SAMPLE)
        now = self._services()
        return _Phase(
            name,
            seen,
            self._watch.between(began, time.time()),
            said[0] if said else "",
            self._kills() - kills,
            tuple(sorted(name for name, number in services.items() if now.get(name) != number)),
        )

    @contextmanager
    def _as_declared(self) -> Iterator[None]:
        """Hold the instance to its flavor's swap for as long as the block runs.

        A container uses the host's swap beyond its memory: nothing would be killed, though on a machine with
        the flavor's own swap it would be.
        """
        total = (self._flavor.ram_mib + self._flavor.swap_mib) * _MIB
        self._limit_swap(str(total), str(self._flavor.swap_mib * _MIB))
        try:
            yield
        finally:
            self._unlimit_swap()

    def _unlimit_swap(self) -> None:
        self._limit_swap("-1", "max")

    def _limit_swap(self, together: str, alone: str) -> None:
        code, said = self.run("sudo", "sh", "-c", _SWAP_LIMIT, "sh", together, alone)
        if code:
            self._bench.reporter.note(f"{self._instance.name}: its swap can't be limited: {said.strip()}")

    def _stress(self, stressor: Stressor, said: list[str]) -> None:
        seconds = max(int(self._seconds), 1)
        code, text = self.run(
            "sudo", "stress-ng", *stressor.arguments, "--timeout", f"{seconds}s", "--metrics-brief"
        )
        last = text.strip().splitlines()[-1] if text.strip() else ""
        said.append(f"{code}: {last}")

    def _services(self) -> dict[str, str]:
        """Return running service → number of its main process."""
        shell = (
            f"for unit in $({_SERVICES} | cut -d' ' -f1); do"
            ' echo "$unit $(systemctl show --property=MainPID --value "$unit")"; done'
        )
        _, output = self.run("sh", "-c", shell)
        found = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
        # sessions of ours come and go
        return {name: number for name, number in found.items() if not name.startswith(("user@", "apt-"))}

    def _packages(self) -> set[str]:
        _, output = self.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n")
        return {line[3:].strip() for line in output.splitlines() if line.startswith("ii")}

    def _kills(self) -> int:
        uses = self._watch.uses
        return (uses[-1].oom_kills or 0) if uses else 0


def stress(bench: Bench, target: LoadTarget, *, seconds: float = 15.0) -> Run:
    """Stress the instance of an application by all stressors, one after the other, and judge its flavor.

    Args:
        bench: where.
        target: the application.
        seconds: of each stressor.
    """
    objectives = bench.objectives_of(target)
    flavor = bench.flavor(target)
    began, watch = bench.now(), bench.watch()
    clock = time.time()
    phases: list[_Phase] = []
    with bench.instance_watch(target) as instance:
        patient = _Patient(bench, target, instance, seconds)
        with patient.stress_ng():
            phases.append(patient.phase(None, "au repos"))
            used = max((use.memory for use in phases[0].uses), default=0)
            for stressor in stressors(flavor, used):
                with bench.reporter.stage(f"{target.name}: {' '.join(stressor.arguments[:2])}"):
                    phases.append(patient.phase(stressor, stressor.name))
            with bench.reporter.stage(f"{target.name}: afterwards"):
                phases.append(patient.phase(None, "après"))
    use = watch.use(sum(phase.seen.processor_seconds for phase in phases))
    need = _need(bench, target, phases)
    found = judge_flavor(flavor, need, bench.selection.environment.flavors)
    reasons = _broken(phases, objectives)
    verdict = decide((), use, measured=sum(phase.seen.asked for phase in phases))
    if verdict.kind is VerdictKind.PASSED and reasons:
        verdict = Verdict(VerdictKind.BROKEN, reasons)
    return bench.record(
        target,
        "stress",
        began,
        seconds=time.time() - clock,
        parameters={"seconds": seconds, "flavor": flavor.name, "rate": objectives.stress_rate},
        verdict=verdict,
        answer=_answer(phases, found, verdict),
        key_figures={
            "p95 au repos (ms)": phases[0].p95 * 1000,
            "ralentissement": _slowdown(phases[1:-1], phases[0]),
        },
        series={
            "processeurs": [u.cpu for u in instance.uses],
            "mémoire (Mio)": [u.memory / _MIB for u in instance.uses],
        },
        data={
            "flavor": {**asdict(found), "need": {"memory_mib": need.memory_mib, "disk_gib": need.disk_gib}},
            "phases": [phase.as_json() for phase in phases],
            "machine": use.as_json(),
            # containers of the embedded cloud: Nova's vCPUs are a promise, not a limit
            "vcpus_enforced": not bench.shared,
        },
    )


def _need(bench: Bench, target: LoadTarget, phases: Sequence[_Phase]) -> Need:
    """Return what the application was seen to need: here without stress on memory, and in earlier ramps."""
    memory = max((u.memory for p in (phases[0], phases[-1]) for u in p.uses), default=0)
    disk = max((u.disk_used for u in phases[0].uses), default=0)
    for run in bench.store.runs():
        if run["kind"] == "ramp" and run["application"] == target.name:
            memory = max(memory, int(run["data"].get("peak_memory", 0)))
            disk = max(disk, int(run["data"].get("disk_used", 0)))
    declared = KINDS[target.kind].minimum
    objectives = bench.objectives_of(target)
    bearable = [phase for phase in phases[1:] if phase.name != "plus que la mémoire"]
    survived = not any(phase.restarted for phase in phases) and phases[-1].seen.failed == 0
    return Need(
        memory,
        disk,
        survived,
        not any(_too_slow(phase, phases[0], objectives) for phase in bearable),
        declared.ram_mib if declared else 0,
        declared.disk_gib if declared else 0,
    )


def _slowdown(phases: Sequence[_Phase], quiet: _Phase) -> float:
    base = quiet.p95 or 1e-3
    return max((phase.p95 / base for phase in phases), default=0.0)


def _too_slow(phase: _Phase, quiet: _Phase, objectives: ApplicationObjectives) -> bool:
    """Tell whether answers come too slowly under stress: far slower than without, and slower than is borne.

    Where one takes 4 ms without stress, a memory page that has to be read again makes it 100 times slower,
    and nobody notices.
    """
    slower = _slowdown([phase], quiet) > objectives.stress_slowdown
    return slower and phase.p95 * 1000 > objectives.fixed_limits.get(_BORNE, 0.0)


def _broken(phases: Sequence[_Phase], objectives: ApplicationObjectives) -> tuple[str, ...]:
    quiet, failures = phases[0], objectives.stress_failures
    reasons = []
    for phase in phases:
        rate = phase.seen.failure_rate * 100
        if rate > failures:
            reasons.append(f"{phase.name} : {decimal(rate)} % d'échecs (au plus {decimal(failures)} %)")
        if phase.restarted:
            reasons.append(f"{phase.name} : services tombés ou relancés : {', '.join(phase.restarted)}")
    # more memory than there is makes everything slow, until the kernel has killed the culprit
    for phase in phases[1:]:
        if _too_slow(phase, quiet, objectives):
            times, most = _slowdown([phase], quiet), objectives.stress_slowdown
            reasons.append(
                f"{phase.name} : réponses {decimal(times)} fois plus lentes (au plus {most:g}),"
                f" en {phase.p95 * 1000:.0f} ms"
            )
    return tuple(reasons)


def _answer(phases: Sequence[_Phase], found: FlavorVerdict, verdict: Verdict) -> str:
    asked = sum(phase.seen.asked for phase in phases)
    answered = sum(phase.seen.succeeded for phase in phases)
    exceeded = next((phase for phase in phases if phase.name == "plus que la mémoire"), None)
    text = (
        f"{found.text} Sous contrainte, {count(answered)} requêtes sur {count(asked)} ont reçu leur réponse."
    )
    if exceeded is not None:
        right = exceeded.kills and not exceeded.restarted
        text += (
            " À court de mémoire, le noyau a arrêté le programme fautif, et lui seul."
            if right
            else " À court de mémoire, le noyau n'a rien arrêté : la limite n'a pas été atteinte."
            if not exceeded.kills and not exceeded.restarted
            else " À court de mémoire, un service de l'application est tombé."
        )
    if verdict.kind is VerdictKind.INVALID:
        return f"{text} {not_judged(verdict)}"
    if verdict.kind is VerdictKind.BROKEN:
        return f"{text} Objectifs non tenus : {' ; '.join(verdict.reasons)}."
    return text
