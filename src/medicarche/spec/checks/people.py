"""People and groups, the project's limits, and the servers' metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.spec.suggest import one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.spec.checks.content import Content, Finding

__all__ = ["CHECKS"]

#: accounts that every OpenStack has already
_SYSTEM = frozenset(
    {"admin", "cinder", "glance", "heat", "keystone", "neutron", "nova", "octavia", "placement", "swift"}
)
#: the key of a server's metadata that holds its ownership mark
_MARK = "medicarche"
#: Nova's quota of a server's metadata, of which the mark takes one (``metadata_items``)
_MOST_METADATA = 127
_LONGEST_VALUE = 255


def _people(content: Content) -> Iterator[Finding]:
    for login, person in content.file.people.items():
        if person.group not in content.names("groups"):
            missing = one_of(person.group, content.names("groups"))
            yield ("people", login, "group"), f"there is no group {person.group!r}; {missing}"
        if login in _SYSTEM:
            yield ("people", login), "is an account of OpenStack's own; choose another login"


def _quotas(content: Content) -> Iterator[Finding]:
    """Find limits that are smaller than what the file itself asks for."""
    file = content.file
    if any(len(getattr(file, s)) < len(content.names(s)) for s in ("instances", "flavors", "networks")):
        return
    flavors = [file.flavors[i.flavor] for i in file.instances.values() if i.flavor in file.flavors]
    needed = {
        "instances": len(file.instances),
        "vcpus": sum(flavor.vcpus for flavor in flavors),
        "ram_mib": sum(flavor.ram_mib for flavor in flavors),
        "key_pairs": 1,
        "networks": sum(not network.external for network in file.networks.values()),
        "subnets": sum(len(n.subnets) for n in file.networks.values() if not n.external),
        "routers": len(file.routers),
        # of the default group, which every project has, too
        "security_groups": len(file.security_groups)
        + len(file.applications)
        + 1
        + bool(file.directory and file.directory.ssh_groups),
        "floating_ips": sum(instance.floating_ip for instance in file.instances.values()),
    }
    for name, wants in needed.items():
        limit = getattr(file.quotas, name)
        if limit is not None and limit < wants:
            yield ("quotas", name), f"{limit} is too small: this file's environment has {wants}; raise it"


def _metadata(content: Content) -> Iterator[Finding]:
    for name, instance in content.file.instances.items():
        path = ("instances", name, "metadata")
        if _MARK in instance.metadata:
            yield (*path, _MARK), "is where the ownership mark is kept; choose another key"
        if len(instance.metadata) > _MOST_METADATA:
            yield path, f"has {len(instance.metadata)} keys; Nova takes {_MOST_METADATA} at most: remove some"
        for key, value in instance.metadata.items():
            if len(value) > _LONGEST_VALUE:
                yield (*path, key), f"is too long; Nova takes {_LONGEST_VALUE} characters at most"


CHECKS = (_people, _quotas, _metadata)
