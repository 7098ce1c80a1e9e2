"""What the whole job knows of an earlier run: applications whose file couldn't be had."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medicarche import deploying
from medicarche.options import Options
from medicarche.paths import Paths
from medicarche.progress import SilentReporter
from medicarche.target import Selection, select

COMPANY = Path(__file__).parents[2] / "environments" / "medicarche.yaml"


@pytest.fixture
def selection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Selection:
    """The company's environment on a configured cloud; a run has left Nextcloud and the web site out."""
    monkeypatch.delenv("MEDICARCHE_WITHOUT", raising=False)
    paths = Paths(home=tmp_path / "home", cache=tmp_path / "cache")
    selection = select(Options(environment_file=COMPANY, cloud="some", paths=paths))
    selection.folder.mkdir(parents=True)
    (selection.folder / "left-out.json").write_text(json.dumps(["nextcloud", "website"]), encoding="utf-8")
    return selection


def _deployed(selection: Selection) -> set[str]:
    return {a.name for a in selection.environment.applications if a.deployed}


def test_what_may_be_left_out_stays_left_out(selection: Selection) -> None:
    # the web site's file says nothing of leaving it out: the next run deploys it, and a comparison shows that
    assert _deployed(selection) - _deployed(deploying.as_deployed(selection)) == {"nextcloud"}


def test_what_has_its_file_meanwhile_isnt_left_out(selection: Selection, tmp_path: Path) -> None:
    archive = tmp_path / "nextcloud.zip"
    archive.write_bytes(b"an archive")
    environment = selection.environment
    applications = tuple(
        replace(a, settings={**a.settings, "archive": str(archive), "sha256": "0" * 64})
        if a.name == "nextcloud"
        else a
        for a in environment.applications
    )
    changed = replace(selection, environment=replace(environment, applications=applications))
    assert _deployed(deploying.as_deployed(changed)) == _deployed(changed)


class _Notes(SilentReporter):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def test_who_has_no_key_to_come_in_with_is_told(tmp_path: Path) -> None:
    paths = Paths(home=tmp_path / "home", cache=tmp_path / "cache")
    file = COMPANY.with_name("example-directory.yaml")
    selection = select(Options(environment_file=file, cloud="some", paths=paths))
    notes = _Notes()
    deploying.note_without_key(selection, notes)
    (told,) = notes.told
    assert told.startswith("example-people.csv: no ssh_key of eloise.estournel, ")
    assert told.endswith("; nobody logs in by that account")


def test_where_nobody_administers_by_the_directory_nothing_is_told(selection: Selection) -> None:
    notes = _Notes()
    nobody = replace(selection, environment=replace(selection.environment, directory=None))
    deploying.note_without_key(nobody, notes)
    assert notes.told == []


def test_instances_that_share_this_machines_processors_take_turns(
    selection: Selection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OS_CLOUD", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert deploying._at_once(selection) is None
    paths = Paths(home=tmp_path / "home", cache=tmp_path / "cache")
    here = select(Options(environment_file=COMPANY, paths=paths))
    assert here.embedded is not None
    assert deploying._at_once(here) == 3
