"""Security baselines: every check is automated or has its reason, and each one can fail."""

from __future__ import annotations

import copy
import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medicarche.probe import Listening
from medicarche.report import Accepted
from medicarche.testing.baselines import Judge, Seen, State, linux, lynis, openstack, ssh
from medicarche.testing.baselines import collect as collector
from medicarche.testing.baselines.findings import catalogue

MINIMAL = {"R30", "R31", "R53", "R54", "R56", "R58", "R59", "R61", "R62", "R68", "R80"}
INTERMEDIATE = {
    *("R2", "R3", "R5", "R8", "R9", "R11", "R12", "R13", "R14", "R28", "R32", "R33", "R34", "R35", "R39"),
    *("R40", "R42", "R43", "R44", "R50", "R52", "R55", "R63", "R67", "R69", "R70", "R74", "R75", "R79"),
}
PLACES = ("/boot", "/tmp", "/var", "/var/log", "/var/tmp", "/home")  # noqa: S108 - where things are mounted
TO_KEYSTONE = "[keystone_authtoken]\nwww_authenticate_uri = https://x\n"
ACCEPTED = Accepted(
    "bp-028/R28",
    ("website",),
    {"fr": "Motif.", "en": "Reason."},
    {"fr": "Rôle", "en": "Role"},
    dt.date(2027, 6, 30),
)


def test_the_levels_minimal_and_intermediate_are_all_there() -> None:
    listed = catalogue("bp-028")
    assert {name for name, entry in listed.items() if entry["level"] == "minimal"} == MINIMAL
    assert {name for name, entry in listed.items() if entry["level"] == "intermediate"} == INTERMEDIATE


@pytest.mark.parametrize("baseline", ["bp-028", "openstack"])
def test_what_isnt_automated_has_its_reason_in_both_languages(baseline: str) -> None:
    for name, entry in catalogue(baseline).items():
        assert entry["fr"], name
        assert entry["en"], name
        for key in ("by_hand", "container"):
            if key in entry:
                assert set(entry[key]) == {"fr", "en"}, name


# --- verdicts ----------------------------------------------------------------------------------------------


def _judge(language: str = "en", where: str = "website") -> Judge:
    return Judge("bp-028", where, (ACCEPTED,), language)


def test_a_deviation_is_accepted_where_it_is_said_and_nowhere_else() -> None:
    deviation = [("R28", "Partitioning", Seen(met=False, words="/var"))]
    (there,) = _judge("fr").free(deviation)
    (elsewhere,) = _judge(where="odoo").free(deviation)
    assert (there.state, there.words) == (State.ACCEPTED, "Motif. [/var]")
    assert (elsewhere.state, elsewhere.words) == (State.NOT_MET, "/var")
    columns, rows = _judge("fr").table([there, elsewhere])
    assert [row[2] for row in rows] == ["dérogation", "NON RESPECTÉ"]
    assert len(columns) == len(rows[0])


def test_every_check_is_listed_in_a_container_and_in_a_machine() -> None:
    seen = linux.seen_by(_facts(), user="debian", public={("tcp", 22)}, listening=())
    for container, by_hand in ((True, {"R5", "R8", "R9", "R11", "R14"}), (False, set())):
        found = {f.check.partition("/")[2]: f for f in _judge().listed(seen, container=container)}
        assert set(found) == MINIMAL | INTERMEDIATE
        named = {name for name, f in found.items() if f.state is State.NOT_AUTOMATED}
        assert named == {"R2", "R3", "R44", "R63", "R70", "R79"} | by_hand


def test_a_check_without_code_and_reason_is_an_error() -> None:
    with pytest.raises(KeyError):
        _judge().listed({}, container=True)


# --- the operating system ----------------------------------------------------------------------------------


def _facts() -> dict[str, Any]:
    """What a machine says that meets everything."""
    account = {"uid": 0, "shell": "/bin/bash", "password": "locked", "keys": False}
    options = ["nosuid", "nodev", "noexec"]
    return {
        "container": "none",
        "command_line": "l1tf=full page_poison=on pti=on slab_nomerge spectre_v2=on mds=full mce=0",
        "sysctls": {**linux._KERNEL, **linux._FILE_SYSTEMS, **linux._IPV4, "kernel.yama.ptrace_scope": "1"},
        "mounts": dict.fromkeys(PLACES, options),
        "accounts": [
            {**account, "name": "root"},
            {**account, "name": "debian", "uid": 1000, "keys": True},
            {**account, "name": "www-data", "uid": 33, "shell": "/usr/sbin/nologin"},
        ],
        "sshd": {"permitrootlogin": "no"},
        "sudoers": [
            "Defaults noexec, requiretty, use_pty, umask=0077, ignore_dot, env_reset",
            "root ALL=(ALL:ALL) ALL",
            "debian ALL=(backup) /usr/bin/rsync --server",
        ],
        "login_defs": {"ENCRYPT_METHOD": "YESCRYPT"},
        "pam": [],
        "profile": ["TMOUT=600; readonly TMOUT; export TMOUT"],
        "nsswitch": ["passwd: files systemd"],
        "sssd": [],
        "grub": True,
        "modes": {"/etc/shadow": ["root", "shadow", 0o640], "/etc/passwd": ["root", "root", 0o644]},
        "files": {name: [] for name in ("orphans", "unsticky", "writable", "setuid", "sockets")},
        "unpackaged": [],
        "packages": ["sudo", "nginx"],
        "recommends": 'APT::Install-Recommends "false";',
        "insecure": "",
        "origins": ["release v=13,o=Debian,a=stable,n=trixie", "release o=Debian,n=trixie-security"],
        "sources": [],
        "updates": [],
        "services": {"nginx.service": "yes", "ssh.service": "no"},
        "addresses6": [],
    }


SSHD = Listening("tcp", "0.0.0.0", 22, "sshd")  # noqa: S104 - what listens, nothing is bound


def _seen(facts: dict[str, Any], *listening: Listening) -> dict[str, Seen]:
    return linux.seen_by(facts, user="debian", public={("tcp", 22)}, listening=listening)


def test_who_meets_everything_meets_everything() -> None:
    assert {name: s.words for name, s in _seen(_facts(), SSHD).items() if not s.met} == {}


_SECOND = {"name": "old", "uid": 1001, "shell": "/bin/bash", "password": "y", "keys": False}


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({}, True),
        ({"nsswitch": ["passwd: files sss ldap"]}, False),
        ({"sssd": ["ldap_uri = ldap://172.21.0.110", "ldap_tls_reqcert = demand"]}, False),
        ({"sssd": ["ldap_uri = ldaps://172.21.0.110:636", "auth_provider = none"]}, False),
    ],
)
def test_a_directory_that_is_asked_over_verified_tls_is_safe(
    changes: dict[str, list[str]], *, met: bool
) -> None:
    sssd = ["ldap_uri = ldaps://172.21.0.110:636", "ldap_tls_reqcert = demand", "auth_provider = none"]
    facts = _facts() | {"nsswitch": ["passwd: files sss", "shadow: files sss"], "sssd": sssd} | changes
    pipes = [f"/var/lib/sss/pipes/{name}" for name in ("nss", "pam", "ssh")]
    facts["files"] |= {"sockets": pipes}
    seen = _seen(facts, SSHD)
    assert {seen[check].met for check in ("R67", "R69")} == {met}
    assert seen["R52"].met


@pytest.mark.parametrize(
    ("check", "key", "value", "word"),
    [
        ("R5", "grub", False, "GRUB"),
        ("R8", "command_line", "pti=on", "page_poison=on"),
        ("R9", "sysctls", {"kernel.sysrq": "1"}, "kernel.sysrq = 1"),
        ("R11", "sysctls", {"kernel.yama.ptrace_scope": "0"}, "ptrace_scope"),
        ("R12", "sysctls", {"net.ipv4.conf.all.accept_redirects": "1"}, "accept_redirects = 1"),
        ("R13", "sysctls", {"net.ipv6.conf.all.disable_ipv6": "0"}, "disable_ipv6 = 0"),
        (
            "R13",
            "addresses6",
            ["20010db8000000000000000000000001", "02", "40", "00", "80", "eth0"],
            "20010db8",
        ),
        ("R14", "sysctls", {"fs.suid_dumpable": "2"}, "fs.suid_dumpable = 2"),
        ("R28", "mounts", {"/": ["rw"]}, "/boot"),
        ("R30", "accounts", [_SECOND], "old"),
        ("R31", "accounts", [_SECOND], "old"),
        ("R32", "profile", ["TMOUT=0"], "TMOUT"),
        ("R32", "profile", [], "TMOUT"),
        ("R33", "sshd", {"permitrootlogin": "without-password"}, "PermitRootLogin"),
        ("R34", "accounts", [{**_SECOND, "uid": 33}], "old"),
        ("R35", "accounts", [_SECOND, {**_SECOND, "name": "twin"}], "uid 1001"),
        ("R39", "sudoers", ["Defaults env_reset"], "noexec"),
        ("R40", "sudoers", ["debian ALL=(ALL) NOPASSWD:ALL"], "debian"),
        ("R42", "sudoers", ["debian ALL=(backup) ALL, !/bin/sh"], "!/bin/sh"),
        ("R43", "sudoers", ["debian ALL=(backup) ALL"], "debian"),
        ("R50", "modes", {"/etc/shadow": ["root", "shadow", 0o644]}, "/etc/shadow root:shadow 644"),
        ("R50", "modes", {"/etc/sudoers": ["debian", "root", 0o440]}, "/etc/sudoers debian:root"),
        ("R52", "files", {"sockets": ["/var/x"]}, "/var/x"),
        ("R53", "files", {"orphans": ["/srv/x"]}, "/srv/x"),
        ("R54", "files", {"unsticky": ["/srv/x"]}, "/srv/x"),
        ("R54", "files", {"writable": ["/srv/x"]}, "/srv/x"),
        ("R55", "services", {"nginx.service": "no"}, "nginx.service"),
        ("R56", "unpackaged", ["/usr/local/bin/x"], "/usr/local/bin/x"),
        ("R58", "packages", ["gcc"], "gcc"),
        ("R58", "recommends", "", "APT::Install-Recommends"),
        ("R59", "origins", ["release o=Somebody,n=x"], "Somebody"),
        ("R59", "sources", ["deb [trusted=yes] http://x x main"], "trusted"),
        ("R59", "insecure", 'APT::Get::AllowUnauthenticated "true";', "AllowUnauthenticated"),
        ("R61", "updates", ["Inst openssl (3.5 Debian-Security:13/stable-security)"], "openssl"),
        ("R62", "services", {"exim4.service": "no"}, "exim4.service"),
        ("R67", "nsswitch", ["passwd: files ldap"], "ldap"),
        ("R68", "login_defs", {"ENCRYPT_METHOD": "MD5"}, "MD5"),
        ("R68", "accounts", [{**_SECOND, "password": "1"}], "old"),
        ("R69", "nsswitch", ["passwd: files sss"], "sss"),
    ],
)
def test_each_deviation_is_seen_and_named(check: str, key: str, value: Any, word: str) -> None:  # noqa: ANN401 - any fact
    facts = copy.deepcopy(_facts())
    if isinstance(value, dict) and key in {"sysctls", "files"}:
        facts[key] |= value
    elif key == "accounts":
        facts[key] += value
    else:
        facts[key] = value
    seen = _seen(facts, SSHD)[check]
    assert not seen.met
    assert word in seen.words


@pytest.mark.parametrize(("check", "port"), [("R80", 8443), ("R74", 25), ("R75", 25)])
def test_a_service_that_is_open_to_all_and_not_declared_is_seen(check: str, port: int) -> None:
    exposed = Listening("tcp", "0.0.0.0", port, "somebody")  # noqa: S104 - what listens, nothing is bound
    assert f"tcp/{port}" in _seen(_facts(), SSHD, exposed)[check].words


def test_the_collector_runs_by_itself_and_tells_all_that_is_judged(tmp_path: Path) -> None:
    script = Path(collector.__file__).read_bytes()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "file").touch()
    (tmp_path / "open" / "file").chmod(0o666)
    # apt takes seconds to read a large distribution's lists; what it knows isn't judged here
    apt = tmp_path / "apt.conf"
    apt.write_text(f'Dir::State::lists "{tmp_path}"; Dir::Cache {{ pkgcache ""; srcpkgcache ""; }};\n')
    command = [sys.executable, "-", str(tmp_path)]
    alone = {**os.environ, "APT_CONFIG": str(apt)}
    done = subprocess.run(command, input=script, capture_output=True, timeout=300, check=True, env=alone)
    facts = json.loads(done.stdout)
    assert set(facts) == set(_facts())
    assert facts["sysctls"]["kernel.randomize_va_space"] in {"0", "1", "2"}
    assert "root" in {a["name"] for a in facts["accounts"]}
    assert "$" not in json.dumps(facts["accounts"]), "a password's hash"
    assert facts["files"]["unsticky"] == [str(tmp_path / "open")]
    assert facts["files"]["writable"] == [str(tmp_path / "open" / "file")]
    assert set(_seen(facts)) >= MINIMAL


# --- tools -------------------------------------------------------------------------------------------------


def test_what_ssh_audit_warns_of_is_a_deviation() -> None:
    audited = {
        "kex": [{"algorithm": "curve25519-sha256", "notes": {"info": ["default"]}}],
        "mac": [
            {"algorithm": "hmac-sha1", "notes": {"fail": ["using broken SHA-1"], "warn": ["encrypt-and-MAC"]}}
        ],
        "enc": [{"algorithm": "aes128-ctr", "notes": {}}],
        "cves": [],
    }
    found = {name: seen for name, _, seen in ssh.seen_in(audited)}
    assert {name for name, seen in found.items() if seen.met} == {"curve25519-sha256", "aes128-ctr"}
    assert found["hmac-sha1"].words == "using broken SHA-1; encrypt-and-MAC"


def test_a_report_of_lynis_is_read() -> None:
    report = "# Lynis\nhardening_index=71\nwarning[]=FIRE-4512|no rules are loaded|-|-|\nlist=a=b\n"
    parsed = lynis.parse(report)
    assert parsed["list"] == ["a=b"]
    found = {name: seen for name, _, seen in lynis.seen_in(parsed)}
    assert not found["FIRE-4512"].met
    assert found["hardening_index"] == Seen(met=True, words="71")
    # one that ended early says nothing, and that isn't well
    assert not next(seen.met for _, _, seen in lynis.seen_in({}))


NODE: dict[str, Any] = {
    "modes": {
        "/etc/keystone": ["root", "keystone", 0o750],
        "/etc/keystone/keystone.conf": ["root", "keystone", 0o640],
        "/etc/nova/nova.conf": ["root", "nova", 0o640],
    },
    "texts": {
        "/etc/keystone/keystone.conf": "[DEFAULT]\n[token]\nprovider = fernet\n",
        "/etc/nova/nova.conf": f"{TO_KEYSTONE}[glance]\nendpoint_override = https://y\n",
        "/etc/glance/glance-api.conf": f"[paste_deploy]\nflavor = keystone\n{TO_KEYSTONE}",
        "/etc/neutron/neutron.conf": f"[DEFAULT]\nuse_ssl = true\n{TO_KEYSTONE}",
        "/etc/openstack-dashboard/local_settings.py": (
            "CSRF_COOKIE_SECURE = True\nSESSION_COOKIE_SECURE = True\nDISABLE_PASSWORD_REVEAL = True\n"
            "HORIZON_CONFIG['password_validator'] = {'regex': '.{15,}'}\n"
            "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\n"
        ),
    },
}


def test_each_automated_check_of_the_openstack_guide_is_judged() -> None:
    seen = openstack.seen_in(NODE)
    judged = Judge("openstack", "x", (), "en").listed(seen)
    assert {f.check.partition("/")[2] for f in judged} == set(catalogue("openstack"))
    # the embedded cloud speaks plain HTTP on its own loopback, whatever its settings say
    assert [f.check for f in judged if f.state is State.NOT_MET] == ["openstack/Identity-03"]


@pytest.mark.parametrize(
    ("path", "old", "new", "check"),
    [
        (
            "keystone/keystone.conf",
            "[DEFAULT]",
            "[DEFAULT]\nadmin_token = x\ninsecure_debug = true",
            "Identity-06",
        ),
        ("keystone/keystone.conf", "[DEFAULT]", "[DEFAULT]\ninsecure_debug = true", "Identity-07"),
        ("keystone/keystone.conf", "fernet", "uuid", "Identity-08"),
        (
            "keystone/keystone.conf",
            "[token]",
            "[oslo_middleware]\nmax_request_body_size = 999999\n[token]",
            "Identity-05",
        ),
        ("nova/nova.conf", "https://x", "http://x", "Compute-04"),
        ("nova/nova.conf", "https://y", "http://y", "Compute-05"),
        ("nova/nova.conf", "[glance]", "[api]\nauth_strategy = noauth2\n[glance]", "Compute-03"),
        ("glance/glance-api.conf", "flavor = keystone", "flavor = caching", "Image-03"),
        ("glance/glance-api.conf", "https", "http", "Image-04"),
        ("neutron/neutron.conf", "use_ssl = true", "", "Networking-05"),
        ("openstack-dashboard/local_settings.py", "CSRF_COOKIE_SECURE = True", "", "Dashboard-04"),
        ("openstack-dashboard/local_settings.py", "SESSION_COOKIE_SECURE = True", "", "Dashboard-05"),
        (
            "openstack-dashboard/local_settings.py",
            "CSRF",
            "SESSION_COOKIE_HTTPONLY = False\nCSRF",
            "Dashboard-06",
        ),
        ("openstack-dashboard/local_settings.py", "password_validator", "other", "Dashboard-10"),
    ],
)
def test_each_deviation_of_the_cloud_is_seen(path: str, old: str, new: str, check: str) -> None:
    facts = copy.deepcopy(NODE)
    text = facts["texts"][f"/etc/{path}"]
    assert old in text
    facts["texts"][f"/etc/{path}"] = text.replace(old, new)
    assert openstack.seen_in(NODE)[check].met
    assert not openstack.seen_in(facts)[check].met


def test_owners_and_modes_of_the_clouds_files_are_seen() -> None:
    facts = copy.deepcopy(NODE)
    facts["modes"]["/etc/nova/nova.conf"] = ["root", "nova", 0o644]
    facts["modes"]["/etc/keystone/keystone.conf"] = ["nova", "keystone", 0o640]
    seen = openstack.seen_in(facts)
    assert "nova.conf 644" in seen["Compute-02"].words
    assert "keystone.conf nova:keystone" in seen["Identity-01"].words
    assert seen["Identity-02"].met
