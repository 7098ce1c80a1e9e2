"""The supervision's dashboards for a Grafana: what they show is in ``dashboards.yaml``, how is the library's.

An application of the kind ``grafana`` is given these; another one may read them too (docs/supervision.md).
They show what the supervision's own pages show. grafana-foundation-sdk is made from Grafana's own schema, of
version 11.6; later versions read what was written for earlier ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

__all__ = ["FILE", "LOAD_TAG", "Dashboard", "LoadRun", "Panel", "as_json", "load_dashboards"]

FILE: Final = Path(__file__).parent / "dashboards.yaml"
#: what Grafana knows the marks of load tests by (`medicarche.load.overlay`)
LOAD_TAG: Final = "essai-de-charge"
_MOST_LINKS = 20
_MOST_MARKS = 100
#: letters of a dashboard's name in its id: with a dash and an environment's 32 they are Grafana's limit of 40
_OF_ITS_NAME = 7
_HEIGHT = 8
_CHOICE = "CHOIX"
_SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${source}")
_FORMS: Final[dict[str, Literal["lines", "states", "numbers"]]] = {
    "courbes": "lines",
    "etats": "states",
    "nombres": "numbers",
}
_COLOURS: Final = {"vert": "green", "orange": "orange", "rouge": "red"}
#: what a state is, for people
_STATES: Final = {0: ("non", "red"), 1: ("oui", "green")}


@dataclass(frozen=True, slots=True)
class LoadRun:
    """A load test that was run: its name as `medicarche load runs` has it, its begin and its end."""

    name: str
    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel.

    Attributes:
        title: for people.
        queries: name of a series (``{{label}}`` is replaced) → PromQL, with Grafana's variables.
        unit: Grafana's id of a unit.
        form: lines over time; states over time (1 good, 0 bad); or numbers, as they are now.
        width: columns of 24.
        top: the highest value of the axis, where there is one.
        limits: from which value on numbers have which of Grafana's colours; none: a neutral one.
    """

    title: str
    queries: Mapping[str, str]
    unit: str
    form: Literal["lines", "states", "numbers"]
    width: int
    top: float | None
    limits: Mapping[float, str]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard.

    Attributes:
        title: for people.
        rows: heading → panels.
        variables: name → the query of its values.
        overlay: leads to the times of load tests, and marks them and alerts.
    """

    title: str
    rows: Mapping[str, Sequence[Panel]]
    variables: Mapping[str, str]
    overlay: bool


def load_dashboards(path: Path = FILE) -> dict[str, Dashboard]:
    """Read the dashboards: name → dashboard.

    Raises:
        KeyError: one lacks something, or names a section or a form that isn't there.
    """
    data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    sections = data["sections"]
    return {
        name: Dashboard(
            title=entry["titre"],
            rows={
                sections[section]["titre"]: [_panel(panel, choice) for panel in sections[section]["panneaux"]]
                for section, choice in entry["sections"].items()
            },
            variables=entry.get("variables", {}),
            overlay=entry.get("essais", False),
        )
        for name, entry in data["tableaux"].items()
    }


def _panel(entry: Mapping[str, Any], choice: str) -> Panel:
    return Panel(
        title=entry["titre"],
        queries={legend: query.replace(_CHOICE, choice) for legend, query in entry["requetes"].items()},
        unit=entry.get("unite", "short"),
        form=_FORMS[entry.get("forme", "courbes")],
        width=entry.get("largeur", 12),
        top=entry.get("haut"),
        limits={value: _COLOURS[name] for value, name in entry.get("seuils", {}).items()},
    )


def as_json(environment: str, runs: Iterable[LoadRun] = (), *, cloud: bool = True) -> dict[str, str]:
    """Return file name → a dashboard as Grafana reads it: by its provisioning, or by an import.

    Args:
        environment: its name; it is in titles, and in the ids by which Grafana knows a dashboard again.
        runs: load tests; the newest are linked to.
        cloud: the supervision looks at the cloud itself.
    """
    newest = sorted(runs, key=lambda run: run.began, reverse=True)[:_MOST_LINKS]
    return {
        f"{name}.json": _made(environment, name, dashboard, newest)
        for name, dashboard in load_dashboards().items()
        if cloud or name != "cloud"
    }


def _made(environment: str, name: str, dashboard: Dashboard, runs: Sequence[LoadRun]) -> str:
    tags = ["medicarche", f"environnement:{environment}"]
    made = (
        grafana.Dashboard(f"{environment} : {dashboard.title}")
        .uid(f"{name[:_OF_ITS_NAME]}-{environment}")
        .tags(tags)
        .timezone("browser")
        .time("now-1h" if dashboard.overlay else "now-6h", "now")
        .refresh("30s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(grafana.DatasourceVariable("source").label("Source").type("prometheus"))
        .link(
            grafana.DashboardLink("Tableaux de bord")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(tags)
            .as_dropdown(as_dropdown=True)
            .keep_time(keep_time=True)
        )
    )
    for variable, values in dashboard.variables.items():
        made = made.with_variable(
            grafana.QueryVariable(variable)
            .label(variable.capitalize())
            .query({"query": values, "refId": variable})
            .datasource(_SOURCE)
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    if dashboard.overlay:
        made = _overlaid(made, runs)
    number = 0
    for heading, panels in dashboard.rows.items():
        made = made.with_row(grafana.Row(heading).id(number := number + 1))
        for panel in panels:
            made = made.with_panel(_built(panel).id(number := number + 1))
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _overlaid(made: grafana.Dashboard, runs: Sequence[LoadRun]) -> grafana.Dashboard:
    for run in runs:
        began, ended = (round(moment.timestamp() * 1000) for moment in (run.began, run.ended))
        made = made.link(
            grafana.DashboardLink(run.name)
            .type(model.DashboardLinkType.LINK)
            .url(f"?from={began}&to={ended}")
            .include_vars(include_vars=True)
        )
    made = made.annotation(
        grafana.AnnotationQuery()
        .name("Essais de charge")
        .datasource(model.DataSourceRef(type_val="grafana", uid="-- Grafana --"))
        .enable(enable=True)
        .icon_color("blue")
        .target(
            grafana.AnnotationTarget()
            .type("tags")
            .tags([LOAD_TAG])
            .match_any(match_any=True)
            .limit(_MOST_MARKS)
        )
    )
    return made.annotation(
        grafana.AnnotationQuery()
        .name("Alertes")
        .datasource(_SOURCE)
        .enable(enable=True)
        .icon_color("red")
        .expr('ALERTS{alertstate="firing",instance="$instance"}')
    )


def _built(panel: Panel) -> Any:  # noqa: ANN401 - one of three builders, without a class in common
    made: Any
    match panel.form:
        case "lines":
            made = timeseries.Panel().fill_opacity(10).min(0)
        case "states":
            # of limits Grafana would show the ranges, as "1+", instead of the words
            made = _coloured(statetimeline.Panel().min(0).max(1), {})
            words = {
                str(value): model.ValueMappingResult(text=word, color=colour, index=value)
                for value, (word, colour) in _STATES.items()
            }
            made = made.mappings([model.ValueMap(options=words)])
        case "numbers":
            plain = stat.Panel().graph_mode(common.BigValueGraphMode.NONE)
            made = _coloured(plain.text_mode(common.BigValueTextMode.VALUE_AND_NAME), panel.limits)
    made = made.title(panel.title).unit(panel.unit).datasource(_SOURCE).height(_HEIGHT).span(panel.width)
    if panel.top is not None:
        made = made.max(panel.top)
    for number, (legend, query) in enumerate(panel.queries.items()):
        target = prometheus.Dataquery().expr(query).legend_format(legend).datasource(_SOURCE)
        # of a range Grafana would show the last value of what isn't there any more, as an alert that is over
        target = target.instant() if panel.form == "numbers" else target.range()
        made = made.with_target(target.ref_id("ABCDEFGH"[number]))
    return made


def _coloured(made: Any, limits: Mapping[float, str]) -> Any:  # noqa: ANN401 - as above
    """Give values colours by limits; without any a neutral one, as Grafana's own limits mean nothing here."""
    colour = grafana.FieldColor()
    if not limits:
        fixed = colour.mode(model.FieldColorModeId.FIXED).fixed_color("text")
        return made.color_scheme(fixed)
    first, *others = sorted(limits.items())
    # Grafana's first step has no lower end
    steps = [model.Threshold(value=None, color=first[1])]
    steps += [model.Threshold(value=value, color=name) for value, name in others]
    made = made.color_scheme(colour.mode(model.FieldColorModeId.THRESHOLDS))
    return made.thresholds(grafana.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
