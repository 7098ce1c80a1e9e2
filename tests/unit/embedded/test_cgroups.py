"""The control groups that a node gets, on hosts of both versions, against a tree of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medicarche.embedded import cgroups

if TYPE_CHECKING:
    from pathlib import Path

V1 = "9:name=systemd:/\n8:pids:/\n4:memory:/a/b\n3:cpuset:/\n1:cpu,cpuacct:/x\n0::/\n"


@pytest.fixture
def legacy(tmp_path: Path) -> tuple[Path, Path]:
    root = tmp_path / "cgroup"
    for hierarchy in ("systemd", "pids", "memory/a/b", "cpuset", "cpu,cpuacct/x", "unified"):
        (root / hierarchy).mkdir(parents=True)
    (root / "cpuset/cpuset.cpus").write_text("0-1")
    (root / "cpuset/cpuset.mems").write_text("0")
    own = tmp_path / "own"
    own.write_text(V1)
    return root, own


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    root = tmp_path / "cgroup"
    root.mkdir()
    (root / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    (root / "cgroup.subtree_control").write_text("cpu memory pids\n")
    return root


def test_version_1_gets_a_child_of_our_own_group_in_each_hierarchy(legacy: tuple[Path, Path]) -> None:
    root, own = legacy
    groups = cgroups.plan("medicarche-x", root=root, own=own)
    assert not groups.unified
    assert [str(f.relative_to(root)) for f in groups.folders] == [
        "systemd/medicarche-x",
        "pids/medicarche-x",
        "memory/a/b/medicarche-x",
        "cpuset/medicarche-x",
        "cpu,cpuacct/x/medicarche-x",
        "unified/medicarche-x",
    ]


def test_version_1_without_a_mounted_hierarchy_goes_on_without(legacy: tuple[Path, Path]) -> None:
    root, own = legacy
    own.write_text(V1 + "12:rdma:/\n")
    assert len(cgroups.plan("x", root=root, own=own).folders) == 6


def test_version_1_cpuset_is_filled_before_a_process_joins(legacy: tuple[Path, Path]) -> None:
    root, own = legacy
    groups = cgroups.plan("x", root=root, own=own)
    (root / "cpuset/x").mkdir()
    (root / "cpuset/x/cpuset.cpus").write_text("")  # the kernel makes them with the folder
    groups.create()
    assert (root / "cpuset/x/cpuset.cpus").read_text() == "0-1"
    assert (root / "cpuset/x/cpuset.mems").read_text() == "0"
    assert (root / "cpuset/x/cgroup.clone_children").read_text() == "1"


def test_version_2_gets_a_child_of_the_root(unified: Path) -> None:
    groups = cgroups.plan("medicarche-x", root=unified)
    assert groups.unified
    assert groups.folders == (unified / "medicarche-x",)


def test_version_2_hands_on_only_what_is_missing(unified: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    original = type(unified).write_text

    def record(self: Path, data: str, *args: object, **kwargs: object) -> int:
        if self.name == "cgroup.subtree_control":
            written.append(data)
            return len(data)
        return original(self, data, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(type(unified), "write_text", record)
    cgroups.plan("x", root=unified).create()
    assert sorted(written) == ["+cpuset", "+io"]
    assert (unified / "x").is_dir()


def test_processes_are_found_below_too(legacy: tuple[Path, Path]) -> None:
    root, own = legacy
    groups = cgroups.plan("x", root=root, own=own)
    groups.create()
    (root / "pids/x/machine/a").mkdir(parents=True)
    (root / "pids/x/cgroup.procs").write_text("12\n")
    (root / "pids/x/machine/a/cgroup.procs").write_text("13\n14\n")
    (root / "systemd/x/cgroup.procs").write_text("12\n0\n")
    assert groups.processes() == (12, 13, 14)


def test_groups_are_written_down_and_read_again(legacy: tuple[Path, Path], tmp_path: Path) -> None:
    root, own = legacy
    groups = cgroups.plan("x", root=root, own=own)
    record = tmp_path / "record"
    groups.save(record)
    assert cgroups.Groups.load(record) == groups


@pytest.mark.parametrize("text", ["", "{", "[]", '{"folders": 3}', '{"folders": ["/x"]}'])
def test_a_broken_record_is_no_record(tmp_path: Path, text: str) -> None:
    record = tmp_path / "record"
    record.write_text(text)
    assert cgroups.Groups.load(record) is None


def test_empty_groups_are_removed_with_what_is_below(legacy: tuple[Path, Path]) -> None:
    root, own = legacy
    groups = cgroups.plan("x", root=root, own=own)
    groups.create()
    (root / "pids/x/machine/a").mkdir(parents=True)
    assert groups.remove(seconds=0)
    assert not any(f.exists() for f in groups.folders)
    assert (root / "memory/a/b").is_dir()


def test_a_group_that_is_in_use_is_told(legacy: tuple[Path, Path]) -> None:
    root, own = legacy
    groups = cgroups.plan("x", root=root, own=own)
    groups.create()
    (root / "pids/x/busy").write_text("")
    assert not groups.remove(seconds=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [("cpuacct.usage", "1500000000\n"), ("cpu.stat", "nr_periods 0\nusage_usec 1500000\nuser_usec 1\n")],
)
def test_used_processor_time_is_read_in_both_versions(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "group").mkdir()
    (tmp_path / "other/cpu.stat").write_text("nr_periods 0\nnr_throttled 0\n")  # as version 1's has it
    (tmp_path / "group" / name).write_text(content)
    groups = cgroups.Groups((tmp_path / "other", tmp_path / "group"), unified=False)
    assert groups.processor_seconds() == pytest.approx(1.5)


def test_groups_that_are_gone_have_used_nothing(tmp_path: Path) -> None:
    assert cgroups.Groups((tmp_path / "gone",), unified=False).processor_seconds() == 0
