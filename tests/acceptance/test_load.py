"""LOAD-1 to LOAD-4, small: the same commands that find the real numbers, on what is deployed.

The capacities themselves come from `medicarche load ramp`, which takes minutes; here it is proved that the
measuring works on this cloud. A machine that is too busy to judge proves nothing: the test is skipped then.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Application, Environment

    Command = Callable[..., subprocess.CompletedProcess[str]]

#: beside other tests the machine would be too busy to judge
pytestmark = pytest.mark.alone
INVALID = 9


def runs(folder: Path, done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Return application → its run's record; every file of the report is there."""
    assert done.returncode in {0, INVALID}, done.stdout + done.stderr
    found = {}
    for path in folder.glob("*/run.json"):
        run = json.loads(path.read_text(encoding="utf-8"))
        found[run["application"]] = run
        page = path.with_name("report.html").read_text(encoding="utf-8")
        assert run["answer"].split(" ", maxsplit=1)[0] in page
        assert "src=" not in page, "the report loads something"
        with path.with_name("seconds.csv").open(encoding="utf-8", newline="") as stream:
            assert len(list(csv.reader(stream))) > 1
    assert found
    assert (folder / "index.html").exists()
    return found


def valid(run: dict[str, Any]) -> dict[str, Any]:
    """Return the run, unless nothing can be judged by it."""
    if run["verdict"]["kind"] == "invalid":
        pytest.skip("; ".join(run["verdict"]["reasons"]))
    assert run["verdict"]["kind"] == "passed", run["verdict"]["reasons"]
    return run


@pytest.fixture
def website(environment: Environment, instances: tuple[InstanceState, ...]) -> Application:
    """The web site, as an example: the measuring is the same for all."""
    assert instances
    for application in environment.applications:
        if application.kind == "wordpress":
            return application
    pytest.skip("the environment declares no web site")


@pytest.mark.requirement("LOAD-2", "LOAD-4")
def test_all_requests_of_the_fixed_scenario_are_answered_by_each_application(
    instances: tuple[InstanceState, ...],
    run_medicarche: Command,
    tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:
    assert instances
    done = run_medicarche("load", "--output", str(tmp_path), "fixed", "-c", "20", "-n", "400")
    for name, run in runs(tmp_path, done).items():
        figures = run["data"]["figures"]
        # correctness counts on a busy machine too
        assert (figures["asked"], figures["succeeded"], figures["failed"]) == (400, 400, 0), name
        assert figures["connect"]["count"] >= 20
        assert figures["received"] > 400
        record_property(f"{name}: requests/s", round(figures["rate"], 1))


@pytest.mark.requirement("LOAD-1", "LOAD-4")
def test_ever_more_people_are_served(website: Application, run_medicarche: Command, tmp_path: Path) -> None:
    sizes = ("--first", "2", "--most", "4", "--hold", "5")
    done = run_medicarche("load", "--output", str(tmp_path), "ramp", website.name, *sizes)
    run = valid(runs(tmp_path, done)[website.name])
    assert [step["users"] for step in run["data"]["steps"]] == [2, 4]
    assert run["data"]["capacity"] == 4
    assert not run["data"]["bounded"], "it carries more than four people: the limit wasn't reached"
    assert max(n or 0 for n in run["series"]["utilisateurs"]) == 4
    assert max(n or 0 for n in run["series"]["processeurs"]) > 0
    assert run["data"]["figures"]["failed"] == 0


@pytest.mark.requirement("LOAD-3")
def test_the_application_survives_stress_and_its_flavor_is_judged(
    website: Application, run_medicarche: Command, tmp_path: Path
) -> None:
    done = run_medicarche("load", "--output", str(tmp_path), "stress", website.name, "--seconds", "3")
    assert done.returncode in {0, 8, INVALID}, done.stderr
    (path,) = tmp_path.glob("*/run.json")
    run = json.loads(path.read_text(encoding="utf-8"))
    phases = {phase["name"]: phase for phase in run["data"]["phases"]}
    assert {"processeur", "mémoire", "entrées-sorties", "disque"} < set(phases)
    for name, phase in phases.items():
        assert phase["restarted"] == [], f"{name}: a service fell"
        assert phase["stressor"] or name in {"au repos", "après"}, f"{name}: there was no stress"
    assert phases["après"]["figures"]["failed"] == 0
    assert run["data"]["flavor"]["word"] in {"suffisant", "trop petit", "plus que nécessaire"}
    valid(run)
