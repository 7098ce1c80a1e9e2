"""The cache around the build; mmdebstrap itself is run by the acceptance tests."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from medicarche.errors import CommandError, MachineError
from medicarche.image import builder as building
from medicarche.paths import Paths
from medicarche.progress import SilentReporter
from medicarche.spec.environment import ImageSpec, Locale, Mirrors

IMAGE = ImageSpec(name="debian-13", suite="trixie", user="demo", disk_mib=1024, visibility="public")
LOCALE = Locale(language="fr_FR.UTF-8", keyboard="fr", timezone="Europe/Paris")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(home=tmp_path / "home", cache=tmp_path / "cache")


def build(paths: Paths) -> Path:
    return building.build(IMAGE, LOCALE, "lxc", paths, Mirrors(), SilentReporter())


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_an_image_in_the_cache_is_used_as_it_is(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    target = building.image_path(IMAGE, LOCALE, "lxc", paths)
    target.parent.mkdir(parents=True)
    target.write_bytes(b"image")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert build(paths) == target


@pytest.mark.usefixtures("as_root")
def test_a_build_that_fails_leaves_nothing_behind(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_more: object) -> None:
        raise CommandError("mirror unreachable")

    monkeypatch.setattr(building, "run_logged", fail)
    with pytest.raises(CommandError, match="mirror unreachable"):
        build(paths)
    assert [entry.name for entry in (paths.cache / "images").iterdir()] == [".lock"]


@pytest.mark.usefixtures("as_root")
def test_what_a_killed_build_left_is_removed_and_the_image_appears_whole(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = paths.cache / "images/.build-killed"
    stale.mkdir(parents=True)
    (stale / "disk.raw").write_bytes(b"half")

    def write(
        _image: object, _locale: object, _hypervisor: str, _lines: object, work: Path, _stage: object
    ) -> Path:
        assert not stale.exists()
        assert not building.image_path(IMAGE, LOCALE, "lxc", paths).exists()
        disk = work / "disk.raw"
        disk.write_bytes(b"whole")
        return disk

    monkeypatch.setattr(building, "_build", write)
    target = build(paths)
    assert target.read_bytes() == b"whole"
    assert sorted(entry.name for entry in target.parent.iterdir()) == [".lock", target.name]


def test_another_user_than_root_is_told_so(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineError, match="root"):
        build(paths)


@pytest.mark.usefixtures("as_root")
def test_missing_programs_are_named_by_package_all_at_once(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _program: None)
    with pytest.raises(MachineError) as raised:
        building.build(IMAGE, LOCALE, "kvm", paths, Mirrors(), SilentReporter())
    assert raised.value.hint == "sudo apt-get install e2fsprogs fdisk mmdebstrap qemu-utils util-linux"


def test_a_file_system_that_is_too_small_is_told_before_it_is_made(tmp_path: Path) -> None:
    tree = tmp_path / "root"
    tree.mkdir()
    (tree / "file").write_bytes(os.urandom(2**20))
    with pytest.raises(CommandError) as raised:
        building._make_file_system(IMAGE, tree, tmp_path / "disk", 2**20, tmp_path / "log")
    assert "disk_mib" in str(raised.value.hint)
    assert not (tmp_path / "disk").exists()


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="e2fsprogs isn't installed")
def test_what_is_uploaded_has_no_empty_space_and_grows_to_what_it_was_made_for(tmp_path: Path) -> None:
    tree, disk, log, read = (tmp_path / name for name in ("root", "disk", "log", "read"))
    tree.mkdir()
    content = os.urandom(2**21)
    (tree / "file").write_bytes(content)
    building._make_file_system(IMAGE, tree, disk, 2**30, log)
    building._shrink(disk, log)
    small = disk.stat().st_size
    # its journal is a GiB's
    assert len(content) < small < 2**26
    os.truncate(disk, 2**33)
    subprocess.run(["resize2fs", "-f", disk], check=True, capture_output=True)
    subprocess.run(["e2fsck", "-fn", disk], check=True, capture_output=True)
    subprocess.run(["debugfs", "-R", f"dump /file {read}", disk], check=True, capture_output=True)
    assert read.read_bytes() == content
    header = subprocess.run(["dumpe2fs", "-h", disk], check=True, capture_output=True, text=True).stdout
    assert re.search(r"^Block count: +2097152$", header, re.MULTILINE)
    assert re.search(r"^Total journal size: +32M$", header, re.MULTILINE)


def test_sources_name_the_mirrors_and_no_keyring_of_the_building_machine(tmp_path: Path) -> None:
    (tmp_path / "etc/apt").mkdir(parents=True)
    building._write_sources(tmp_path, ("deb [signed-by=/k.gpg] http://mirror.example/debian trixie main",))
    text = (tmp_path / "etc/apt/sources.list").read_text(encoding="utf-8")
    assert text == "deb http://mirror.example/debian trixie main\n"


def test_files_have_their_modes_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        building._write_files(dataclasses.replace(IMAGE), LOCALE, "lxc", tmp_path / "files")
    finally:
        os.umask(before)
    modes = {
        p.relative_to(tmp_path / "files"): p.stat().st_mode & 0o777 for p in (tmp_path / "files").rglob("*")
    }
    assert modes[Path("etc")] == 0o755
    assert modes[Path("usr/sbin/init.medicarche")] == 0o755
    assert modes[Path("etc/default/keyboard")] == 0o644
