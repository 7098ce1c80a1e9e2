"""What a killed run, a reboot or another cloud leaves, and what a machine may lack."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from medicarche import host_packages, target
from medicarche.embedded import kvm, logs, loops, place, preflight, readiness, rootfs
from medicarche.embedded.cloud import EmbeddedCloud
from medicarche.embedded.cloud_secrets import Secrets
from medicarche.errors import MachineError, MedicarcheError
from medicarche.options import Options
from medicarche.paths import Paths
from medicarche.progress import SilentReporter
from medicarche.spec import load_environment


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedCloud:
    monkeypatch.setattr(place, "RUN_FOLDER", tmp_path / "run")
    monkeypatch.setattr(kvm, "kvm_works", lambda: False)
    monkeypatch.setattr(loops, "attached", lambda: ())
    return EmbeddedCloud("unit-test", Paths(home=tmp_path / "home", cache=tmp_path / "cache"))


# --- layers


def test_a_layer_is_built_once(tmp_path: Path) -> None:
    layer = rootfs.Layer(tmp_path, "packages", "1234")
    built: list[Path] = []

    def build(tree: Path) -> None:
        built.append(tree)
        (tree / "file").write_text("x")

    assert rootfs.ensure_layer(layer, build).is_complete()
    rootfs.ensure_layer(layer, build)
    assert len(built) == 1
    assert (layer.tree / "file").read_text() == "x"


def test_what_a_killed_build_left_is_thrown_away(tmp_path: Path) -> None:
    layer = rootfs.Layer(tmp_path, "packages", "1234")
    (tmp_path / "packages-1234.building/tree/half").mkdir(parents=True)
    (tmp_path / "packages-1234/tree/other-half").mkdir(parents=True)
    assert not layer.is_complete()
    rootfs.ensure_layer(layer, lambda tree: (tree / "whole").touch())
    assert [p.name for p in layer.tree.iterdir()] == ["whole"]
    assert not (tmp_path / "packages-1234.building").exists()


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    layer = rootfs.Layer(tmp_path, "packages", "1234")

    def build(tree: Path) -> None:
        (tree / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        rootfs.ensure_layer(layer, build)
    assert not layer.is_complete()
    assert [p.name for p in tmp_path.iterdir()] == ["packages-1234.lock"]


# --- loop devices


def test_loop_devices_of_this_clouds_instances_only(tmp_path: Path) -> None:
    disk = tmp_path / "0a1b/disk"
    disk.parent.mkdir()
    disk.touch()
    inode = disk.stat().st_ino
    mine = loops.Loop("/dev/loop1", inode, "/var/lib/nova/instances/0a1b/disk")
    others = [
        loops.Loop("/dev/loop2", inode + 1, "/var/lib/nova/instances/0a1b/disk"),
        loops.Loop("/dev/loop3", inode, "/var/lib/nova/instances/ffff/disk"),
        loops.Loop("/dev/loop4", inode, "/home/0a1b/disk"),
        loops.Loop("/dev/loop5", inode, ""),
    ]
    assert loops.of_instances([mine, *others], tmp_path) == (mine,)


def test_a_deleted_servers_disk_is_told_by_its_file_system(tmp_path: Path) -> None:
    gone = "/var/lib/nova/instances/0a1b_del/disk (deleted)"
    mine = loops.Loop("/dev/loop1", 7, gone, "0:60")
    others = [
        loops.Loop("/dev/loop2", 7, gone, "0:61"),
        loops.Loop("/dev/loop3", 7, gone.removesuffix(" (deleted)"), "0:60"),
        loops.Loop("/dev/loop4", 7, "/home/0a1b/disk (deleted)", "0:60"),
        loops.Loop("/dev/loop5", 7, gone),
    ]
    assert loops.of_instances([mine, *others], tmp_path, "0:60") == (mine,)
    assert loops.of_instances([mine, *others], tmp_path) == ()


# --- stale state


def test_a_cloud_that_never_became_ready_is_made_anew(cloud: EmbeddedCloud) -> None:
    (cloud.folder / "data/var").mkdir(parents=True)
    (cloud.folder / "secrets.json").write_text("{}")
    cloud._clean_up()
    assert not (cloud.folder / "data").exists()
    assert not (cloud.folder / "secrets.json").exists()


def test_a_cloud_that_was_ready_once_keeps_its_data(cloud: EmbeddedCloud) -> None:
    (cloud.folder / "data/var").mkdir(parents=True)
    (cloud.folder / "complete").touch()
    cloud._clean_up()
    assert (cloud.folder / "data/var").is_dir()


def test_what_a_reboot_leaves_is_no_running_cloud(cloud: EmbeddedCloud, tmp_path: Path) -> None:
    run = tmp_path / "run/unit-test"
    run.mkdir(parents=True)
    (run / "ready").write_text(json.dumps({"since": 1.0}))
    (run / "owner").write_text(str(cloud.folder))
    (run / "cgroups.json").write_text(json.dumps({"folders": [str(tmp_path / "gone")], "unified": False}))
    (cloud.folder / "data").mkdir(parents=True)
    assert cloud.status().state == "stopped"
    cloud.down(SilentReporter())
    assert not run.exists()


def test_another_homes_running_cloud_of_this_name_is_told(
    cloud: EmbeddedCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other/clouds/unit-test"
    other.mkdir(parents=True)
    (tmp_path / "run/unit-test").mkdir(parents=True)
    (tmp_path / "run/unit-test/owner").write_text(str(other))
    monkeypatch.setattr(type(cloud._node), "leader", lambda _: 1)
    with pytest.raises(MachineError, match="unit-test runs here already") as caught:
        cloud.down(SilentReporter())
    assert caught.value.hint is not None
    assert "MEDICARCHE_HOME=" in caught.value.hint


def test_purge_leaves_nothing_of_the_cloud(cloud: EmbeddedCloud) -> None:
    (cloud.folder / "data/var").mkdir(parents=True)
    cloud.purge(SilentReporter())
    assert not cloud.folder.exists()
    assert cloud.status().state == "absent"


# --- preflight


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "DISK_FOR_CLOUD", 2**60)
    monkeypatch.setattr(preflight, "_kernel", lambda: ["the kernel has no overlayfs"])
    monkeypatch.setattr(preflight, "MEMORY", 2**60)
    with pytest.raises(MachineError) as caught:
        preflight.check(
            home=tmp_path / "not/there",
            cache=tmp_path,
            sources=["deb http://127.0.0.1:1/d s main"],
            cached=False,
            running=False,
        )
    lines = caught.value.message.splitlines()[1:]
    assert len(lines) == 4
    for line, word in zip(
        lines, ("of disk are free", "overlayfs", "memory", "http://127.0.0.1:1/d/dists/s"), strict=True
    ):
        assert word in line


def test_not_root_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineError, match="root"):
        preflight.check(home=tmp_path, cache=tmp_path, sources=(), cached=True, running=False)


def test_missing_programs_are_named_by_their_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        shutil, "which", lambda program: None if program in {"mmdebstrap", "apt-get"} else "/x"
    )
    monkeypatch.setattr(preflight, "_KEYRING", tmp_path / "none")
    assert preflight.missing_packages() == ("debian-archive-keyring", "mmdebstrap")
    with pytest.raises(MachineError, match="debian-archive-keyring mmdebstrap"):
        host_packages.ensure(preflight.missing_packages(), SilentReporter(), log=tmp_path / "log")


# --- logs and readiness


def test_logs_are_read_without_a_node(tmp_path: Path) -> None:
    (tmp_path / "var/log/nova").mkdir(parents=True)
    (tmp_path / "var/log/nova/nova-compute.log").write_text("one\ntwo\nthree\n")
    assert logs.read(tmp_path, "nova-compute", 2) == "two\nthree"
    with pytest.raises(MedicarcheError, match="no service 'nova'") as caught:
        logs.read(tmp_path, "nova", 2)
    assert "nova-compute" in str(caught.value.hint)


def test_each_probes_log_can_be_asked_for() -> None:
    assert readiness.LOGS.keys() == readiness.PROBES.keys()
    assert set(readiness.LOGS.values()) <= set(logs.UNITS)


def test_a_heartbeat_from_before_the_start_does_not_count(tmp_path: Path) -> None:
    secrets = Secrets.generate()
    context = readiness.Context(secrets, since=1_700_000_000.9, metadata_socket=tmp_path)
    assert context.fresh("2023-11-14T22:13:20.000000")
    assert context.fresh("2023-11-14 22:13:20")
    assert not context.fresh("2023-11-14 22:13:19")


def test_what_is_ready_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def slow(_: readiness.Context) -> None:
        asked.append("slow")
        if asked.count("slow") < 3:
            raise readiness.NotReady("not yet")

    probes = {"identity": lambda _: asked.append("identity"), "slow": slow}
    monkeypatch.setattr(readiness, "PROBES", probes)
    found = readiness.rounds(readiness.Context(Secrets.generate(), 0, tmp_path))
    assert [next(found) for _ in range(3)] == [{"slow": "not yet"}, {"slow": "not yet"}, {}]
    assert asked == ["identity", "slow", "slow", "slow"]


def test_a_cloud_keeps_the_external_gateway_that_it_was_made_with(cloud: EmbeddedCloud) -> None:
    def again(gateway: str | None) -> EmbeddedCloud:
        return EmbeddedCloud(cloud.name, cloud.paths, external_gateway=gateway)

    assert again(None).external_gateway == "10.20.20.1/24"
    assert again("198.18.10.1/24").external_gateway == "198.18.10.1/24"
    cloud.folder.mkdir(parents=True)
    (cloud.folder / "external-gateway").write_text("198.18.10.1/24\n")
    again("10.20.20.1/24")._check_gateway()  # it was never finished: it may become another one
    (cloud.folder / "complete").touch()
    assert again(None).external_gateway == "198.18.10.1/24"
    again("198.18.10.1/24")._check_gateway()
    with pytest.raises(MachineError, match=r"made with the external gateway 198\.18\.10\.1/24") as caught:
        again("10.20.20.1/24")._check_gateway()
    assert "MEDICARCHE_EMBEDDED_NAME" in str(caught.value.hint)


def test_a_cloud_made_before_gateways_were_kept_has_the_one_that_all_had(cloud: EmbeddedCloud) -> None:
    cloud.folder.mkdir(parents=True)
    (cloud.folder / "complete").touch()
    assert cloud.external_gateway == "10.20.20.1/24"
    with pytest.raises(MachineError):
        EmbeddedCloud(cloud.name, cloud.paths, external_gateway="198.18.10.1/24")._check_gateway()


def test_the_nodes_address_is_the_environments_external_gateway(tmp_path: Path) -> None:
    for file, gateway in (("medicarche", "10.20.20.1/24"), ("example-minimal", "198.18.10.1/24")):
        environment = load_environment(Path(__file__).parents[3] / "environments" / f"{file}.yaml")
        options = Options(paths=Paths(home=tmp_path / "home", cache=tmp_path / "cache"))
        assert target.embedded_cloud(options, environment).external_gateway == gateway
