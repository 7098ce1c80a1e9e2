"""What the node's root file system is made of, and the hashes under which its layers are cached."""

from __future__ import annotations

import hashlib
import json
from typing import Final, Literal

__all__ = [
    "DATABASES",
    "MASKED_UNITS",
    "SUITE",
    "Hypervisor",
    "customize_script",
    "packages",
    "packages_hash",
]

Hypervisor = Literal["lxc", "kvm"]

#: The newest Debian whose Neutron (20, Zed) still has the Linux bridge driver; later ones have Open vSwitch
#: and OVN only, which need a kernel module that isn't everywhere.
SUITE: Final = "bookworm"

_COMMON: Final = (
    # the system
    *("systemd", "systemd-sysv", "dbus", "kmod", "procps", "iproute2", "iputils-ping", "iputils-arping"),
    *("netbase", "ca-certificates", "curl", "sudo", "psmisc"),
    # what OpenStack stands on
    *("mariadb-server", "rabbitmq-server", "memcached"),
    *("python3-pymysql", "python3-openstackclient"),
    # OpenStack
    *("keystone", "glance-api", "placement-api", "openstack-dashboard"),
    *("nova-api", "nova-conductor", "nova-scheduler", "nova-compute"),
    *("neutron-api", "neutron-rpc-server", "neutron-linuxbridge-agent", "neutron-l3-agent"),
    *("neutron-dhcp-agent", "neutron-metadata-agent"),
    *("uwsgi-core", "uwsgi-plugin-python3"),
    # what the agents call
    *("libvirt-daemon", "libvirt-daemon-system", "libvirt-clients", "qemu-utils"),
    *("iptables", "ebtables", "ipset", "conntrack", "dnsmasq-base", "haproxy", "bridge-utils", "dmidecode"),
    # the caching package proxy, started from here but outside of the node
    "apt-cacher-ng",
)
_OF_HYPERVISOR: Final[dict[Hypervisor, tuple[str, ...]]] = {
    "lxc": ("nova-compute-lxc", "libvirt-daemon-driver-lxc"),
    "kvm": ("nova-compute-kvm", "libvirt-daemon-driver-qemu", "qemu-system-x86"),
}

#: Units that would change the host's kernel (its /sys is the host's), or do nothing useful in the node.
#: ``virtlockd.socket`` isn't among them: libvirtd's start needs it.
MASKED_UNITS: Final = (
    *("systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udev-settle.service"),
    *("systemd-udevd-kernel.socket", "systemd-udevd-control.socket", "systemd-sysctl.service"),
    *("systemd-binfmt.service", "systemd-modules-load.service", "systemd-pstore.service"),
    *("systemd-machined.service", "systemd-logind.service", "systemd-networkd.service", "networking.service"),
    *("apparmor.service", "apt-cacher-ng.service", "apache2.service", "haproxy.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("e2scrub_reap.service", "logrotate.timer", "fstrim.timer", "man-db.timer", "mdmonitor.service"),
    *("lxc.service", "lxc-net.service", "lxc-monitord.service", "keepalived.service", "radvd.service"),
    *(
        "iscsid.socket",
        "iscsid.service",
        "open-iscsi.service",
        "lvm2-monitor.service",
        "lvm2-lvmpolld.socket",
    ),
    *("dm-event.socket", "multipathd.service", "multipathd.socket", "blk-availability.service"),
    *("libvirt-guests.service", "console-getty.service", "getty.target", "getty@.service"),
    *("systemd-timesyncd.service", "systemd-resolved.service", "uwsgi.service", "remote-fs.target"),
)


DATABASES: Final = ("keystone", "glance", "placement", "nova_api", "nova", "nova_cell0", "neutron")

_DEBCONF: Final = ("keystone keystone/configure_db boolean false",)

#: Documentation and translations are half of the files and none of the use.
_EXCLUDED: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/lintian/*")

# Run by mmdebstrap after all packages are in; "$1" is the root file system.
_CUSTOMIZE: Final = r"""
set -e
# instances get a systemd cgroup each from a wrapper that takes this one's place
if [ -e "$1/usr/lib/libvirt/libvirt_lxc" ]; then
  mv "$1/usr/lib/libvirt/libvirt_lxc" "$1/usr/lib/libvirt/libvirt_lxc.real"
fi
# libvirt 9's LXC driver fails when machined answers; D-Bus would start it on demand, masked or not
rm -f "$1"/usr/share/dbus-1/system-services/org.freedesktop.machine1.service
rm -f "$1"/usr/share/dbus-1/system-services/org.freedesktop.login1.service
# libvirtd goes to sleep when idle, and its socket activation wakes it too late for nova-compute
sed -i 's/--timeout 120//' "$1/lib/systemd/system/libvirtd.service" "$1/etc/default/libvirtd"
rm -f "$1/etc/machine-id" "$1/etc/resolv.conf"
: > "$1/etc/machine-id"
: > "$1/etc/resolv.conf"
rm -rf "$1"/var/cache/apt/*.bin "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*
"""


def packages(hypervisor: Hypervisor) -> tuple[str, ...]:
    """Return the names of the packages to install; apt adds what they depend on."""
    return (*_COMMON, *_OF_HYPERVISOR[hypervisor])


def customize_script() -> str:
    """Return the shell script that mmdebstrap runs at its end, with the tree as its first argument."""
    return _CUSTOMIZE


def mmdebstrap_options(hypervisor: Hypervisor) -> tuple[str, ...]:
    """Return mmdebstrap's options, hooks and suite apart."""
    selections = "\n".join(_DEBCONF)
    return (
        "--mode=root",
        "--variant=minbase",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
        f"--essential-hook=echo '{selections}' | chroot \"$1\" debconf-set-selections",
        f"--include={','.join(packages(hypervisor))}",
    )


def packages_hash(hypervisor: Hypervisor) -> str:
    """Return the key of the layer of packages: it changes when anything above does."""
    content = {"suite": SUITE, "options": mmdebstrap_options(hypervisor), "customize": _CUSTOMIZE}
    return digest(content)


def digest(content: object) -> str:
    """Return a short hash of plain data, the same in every process."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
