"""Grafana's dashboards: they are of Grafana's schema, lose nothing on the way, and show what there is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanasDashboard
from ruamel.yaml import YAML

from medicarche.cli.dashboards import dashboards as command
from medicarche.deploy.applications.supervision.dashboards import FILE, LoadRun, as_json, load_dashboards
from medicarche.errors import MedicarcheError
from medicarche.options import Options
from medicarche.paths import Paths

ENVIRONMENTS = Path(__file__).parents[3] / "environments"
MADE = {name: json.loads(text) for name, text in as_json("company").items()}
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def _read_by_the_schema(made: dict[str, Any]) -> dict[str, Any]:
    """Return what Grafana's schema knows of a dashboard."""
    known: dict[str, Any] = json.loads(json.dumps(GrafanasDashboard.from_json(made), cls=JSONEncoder))
    return known


def _queries(made: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in made["panels"] for target in panel.get("targets", ())]


@pytest.mark.parametrize("name", MADE)
def test_grafanas_schema_knows_all_that_a_dashboard_says(name: str) -> None:
    assert _read_by_the_schema(MADE[name]) == MADE[name]


def test_what_the_schema_doesnt_know_is_seen() -> None:
    """The test above must be able to fail."""
    made = json.loads(as_json("company")["cloud.json"])
    made["panels"][1]["heigth"] = 8
    assert _read_by_the_schema(made) != made


@pytest.mark.parametrize("name", MADE)
def test_panels_have_numbers_of_their_own_and_lie_side_by_side(name: str) -> None:
    panels = MADE[name]["panels"]
    numbers = [panel["id"] for panel in panels]
    assert len(set(numbers)) == len(numbers) > 3
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("name", MADE)
def test_each_variable_is_asked_for_and_each_choice_was_put_in(name: str) -> None:
    made = MADE[name]
    known = {variable["name"] for variable in made["templating"]["list"]}
    assert known >= {"source"}
    used = set(re.findall(r"\$(\w+)", " ".join(_queries(made)))) - {"__rate_interval"}
    assert used == known - {"source"}
    assert "CHOIX" not in json.dumps(made)


def test_each_section_is_shown_somewhere_and_nothing_is_said_that_isnt_understood() -> None:
    data = YAML(typ="safe", pure=True).load(FILE.read_text(encoding="utf-8"))
    shown = {section for entry in data["tableaux"].values() for section in entry["sections"]}
    assert shown == set(data["sections"])
    known = {"titre", "requetes", "forme", "unite", "largeur", "haut", "seuils"}
    assert {key for s in data["sections"].values() for panel in s["panneaux"] for key in panel} == known
    assert {key for entry in data["tableaux"].values() for key in entry} == {
        *("titre", "variables", "sections", "essais")
    }


def _colour(defaults: dict[str, Any], value: float) -> str:
    """Return the colour that Grafana gives a value: of its mapping, of its limits, or the fixed one."""
    mapped = {
        key: result["color"]
        for mapping in defaults.get("mappings", ())
        for key, result in mapping["options"].items()
    }
    if str(value) in mapped:
        return str(mapped[str(value)])
    if defaults["color"]["mode"] == "fixed":
        return str(defaults["color"]["fixedColor"])
    assert (defaults["color"]["mode"], defaults["thresholds"]["mode"]) == ("thresholds", "absolute")
    steps = defaults["thresholds"]["steps"]
    return str([step["color"] for step in steps if step["value"] is None or step["value"] <= value][-1])


@pytest.mark.parametrize("name", MADE)
def test_what_is_well_is_green_and_what_is_not_is_red(name: str) -> None:
    """Grafana's own colours of states go from green to red, and it has limits of its own for numbers."""
    panels = [panel for panel in MADE[name]["panels"] if panel["type"] != "row"]
    for panel in panels:
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] == "state-timeline":
            assert [_colour(defaults, value) for value in (0, 1)] == ["red", "green"], panel["title"]
            # with limits their ranges are shown instead of the words
            assert defaults["color"]["mode"] == "fixed"
            words = {key: r["text"] for m in defaults["mappings"] for key, r in m["options"].items()}
            assert words == {"0": "non", "1": "oui"}
        elif panel["type"] == "stat":
            assert _colour(defaults, 0) in {"red", "green", "text"}
    expected: dict[str, list[tuple[float, str]]] = {
        "Alertes en cours": [(0, "green"), (1, "red"), (3, "red")],
        "Code de réponse": [(0, "red"), (200, "green"), (302, "green"), (404, "red"), (503, "red")],
        "Certificat : expire dans (jours)": [(-1, "red"), (6, "red"), (10, "orange"), (90, "green")],
        "A répondu, 24 heures": [(0.5, "red"), (0.97, "orange"), (1, "green")],
        "Services en échec": [(0, "green"), (1, "red")],
    }
    for panel in panels:
        for value, colour in expected.get(panel["title"], ()):
            assert _colour(panel["fieldConfig"]["defaults"], value) == colour, (panel["title"], value)


@pytest.mark.parametrize("name", MADE)
def test_numbers_are_those_of_now(name: str) -> None:
    """Of a range the last value would be shown of what isn't there any more: alerts that are over."""
    for panel in MADE[name]["panels"]:
        for target in panel.get("targets", ()):
            assert target["instant"] is (panel["type"] == "stat")
            assert target["range"] is (panel["type"] != "stat")


def test_grafana_knows_a_dashboard_again_and_tells_two_companies_apart() -> None:
    ids = {made["uid"] for made in MADE.values()}
    longest = ("a-name-of-thirty-two-letters-all", "a-name-of-thirty-two-letters-alk")
    others, twins = ({json.loads(text)["uid"] for text in as_json(name).values()} for name in longest)
    assert len(ids) == len(others) == len(twins) == len(load_dashboards())
    assert not ids & others
    assert not others & twins
    assert max(map(len, ids | others)) <= 40
    assert as_json("company") == as_json("company")


def test_load_tests_are_linked_to_the_newest_first() -> None:
    runs = [
        LoadRun(f"run-{n}", NOON + timedelta(hours=n), NOON + timedelta(hours=n, seconds=90))
        for n in range(30)
    ]
    made = {name: json.loads(text) for name, text in as_json("company", runs).items()}
    links = [link for link in made["charge.json"]["links"] if link["type"] == "link"]
    assert [link["title"] for link in links] == [f"run-{n}" for n in range(29, 9, -1)]
    newest = int((NOON + timedelta(hours=29)).timestamp())
    assert links[0]["url"] == f"?from={newest}000&to={newest + 90}000"
    assert _read_by_the_schema(made["charge.json"]) == made["charge.json"]
    others = [link for name in made if name != "charge.json" for link in made[name]["links"]]
    assert {link["type"] for link in others} == {"dashboards"}


def _run(folder: Path, environment: str) -> Any:  # noqa: ANN401 - click's result
    options = Options(ENVIRONMENTS / environment, paths=Paths(folder / "home", folder / "cache"))
    return CliRunner().invoke(command, ["-o", str(folder / "out")], standalone_mode=False, obj=options)


def test_the_command_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OS_CLOUD", raising=False)
    done = _run(tmp_path, "medicarche.yaml")
    assert done.exception is None
    written = sorted((tmp_path / "out").iterdir())
    assert done.output.split() == [str(tmp_path / "out" / name) for name in as_json("x")]
    assert {path.name for path in written} == set(as_json("x"))
    # elsewhere the supervision can't look at the cloud
    monkeypatch.setenv("OS_CLOUD", "some")
    assert "cloud.json" not in _run(tmp_path / "elsewhere", "medicarche.yaml").output


def test_without_a_supervision_there_is_nothing_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OS_CLOUD", raising=False)
    done = _run(tmp_path, "example-directory.yaml")
    assert isinstance(done.exception, MedicarcheError)
    assert "declares no supervision" in done.exception.message
    assert not (tmp_path / "out").exists()
