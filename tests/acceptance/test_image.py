"""CLOUD-5: the image, in Glance and as it is inside of an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from openstack.connection import Connection
    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Environment

pytestmark = pytest.mark.requirement("CLOUD-5")

#: Debian's releases, by what their /etc/os-release says
VERSIONS = {"bookworm": "12", "trixie": "13"}


def test_the_image_is_uploaded_with_its_properties(member: Connection, environment: Environment) -> None:
    found = {i.name: i for i in member.image.images()}
    for wanted in environment.images:
        image = found[wanted.name]
        assert image.status == "active"
        assert image.visibility == wanted.visibility
        assert image.disk_format in {"raw", "qcow2"}
        assert image.os_distro == "debian"
        assert image.os_version == VERSIONS[wanted.suite]


def test_each_instance_was_made_from_its_image(
    member: Connection, environment: Environment, instance: InstanceState
) -> None:
    server = member.compute.get_server(instance.id)
    assert member.image.get_image(server.image.id).name == environment.instance(instance.name).image


def test_the_operating_system(machine: Host, environment: Environment, instance: InstanceState) -> None:
    (image,) = [i for i in environment.images if i.name == environment.instance(instance.name).image]
    release = machine.file("/etc/os-release").content_string
    assert f"VERSION_CODENAME={image.suite}" in release


def test_the_default_user_works_as_root_by_sudo_only(
    machine: Host, environment: Environment, instance: InstanceState
) -> None:
    (image,) = [i for i in environment.images if i.name == environment.instance(instance.name).image]
    user = machine.user(image.user)
    assert user.exists
    assert user.uid != 0
    # a locked password: "!" or "*" in /etc/shadow (shadow(5))
    assert user.password[:1] in {"!", "*"}
    assert machine.user("root").password[:1] in {"!", "*"}


def test_the_language(machine: Host, environment: Environment) -> None:
    language = environment.locale.language
    assert f"LANG={language}" in machine.file("/etc/default/locale").content_string.replace('"', "")
    known = machine.check_output("locale -a").lower().replace("-", "").split()
    assert language.lower().replace("-", "") in known
    if language.startswith("fr_"):
        day = machine.check_output(f"LC_ALL={language} date --date=2024-01-01 +%A")
        assert day == "lundi"


def test_the_keyboard(machine: Host, environment: Environment) -> None:
    keyboard = machine.file("/etc/default/keyboard").content_string.replace('"', "")
    assert f"XKBLAYOUT={environment.locale.keyboard}" in keyboard.splitlines()


def test_the_time_zone(machine: Host, environment: Environment) -> None:
    target = machine.check_output("readlink --canonicalize /etc/localtime")
    assert target == f"/usr/share/zoneinfo/{environment.locale.timezone}"
    if environment.locale.timezone == "Europe/Paris":
        assert machine.check_output("date --date='2024-07-01 12:00 UTC' +%H:%M%Z") == "14:00CEST"


def test_the_disk_has_the_size_that_was_asked_for(
    machine: Host, environment: Environment, instance: InstanceState
) -> None:
    declared = environment.instance(instance.name)
    (flavor,) = [f for f in environment.flavors if f.name == declared.flavor]
    size = int(machine.check_output("df --block-size=1 --output=size /").split()[-1])
    whole = flavor.disk_gib * 1024**3
    # the file system keeps some of its disk for itself (inodes, journal)
    assert 0.88 * whole < size <= whole
