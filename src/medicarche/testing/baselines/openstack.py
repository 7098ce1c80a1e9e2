"""The OpenStack Security Guide's checklists, on the embedded cloud's node: one script there, judged here.

Source: https://docs.openstack.org/security-guide/checklist.html
"""

from __future__ import annotations

import ast
import json
import subprocess
from typing import TYPE_CHECKING, Any, Final

from medicarche.testing.baselines.findings import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from medicarche.embedded.cloud import EmbeddedCloud

__all__ = ["gather", "seen_in"]

#: service → its configuration files, its account
_FILES: Final = {
    "keystone": ("/etc/keystone", "/etc/keystone/keystone.conf"),
    "nova": ("/etc/nova", "/etc/nova/nova.conf"),
    "glance": ("/etc/glance", "/etc/glance/glance-api.conf"),
    "neutron": ("/etc/neutron", "/etc/neutron/neutron.conf"),
    "horizon": ("/etc/openstack-dashboard/local_settings.py",),
}
_TEXTS: Final = (
    *("/etc/keystone/keystone.conf", "/etc/nova/nova.conf", "/etc/glance/glance-api.conf"),
    *("/etc/neutron/neutron.conf", "/etc/openstack-dashboard/local_settings.py"),
)
#: prints modes and, of the texts, only what carries no password
_SCRIPT: Final = """
import grp, json, os, pwd, sys
files, texts = json.loads(sys.argv[1])
def look(path):
    s = os.stat(path)
    return [pwd.getpwuid(s.st_uid).pw_name, grp.getgrgid(s.st_gid).gr_name, s.st_mode & 0o7777]
def clean(path, line):
    if path.endswith(".py"):  # a program: a line that is cut would make it another one
        return "" if "SECRET_KEY" in line else line
    words = ("password", "secret", "://", "_key")
    safe = "http" in line or not any(w in line.lower() for w in words)
    return line if safe else line.split("=")[0] + "= ''"
print(json.dumps({
    "modes": {p: look(p) for p in files if os.path.exists(p)},
    "texts": {
        p: "".join(clean(p, l).rstrip() + chr(10) for l in open(p)) for p in texts if os.path.exists(p)
    },
}))
"""
#: Horizon's own defaults (https://docs.openstack.org/horizon/zed/configuration/settings.html)
_HORIZON: Final = {
    "DISALLOW_IFRAME_EMBED": True,
    "CSRF_COOKIE_SECURE": False,
    "SESSION_COOKIE_SECURE": False,
    "SESSION_COOKIE_HTTPONLY": True,
    "PASSWORD_AUTOCOMPLETE": "off",
    "DISABLE_PASSWORD_REVEAL": False,
    "ENFORCE_PASSWORD_CHECK": True,
    "SECURE_PROXY_SSL_HEADER": None,
}
_LARGEST_REQUEST = 114688


def gather(cloud: EmbeddedCloud) -> dict[str, Any]:
    """Ask the node for the modes and, without passwords, the contents of its services' settings."""
    paths = [path for files in _FILES.values() for path in files]
    command = cloud.command(["python3", "-c", _SCRIPT, json.dumps([paths, list(_TEXTS)])])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr  # noqa: S101 - a test's helper
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def seen_in(facts: Mapping[str, Any]) -> dict[str, Seen]:
    """Return what each automated check saw."""
    settings = {path: _parsed(text) for path, text in facts["texts"].items() if path.endswith(".conf")}
    keystone = settings["/etc/keystone/keystone.conf"]
    nova, glance = settings["/etc/nova/nova.conf"], settings["/etc/glance/glance-api.conf"]
    neutron = settings["/etc/neutron/neutron.conf"]
    largest = int(_value(keystone, "oslo_middleware", "max_request_body_size") or _LARGEST_REQUEST)
    found = {
        "Identity-03": Seen(met=False, words="http://127.0.0.1:5000"),
        "Identity-05": Seen(met=largest <= _LARGEST_REQUEST, words=f"max_request_body_size {largest}"),
        "Identity-06": _unset(_value(keystone, "DEFAULT", "admin_token"), "admin_token"),
        "Identity-07": _is(
            _value(keystone, "DEFAULT", "insecure_debug") or "false", "false", "insecure_debug"
        ),
        "Identity-08": _is(_value(keystone, "token", "provider") or "fernet", "fernet", "provider"),
        "Compute-03": _is(_value(nova, "api", "auth_strategy") or "keystone", "keystone", "auth_strategy"),
        "Compute-04": _https(_value(nova, "keystone_authtoken", "www_authenticate_uri")),
        "Compute-05": _https(_value(nova, "glance", "endpoint_override", "api_servers")),
        "Image-03": _is(_value(glance, "paste_deploy", "flavor"), "keystone", "flavor"),
        "Image-04": _https(_value(glance, "keystone_authtoken", "www_authenticate_uri")),
        "Image-05": _unset(_value(glance, "DEFAULT", "copy_from"), "copy_from (API v1)"),
        "Networking-03": _is(
            _value(neutron, "DEFAULT", "auth_strategy") or "keystone", "keystone", "auth_strategy"
        ),
        "Networking-04": _https(_value(neutron, "keystone_authtoken", "www_authenticate_uri")),
        "Networking-05": _is(_value(neutron, "DEFAULT", "use_ssl") or "false", "true", "use_ssl"),
    }
    for name, service in (
        ("Identity", "keystone"),
        ("Compute", "nova"),
        ("Image", "glance"),
        ("Networking", "neutron"),
    ):
        found |= _modes(facts["modes"], name, service)
    return found | _modes(facts["modes"], "Dashboard", "horizon") | _horizon(facts)


def _horizon(facts: Mapping[str, Any]) -> dict[str, Seen]:
    given = dict(_HORIZON)
    validator = False
    for statement in ast.parse(facts["texts"]["/etc/openstack-dashboard/local_settings.py"]).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name | ast.Subscript):
            name = ast.unparse(statement.targets[0])
            validator = validator or "password_validator" in ast.unparse(statement)
            if name in given:
                given[name] = ast.literal_eval(statement.value)
    expected = (
        ("03", "DISALLOW_IFRAME_EMBED", {True}),
        ("04", "CSRF_COOKIE_SECURE", {True}),
        ("05", "SESSION_COOKIE_SECURE", {True}),
        ("06", "SESSION_COOKIE_HTTPONLY", {True}),
        ("07", "PASSWORD_AUTOCOMPLETE", {"off", False}),
        ("08", "DISABLE_PASSWORD_REVEAL", {True}),
        ("09", "ENFORCE_PASSWORD_CHECK", {True}),
    )
    found = {
        f"Dashboard-{number}": Seen(met=given[name] in good, words=f"{name} = {given[name]}")
        for number, name, good in expected
    }
    found["Dashboard-10"] = Seen(met=validator, words="HORIZON_CONFIG['password_validator']")
    header = given["SECURE_PROXY_SSL_HEADER"]
    found["Dashboard-11"] = Seen(met=header is not None, words=f"SECURE_PROXY_SSL_HEADER = {header}")
    return found


def _modes(modes: Mapping[str, Any], name: str, service: str) -> dict[str, Seen]:
    owners, wide = [], []
    for path in _FILES[service]:
        if path not in modes:
            continue
        owner, group, mode = modes[path]
        folder = not path.endswith((".conf", ".py"))
        if owner not in {"root", service} or group not in {"root", service}:
            owners.append(f"{path} {owner}:{group}")
        if mode & ~(0o750 if folder else 0o640):
            wide.append(f"{path} {mode:o}")
    return {f"{name}-01": _nothing(owners), f"{name}-02": _nothing(wide)}


def _parsed(text: str) -> dict[tuple[str, str], str]:
    """Read oslo.config's form, by lines: the standard library's parser stumbles over Debian's own files."""
    found: dict[tuple[str, str], str] = {}
    section = "DEFAULT"
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip().strip("[]")
        elif "=" in line and not line.startswith(("#", ";", " ", "\t")):
            name, _, value = line.partition("=")
            found[section, name.strip()] = value.strip()
    return found


def _value(settings: Mapping[tuple[str, str], str], section: str, *names: str) -> str:
    return next((settings[section, name] for name in names if (section, name) in settings), "")


def _is(value: str, wanted: str, name: str) -> Seen:
    return Seen(met=value.lower() == wanted, words=f"{name} = {value}")


def _unset(value: str, name: str) -> Seen:
    return Seen(met=not value, words=f"{name}: {'set' if value else '-'}")


def _https(value: str) -> Seen:
    return Seen(met=value.startswith("https://"), words=value or "-")


def _nothing(deviations: Iterable[str]) -> Seen:
    named = list(deviations)
    return Seen(met=not named, words=", ".join(named) or "-")
