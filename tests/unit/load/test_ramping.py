"""The ramp-up as a whole, on an application that is computed: how many it carries is known beforehand."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from medicarche.load import ramping
from medicarche.load.crowd import Second
from medicarche.load.figures import Figures
from medicarche.load.histogram import Histogram
from medicarche.load.instance import InstanceUse
from medicarche.load.machine import MachineUse
from medicarche.load.ramp import RampPlan
from medicarche.load.verdict import VerdictKind
from medicarche.progress import SilentReporter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from medicarche.load.bench import Bench
    from medicarche.load.targets import LoadTarget

#: what the application is: so many workers, so long an answer, and people who think so long between two
WORKERS, SERVICE, THINKING = 2, 0.1, 1.0
#: the asymptote of a closed network: N people wait N · S / m - Z (E. Lazowska et al., "Quantitative System
#: Performance", 1984, chapter 5), so 2 s is kept by as many as this
EDGE = int((2.0 + THINKING) * WORKERS / SERVICE)


@dataclass
class Application:
    """The crowd and the application that it uses; each second asked for is one of its clock."""

    #: users from which on it answers with failures only
    refuses_from: int = 10_000
    #: whether it comes back once it was overloaded
    recovers: bool = True
    #: seconds of work that a person's log-in is
    log_in: float = 0.0
    #: seconds of work that wait
    queue: float = 0.0
    clock: float = 1000.0
    users: int = 0
    broken: bool = False
    seconds: list[Second] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def people(self, users: int, *, rate: float) -> None:
        """Take a number of people; all of them are there at once."""
        assert rate > 0
        self.queue += max(users - self.users, 0) * self.log_in
        self.users = users
        self.asked.append(users)

    def wait(self, count: int, timeout: float) -> Sequence[Second]:
        """Let seconds pass."""
        assert timeout > 0
        for _ in range(count):
            self.clock += 1
            self.seconds.append(
                Second(self.clock, self.users, self.users, {"page": self._second()}, 0.1 * self.clock - 100)
            )
        return self.seconds[-count:]

    def _second(self) -> Figures:
        waiting = max(SERVICE, self.users * SERVICE / WORKERS - THINKING) + self.queue / WORKERS
        answers = round(self.users / (waiting + THINKING))
        self.queue = max(self.queue - (WORKERS - answers * SERVICE), 0.0)
        self.broken |= self.users > EDGE and not self.recovers
        if self.users >= self.refuses_from or self.broken:
            return Figures(Histogram(), Counter({"HTTP 503": max(answers, 1)}), Counter(), 1.0)
        return Figures(Histogram([waiting] * answers), Counter(), Counter(), 1.0)

    def between(self, began: float, ended: float) -> list[InstanceUse]:
        """Return what it used: its workers are processors, as it waits for nothing else."""
        assert began <= ended
        busy = min(self.users * SERVICE / (THINKING + SERVICE), WORKERS)
        return [InstanceUse(self.clock, busy, 300, 1000, None)]


@dataclass
class Place:
    """As much of a bench as a ramp-up asks for."""

    application: Application
    busy: float = 0.5
    shared: bool = False
    reporter: SilentReporter = field(default_factory=SilentReporter)

    @staticmethod
    def objectives_of(target: LoadTarget) -> SimpleNamespace:
        """Name no objectives."""
        del target
        return SimpleNamespace(people={})

    @staticmethod
    def now() -> datetime:
        """Return some day."""
        return datetime(2026, 1, 1, tzinfo=UTC)

    def watch(self) -> SimpleNamespace:
        """Return a watch of the machine."""
        use = MachineUse(self.busy, 0.1, 0.4, self.busy - 0.5, 0.0, 2, 100.0)
        return SimpleNamespace(use=lambda generator: use if generator >= 0 else None)

    @contextmanager
    def instance_watch(self, target: LoadTarget) -> Iterator[Application]:
        """Watch the instance."""
        del target
        yield self.application

    @contextmanager
    def crowd(self, target: LoadTarget) -> Iterator[Application]:
        """Call the people."""
        del target
        yield self.application

    @staticmethod
    def flavor(target: LoadTarget) -> SimpleNamespace:
        """Return the size of its instance."""
        del target
        return SimpleNamespace(vcpus=WORKERS)

    @staticmethod
    def record(target: LoadTarget, kind: str, began: datetime, **measured: Any) -> SimpleNamespace:  # noqa: ANN401 - the rest of a run
        """Keep what is said of the run."""
        del target, began
        return SimpleNamespace(kind=kind, **measured)


def ramp_up(
    monkeypatch: pytest.MonkeyPatch,
    application: Application,
    plan: RampPlan | None = None,
    **place: Any,  # noqa: ANN401 - a place's attributes
) -> Any:  # noqa: ANN401 - a run, as the place above keeps it
    clock = SimpleNamespace(monotonic=lambda: application.clock, time=lambda: application.clock)
    monkeypatch.setattr(ramping, "time", clock)
    target = cast("LoadTarget", SimpleNamespace(name="site", guard=lambda: None))
    return ramping.ramp_up(
        cast("Bench", Place(application, **place)), target, plan or RampPlan(precision=0.03)
    )


def test_the_capacity_is_the_one_that_theory_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    application = Application()
    run = ramp_up(monkeypatch, application)
    assert run.verdict.kind is VerdictKind.PASSED
    assert run.data["bounded"]
    assert EDGE * 0.97 - 1 <= run.data["capacity"] <= EDGE
    assert run.data["rate"] == pytest.approx(WORKERS / SERVICE, rel=0.05)
    # the knee is where the workers are just all busy: m · (Z + S) / S people
    knee = WORKERS * (THINKING + SERVICE) / SERVICE
    assert run.data["knee"] == min(
        {step["users"] for step in run.data["steps"]}, key=lambda users: abs(users - knee)
    )
    assert run.data["exhausted"]["resource"] == "processeur"
    assert run.data["recovery"] == 0.0
    assert run.answer.startswith(f"{run.data['capacity']} personnes peuvent travailler en même temps, soit")
    assert "Ressource épuisée en premier : processeur" in run.answer


def test_where_the_most_that_is_asked_is_carried_no_limit_is_claimed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = ramp_up(monkeypatch, Application(), RampPlan(most=20))
    assert (run.data["capacity"], run.data["bounded"], run.data["recovery"]) == (20, False, None)
    assert "au moins (la limite n'a pas été atteinte)" in run.answer


def test_what_arriving_people_pile_up_is_worked_off_before_they_are_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = int(EDGE * 0.6)
    application = Application(log_in=0.3)
    application.people(few, rate=1.0)
    (second,) = application.wait(1, 1.0)
    assert second.transactions["page"].latency.percentile(95) > 2.0, "their arrival alone breaks nothing"
    run = ramp_up(monkeypatch, Application(log_in=0.3), RampPlan(first=few, most=few))
    assert (run.data["capacity"], run.data["bounded"]) == (few, False)


def test_a_hopeless_step_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    application = Application(refuses_from=30)
    run = ramp_up(monkeypatch, application, RampPlan(hold=40.0))
    assert run.data["capacity"] in {28, 29}
    broken = [step for step in run.data["steps"] if not step["passed"]]
    hopeless = [second for second in application.seconds if second.users >= 30]
    assert len(hopeless) < 40 * len(broken)


def test_an_application_that_never_recovers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ramp_up(monkeypatch, Application(recovers=False))
    assert run.data["recovery"] is None
    assert "ne se rétablit pas en une minute" in run.answer


def test_one_that_carries_nobody_breaks_its_objectives(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ramp_up(monkeypatch, Application(refuses_from=0))
    assert run.verdict.kind is VerdictKind.BROKEN
    assert run.data["capacity"] == 0
    assert run.answer.startswith("Aucun nombre d'utilisateurs")


def test_a_busy_machine_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ramp_up(monkeypatch, Application(), busy=0.98)
    assert run.verdict.kind is VerdictKind.INVALID
