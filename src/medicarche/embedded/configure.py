"""The configuration layer: what makes the node out of Debian's packages, rendered for one cloud.

It is a folder of files that is mounted over the cached layers and under the cloud's own data. It is rendered
anew at each start, so that a newer Medicarche configures an older cloud.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2

from medicarche.embedded import recipe
from medicarche.embedded.dashboard_domains import DOMAINS
from medicarche.embedded.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from medicarche.embedded.cloud_secrets import Secrets

__all__ = [
    "EXTERNAL_BRIDGE",
    "HOST",
    "MEMBER",
    "PROJECT",
    "REGION",
    "File",
    "Settings",
    "render",
    "write_layer",
]

TEMPLATES: Final = Path(__file__).parent / "templates"
REGION: Final = "RegionOne"
#: The company's project and the user that is a member of it.
PROJECT: Final = "medicarche"
MEMBER: Final = "medicarche"
#: The node's host name, by which Nova and Neutron know it.
HOST: Final = "node"
EXTERNAL_BRIDGE: Final = "br-ext"
#: What Neutron calls the network behind that bridge.
EXTERNAL_NETWORK: Final = "external"
LOOP_DEVICES: Final = 64
IDENTITY_URL: Final = "http://127.0.0.1:5000/v3"
_CATALOG: Final = {
    "glance": ("image", "http://127.0.0.1:9292"),
    "placement": ("placement", "http://127.0.0.1:8778"),
    "nova": ("compute", "http://127.0.0.1:8774/v2.1"),
    "neutron": ("network", "http://127.0.0.1:9696"),
}
_PUBLIC: Final = 0o644
_OF_SERVICE: Final = 0o640
_PROGRAM: Final = 0o755


@dataclass(frozen=True, slots=True)
class Settings:
    """What the templates are filled in with.

    Attributes:
        secrets: the cloud's own.
        hypervisor: ``lxc`` or ``kvm``.
        unified: whether the host has control groups version 2 only.
        external_gateway: the address on the external bridge, with its prefix length.
    """

    secrets: Secrets
    hypervisor: recipe.Hypervisor
    unified: bool
    external_gateway: str


@dataclass(frozen=True, slots=True)
class File:
    """A file of the layer: its path from the root without a slash before it, and who may read it."""

    path: str
    text: str
    mode: int = _PUBLIC
    owner: str = "root"
    group: str = "root"
    link: bool = False


def render(settings: Settings) -> tuple[File, ...]:
    """Return all files of the layer.

    Raises:
        jinja2.TemplateError: a template names something that it isn't given.
    """
    environment = _environment()
    context = {
        "secrets": settings.secrets,
        "hypervisor": settings.hypervisor,
        "unified": settings.unified,
        "external_gateway": str(ipaddress.IPv4Interface(settings.external_gateway)),
        "external_bridge": EXTERNAL_BRIDGE,
        "external_network": EXTERNAL_NETWORK,
        "region": REGION,
        "host": HOST,
        "databases": recipe.DATABASES,
        "loop_devices": LOOP_DEVICES,
        "dashboard_domains": DOMAINS,
        "identity": _identity(settings.secrets),
    }
    return (
        *_plain(environment, context),
        *_services(environment),
        *_keys(settings.secrets),
        *(File(f"etc/systemd/system/{unit}", "/dev/null", link=True) for unit in recipe.MASKED_UNITS),
        *_enabled(),
        File("var/log/journal/.medicarche", ""),
        # without one, each start would be systemd's first, with a journal of its own
        File(
            "etc/machine-id",
            hashlib.sha256(settings.secrets.erlang_cookie.encode()).hexdigest()[:32] + "\n",
        ),
    )


def render_schema_script() -> str:
    """Return the script that makes the empty databases in the cached layer."""
    return _environment().get_template("schema.sh.j2").render(databases=recipe.DATABASES, host=HOST)


def write_layer(files: Sequence[File], target: Path, below: Sequence[Path]) -> None:
    """Write the layer's files, with the owners that the node's own accounts give them.

    Folders get the owner and mode that they have in the layers below: overlayfs shows those of its topmost
    layer.

    Args:
        files: what to write.
        target: the layer's folder; what it held before is removed.
        below: the layers that it will be mounted over, topmost first.
    """
    users = _accounts(below, "passwd")
    groups = _accounts(below, "group")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, mode=0o755)
    for file in files:
        path = target / file.path
        _make_folders(Path(file.path).parent, target, below)
        if file.link:
            path.symlink_to(file.text)
            continue
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchown(descriptor, users[file.owner], groups[file.group])
            os.fchmod(descriptor, file.mode)
            stream.write(file.text)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - configuration files, not HTML; the values are ours
        keep_trailing_newline=True,
    )


def _plain(environment: jinja2.Environment, context: Mapping[str, object]) -> Iterator[File]:
    for name in sorted(environment.list_templates()):
        if name.startswith("node/") and name.endswith(".j2"):
            path = name.removeprefix("node/").removesuffix(".j2")
            mode, group = _access(path)
            yield File(path, environment.get_template(name).render(context), mode=mode, group=group)


def _access(path: str) -> tuple[int, str]:
    """Who may read a file: a service its own configuration, only root what holds the database's password."""
    parts = path.split("/")
    if path.startswith("usr/local/sbin/") or path == "usr/lib/libvirt/libvirt_lxc":
        return _PROGRAM, "root"
    if path == "etc/medicarche/database.sql":
        return 0o600, "root"
    if path == "etc/medicarche/identity.json":
        return _OF_SERVICE, "keystone"
    if path == "etc/openstack-dashboard/local_settings.py":
        return _OF_SERVICE, "horizon"
    if parts[0] == "etc" and parts[1] in {"keystone", "glance", "placement", "nova", "neutron", "rabbitmq"}:
        return _OF_SERVICE, parts[1]
    return _PUBLIC, "root"


def _services(environment: jinja2.Environment) -> Iterator[File]:
    unit = environment.get_template("unit.service.j2")
    uwsgi = environment.get_template("uwsgi.ini.j2")
    for service in SERVICES:
        yield File(f"etc/systemd/system/{service.name}.service", unit.render(service=service))
        if service.wsgi_file:
            yield File(f"etc/medicarche/uwsgi/{service.name}.ini", uwsgi.render(service=service))


def _keys(secrets: Secrets) -> Iterator[File]:
    # Keystone's key repositories: 0 is the staged key, the highest number the primary one
    for folder, keys in (("fernet-keys", secrets.token_keys), ("credential-keys", secrets.credential_keys)):
        for number, key in enumerate(keys):
            yield File(f"etc/keystone/{folder}/{number}", key, mode=0o600, owner="keystone", group="keystone")
    yield File(
        "var/lib/rabbitmq/.erlang.cookie",
        secrets.erlang_cookie,
        mode=0o400,
        owner="rabbitmq",
        group="rabbitmq",
    )


def _enabled() -> Iterator[File]:
    wanted = "etc/systemd/system/multi-user.target.wants"
    for name in ("medicarche-database", "medicarche-identity", *(service.name for service in SERVICES)):
        yield File(f"{wanted}/{name}.service", f"/etc/systemd/system/{name}.service", link=True)
    yield File(
        "etc/systemd/system/sysinit.target.wants/medicarche-node.service",
        "/etc/systemd/system/medicarche-node.service",
        link=True,
    )


def _identity(secrets: Secrets) -> dict[str, object]:
    return {
        "admin_password": secrets.admin,
        "region": REGION,
        "identity_url": IDENTITY_URL,
        "services": {name: getattr(secrets, name) for name in _CATALOG},
        "member": {"user": MEMBER, "password": secrets.member, "project": PROJECT},
        "application_credentials": [
            {
                "id": secrets.application_credential_id,
                "name": "medicarche",
                "secret": secrets.application_credential_secret,
                "description": "Medicarche acts with it as a member of the company's project",
                "roles": ["member", "reader"],
            },
            {
                "id": secrets.reader_credential_id,
                "name": "medicarche-supervision",
                "secret": secrets.reader_credential_secret,
                "description": "The supervision looks at the company's project with it",
                "roles": ["reader"],
            },
        ],
        "catalog": _CATALOG,
    }


def _accounts(below: Sequence[Path], database: str) -> dict[str, int]:
    """Return name → number of the node's users or groups."""
    path = next(p for layer in below if (p := layer / "etc" / database).is_file())
    lines = path.read_text(encoding="utf-8").splitlines()
    return {fields[0]: int(fields[2]) for line in lines if len(fields := line.split(":")) > 3}  # noqa: PLR2004 - passwd(5), group(5)


def _make_folders(folder: Path, target: Path, below: Sequence[Path]) -> None:
    made = target
    for part in folder.parts:
        made /= part
        if made.exists():
            continue
        made.mkdir(mode=0o755)
        original = next((o for layer in below if (o := layer / made.relative_to(target)).is_dir()), None)
        if original is not None:
            status = original.stat()
            os.chown(made, status.st_uid, status.st_gid)
            made.chmod(status.st_mode & 0o7777)
