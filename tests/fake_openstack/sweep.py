"""Every fault at every call: what is done to a run, and what must hold afterwards.

A point is one fault at one call of one scenario (a provision from nothing, an idle one, a destroy). It is run
on a cloud that holds foreign objects of our names, and is judged by the rules of `judge`.
"""

from __future__ import annotations

import io
import re
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from rich.console import Console

from fake_openstack import foreign
from fake_openstack.cloud import FakeOpenStack
from fake_openstack.company import NAME, company
from fake_openstack.faults import BESIDE
from fake_openstack.fixtures import still_clock
from medicarche import converge
from medicarche.cli import _tell
from medicarche.cloud.connect import Connections, Target, _HttpAdapter, connect
from medicarche.cloud.observe import observe
from medicarche.errors import MedicarcheError
from medicarche.plan import make_plan, plan_destroy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import requests

    from fake_openstack.fault_table import Row
    from medicarche.plan import Plan
    from medicarche.plan.resources import Resource

__all__ = ["SCENARIOS", "Call", "Killed", "Outcome", "Rig", "Scenario"]

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Killed(BaseException):
    """The process was killed at this point: nothing more of it is sent."""


@dataclass(frozen=True, order=True)
class Call:
    """One call of a run: the n-th of its method and path, ids left out."""

    method: str
    path: str
    number: int

    def __str__(self) -> str:
        return f"{self.method} {self.path} [{self.number}]"

    @property
    def writes(self) -> bool:
        """It changes something in the cloud."""
        return self.method != "GET" and "/auth/tokens" not in self.path

    @property
    def discovers(self) -> bool:
        """It finds the services."""
        return self.path in {"/compute/v2.1", "/identity/v3", "/image", "/network"}

    @property
    def of_an_environment(self) -> bool:
        """It is of the run's own work: neither discovery nor authentication."""
        return not self.discovers and "/auth/tokens" not in self.path

    @property
    def pattern(self) -> str:
        """A regular expression of the path."""
        return "^" + re.escape(self.path).replace(r"\*", "[^/?]+") + r"/?(\?|$)"

    def like(self, method: str, url: str) -> bool:
        """Say whether a request is of this method and path."""
        return method == self.method and re.search(self.pattern, url) is not None


@dataclass(frozen=True)
class Scenario:
    """What is run: ``provision`` or ``destroy``; whether the environment is there before, and what it lacks.

    Attributes:
        name: for people.
        destroys: it is a ``destroy``.
        there: the environment is there.
        lacking: somebody has taken away a part of it.
    """

    name: str
    destroys: bool = False
    there: bool = False
    lacking: bool = False


SCENARIOS = (
    Scenario("provision"),
    Scenario("idle provision", there=True),
    Scenario("mending provision", there=True, lacking=True),
    Scenario("destroy", destroys=True, there=True),
)


@dataclass
class Recorder:
    """A reporter that remembers which stages ended well, and which didn't."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def stage(self, title: str) -> Iterator[Self]:
        """Remember a stage's end."""
        try:
            yield self
        except BaseException:
            self.failed.append(title)
            raise
        self.done.append(title)

    def update(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Remember a line."""
        self.notes.append(text)


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        ended: ``done``, ``told`` (an error that a user can read) or ``killed``.
        error: what was told.
        told: as the command line shows it.
        exit_code: the command line's.
        reporter: what was told on the way.
    """

    ended: str
    error: MedicarcheError | None = None
    told: str = ""
    exit_code: int = 0
    reporter: Recorder = field(default_factory=Recorder)


@contextmanager
def _fatal(call: Call | None, when: str, other: Callable[[], object]) -> Iterator[None]:
    """Send requests as usual until the one at which the process is killed, and none after that.

    Where it isn't killed but another run goes on at that moment, from elsewhere, requests are sent as usual.
    """
    if call is None:
        yield
        return
    lock = threading.Lock()
    seen, dead, there = 0, False, False
    send = _HttpAdapter.send

    def fatal_send(
        self: _HttpAdapter,
        request: requests.PreparedRequest,
        **options: Any,  # noqa: ANN401 - requests' own options
    ) -> requests.Response:
        nonlocal seen, dead, there
        with lock:
            if dead:
                raise Killed
            if fatal := not there and call.like(request.method or "", request.path_url):
                seen += 1
                fatal = there = seen == call.number
                dead = fatal and when != BESIDE
        if fatal and when == BESIDE:
            other()
        if not fatal or when == BESIDE:
            return send(self, request, **options)
        if when != "before the request":
            send(self, request, **options)
        raise Killed

    with patch.object(_HttpAdapter, "send", fatal_send):
        yield


class Rig:
    """A fake cloud, in the states that scenarios begin with. A context manager."""

    def __init__(
        self, folder: Path, wanted: Sequence[Resource] | None = None, *, poll_interval: float = 1.0
    ) -> None:
        self._poll_interval = poll_interval
        self.wanted = company() if wanted is None else tuple(wanted)
        self.fake = FakeOpenStack()
        path = self.fake.write_clouds_yaml(folder / "clouds.yaml")
        self.target = Target(name="fake", clouds_yaml=path, cloud="demo", admin_cloud="admin")
        self.image = folder / "image.raw"
        self.image.write_bytes(b"disk" * 1000)
        with self.connected() as connections:
            foreign.make(connections)
        self._calls: dict[Scenario, list[Call]] = {}
        self._besides = 0
        self.foreign_ids = frozenset(self._objects())
        self.empty = self.fake.snapshot()
        self.foreign = self._objects()
        self.nothing = self.fake.census()
        assert self.run(SCENARIOS[0]).ended == "done"
        self.provisioned = self.fake.snapshot()
        self.whole = self.fake.census()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self.fake.__exit__()

    @contextmanager
    def connected(self) -> Iterator[Connections]:
        """Connect as a run does."""
        connections = connect(self.target, clock=still_clock())
        try:
            yield connections
        finally:
            connections.close()

    def prepare(self, scenario: Scenario) -> None:
        """Bring the cloud to where the scenario begins."""
        self.fake.restore(self.provisioned if scenario.there else self.empty)
        if scenario.lacking:
            self._take_away()

    def _take_away(self) -> None:
        """Take away what nothing of ours stands on: the servers, their floating addresses, the rules."""
        neutron, nova = self.fake.neutron, self.fake.nova
        ours = f"medicarche:{NAME}:"
        for server in [
            s for s in nova.servers.values() if s["metadata"].get("medicarche", "").startswith(ours)
        ]:
            nova.vanish(server["id"])
        for store in (neutron.floatingips, neutron.security_group_rules):
            for identifier, raw in list(store.items()):
                if str(raw["description"] or "").startswith(ours):
                    del store[identifier]

    def calls(self, scenario: Scenario) -> list[Call]:
        """Return all calls of a scenario that nothing disturbs."""
        if scenario not in self._calls:
            self._calls[scenario] = self._calls_of(scenario)
        return self._calls[scenario]

    def _calls_of(self, scenario: Scenario) -> list[Call]:
        self.prepare(scenario)
        assert self.run(scenario).ended == "done"
        counted: Counter[tuple[str, str]] = Counter()
        for method, target in self.fake.faults.calls:
            counted[method, _ID.sub("*", target.partition("?")[0].rstrip("/") or "/")] += 1
        return sorted(Call(*key, number) for key, count in counted.items() for number in range(1, count + 1))

    def run(self, scenario: Scenario, call: Call | None = None, killed: str = "") -> Outcome:
        """Run a scenario as the command line does; killed at a call where one is given."""
        reporter = Recorder()
        try:
            with _fatal(call, killed, lambda: self._beside(scenario)), self.connected() as connections:
                self.apply(connections, self.planned(connections, scenario), reporter)
        except Killed:
            return Outcome("killed", reporter=reporter)
        except MedicarcheError as error:
            stream = io.StringIO()
            code = _tell(Console(file=stream, width=10_000), error)
            return Outcome("told", error, stream.getvalue(), code, reporter)
        return Outcome("done", reporter=reporter)

    def _beside(self, scenario: Scenario) -> None:
        """Run a scenario from elsewhere while a call of another run is held up; that one may disturb it."""
        self._besides += 1
        with suppress(MedicarcheError), self.connected() as connections:
            self.apply(connections, self.planned(connections, scenario), Recorder())

    def apply(self, connections: Connections, planned: Plan, reporter: Recorder) -> None:
        """Run a plan."""
        converge.apply(
            connections,
            planned,
            images={"debian-13": self.image},
            reporter=reporter,
            poll_interval=self._poll_interval,
        )

    def planned(self, connections: Connections, scenario: Scenario) -> Plan:
        """Observe and plan."""
        if scenario.destroys:
            return plan_destroy(NAME, observe(connections, NAME, self.wanted))
        return make_plan(NAME, self.wanted, observe(connections, NAME, self.wanted))

    def point(self, scenario: Scenario, call: Call, row: Row) -> str:
        """Run one point, and say what is wrong; an empty text where nothing is."""
        self.prepare(scenario)
        faults = row.faults(self, call)
        for fault in faults:
            self.fake.order(fault)
        times, besides = [fault.times for fault in faults], self._besides
        first = self.run(scenario, call if row.killed else None, row.killed)
        struck = (
            (first.ended == "killed" or self._besides > besides)
            if row.killed
            else [fault.times for fault in faults] != times
        )
        self.fake.page(None)
        self.fake.faults.pardon()
        where = f"{row.name}, at {call} of {scenario.name}: "
        if not struck and not row.paged:
            return f"{where}nothing struck: {first.ended} {first.told}".rstrip()
        if row.survives and call.of_an_environment and first.ended != "done":
            return f"{where}not survived: {first.told}"
        wrong = self.judge(scenario, first, honest=row.honest, spare=row.spare)
        return where + wrong if wrong else ""

    def judge(self, scenario: Scenario, first: Outcome, *, honest: bool = True, spare: bool = False) -> str:
        """Run the scenario again, undisturbed, and say what is wrong; an empty text where nothing is.

        Args:
            scenario: that was disturbed.
            first: how its disturbed run ended.
            honest: the cloud told that run the truth, so that its own report must be true.
            spare: what was under way when that run ended was done during the next, which needn't be the last.
        """
        return next(self._findings(scenario, first, honest=honest, spare=spare), "")

    def _findings(self, scenario: Scenario, first: Outcome, *, honest: bool, spare: bool) -> Iterator[str]:
        census = self.nothing if scenario.destroys else self.whole
        if first.ended == "told" and not (first.exit_code in {1, 5} and "Error: " in first.told):
            yield f"exit code {first.exit_code}, and told: {first.told}"
        if first.ended == "done" and honest and self.fake.census() != census:
            yield f"the disturbed run said that all was done: {self.fake.census()}"
        with self.connected() as connections:
            planned = self.planned(connections, scenario)
            if honest and (wrong := _untrue(first, planned)):
                yield wrong
            for more in (True, False) if spare else (False,):
                try:
                    self.apply(connections, planned, Recorder())
                except MedicarcheError as error:
                    yield f"the next run failed: {error.message}"
                if more:
                    planned = self.planned(connections, scenario)
            if self.fake.census() != census:
                yield f"the next run left {self.fake.census()}"
            if self._objects(self.foreign_ids) != self.foreign:
                yield "foreign objects were touched"
            idle = self.planned(connections, scenario)
            if not idle.empty or idle.conflicts:
                yield f"the run after the next would do: {[action.id for action in idle.actions]}"

    def _objects(self, among: frozenset[str] | None = None) -> dict[str, object]:
        """Return id → object, of all that the cloud holds or of some of it."""
        neutron, nova = self.fake.neutron, self.fake.nova
        found: dict[str, object] = {f"{user} {name}": pair for (user, name), pair in nova.key_pairs.items()}
        for store in (
            neutron.networks, neutron.subnets, neutron.routers, neutron.ports, neutron.security_groups,
            neutron.security_group_rules, neutron.floatingips, nova.flavors, nova.servers,
            self.fake.glance.images,
        ):  # fmt: skip
            found |= store
        chosen = found if among is None else {key: found.get(key) for key in among}
        return {key: repr(value) for key, value in chosen.items()}


def _untrue(first: Outcome, planned: Plan) -> str:
    """Say which stage ended well though its work is still to be done, or failed and wasn't told."""
    left = {action.id.partition("#")[0] for action in planned.actions if not action.replacement}
    told_done = {title for title in first.reporter.done if title.startswith(("create ", "delete "))}
    if wrong := told_done & left:
        return f"told as done, and isn't: {sorted(wrong)}"
    untold = [title for title in first.reporter.failed if first.ended == "told" and title not in first.told]
    return f"failed, and wasn't told: {untold}" if untold else ""
