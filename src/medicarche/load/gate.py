"""The short run for CI: a few people and a few hundred requests; seconds, not minutes.

Limits in time are scaled by how much slower this machine is than the one that they are written for (its
calibration), so that a slow machine alone breaks none.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from medicarche.load import generator
from medicarche.load.criteria import judge
from medicarche.load.crowd import figures, whole
from medicarche.load.figures import Figures
from medicarche.load.timeline import timeline
from medicarche.load.verdict import VerdictKind, decide, generator_reasons
from medicarche.load.words import count, milliseconds, not_judged

if TYPE_CHECKING:
    from medicarche.load.bench import Bench
    from medicarche.load.run import Run
    from medicarche.load.targets import LoadTarget

__all__ = ["gate"]

_CLIENTS = 10
_REQUESTS = 300
_PATIENCE = 60.0
#: seconds that the people get to arrive and to log in
_ARRIVAL = 4


def gate(bench: Bench, target: LoadTarget, *, seconds: int = 15) -> Run:
    """Run shortly: ``seconds`` seconds of people, then a small fixed scenario."""
    objectives = bench.objectives_of(target)
    request = bench.request(target)
    slowness = bench.slowness()
    began, watch = bench.now(), bench.watch()
    clock = time.time()
    with bench.instance_watch(target) as instance:
        with (
            bench.reporter.stage(f"{target.name}: {objectives.gate_users} people for {seconds} s"),
            bench.crowd(target) as crowd,
        ):
            crowd.people(objectives.gate_users, rate=objectives.gate_users)
            crowd.wait(_ARRIVAL, _PATIENCE)
            seen = list(crowd.wait(seconds, _PATIENCE + seconds))
            everything = list(crowd.seconds)
        with bench.reporter.stage(f"{target.name}: {_REQUESTS} requests, {_CLIENTS} clients"):
            fixed = generator.closed(request, clients=_CLIENTS, requests=_REQUESTS, seconds=60.0)
        uses = instance.uses
    transactions = figures(seen)
    people = whole(transactions)
    asked = Figures.of(fixed)
    # a failure at the arrival is one too
    people.failures.update(whole(figures(everything[: -len(seen)])).failures)
    limits = {"": {"failures_percent": 0.0}, **objectives.people}
    judgements = (
        *judge(limits, transactions, people, slowness=slowness),
        *judge(
            {"scénario fixe": {"failures_percent": 0.0, **objectives.fixed_limits}},
            {"scénario fixe": asked},
            asked,
            slowness=slowness,
        ),
    )
    used = everything[-1].processor_seconds + fixed.processor_seconds
    use = watch.use(used)
    problems = generator_reasons(
        rate=people.rate,
        processor_seconds=used,
        seconds=use.seconds,
        lag=max(second.lag for second in everything),
        calibration=None,
    )
    verdict = decide(judgements, use, generator=problems, measured=min(people.asked, asked.asked))
    answer = (
        f"{count(people.succeeded + asked.succeeded)} requêtes sur {count(people.asked + asked.asked)}"
        f" ont reçu la bonne réponse ; 95 % des réponses aux personnes en moins de"
        f" {milliseconds(people.latency.percentile(95))}."
    )
    if verdict.kind is VerdictKind.BROKEN:
        answer += f" Objectifs non tenus : {' ; '.join(verdict.reasons)}."
    elif verdict.kind is VerdictKind.INVALID:
        answer += f" {not_judged(verdict)}"
    return bench.record(
        target,
        "gate",
        began,
        seconds=time.time() - clock,
        parameters={"users": objectives.gate_users, "seconds": seconds},
        verdict=verdict,
        answer=answer,
        key_figures={
            "réponses/s": people.rate,
            "p95 (ms)": people.latency.percentile(95) * 1000,
            "requêtes/s": fixed.rate,
        },
        judgements=judgements,
        series=timeline(everything, uses, clock),
        data={
            "slowness": slowness,
            "transactions": {name: found.as_json() for name, found in transactions.items()},
            "figures": fixed.as_json(),
            "machine": use.as_json(),
            "calibration": bench.calibration().as_json(),
        },
    )
