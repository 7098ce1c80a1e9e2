"""Making a cloud's parts: the cached layers, and in its folder the secrets, credentials and configuration."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML

from medicarche.embedded import cloud_secrets, configure, recipe, rootfs
from medicarche.embedded.cgroups import is_unified
from medicarche.errors import MachineError
from medicarche.private_files import write_private
from medicarche.process import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from medicarche.progress import Reporter

__all__ = [
    "ADMIN_CLOUD",
    "MEMBER_CLOUD",
    "READER_CLOUD",
    "ensure_layers",
    "layers",
    "prepare",
    "seed_databases",
    "write_clouds_yaml",
]

#: The entries of the cloud's clouds.yaml: the company's user, the cloud's admin, and who only looks.
MEMBER_CLOUD: Final = "medicarche"
ADMIN_CLOUD: Final = "medicarche-admin"
READER_CLOUD: Final = "medicarche-reader"
_DATABASES: Final = "var/lib/mysql"


def layers(cache: Path, hypervisor: recipe.Hypervisor) -> tuple[rootfs.Layer, rootfs.Layer]:
    """Return the layers of packages and of databases, built or not."""
    folder = cache / "node"
    packages = rootfs.Layer(folder, "packages", recipe.packages_hash(hypervisor))
    script = configure.render_schema_script()
    return packages, rootfs.Layer(folder, "schema", recipe.digest([packages.name, script]))


def ensure_layers(
    packages: rootfs.Layer,
    schema: rootfs.Layer,
    *,
    hypervisor: recipe.Hypervisor,
    sources: Sequence[str],
    log: Path,
    reporter: Reporter,
) -> None:
    """Build the layers that aren't in the cache.

    Raises:
        CommandError: a program failed; with the last lines of its log.
    """
    if not packages.is_complete():
        with reporter.stage("Installing OpenStack's packages (once)") as stage:
            rootfs.ensure_layer(
                packages,
                lambda tree: rootfs.install_packages(
                    tree, hypervisor=hypervisor, sources=sources, log=log, stage=stage
                ),
            )
    if not schema.is_complete():
        script = configure.render_schema_script()
        with reporter.stage("Making OpenStack's databases (once)") as stage:
            rootfs.ensure_layer(
                schema,
                lambda tree: rootfs.make_schema(
                    tree, packages=packages.tree, script=script, log=log, stage=stage
                ),
            )


def prepare(
    name: str,
    folder: Path,
    config: Path,
    below: Sequence[rootfs.Layer],
    *,
    hypervisor: recipe.Hypervisor,
    external_gateway: str,
) -> None:
    """Make or renew what lies in the cloud's folder; its secrets and data stay.

    Args:
        name: the cloud's, for the message.
        folder: the cloud's.
        config: the layer of configuration, in it.
        below: the cached layers, topmost first.
        hypervisor: ``lxc`` or ``kvm``.
        external_gateway: the node's address on the external network, with its prefix length.

    Raises:
        MachineError: the cloud's data was made over other layers.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    made_of = folder / "layers"
    if (folder / "complete").exists() and made_of.read_text(encoding="utf-8") != below[0].name:
        raise MachineError(
            f"the embedded cloud {name} was made from other packages than those of this Medicarche",
            hint="remove it and make it anew: medicarche cloud purge, then cloud up",
        )
    made_of.write_text(below[0].name, encoding="utf-8")
    (folder / "hypervisor").write_text(hypervisor, encoding="utf-8")
    secrets = cloud_secrets.load_or_generate(folder / "secrets.json")
    write_clouds_yaml(folder / "clouds.yaml", secrets)
    settings = configure.Settings(
        secrets=secrets, hypervisor=hypervisor, unified=is_unified(), external_gateway=external_gateway
    )
    configure.write_layer(configure.render(settings), config, [layer.tree for layer in below])


def seed_databases(below: Sequence[rootfs.Layer], data: Path) -> None:
    """Give a new cloud databases of its own: only these change, and the cache may be emptied at any time.

    A layer that is built again holds other tables' numbers, over which a cloud's own tables wouldn't be read.

    Args:
        below: the cached layers, topmost first.
        data: the cloud's own files; where it has databases already, nothing is done.

    Raises:
        CommandError: they can't be copied.
    """
    target = data / _DATABASES
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    for layer in below:  # what is there already is from a layer above
        source = layer.tree / _DATABASES
        run(["cp", "--archive", "--no-clobber", "--reflink=auto", "--no-target-directory", source, target])
    for path in list(target.rglob("*")):
        if path.is_char_device():  # a whiteout: what it hid below wasn't copied
            path.unlink()
    # nothing of the layers is seen there: Documentation/filesystems/overlayfs.rst, "opaque directories"
    os.setxattr(target, "trusted.overlay.opaque", b"y")


def write_clouds_yaml(path: Path, secrets: cloud_secrets.Secrets) -> None:
    """Write the cloud's credentials in openstacksdk's format, readable by their owner only."""
    common = {"region_name": configure.REGION, "identity_api_version": 3}

    def credential(identifier: str, secret: str) -> dict[str, Any]:
        auth = {
            "auth_url": configure.IDENTITY_URL,
            "application_credential_id": identifier,
            "application_credential_secret": secret,
        }
        return {"auth_type": "v3applicationcredential", "auth": auth, **common}

    content = {
        "clouds": {
            MEMBER_CLOUD: credential(
                secrets.application_credential_id, secrets.application_credential_secret
            ),
            READER_CLOUD: credential(secrets.reader_credential_id, secrets.reader_credential_secret),
            ADMIN_CLOUD: {
                "auth": {
                    "auth_url": configure.IDENTITY_URL,
                    "username": "admin",
                    "password": secrets.admin,
                    "project_name": "admin",
                    "user_domain_name": "Default",
                    "project_domain_name": "Default",
                },
                **common,
            },
        }
    }
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(content, stream)
    write_private(path, stream.getvalue().encode())
