"""Runs without people: the fixed scenario (so many clients, so many requests), and the open schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medicarche.load import generator, h2load
from medicarche.load.criteria import judge
from medicarche.load.figures import Figures
from medicarche.load.verdict import VerdictKind, decide, generator_reasons
from medicarche.load.words import count, milliseconds, not_judged

if TYPE_CHECKING:
    from medicarche.load.bench import Bench
    from medicarche.load.machine import Watch
    from medicarche.load.run import Run
    from medicarche.load.samples import Samples
    from medicarche.load.targets import LoadTarget

__all__ = ["fixed", "open_model"]

#: no fixed run takes longer, in seconds
_LONGEST = 900.0


def fixed(
    bench: Bench, target: LoadTarget, *, clients: int, requests: int, compare_h2load: bool = False
) -> Run:
    """Send so many requests by so many clients (LOAD-2).

    Args:
        bench: where.
        target: the application.
        clients: at the same time.
        requests: of all together.
        compare_h2load: let h2load send the same afterwards, as the yardstick.
    """
    request = bench.request(target)
    bench.calibration()
    began, watch = bench.now(), bench.watch()
    with (
        bench.instance_watch(target) as instance,
        bench.reporter.stage(f"{target.name}: {requests} requests, {clients} clients"),
    ):
        seen = generator.closed(request, clients=clients, requests=requests, seconds=_LONGEST)
        uses = instance.uses
    data: dict[str, Any] = {}
    run = _run(bench, target, "fixed", {"clients": clients, "requests": requests}, began, watch, seen, data)
    data["instance"] = {
        "cpu": max((use.cpu for use in uses), default=0.0),
        "memory": max((use.memory for use in uses), default=0),
    }
    if compare_h2load:
        h2load.ensure(bench.reporter, bench.store.folder / "apt.log")
        with bench.reporter.stage(f"{target.name}: h2load with the same"):
            data["h2load"] = h2load.measure(
                request, clients=clients, requests=requests, seconds=_LONGEST
            ).as_json()
    return run


def open_model(bench: Bench, target: LoadTarget, *, rate: float, seconds: float) -> Run:
    """Send requests at a rate, whether they are answered or not; each is timed from when it was due."""
    request = bench.request(target)
    bench.calibration()
    began, watch = bench.now(), bench.watch()
    with bench.reporter.stage(f"{target.name}: {rate:g} requests/s for {seconds:g} s"):
        seen = generator.open_schedule(request, rate=rate, seconds=seconds)
    return _run(bench, target, "open", {"rate": rate, "seconds": seconds}, began, watch, seen, {})


def _run(  # noqa: PLR0917 - the parts of one record
    bench: Bench,
    target: LoadTarget,
    kind: str,
    parameters: dict[str, Any],
    began: Any,  # noqa: ANN401 - a datetime
    watch: Watch,
    seen: Samples,
    data: dict[str, Any],
) -> Run:
    objectives = bench.objectives_of(target)
    calibration = bench.calibration()
    use = watch.use(seen.processor_seconds)
    figures = Figures.of(seen)
    limits = {"failures_percent": 0.0, **objectives.fixed_limits}
    if kind == "open":
        limits.pop("minimum_rate", None)  # the schedule's rate is what was asked for
    judgements = judge({"": limits}, {}, figures)
    generator_problems = generator_reasons(
        rate=seen.rate,
        processor_seconds=seen.processor_seconds,
        seconds=seen.seconds,
        lag=seen.lag,
        calibration=calibration,
    )
    verdict = decide(judgements, use, generator=generator_problems, measured=seen.asked)
    path = objectives.fixed.path
    data |= {
        "request": {
            "url": bench.request(target).url,
            "path": path,
            "what": objectives.fixed.what or path,
            "contains": objectives.fixed.contains,
        },
        "figures": seen.as_json(),
        "calibration": calibration.as_json(),
        "machine": use.as_json(),
    }
    buckets = list(seen.buckets())
    answer = (
        f"{count(seen.succeeded)} requêtes sur {count(seen.asked)} ont reçu la bonne réponse"
        f" ({objectives.fixed.what or path}) ;"
        f" 95 % en moins de {milliseconds(figures.latency.percentile(95))},"
        f" {seen.rate:.0f} requêtes par seconde."
    )
    if verdict.kind is VerdictKind.INVALID:
        answer += f" {not_judged(verdict)}"
    return bench.record(
        target,
        kind,
        began,
        seconds=seen.seconds,
        parameters={**parameters, "path": path},
        verdict=verdict,
        answer=answer,
        key_figures={
            "requêtes/s": seen.rate,
            "p95 (ms)": figures.latency.percentile(95) * 1000,
            "échecs": float(seen.failed),
        },
        judgements=judgements,
        series={
            "requêtes/s": [float(b.answers) for b in buckets],
            "échecs/s": [float(b.failures) for b in buckets],
            "p50 (s)": [b.p50 for b in buckets],
            "p95 (s)": [b.p95 for b in buckets],
            "p99 (s)": [b.p99 for b in buckets],
        },
        data=data,
    )
