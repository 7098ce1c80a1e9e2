"""What an image consists of, and that its key follows all of it."""

from __future__ import annotations

import dataclasses
import re

import pytest
from ruamel.yaml import YAML

from medicarche.errors import MachineError
from medicarche.image import recipe
from medicarche.spec.environment import ImageSpec, Locale

IMAGE = ImageSpec(name="debian-13", suite="trixie", user="demo", disk_mib=1024, visibility="public")
LOCALE = Locale(language="fr_FR.UTF-8", keyboard="fr", timezone="Europe/Paris")
BOTH = pytest.mark.parametrize("hypervisor", ["lxc", "kvm"])


def text_of(path: str, hypervisor: str = "lxc", image: ImageSpec = IMAGE) -> str:
    found = {file.path: file.text for file in recipe.files(image, LOCALE, hypervisor)}
    return found[path]


def test_the_key_is_stable() -> None:
    key = recipe.recipe_hash(IMAGE, LOCALE, "lxc")
    assert re.fullmatch(r"[0-9a-f]{16}", key)
    assert key == recipe.recipe_hash(dataclasses.replace(IMAGE), dataclasses.replace(LOCALE), "lxc")


@pytest.mark.parametrize(
    ("image", "locale"),
    [
        ({"suite": "bookworm"}, {}),
        ({"user": "other"}, {}),
        ({"disk_mib": 2048}, {}),
        ({"packages": ("htop",)}, {}),
        ({}, {"language": "de_DE.UTF-8"}),
        ({}, {"keyboard": "de"}),
        ({}, {"timezone": "Europe/Berlin"}),
    ],
)
def test_the_key_follows_whatever_changes_the_content(
    image: dict[str, object], locale: dict[str, str]
) -> None:
    changed = recipe.recipe_hash(
        dataclasses.replace(IMAGE, **image),  # type: ignore[arg-type]  # the values' types are the fields'
        dataclasses.replace(LOCALE, **locale),
        "lxc",
    )
    assert changed != recipe.recipe_hash(IMAGE, LOCALE, "lxc")


def test_the_key_differs_by_hypervisor() -> None:
    assert recipe.recipe_hash(IMAGE, LOCALE, "lxc") != recipe.recipe_hash(IMAGE, LOCALE, "kvm")


def test_the_key_follows_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.recipe_hash(IMAGE, LOCALE, "lxc")
    monkeypatch.setattr(recipe, "customize_script", lambda: "#!/bin/sh\n")
    assert recipe.recipe_hash(IMAGE, LOCALE, "lxc") != before


def test_the_key_leaves_out_what_changes_nothing_inside() -> None:
    renamed = dataclasses.replace(IMAGE, name="other", visibility="private")
    assert recipe.recipe_hash(renamed, LOCALE, "lxc") == recipe.recipe_hash(IMAGE, LOCALE, "lxc")
    twice = dataclasses.replace(IMAGE, packages=("b", "a"))
    other = dataclasses.replace(IMAGE, packages=("a", "b", "a"))
    assert recipe.recipe_hash(twice, LOCALE, "lxc") == recipe.recipe_hash(other, LOCALE, "lxc")


@BOTH
def test_cloud_init_knows_its_user_and_source(hypervisor: str) -> None:
    settings = YAML(typ="safe").load(text_of("etc/cloud/cloud.cfg.d/90-medicarche.cfg", hypervisor))
    user = settings["system_info"]["default_user"]
    assert user["name"] == "demo"
    assert user["lock_passwd"] is True
    assert settings["users"] == ["default"]
    assert settings["datasource_list"] == ["OpenStack"]
    assert settings["disable_root"] is True
    assert settings["ssh_pwauth"] is False


@BOTH
def test_cloud_init_applies_a_package_proxy_from_user_data_and_bakes_none_in(hypervisor: str) -> None:
    settings = YAML(typ="safe").load(text_of("etc/cloud/cloud.cfg.d/90-medicarche.cfg", hypervisor))
    assert "apt_configure" in settings["cloud_config_modules"]
    # the sources are the image's; a top-level apt_* key beside "apt" in user data would be an error
    assert settings["apt"] == {"preserve_sources_list": True}
    assert not [key for key in settings if key.startswith("apt_")]
    assert not any("3142" in file.text for file in recipe.files(IMAGE, LOCALE, hypervisor))


@BOTH
def test_the_host_key_stands_in_the_console_log_of_every_boot(hypervisor: str) -> None:
    settings = YAML(typ="safe").load(text_of("etc/cloud/cloud.cfg.d/90-medicarche.cfg", hypervisor))
    assert ["keys_to_console", "always"] in settings["cloud_final_modules"]
    assert settings["ssh_genkeytypes"] == ["ed25519"]
    assert "rm -f /etc/ssh/ssh_host_*" in recipe.customize_script()


@BOTH
def test_sshd_takes_keys_of_the_one_user_only(hypervisor: str) -> None:
    lines = text_of("etc/ssh/sshd_config.d/10-medicarche.conf", hypervisor).splitlines()
    assert {
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin no",
        "AuthenticationMethods publickey",
        "AllowUsers demo",
    } <= set(lines)


def test_the_keyboard_is_the_locales() -> None:
    assert 'XKBLAYOUT="fr"' in text_of("etc/default/keyboard")


def test_only_programs_can_be_run() -> None:
    modes = {file.path: file.mode for file in recipe.files(IMAGE, LOCALE, "lxc")}
    assert modes.pop("usr/sbin/init.medicarche") == 0o755
    assert set(modes.values()) == {0o644}


def test_nothing_is_left_to_be_filled_in() -> None:
    for hypervisor in ("lxc", "kvm"):
        for file in recipe.files(IMAGE, LOCALE, hypervisor):
            assert "{{" not in file.text, file.path
            assert not file.path.endswith(".j2")


def test_a_container_carries_neither_kernel_nor_boot_loader_and_leaves_the_hosts_kernel_alone() -> None:
    assert not [name for name in recipe.packages(IMAGE, "lxc") if name.startswith(("linux-image", "grub"))]
    assert {"systemd-sysctl.service", "systemd-udevd.service"} <= set(recipe.masked_units("lxc"))
    mounts = {"sys-kernel-debug.mount", "sys-kernel-tracing.mount", "run-lock.mount"}
    assert mounts <= set(recipe.masked_units("lxc"))
    assert "systemd-udevd.service" not in recipe.masked_units("kvm")


def test_packages_asked_for_are_installed() -> None:
    image = dataclasses.replace(IMAGE, packages=("htop",))
    assert "htop" in recipe.packages(image, "lxc")
    include = next(o for o in recipe.mmdebstrap_options(image, LOCALE, "lxc") if o.startswith("--include="))
    assert "htop" in include.removeprefix("--include=").split(",")


def test_translations_of_the_language_are_kept() -> None:
    assert "--dpkgopt=path-include=/usr/share/locale/fr/*" in recipe.mmdebstrap_options(IMAGE, LOCALE, "lxc")


def test_glance_is_told_what_it_is() -> None:
    lxc = dict(recipe.properties(IMAGE, "lxc"))
    assert lxc["os_distro"] == "debian"
    assert lxc["os_version"] == "13"
    assert lxc["os_admin_user"] == "demo"
    assert lxc["hypervisor_type"] == "lxc"
    assert list(recipe.properties(IMAGE, "kvm")) == sorted(recipe.properties(IMAGE, "kvm"))
    assert "hypervisor_type" not in dict(recipe.properties(IMAGE, "kvm"))
    assert (recipe.disk_format("lxc"), recipe.disk_format("kvm")) == ("raw", "qcow2")


def test_an_unknown_hypervisor_is_one_clear_error() -> None:
    with pytest.raises(MachineError, match="xen"):
        recipe.recipe_hash(IMAGE, LOCALE, "xen")


def test_init_takes_both_kinds_of_cgroups() -> None:
    script = text_of("usr/sbin/init.medicarche")
    assert "unshare --cgroup" in script
    assert "mount -t cgroup2" in script
    assert "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1" in script
