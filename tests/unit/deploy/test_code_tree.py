"""An application's code from its makers' archive: all of it or none; an older one goes, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from medicarche.deploy.scripts import code_tree
from medicarche.deploy.scripts.code_tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: it runs with the instances' Python; Debian 12's own (3.11.2) is older than the filters (3.11.4)
pytestmark = pytest.mark.skipif(
    not hasattr(tarfile, "data_filter"), reason="this Python's tarfile has no filters; the instances' has"
)


def _archive(path: Path, names: Iterable[str]) -> str:
    with tarfile.open(path, "w:bz2") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A tree below ``tmp_path``, of whoever runs the tests: giving to root takes root's rights."""
    owner = f"{os.getuid()}:{os.getgid()}"

    def as_me(command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([owner if word == "root:root" else word for word in command], check=check)

    monkeypatch.setitem(code_tree.__dict__, "subprocess", SimpleNamespace(run=as_me))
    return Tree("Nextcloud", tmp_path / "www/nextcloud", ("occ", "version.php"))


def test_an_archive_is_unpacked_and_takes_the_place_of_the_older(tree: Tree, tmp_path: Path) -> None:
    digest = ""
    for content in (
        ["nextcloud/occ", "nextcloud/version.php"],
        ["nextcloud-2/occ", "nextcloud-2/version.php", "nextcloud-2/new"],
    ):
        archive = tmp_path / "archive"
        digest = _archive(archive, content)
        assert not tree.is_of(digest)
        tree.change_to(archive, digest)
        assert tree.is_of(digest)
        assert not archive.exists()
    assert (tmp_path / "www/nextcloud/new").exists()
    # what others have put there isn't ours to remove
    (tmp_path / "www/nextcloud-essai").mkdir()
    (older,) = tree.older()
    assert not (older / "new").exists()
    assert older.name != tree.name_of(digest)
    assert [p.name for p in (tmp_path / "www").glob(".*")] == []
    # what everybody may read, and nobody else may write
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "www/nextcloud").iterdir()} == {0o644}


@pytest.mark.parametrize(
    ("names", "wrong", "said"),
    [
        (["nextcloud/occ", "nextcloud/version.php"], True, "SHA-256 is"),
        (["wordpress/index.php"], False, "holds no Nextcloud: occ, version.php isn't in"),
        (["nextcloud/occ", "nextcloud/version.php", "other/file"], False, "holds no Nextcloud"),
        (["occ", "version.php"], False, "holds no Nextcloud"),
    ],
)
def test_an_archive_of_something_else_changes_nothing(
    tree: Tree, tmp_path: Path, names: list[str], said: str, *, wrong: bool
) -> None:
    archive = tmp_path / "archive"
    digest = _archive(archive, names)
    with pytest.raises(SystemExit, match=said):
        tree.change_to(archive, "0" * 64 if wrong else digest)
    www = tmp_path / "www"
    assert not www.exists() or list(www.iterdir()) == []


def test_what_is_no_archive_is_told(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("<html>not found</html>")
    digest = hashlib.sha256((tmp_path / "archive").read_bytes()).hexdigest()
    with pytest.raises(SystemExit, match="holds no Nextcloud: it is none of bztar"):
        tree.change_to(tmp_path / "archive", digest)
    with pytest.raises(SystemExit, match="archive isn't there"):
        tree.change_to(tmp_path / "other", digest)


def test_an_archive_that_leads_out_of_its_folder_is_refused(tree: Tree, tmp_path: Path) -> None:
    digest = _archive(tmp_path / "archive", ["../../outside"])
    with pytest.raises(tarfile.FilterError):
        tree.change_to(tmp_path / "archive", digest)
    assert not (tmp_path / "outside").exists()
    assert list((tmp_path / "www").iterdir()) == []


def test_as_a_program_it_says_what_differs_and_changes_it(tree: Tree, tmp_path: Path) -> None:
    def run(verb: str, sha256: str | None) -> subprocess.CompletedProcess[str]:
        wanted = {
            "what": tree.what,
            "link": str(tree.link),
            "needs": tree.needs,
            "archive": str(tmp_path / "archive"),
            "sha256": sha256,
        }
        command = [sys.executable, str(code_tree.__file__), verb]
        return subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True, check=False)

    if os.getuid():
        pytest.skip("it gives what it unpacks to root")
    first = _archive(tmp_path / "archive", ["n/occ", "n/version.php"])
    assert json.loads(run("check", first).stdout) == ["the code isn't there"]
    assert json.loads(run("check", None).stdout) == ["the code isn't there"]
    assert run("apply", None).returncode == 1
    assert run("apply", first).returncode == 0
    assert json.loads(run("check", first).stdout) == []
    assert json.loads(run("check", None).stdout) == []
    second = _archive(tmp_path / "archive", ["n/occ", "n/version.php", "n/new"])
    assert json.loads(run("check", second).stdout) == ["the code isn't the archive's"]
    assert run("apply", second).returncode == 0
    assert json.loads(run("check", second).stdout) == []
    assert [p.name for p in (tmp_path / "www").iterdir() if not p.is_symlink()] == [tree.name_of(second)]
    (tmp_path / "www" / tree.name_of(first)).mkdir()
    assert json.loads(run("check", second).stdout) == ["older code takes up room"]
    done = run("apply", "0" * 64)
    assert done.returncode == 1
    assert "archive isn't there" in done.stderr
    assert "Traceback" not in done.stderr
