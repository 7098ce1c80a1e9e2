"""The ramp-up to the limit (LOAD-1): drives the crowd as `medicarche.load.ramp` decides, judges each step."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from medicarche.load.criteria import judge
from medicarche.load.crowd import Second, figures, whole
from medicarche.load.ramp import Phase, Ramp, RampPlan, Step, catching_up, steady
from medicarche.load.saturation import FULL, Pressure, first_exhausted, pressures
from medicarche.load.timeline import timeline
from medicarche.load.verdict import Verdict, VerdictKind, decide, generator_reasons
from medicarche.load.words import decimal, milliseconds, not_judged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medicarche.load.bench import Bench
    from medicarche.load.crowd import Crowd
    from medicarche.load.figures import Figures
    from medicarche.load.instance import InstanceUse, InstanceWatch
    from medicarche.load.machine import MachineUse
    from medicarche.load.run import Run
    from medicarche.load.targets import LoadTarget

__all__ = ["DEFAULT_LIMITS", "ramp_up"]

#: where the objectives file says nothing: Nielsen's limit for "the user's flow of thought" is 1 s
#: ("Usability Engineering", 1993, section 5.5); a page has twice that for 95 of 100
DEFAULT_LIMITS: Mapping[str, Mapping[str, float]] = {"": {"p95_ms": 2000.0, "failures_percent": 1.0}}
#: failures and lateness that need no whole step to be seen
_HOPELESS_FAILURES = 0.5
_HOPELESS_ANSWERS = 20
#: seconds that an application gets to be in time again: at the end, and between two steps
_RECOVERY = 60.0
_COOLING = 20.0
_CALM = 3
_PATIENCE = 60.0
#: times its settling time that a step waits at most for people who should be there
_LONGEST = 3.0
#: the latest seconds that tell whether a queue is worked off
_COMPARED = 6


@dataclass(slots=True)
class _Measured:
    """A step, its figures, and what was used meanwhile."""

    step: Step
    transactions: dict[str, Figures]
    pressures: tuple[Pressure, ...]
    use: MachineUse
    uses: Sequence[InstanceUse]
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self.step),
            "figures": whole(self.transactions).as_json(),
            "pressures": [asdict(pressure) for pressure in self.pressures],
            "machine": self.use.as_json(),
            "problems": list(self.problems),
        }


@dataclass(slots=True)
class _Driver:
    """One ramp-up under way."""

    bench: Bench
    target: LoadTarget
    plan: RampPlan
    limits: Mapping[str, Mapping[str, float]]
    crowd: Crowd
    instance: InstanceWatch
    measured: list[_Measured] = field(default_factory=list)
    recovery: float | None = None

    def run(self) -> Ramp:
        """Measure steps until the edge is known."""
        ramp = Ramp(self.plan)
        while (following := ramp.next()) is not None:
            phase, users = following
            with self.bench.reporter.stage(f"{self.target.name}: {users} users ({phase})") as stage:
                if phase is Phase.RECOVERY:
                    self.recovery = self._recover(users, _RECOVERY)
                elif ramp.steps and not ramp.steps[-1].passed:
                    # what an overload has left in the queues must not break the next step too
                    self._recover(max(users // 4, 1), _COOLING)
                found = self._step(phase, users)
                self.measured.append(found)
                ramp.steps.append(found.step)
                said = "held" if found.step.passed else "broken: " + "; ".join(found.step.reasons)
                stage.update(f"{found.step.rate:.1f} answers/s, {said}")
                self.bench.reporter.note(f"{users} users: {found.step.rate:.1f} answers/s, {said}")
        return ramp

    def _step(self, phase: Phase, users: int) -> _Measured:
        there = self.crowd.seconds[-1].users if self.crowd.seconds else 0
        moving = abs(users - there)
        rate = self.plan.rate(moving)
        self.crowd.people(users, rate=rate)
        is_steady = self._settle(users, moving / rate)
        watch = self.bench.watch()
        began = time.time()
        before = self.crowd.seconds[-1].processor_seconds if self.crowd.seconds else 0.0
        seconds: list[Second] = []
        while len(seconds) < self.plan.hold:
            seconds += self.crowd.wait(1, _PATIENCE)
            if _hopeless(seconds):
                break
        used = seconds[-1].processor_seconds - before
        use = watch.use(used)
        transactions = figures(seconds)
        everything = whole(transactions)
        judgements = judge(self.limits, transactions, everything)
        uses = self.instance.between(began, time.time())
        # what others use isn't this load's doing: the verdict looks at that
        shared = use.generator + use.cloud if self.bench.shared else None
        return _Measured(
            Step(
                phase,
                users,
                not any(judgement.passed is False for judgement in judgements),
                tuple(judgement.text for judgement in judgements if judgement.passed is False),
                everything.rate,
                is_steady,
            ),
            transactions,
            pressures(uses, processors=self.bench.flavor(self.target).vcpus, machine_busy=shared),
            use,
            uses,
            generator_reasons(
                rate=everything.rate,
                processor_seconds=used,
                seconds=use.seconds,
                lag=max(second.lag for second in seconds),
                calibration=None,
            ),
        )

    def _settle(self, users: int, arrival: float) -> bool:
        """Wait until the step's users are there and its figures are steady; tell whether it came to that.

        The rate alone isn't enough: while a queue is worked off, it is the application's greatest. As long as
        one more is there than before, the waiting begins again, to a limit.
        """
        deadline = time.monotonic() + arrival + self.plan.settle
        latest = deadline + _LONGEST * self.plan.settle
        there: list[Second] = []
        most = 0
        while time.monotonic() < deadline:
            (second,) = self.crowd.wait(1, _PATIENCE)
            if second.users > most:
                most = second.users
                deadline = max(deadline, min(time.monotonic() + self.plan.settle, latest))
            there = [*there, second] if second.users == second.wanted == users else []
            if steady([s.rate for s in there]) and not catching_up(_delays(there), self._in_time):
                return True
        return False

    @property
    def _in_time(self) -> float:
        """Seconds within which 95 of 100 answers shall come."""
        return self.limits.get("", {}).get("p95_ms", DEFAULT_LIMITS[""]["p95_ms"]) / 1000

    def _recover(self, users: int, most: float) -> float | None:
        """Let the load go; return the seconds until answers are in time again, None if they aren't."""
        self.crowd.people(users, rate=1000.0)
        began = time.monotonic()
        calm = 0
        while time.monotonic() - began < most:
            (second,) = self.crowd.wait(1, _PATIENCE)
            seen = whole(second.transactions)
            good = seen.succeeded and not seen.failed and seen.latency.percentile(95) <= self._in_time
            calm = calm + 1 if good else 0
            if calm == _CALM:
                return max(time.monotonic() - began - _CALM, 0.0)
        return None


def ramp_up(bench: Bench, target: LoadTarget, plan: RampPlan) -> Run:
    """Find out how many people an application carries.

    Args:
        bench: where.
        target: the application.
        plan: how the ramp goes.

    Raises:
        MedicarcheError: there is no scenario for it, or the crowd ended.
    """
    limits = bench.objectives_of(target).people or DEFAULT_LIMITS
    target.guard()
    began, watch = bench.now(), bench.watch()
    clock = time.time()
    with (
        bench.instance_watch(target) as instance,
        bench.crowd(target) as crowd,
    ):
        driver = _Driver(bench, target, plan, limits, crowd, instance)
        ramp = driver.run()
        ended = time.time()
        generator = crowd.seconds[-1].processor_seconds
        use = watch.use(generator)
        uses = instance.between(clock, ended)
        seconds = list(crowd.seconds)
    return _record(bench, target, plan, driver, ramp, began, ended - clock, use, seconds, uses, clock)


def _record(  # noqa: PLR0917 - the parts of one record
    bench: Bench,
    target: LoadTarget,
    plan: RampPlan,
    driver: _Driver,
    ramp: Ramp,
    began: Any,  # noqa: ANN401 - a datetime
    seconds: float,
    use: MachineUse,
    crowd: Sequence[Second],
    uses: Sequence[InstanceUse],
    clock: float,
) -> Run:
    problems = tuple(dict.fromkeys(text for found in driver.measured for text in found.problems))
    verdict = decide((), use, generator=problems, measured=whole(figures(crowd)).asked)
    if verdict.kind is VerdictKind.PASSED and not ramp.capacity:
        verdict = Verdict(VerdictKind.BROKEN, ramp.steps[-1].reasons if ramp.steps else ())
    best = _best(driver, ramp)
    steps = [found.pressures for found in driver.measured if found.step.phase is not Phase.RECOVERY]
    exhausted = first_exhausted(steps)
    rate = best.step.rate if best else 0.0
    return bench.record(
        target,
        "ramp",
        began,
        seconds=seconds,
        parameters={"limits": {k: dict(v) for k, v in driver.limits.items()}, **asdict(plan)},
        verdict=verdict,
        answer=_answer(ramp, rate, exhausted, driver.recovery, verdict),
        key_figures={"utilisateurs": float(ramp.capacity), "réponses/s": rate},
        series=timeline(crowd, uses, clock),
        data={
            "capacity": ramp.capacity,
            "bounded": ramp.bounded,
            "rate": rate,
            "knee": _knee(driver),
            "exhausted": asdict(exhausted) if exhausted else None,
            "recovery": driver.recovery,
            "steps": [found.as_json() for found in driver.measured],
            "transactions": {
                name: seen.as_json() for name, seen in (best.transactions if best else {}).items()
            },
            "figures": whole(figures(crowd)).as_json(),
            "machine": use.as_json(),
            "peak_memory": max((u.memory for u in uses), default=0),
            "disk_used": max((u.disk_used for u in uses), default=0),
        },
    )


def _best(driver: _Driver, ramp: Ramp) -> _Measured | None:
    """Return the measurement at the capacity."""
    found = [m for m in driver.measured if m.step.passed and m.step.users == ramp.capacity]
    return found[0] if found else None


def _knee(driver: _Driver) -> int | None:
    """Return the users of the step with the most answers for their time: Kleinrock's "power", rate / delay.

    More users than that wait longer and get hardly more (L. Kleinrock, "Power and deterministic rules of
    thumb for probabilistic problems in computer communications", ICC 1979).
    """
    powers = {}
    for found in driver.measured:
        mean = whole(found.transactions).latency.mean
        if found.step.phase is not Phase.RECOVERY and mean:
            powers[found.step.users] = found.step.rate / mean
    return max(powers, key=lambda users: powers[users]) if powers else None


def _delays(seconds: Sequence[Second]) -> list[float]:
    """Return what 95 of 100 answers of each second didn't exceed, in seconds; of seconds that had answers."""
    latest = [whole(second.transactions).latency for second in seconds[-_COMPARED:]]
    return [latency.percentile(95) for latency in latest if latency.count]


def _hopeless(seconds: Sequence[Second]) -> bool:
    seen = [found for second in seconds for found in second.transactions.values()]
    asked = sum(found.asked for found in seen)
    failed = sum(found.failed for found in seen)
    return asked >= _HOPELESS_ANSWERS and failed > _HOPELESS_FAILURES * asked


def _answer(
    ramp: Ramp, rate: float, exhausted: Pressure | None, recovery: float | None, verdict: Verdict
) -> str:
    if not ramp.capacity:
        text = "Aucun nombre d'utilisateurs essayé ne tient les objectifs."
    else:
        more = "" if ramp.bounded else " au moins (la limite n'a pas été atteinte)"
        text = (
            f"{ramp.capacity} personnes peuvent travailler en même temps{more},"
            f" soit {decimal(rate)} réponses par seconde."
        )
    if ramp.bounded and exhausted:
        what = (
            "Ressource épuisée en premier" if exhausted.use >= FULL else "Rien n'est épuisé ; le plus occupé"
        )
        text += f" {what} : {exhausted.resource} ({exhausted.detail})."
    if ramp.bounded:
        text += (
            f" Quand la charge retombe, les réponses redeviennent normales en {milliseconds(recovery)}."
            if recovery is not None
            else " Quand la charge retombe, l'application ne se rétablit pas en une minute."
        )
    return f"{text} {not_judged(verdict)}" if verdict.kind is VerdictKind.INVALID else text
