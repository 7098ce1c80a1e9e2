"""Generated passwords and private files."""

from __future__ import annotations

import json
import multiprocessing
import stat
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import pytest

from medicarche.credentials import Credentials
from medicarche.errors import MedicarcheError
from medicarche.private_files import write_private

if TYPE_CHECKING:
    from pathlib import Path


def _make(job: tuple[Path, str]) -> str:
    return Credentials(job[0]).get_or_create(job[1])


def test_a_password_is_made_once_and_kept(tmp_path: Path) -> None:
    first = Credentials(tmp_path / "e").get_or_create("website/database")
    assert len(first) == 32
    assert first.isalnum()
    assert Credentials(tmp_path / "e").get_or_create("website/database") == first
    assert Credentials(tmp_path / "e").get("website/database") == first
    assert Credentials(tmp_path / "e").get("other") is None


def test_each_purpose_has_its_own(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path)
    made = {credentials.get_or_create(f"purpose/{n}", 40) for n in range(20)}
    assert len(made) == 20
    assert credentials.values() == made


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path / "e")
    credentials.get_or_create("a")
    assert stat.S_IMODE(credentials.path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "e").stat().st_mode) == 0o700


def test_the_representation_hides_them(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path)
    value = credentials.get_or_create("a")
    assert value not in repr(credentials)
    assert value not in str(vars(credentials))


def test_two_runs_at_once_agree(tmp_path: Path) -> None:
    jobs = [(tmp_path, f"purpose/{n % 5}") for n in range(40)]
    # forked: a spawned process couldn't import this module, which pytest imports by its path
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("fork")) as pool:
        made = list(pool.map(_make, jobs))
    assert len(set(made)) == 5
    assert json.loads((tmp_path / "credentials.json").read_text()) == {
        name: value for (_, name), value in zip(jobs, made, strict=True)
    }


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}'])
def test_a_damaged_file_is_never_overwritten(tmp_path: Path, content: str) -> None:
    credentials = Credentials(tmp_path)
    credentials.path.write_text(content)
    with pytest.raises(MedicarcheError, match="not a file of passwords"):
        credentials.get_or_create("a")
    assert credentials.path.read_text() == content


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too short"):
        Credentials(tmp_path).get_or_create("a", 8)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_private(path, b"old")

    def broken(_descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("medicarche.private_files.os.fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
