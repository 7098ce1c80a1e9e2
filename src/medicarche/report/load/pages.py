"""From a run's JSON (`medicarche.load.run`) to its page, and from all runs to their summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from medicarche.report.load.charts import Line, chart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

__all__ = ["run_page", "summary_page"]

_VERDICTS = {"passed": "Objectifs tenus", "broken": "Objectif non tenu", "invalid": "Mesure non valable"}
_KINDS = {
    "fixed": "Scénario fixe",
    "open": "Débit imposé",
    "ramp": "Montée en charge",
    "stress": "Mise sous contrainte",
    "gate": "Contrôle rapide",
}
#: graphs on the common axis of time: title, unit, columns of the series
_GRAPHS = (
    ("Utilisateurs simultanés", "personnes", ("utilisateurs", "nouveaux utilisateurs")),
    ("Débit", "par seconde", ("réponses/s", "requêtes/s", "échecs/s")),
    ("Temps de réponse", "secondes", ("p50 (s)", "p95 (s)", "p99 (s)")),
    ("Processeur de l'instance", "processeurs", ("processeurs",)),
    ("Mémoire de l'instance", "Mio", ("mémoire (Mio)",)),
    ("Connexions en attente", "connexions", ("connexions en attente",)),
    ("Réseau de l'instance", "ko/s", ("reçu (ko/s)", "envoyé (ko/s)")),
)
_BY_COMMAND = "processeurs : "
_PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")


def run_page(run: Mapping[str, Any], changes: Sequence[Any] = ()) -> str:
    """Return a run's page.

    Args:
        run: its JSON.
        changes: its figures beside those of earlier runs (`medicarche.load.compare.Change`).
    """
    return _render(
        "run.html.j2",
        run=run,
        changes=changes,
        graphs=_graphs(run["series"]),
        curve=_curve(run["data"]) if run["kind"] == "ramp" else [],
    )


def summary_page(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the summary: the latest answer of each kind and application on top, then all runs."""
    latest: dict[tuple[str, str], Mapping[str, Any]] = {}
    trends: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for run in runs:
        key = (run["application"], run["kind"])
        latest[key] = run
        if run["verdict"]["kind"] != "invalid":
            trends.setdefault(key, []).append(run)
    graphs = [
        (f"{_KINDS[kind]}, {application} : {figure}", _trend(found, figure))
        for (application, kind), found in trends.items()
        if len(found) > 1
        for figure in list(found[-1]["key_figures"])[:1]
    ]
    return _render(
        "summary.html.j2",
        runs=list(runs)[::-1],
        latest=[latest[key] for key in sorted(latest)],
        graphs=graphs,
        missing=runs[-1]["data"].get("not_deployed", []) if runs else [],
    )


def _trend(runs: Sequence[Mapping[str, Any]], figure: str) -> Markup:
    points = [(float(n), run["key_figures"].get(figure)) for n, run in enumerate(runs, 1)]
    return chart(figure, [Line(figure, points, dots=True)], x_label="mesures, la plus récente à droite")


def _graphs(series: Mapping[str, Sequence[float | None]]) -> list[tuple[str, Markup]]:
    def line(column: str) -> Line:
        name = column.removeprefix(_BY_COMMAND)
        return Line(name, [(float(second), value) for second, value in enumerate(series[column])])

    found = []
    commands = [column for column in series if column.startswith(_BY_COMMAND)]
    for title, unit, columns in _GRAPHS:
        known = [*(c for c in columns if c in series), *(commands if "processeurs" in columns else ())]
        drawn = chart(title, [line(column) for column in known], y_label=unit)
        if drawn:
            found.append((title, drawn))
    return found


def _curve(data: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Return the capacity curve: answers a second and p95 by users, with its knee and the edge."""
    steps = sorted(
        (s for s in data["steps"] if s["phase"] != "recovery"), key=lambda s: (s["users"], s["rate"])
    )
    marks = [(float(data["capacity"]), f"capacité : {data['capacity']}")] if data["capacity"] else []
    if data["knee"]:
        marks.append((float(data["knee"]), f"genou : {data['knee']}"))
    rate = [(float(s["users"]), s["rate"]) for s in steps]
    p95 = [(float(s["users"]), s["figures"]["latency"]["p95"]) for s in steps]
    return [
        (
            "Réponses par seconde selon le nombre d'utilisateurs",
            chart(
                "débit",
                [Line("débit", rate, dots=True)],
                x_label="utilisateurs",
                y_label="par seconde",
                verticals=marks,
            ),
        ),
        (
            "95 % des réponses, selon le nombre d'utilisateurs",
            chart(
                "p95",
                [Line("p95", p95, dots=True)],
                x_label="utilisateurs",
                y_label="secondes",
                verticals=marks,
            ),
        ),
    ]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "—"
    if seconds >= 1:
        return f"{seconds:.2f} s".replace(".", ",")
    return f"{seconds * 1000:.3g} ms".replace(".", ",")


def _number(value: float | None, digits: int = 1) -> str:
    if value is None:
        return "—"
    whole = float(value).is_integer()
    text = f"{value:,.0f}" if whole else f"{value:,.{digits}f}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}").replace(".", ",")


def _percent(value: float | None) -> str:
    return "—" if value is None else f"{value * 100:.3g} %".replace(".", ",")


def _size(count: float) -> str:
    for unit in ("o", "ko", "Mo"):
        if count < 1000:  # noqa: PLR2004 - the SI's prefixes
            return f"{count:.3g} {unit}".replace(".", ",")
        count /= 1000
    return f"{count:.3g} Go".replace(".", ",")


def _render(template: str, **values: object) -> str:
    environment = Environment(
        loader=PackageLoader("medicarche.report.load"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": _duration,
        "number": _number,
        "percent": _percent,
        "size": _size,
        "verdict": lambda kind: _VERDICTS[kind],
        "kind": lambda kind: _KINDS[kind],
    }
    return environment.get_template(template).render(percentiles=_PERCENTILES, **values)
