"""The configuration layer: every file is well-formed, and no secret is readable by all."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import json
import os
import pwd
import stat
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest
from ruamel.yaml import YAML

from medicarche.embedded import build, cloud_secrets, configure, recipe
from medicarche.embedded.authorities import BUNDLE
from medicarche.embedded.dashboard_domains import DOMAINS
from medicarche.embedded.services import SERVICES

if TYPE_CHECKING:
    from pathlib import Path

HYPERVISORS = get_args(recipe.Hypervisor)


def settings(hypervisor: recipe.Hypervisor = "lxc", *, unified: bool = False) -> configure.Settings:
    return configure.Settings(
        secrets=cloud_secrets.Secrets.generate(),
        hypervisor=hypervisor,
        unified=unified,
        external_gateway="10.20.20.1/24",
    )


def rendered(given: configure.Settings) -> dict[str, configure.File]:
    files = configure.render(given)
    found = {file.path: file for file in files}
    assert len(found) == len(files), "a file is rendered twice"
    return found


@pytest.mark.parametrize("hypervisor", HYPERVISORS)
@pytest.mark.parametrize("unified", [False, True])
def test_every_file_is_well_formed(hypervisor: recipe.Hypervisor, unified: bool) -> None:  # noqa: FBT001 - parametrized
    for file in rendered(settings(hypervisor, unified=unified)).values():
        name = file.path.rsplit("/", 1)[-1]
        if file.link:
            continue
        assert "{{" not in file.text
        assert "{%" not in file.text
        if file.text.startswith("#!/bin/bash"):
            subprocess.run(["bash", "-n"], input=file.text, text=True, check=True)
        elif name.endswith(".py"):
            ast.parse(file.text)
        elif name.endswith(".json"):
            json.loads(file.text)
        elif name.endswith(".yaml"):
            assert YAML(typ="safe", pure=True).load(file.text)
        elif file.path.startswith("etc/systemd/"):
            configparser.RawConfigParser(strict=False, allow_no_value=True).read_string(file.text)
        elif name.endswith((".ini", ".cnf")) or file.path.split("/")[1] in {
            "nova",
            "neutron",
            "glance",
            "placement",
        }:
            # strict: no section and no key twice
            configparser.RawConfigParser(allow_no_value=True).read_string(file.text)


def test_the_schema_script_is_well_formed_and_knows_no_password() -> None:
    script = configure.render_schema_script()
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert all(f"`{name}`" in script for name in recipe.DATABASES)


def test_hypervisor_chooses_the_driver() -> None:
    for hypervisor in HYPERVISORS:
        nova = configparser.RawConfigParser()
        nova.read_string(rendered(settings(hypervisor))["etc/nova/nova.conf"].text)
        assert nova["libvirt"]["virt_type"] == hypervisor
    assert "mknod -m 666 /dev/kvm" in rendered(settings("kvm"))["usr/local/sbin/medicarche-node"].text


def test_no_process_of_keystone_remembers_rights_that_another_has_taken_away() -> None:
    """The cache is one for all of them; one of each process its own would."""
    keystone = configparser.RawConfigParser()
    keystone.read_string(rendered(settings())["etc/keystone/keystone.conf"].text)
    assert keystone["cache"]["backend"] == "oslo_cache.memcache_pool"
    assert keystone["cache"]["memcache_servers"] == "127.0.0.1:11211"
    assert "memcached" in recipe.packages("lxc")
    assert "memcached.service" not in recipe.MASKED_UNITS


def test_who_has_left_a_directory_is_believed_for_less_than_a_minute() -> None:
    files = rendered(settings())
    keystone = configparser.ConfigParser(interpolation=None, strict=False)
    keystone.read_string(files["etc/keystone/keystone.conf"].text)
    assert keystone["identity"]["domain_specific_drivers_enabled"] == "true"
    assert keystone["identity"]["domain_configurations_from_database"] == "true"
    kept = max(int(keystone[section]["cache_time"]) for section in ("identity", "token", "role"))
    for name in (
        "nova/nova.conf",
        "neutron/neutron.conf",
        "glance/glance-api.conf",
        "placement/placement.conf",
    ):
        service = configparser.ConfigParser(interpolation=None, strict=False)
        service.read_string(files[f"etc/{name}"].text)
        assert kept + int(service["keystone_authtoken"]["token_cache_time"]) < 60, name


def test_nobody_of_a_directory_leaves_a_way_in_behind() -> None:
    text = rendered(settings())["etc/keystone/policy.d/50-medicarche.yaml"].text
    rules = YAML(typ="safe").load(text)
    assert set(rules) == {
        "identity:create_application_credential",
        "identity:create_trust",
        "identity:ec2_create_credential",
        "identity:create_credential",
    }
    assert all(rule.startswith("user_domain_id:default and ") for rule in rules.values())
    assert not [rule for rule in rules.values() if " or " in rule.partition("(")[0]]


def test_keystone_begins_anew_when_it_is_to_believe_another_authority() -> None:
    files = rendered(settings())
    assert f"touch-reload = {BUNDLE}\n" in files["etc/medicarche/uwsgi/keystone.ini"].text
    assert "touch-reload" not in files["etc/medicarche/uwsgi/nova-api.ini"].text


def test_horizon_begins_anew_when_its_log_in_page_is_to_offer_another_domain() -> None:
    files = rendered(settings())
    assert f"touch-reload = {DOMAINS}\n" in files["etc/medicarche/uwsgi/horizon.ini"].text
    assert DOMAINS in files["etc/openstack-dashboard/local_settings.py"].text


def test_a_directory_that_hangs_holds_few_of_keystones_processes_and_not_for_ever() -> None:
    """Whether it does is the acceptance test's; here is what it depends on."""
    files = rendered(settings())
    uwsgi = files["etc/medicarche/uwsgi/keystone.ini"].text
    assert "processes = 6\nthreads = 1\n" in uwsgi
    assert "lazy-apps" not in uwsgi, "six processes would take three times the memory"
    program = "usr/local/lib/medicarche/keystone-wsgi-public"
    assert f"wsgi-file = /{program}\n" in uwsgi
    calls = [ast.unparse(node) for node in ast.parse(files[program].text).body]
    first = calls.index("application = initialize_public_application()")
    assert "ldap.set_option(ldap.OPT_CONNECT_ASYNC, ldap.OPT_ON)" in calls[:first]
    assert "log._fix_eventlet_logging = lambda: None" in calls[:first], "copies would share a lock"
    assert "lazy-apps = true\n" in files["etc/medicarche/uwsgi/nova-api.ini"].text


def test_only_version_1_hosts_get_a_group_for_each_container() -> None:
    assert "cgroup.procs" in rendered(settings(unified=False))["usr/lib/libvirt/libvirt_lxc"].text
    assert "cgroup.procs" not in rendered(settings(unified=True))["usr/lib/libvirt/libvirt_lxc"].text


def test_no_secret_in_a_file_that_all_may_read() -> None:
    given = settings()
    words = []
    for field in dataclasses.asdict(given.secrets).values():
        words += [field] if isinstance(field, str) else list(field)
    for file in rendered(given).values():
        if any(word in file.text for word in words):
            assert file.mode & stat.S_IROTH == 0, file.path
            assert "/systemd/" not in file.path, "units are shown to everybody"


def test_no_service_listens_beyond_the_loopback() -> None:
    files = rendered(settings())
    for service in SERVICES:
        if service.wsgi_file:
            assert (
                f"http-socket = 127.0.0.1:{service.port}\n"
                in files[f"etc/medicarche/uwsgi/{service.name}.ini"].text
            )
    assert "bind_host = 127.0.0.1" in files["etc/glance/glance-api.conf"].text


def test_two_clouds_share_no_secret() -> None:
    one, two = (dataclasses.asdict(cloud_secrets.Secrets.generate()) for _ in range(2))
    assert not {str(v) for v in one.values()} & {str(v) for v in two.values()}
    assert len({str(v) for v in one.values()}) == len(one)


def test_the_layer_takes_owners_and_folders_from_below(tmp_path: Path) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    below = tmp_path / "below"
    (below / "etc/nova").mkdir(parents=True)
    (below / "etc/nova").chmod(0o750)
    (below / "etc/passwd").write_text(f"{me}:x:{os.getuid()}:{os.getgid()}::/:/bin/sh\n")
    (below / "etc/group").write_text(f"{me}:x:{os.getgid()}:\n")
    (tmp_path / "layer/etc/stale").mkdir(parents=True)
    files = [
        configure.File("etc/nova/nova.conf", "x", mode=0o640, owner=me, group=me),
        configure.File("etc/unit", "/dev/null", owner=me, group=me, link=True),
    ]
    configure.write_layer(files, tmp_path / "layer", [tmp_path / "none", below])
    written = tmp_path / "layer/etc/nova/nova.conf"
    assert stat.S_IMODE(written.stat().st_mode) == 0o640
    assert stat.S_IMODE(written.parent.stat().st_mode) == 0o750
    assert (tmp_path / "layer/etc/unit").readlink().as_posix() == "/dev/null"
    assert not (tmp_path / "layer/etc/stale").exists()


def test_credentials_are_their_owners_only(tmp_path: Path) -> None:
    secrets = cloud_secrets.load_or_generate(tmp_path / "secrets.json")
    assert cloud_secrets.load_or_generate(tmp_path / "secrets.json") == secrets
    build.write_clouds_yaml(tmp_path / "clouds.yaml", secrets)
    for name in ("secrets.json", "clouds.yaml"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    text = (tmp_path / "clouds.yaml").read_text()
    assert "auth_type: v3applicationcredential" in text
    assert secrets.application_credential_secret in text


def test_the_cache_key_follows_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    first = recipe.packages_hash("lxc")
    assert first == recipe.packages_hash("lxc")
    assert first != recipe.packages_hash("kvm")
    monkeypatch.setattr(recipe, "_COMMON", (*recipe._COMMON, "another"))
    assert recipe.packages_hash("lxc") != first


def test_containers_need_no_virtual_machines_packages() -> None:
    assert "qemu-system-x86" not in recipe.packages("lxc")
    assert "qemu-system-x86" in recipe.packages("kvm")
    assert "virtlockd.socket" not in recipe.MASKED_UNITS


def test_a_cloud_that_was_made_without_a_secret_gets_it_and_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = cloud_secrets.load_or_generate(path)
    kept = json.loads(path.read_text(encoding="utf-8"))
    for name in ("reader_credential_id", "reader_credential_secret"):
        del kept[name]
    path.write_text(json.dumps(kept), encoding="utf-8")
    # one that runs is looked at meanwhile
    assert cloud_secrets.load(path).member == made.member
    assert "" not in cloud_secrets.values(path)
    after = cloud_secrets.load_or_generate(path)
    assert after.reader_credential_secret != made.reader_credential_secret
    assert replace(
        after,
        reader_credential_id=made.reader_credential_id,
        reader_credential_secret=made.reader_credential_secret,
    ) == made  # fmt: skip
    assert cloud_secrets.load(path) == after
    assert after.reader_credential_secret in cloud_secrets.values(path)
    assert after.reader_credential_id not in cloud_secrets.values(path)


def test_who_looks_is_a_reader_and_nothing_else() -> None:
    secrets = cloud_secrets.Secrets.generate()
    found = configure._identity(secrets)["application_credentials"]
    assert isinstance(found, list)
    member, reader = found
    assert member["roles"] == ["member", "reader"]
    assert (reader["id"], reader["roles"]) == (secrets.reader_credential_id, ["reader"])
