"""Administrators, security groups, instances, applications."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from medicarche.spec.suggest import one_of
from medicarche.spec.values import ADMINISTRATORS, ANYWHERE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.spec.checks.content import Content, Finding
    from medicarche.spec.document import KeyPath
    from medicarche.spec.schema import InstanceModel

__all__ = ["CHECKS", "RESERVED_PORTS"]

#: ports that every instance with an application serves itself
RESERVED_PORTS = {22: "SSH", 80: "the redirection to HTTPS"}

_SSH = 22
_EVERYWHERE = IPv4Network("0.0.0.0/0")


def _administrators(content: Content) -> Iterator[Finding]:
    administrators = content.file.administrators
    if administrators.allow_anywhere:
        return
    for index, prefix in enumerate(administrators.prefixes):
        if IPv4Network(prefix) == _EVERYWHERE:
            yield (
                ("administrators", "prefixes", index),
                (
                    "0.0.0.0/0 opens SSH to everybody; name the administrators' networks,"
                    " or write 'allow_anywhere: true' beside prefixes"
                ),
            )


def _security_groups(content: Content) -> Iterator[Finding]:
    for name, group in content.file.security_groups.items():
        path: KeyPath = ("security_groups", name)
        if name.startswith("app-") and name.removeprefix("app-") in content.names("applications"):
            yield path, "is the name of an application's own group; choose another name"
        seen: set[tuple[int, str, tuple[str, ...]]] = set()
        for index, rule in enumerate(group.ingress):
            here = (*path, "ingress", index)
            sources = (rule.sources,) if isinstance(rule.sources, str) else tuple(sorted(rule.sources))
            if (rule.port, rule.protocol, sources) in seen:
                yield (
                    here,
                    f"port {rule.port}/{rule.protocol} is opened to the same sources twice; remove one",
                )
            seen.add((rule.port, rule.protocol, sources))
            everybody = ANYWHERE in sources or str(_EVERYWHERE) in sources
            if rule.port == _SSH and everybody and not content.file.administrators.allow_anywhere:
                yield (
                    (*here, "from"),
                    (
                        "opens SSH to everybody; write administrators,"
                        " or 'allow_anywhere: true' in the section administrators"
                    ),
                )


def _instances(content: Content) -> Iterator[Finding]:
    references = (("flavor", "flavors"), ("image", "images"), ("network", "networks"))
    for name, instance in content.file.instances.items():
        path: KeyPath = ("instances", name)
        for key, section in references:
            written = getattr(instance, key)
            if written not in content.names(section):
                missing = one_of(written, content.names(section))
                yield (*path, key), f"there is no {key} {written!r}; {missing}"
        for index, group in enumerate(instance.security_groups):
            here = (*path, "security_groups", index)
            if group not in content.names("security_groups"):
                missing = one_of(group, content.names("security_groups"))
                yield here, f"there is no security group {group!r}; {missing}"
            elif group in instance.security_groups[:index]:
                yield here, "is named twice; remove one"
        yield from _disk(content, path, instance)
        yield from _place(content, path, instance)


def _disk(content: Content, path: KeyPath, instance: InstanceModel) -> Iterator[Finding]:
    flavor = content.file.flavors.get(instance.flavor)
    image = content.file.images.get(instance.image)
    if flavor and image and flavor.disk_gib * 1024 < image.disk_mib:
        yield (
            (*path, "flavor"),
            (
                f"flavor {instance.flavor!r} has a disk of {flavor.disk_gib} GiB, smaller than image"
                f" {instance.image!r} ({image.disk_mib} MiB); choose a larger flavor or a smaller image"
            ),
        )


def _place(content: Content, path: KeyPath, instance: InstanceModel) -> Iterator[Finding]:
    """Check the instance's network: its subnet, and the way out for a floating address."""
    network = content.file.networks.get(instance.network)
    if network is None:
        return
    if network.external:
        yield (*path, "network"), f"network {instance.network!r} is external; choose one that is not"
        return
    raw = content.raw["networks"][instance.network].get("subnets")
    declared = set(raw) if isinstance(raw, dict) else set()
    if not declared:
        yield (*path, "network"), f"network {instance.network!r} has no subnet; give it one"
        return
    if instance.subnet is None and len(declared) > 1:
        names = ", ".join(sorted(declared))
        yield (*path, "network"), f"has several subnets; choose one with 'subnet:' ({names})"
        return
    if instance.subnet is not None and instance.subnet not in declared:
        missing = one_of(instance.subnet, declared)
        yield (
            (*path, "subnet"),
            f"there is no subnet {instance.subnet!r} in network {instance.network!r}; {missing}",
        )
        return
    subnet = instance.subnet or next(iter(declared))
    if not instance.floating_ip or len(content.file.routers) < len(content.names("routers")):
        return
    if not any(subnet in r.subnets and r.external_network for r in content.file.routers.values()):
        yield (
            (*path, "floating_ip"),
            (
                f"no router joins subnet {subnet!r} to an external network; add one,"
                " or write 'floating_ip: false'"
            ),
        )


def _applications(content: Content) -> Iterator[Finding]:
    claimed: dict[tuple[str, int], str] = {}
    for name, application in content.file.applications.items():
        path: KeyPath = ("applications", name)
        if application.instance not in content.names("instances"):
            missing = one_of(application.instance, content.names("instances"))
            yield (*path, "instance"), f"there is no instance {application.instance!r}; {missing}"
        here = (*path, "port")
        claim = (application.instance, application.port)
        if application.port in RESERVED_PORTS:
            yield here, f"{application.port} is for {RESERVED_PORTS[application.port]}; choose another port"
        elif claim in claimed:
            yield (
                here,
                (
                    f"{application.port} is claimed twice in instance {application.instance!r}: application"
                    f" {claimed[claim]!r} has it too; choose another port"
                ),
            )
        claimed.setdefault(claim, name)
        for index, word in enumerate(application.egress):
            if word in application.egress[:index]:
                yield (*path, "egress", index), f"{word!r} is there twice; remove one"


def _reachable_for_deployment(content: Content) -> Iterator[Finding]:
    """Check that an instance that gets an application can be administered."""
    groups = content.file.security_groups
    if len(groups) < len(content.names("security_groups")):
        return
    for name in {a.instance: None for a in content.file.applications.values()}:
        instance = content.file.instances.get(name)
        if instance is None or any(group not in groups for group in instance.security_groups):
            continue
        rules = [rule for group in instance.security_groups for rule in groups[group].ingress]
        if not any(rule.port == _SSH and rule.protocol == "tcp" for rule in rules):
            yield (
                ("instances", name, "security_groups"),
                (
                    "none of them opens port 22, through which the application is deployed;"
                    f" add {{port: 22, from: {ADMINISTRATORS}, why: administration over SSH}} to one"
                ),
            )


CHECKS = (
    _administrators,
    _security_groups,
    _instances,
    _applications,
    _reachable_for_deployment,
)
