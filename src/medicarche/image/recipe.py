"""What an image consists of, as data: packages, files, settings, and the hash of it all. Nothing is run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import jinja2

from medicarche.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from medicarche.spec.environment import ImageSpec, Locale

__all__ = [
    "LABEL",
    "Rendered",
    "customize_script",
    "disk_format",
    "files",
    "masked_units",
    "mmdebstrap_options",
    "packages",
    "properties",
    "recipe_hash",
]

#: the root file system's label
LABEL = "medicarche-root"
#: to be raised when an image changes by something that isn't data of this module or a file beside it
_VERSION = 1

_COMMON = (
    *("systemd", "systemd-sysv", "systemd-resolved", "dbus", "udev", "cloud-init", "openssh-server", "sudo"),
    *("iproute2", "iputils-ping", "netbase", "ca-certificates", "curl", "python3", "locales", "tzdata"),
    *("procps", "less", "vim-tiny"),
)
_BY_HYPERVISOR = {
    "lxc": (),
    "kvm": (
        *("linux-image-cloud-amd64", "initramfs-tools", "grub-pc-bin", "grub-common", "systemd-timesyncd"),
        *("cloud-guest-utils", "e2fsprogs", "console-setup", "keyboard-configuration", "kbd"),
        *("qemu-guest-agent", "kmod"),
    ),
}
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer")
#: what would change the host's kernel, or has no device to work on in a container
_MASKED_BY_HYPERVISOR = {
    "lxc": (
        *("systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket"),
        *("systemd-udev-trigger.service", "systemd-udev-settle.service", "systemd-sysctl.service"),
        *("systemd-modules-load.service", "systemd-binfmt.service", "e2scrub_reap.service"),
        *("console-getty.service", "getty@.service", "fstrim.timer"),
        # they show the host's kernel, and one of several instances that start at once may fail to mount them
        *("sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
        # likewise; in /run, a tmpfs already, tmpfiles.d/debian.conf makes this folder as it should be
        "run-lock.mount",
    ),
    "kvm": (),
}
_DISK_FORMATS = {"lxc": "raw", "kvm": "qcow2"}
# Debian's release numbers: https://www.debian.org/releases/
_VERSIONS = {"bookworm": "12", "trixie": "13", "forky": "14", "sid": "unstable"}
_EXECUTABLE = ("usr/sbin/", "usr/bin/")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file of the image: its path from the root, its text, whether it is a program."""

    path: str
    text: str

    @property
    def mode(self) -> int:
        """Its permissions."""
        return 0o755 if self.path.startswith(_EXECUTABLE) else 0o644


def disk_format(hypervisor: str) -> str:
    """Return Glance's name of the format: ``raw`` for ``lxc``, ``qcow2`` for ``kvm``.

    Raises:
        MachineError: no image can be built for that hypervisor.
    """
    try:
        return _DISK_FORMATS[hypervisor]
    except KeyError:
        raise MachineError(
            f"no image can be built for hypervisor {hypervisor}", hint=f"known: {', '.join(_DISK_FORMATS)}"
        ) from None


def properties(image: ImageSpec, hypervisor: str) -> tuple[tuple[str, str], ...]:
    """Return the image's properties for Glance, sorted by key.

    Source: https://docs.openstack.org/glance/latest/admin/useful-image-properties.html
    """
    found = {
        "architecture": "x86_64",
        "hw_rng_model": "virtio",
        "os_admin_user": image.user,
        "os_distro": "debian",
        "os_type": "linux",
        "os_version": _VERSIONS.get(image.suite, image.suite),
    }
    if hypervisor == "lxc":
        # a container takes no device model
        del found["hw_rng_model"]
        found["hypervisor_type"] = "lxc"
    else:
        found["hw_disk_bus"] = "virtio"
        found["hw_vif_model"] = "virtio"
    return tuple(sorted(found.items()))


def packages(image: ImageSpec, hypervisor: str) -> tuple[str, ...]:
    """Return the names of the packages to install, sorted; apt adds what they depend on."""
    disk_format(hypervisor)
    return tuple(sorted({*_COMMON, *_BY_HYPERVISOR[hypervisor], *image.packages}))


def masked_units(hypervisor: str) -> tuple[str, ...]:
    """Return the systemd units that never run in an instance."""
    return (*_MASKED, *_MASKED_BY_HYPERVISOR[hypervisor])


def mmdebstrap_options(image: ImageSpec, locale: Locale, hypervisor: str) -> tuple[str, ...]:
    """Return mmdebstrap's options, but for folders and mirrors."""
    language = locale.language.partition("_")[0]
    return (
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::Retries "3"',
        # at build time only: what is installed later has its documentation
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        f"--dpkgopt=path-include=/usr/share/locale/{language}/*",
        "--dpkgopt=path-include=/usr/share/locale/locale.alias",
        f"--include={','.join(packages(image, hypervisor))}",
    )


def files(image: ImageSpec, locale: Locale, hypervisor: str) -> tuple[Rendered, ...]:
    """Return the image's own files, rendered, sorted by path."""
    disk_format(hypervisor)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
    values = {
        "user": image.user,
        "language": locale.language,
        "keyboard": locale.keyboard,
        "timezone": locale.timezone,
        "label": LABEL,
    }
    found = []
    for folder in ("common", hypervisor):
        for path, source in _walk(resources.files("medicarche.image").joinpath("files", folder), ""):
            text = source.read_text(encoding="utf-8")
            if path.endswith(".j2"):
                text = environment.from_string(text).render(values)
            found.append(Rendered(path.removesuffix(".j2"), text))
    return tuple(sorted(found, key=lambda file: file.path))


def customize_script() -> str:
    """Return the script that mmdebstrap runs in the new root file system at its end."""
    return resources.files("medicarche.image").joinpath("customize.sh").read_text(encoding="utf-8")


def recipe_hash(image: ImageSpec, locale: Locale, hypervisor: str) -> str:
    """Return the key of an image: the hash of everything that decides about its content.

    Neither its name, its visibility nor the mirrors do; packages' versions don't either, so that an image is
    rebuilt when its recipe changes and not at each update of a package.

    Returns:
        16 hexadecimal digits.
    """
    content = {
        "version": _VERSION,
        "hypervisor": hypervisor,
        "format": disk_format(hypervisor),
        "suite": image.suite,
        "size": image.disk_mib,
        "label": LABEL,
        "locale": [locale.language, locale.keyboard, locale.timezone],
        "options": mmdebstrap_options(image, locale, hypervisor),
        "masked": masked_units(hypervisor),
        "customize": customize_script(),
        "files": [[file.path, file.text, file.mode] for file in files(image, locale, hypervisor)],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        else:
            yield path, entry
