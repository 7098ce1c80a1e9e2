"""The benchmark (``nox -s bench``): ours beside an Ansible playbook of the same scope, in one run, in ratios.

As root, on an embedded cloud of its own, which it brings up, and purges at the end. Ends with 1 where a
target is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from drift import DRIFT, ENVIRONMENT, Hands, state
from scale import look
from sides import Command, Playbook

from medicarche import planning, provisioning
from medicarche.cli.output import progress
from medicarche.cloud.connect import Connections, connect
from medicarche.options import Options
from medicarche.target import Selection, select

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
FILE, CLOUD = HERE / "environment.yaml", HERE / "cloud.yaml"
#: a run with nothing to do is measured so often; the median counts
IDLE_RUNS = 5
#: what a cloud at rest uses of one processor, looked at over so many seconds; and how long to wait for that
REST, LOOK, PATIENCE = 0.3, 5.0, 180.0
COLD, IDLE, BOUND, CALLS, SECONDS, MEMORY = 3.0, 20.0, 1.25, 25, 5.0, 300.0
FEW, MANY = 4, 1000


@dataclass
class Results:
    """What was measured, and what was wanted."""

    missed: list[str] = field(default_factory=list)

    def add(self, what: str, measured: str, wanted: str, *, met: bool) -> None:
        """Show a line, and keep what missed its target."""
        print(f"{'  ' if met else 'X '}{what}: {measured} (wanted: {wanted})", flush=True)  # noqa: T201 - the benchmark's output
        if not met:
            self.missed.append(what)


def main() -> int:
    """Measure all, or what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ansible", type=Path, help="ansible-playbook of a virtual environment of its own")
    parser.add_argument("--only", choices=["cloud", "scale"], help="the real cloud's part, or the fake's")
    parser.add_argument("--keep", action="store_true", help="leave the cloud up")
    arguments = parser.parse_args()
    results = Results()
    if arguments.only != "cloud":
        scale(results)
    if arguments.only != "scale":
        selection = select(Options(CLOUD))
        assert selection.embedded is not None, "OS_CLOUD names a cloud: the benchmark uses one of its own"
        try:
            on_a_cloud(results, selection, arguments.ansible)
        finally:
            if not arguments.keep:
                selection.embedded.purge(progress())
    return 1 if results.missed else 0


def scale(results: Results) -> None:
    """Look at 4 servers, and at 1,000."""
    few, many = look(FEW), look(MANY)
    results.add(
        f"nothing to do, HTTP calls for {FEW} and {MANY} servers",
        f"{few.calls} and {many.calls}, {few.writes + many.writes} writes",
        f"at most {CALLS}, the same, no write",
        met=few.calls == many.calls <= CALLS and few.writes == many.writes == 0,
    )
    results.add(
        f"plan of {MANY} servers",
        f"{many.seconds:.1f} s ({many.processor:.1f} s of the processor), {many.memory:.0f} MiB",
        f"less than {SECONDS:.0f} s and {MEMORY:.0f} MB",
        met=many.seconds < SECONDS and many.memory < MEMORY,
    )


def on_a_cloud(results: Results, prepared: Selection, ansible: Path | None) -> None:
    """Build what both sides need; then compare them, and try drift."""
    provisioning.provision(prepared, progress(), deploy=False).connections.close()
    ours = Command(FILE)
    # the first use of an image converts it: neither side is to pay for that
    ours.run("provision", "--no-deploy", "--yes")
    ours.run("destroy", "--yes")
    playbook = None
    if ansible is not None:
        public = _public_key(prepared)
        playbook = Playbook(ansible, prepared.target.clouds_yaml or Path(), public)
    compare(results, prepared, ours, playbook)
    drift(results, prepared)
    ours.run("destroy", "--yes")


def _public_key(selection: Selection) -> Path:
    path = Path(tempfile.mkdtemp(prefix="medicarche-bench-")) / "key.pub"
    path.write_text(planning.site_of(selection).public_key + "\n", encoding="utf-8")
    return path


def compare(results: Results, prepared: Selection, ours: Command, playbook: Playbook | None) -> None:
    """Measure both sides, one after the other: cold, with nothing to do, and what is left at the end."""
    theirs = _theirs(prepared, playbook) if playbook is not None else None
    print(f"  the playbook: {theirs}", flush=True)  # noqa: T201 - the benchmark's output
    with connect(prepared.target) as connections:
        before = _held(connections)
        cold = ours.run("provision", "--no-deploy")
        _rest(prepared)
        idle = [ours.plan() for _ in range(IDLE_RUNS)]
        again = statistics.median(ours.run("provision", "--no-deploy") for _ in range(IDLE_RUNS))
        plan = statistics.median(seconds for seconds, _ in idle)
        print(f"  ours: {cold:.1f} s cold, {[round(s, 1) for s, _ in idle]} s idle", flush=True)  # noqa: T201 - likewise
        trace = _last_trace(prepared)
        ours.run("destroy", "--yes")
        after = _held(connections)
        ours.run("provision", "--no-deploy")
    _compared(results, "cold", theirs and theirs[0], cold, COLD)
    _compared(results, "nothing to do (plan)", theirs and theirs[1], plan, IDLE)
    _compared(
        results,
        "nothing to do (provision, which looks after the cloud too)",
        theirs and theirs[1],
        again,
        1.0,
    )
    ratio = trace["wall_seconds"] / trace["lower_bound_seconds"]
    results.add(
        "wall time over the run's own lower bound",
        f"{trace['wall_seconds']:.1f} s / {trace['lower_bound_seconds']:.1f} s = {ratio:.2f}",
        f"at most {BOUND}",
        met=ratio <= BOUND,
    )
    results.add(
        "nothing to do",
        f"{sum(len(p['actions']) for _, p in idle)} actions",
        "none",
        met=not any(p["actions"] for _, p in idle),
    )
    lost, left = sorted(before - after), sorted(after - before)
    results.add(
        "destroy", f"{len(before)} objects before, {len(after)} after; lost {lost}, left {left}", "the same",
        met=before == after,
    )  # fmt: skip
    calls, writes = _idle_calls()
    results.add(
        "nothing to do on the cloud, HTTP calls", f"{calls}, {writes} writes", f"at most {CALLS}, no write",
        met=calls <= CALLS and writes == 0,
    )  # fmt: skip


def _rest(prepared: Selection) -> None:
    """Wait until the servers that were just made have booted: on two processors that is half of the work.

    Raises:
        TimeoutError: the cloud doesn't come to rest.
    """
    assert prepared.embedded is not None
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before, began = prepared.embedded.processor_seconds(), time.monotonic()
        time.sleep(LOOK)
        used = (prepared.embedded.processor_seconds() - before) / (time.monotonic() - began)
        if used < REST:
            return
    raise TimeoutError(f"the cloud uses {used:.1f} processors, and nobody asks anything of it")


def _theirs(prepared: Selection, playbook: Playbook) -> tuple[float, float]:
    cold, _ = playbook.run()
    _rest(prepared)
    runs = [playbook.run() for _ in range(2)]
    if any(changed for _, changed in runs):
        raise RuntimeError("the playbook changes something each time: it isn't idle")
    playbook.run("remove.yml")
    return cold, statistics.median(seconds for seconds, _ in runs)


def _compared(results: Results, what: str, theirs: float | None, ours: float, wanted: float) -> None:
    if theirs is None:
        results.add(what, f"{ours:.1f} s", "a playbook to compare with", met=True)
        return
    results.add(
        what,
        f"playbook {theirs:.1f} s, ours {ours:.1f} s: {theirs / ours:.1f} times as fast",
        f"at least {wanted:g} times",
        met=theirs / ours >= wanted,
    )


def _last_trace(prepared: Selection) -> dict[str, float]:
    folder = prepared.paths.environment(prepared.target.name, "bench") / "runs"
    newest = max(folder.glob("*.trace.json"))
    found: dict[str, float] = json.loads(newest.read_text(encoding="utf-8"))["otherData"]
    return found


def _held(connections: Connections) -> set[str]:
    """Return what the project, and the cloud around it, hold."""
    member, admin = connections.member, connections.admin
    assert admin is not None
    found = set()
    for kind in (
        "networks",
        "subnets",
        "routers",
        "ports",
        "security-groups",
        "security-group-rules",
        "floatingips",
    ):
        listed = admin.network.collection(f"/{kind}", kind.replace("-", "_"))
        found |= {f"{kind}/{raw['id']}" for raw in listed}
    for path, key in (("/servers/detail", "servers"), ("/flavors/detail", "flavors")):
        found |= {f"{key}/{raw['id']}" for raw in member.compute.collection(path, key)}
    pairs = member.compute.collection("/os-keypairs", "keypairs")
    found |= {f"keypairs/{raw['keypair']['name']}" for raw in pairs}
    found |= {f"images/{raw['id']}" for raw in member.image.collection("/images", "images")}
    return found | {f"users/{raw['id']}" for raw in admin.identity.collection("/users", "users")}


def _idle_calls() -> tuple[int, int]:
    planned = planning.plan(select(Options(FILE)))
    with planned.connections as connections:
        assert planned.plan.empty
        return connections.traffic.requests, connections.traffic.writes


def drift(results: Results, prepared: Selection) -> None:
    """Do what people do by hand; each must be in the plan, and gone after the next run."""
    with tempfile.TemporaryDirectory() as folder, connect(prepared.target) as connections:
        file = Path(folder) / "drift.yaml"
        file.write_text(FILE.read_text(encoding="utf-8") + ENVIRONMENT, encoding="utf-8")
        ours, hands = Command(file), Hands(connections)
        ours.run("provision", "--no-deploy")
        right = state(hands)
        for _, do, _ in DRIFT:
            do(hands)
        wrong = state(hands)
        _, plan = ours.plan()
        found = [action["id"] for action in plan["actions"]]
        unseen = [what for what, _, action in DRIFT if not any(i.startswith(action) for i in found)]
        ours.run("provision", "--no-deploy", "--yes")
        with suppress(TimeoutError):  # a server that was started takes a moment
            hands.wait(lambda: state(hands) == right)
        mended = state(hands)
        _, rest = ours.plan()
    left = [key for key in right if mended[key] != right[key]]
    results.add(
        "drift",
        f"{len(DRIFT) - len(unseen)} of {len(DRIFT)} found{_named(unseen)}; left: {left or 'nothing'}",
        "all found and mended",
        met=wrong != right and not unseen and not left and not rest["actions"],
    )


def _named(unseen: Sequence[str]) -> str:
    return f" (not: {', '.join(unseen)})" if unseen else ""


if __name__ == "__main__":
    sys.exit(main())
