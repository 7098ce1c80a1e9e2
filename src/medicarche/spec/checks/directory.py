"""The directory: which application serves it, and what its groups are in the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.spec.ssh_accounts import SSH_ACCOUNTS
from medicarche.spec.suggest import one_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from medicarche.spec.checks.content import Content, Finding
    from medicarche.spec.environment import Traits

__all__ = ["CHECKS", "kinds_findings"]


def _directory(content: Content) -> Iterator[Finding]:
    declared = content.file.directory
    if declared is not None and declared.application not in content.names("applications"):
        missing = one_of(declared.application, content.names("applications"))
        yield ("directory", "application"), f"there is no application {declared.application!r}; {missing}"
    raw = content.raw.get("directory")
    groups = raw.get("groups") if isinstance(raw, dict) else None
    for name, application in content.file.applications.items():
        path = ("applications", name, "roles")
        if application.roles and raw is None:
            yield path, "there is no directory whose groups could have roles; add a section 'directory'"
        elif isinstance(groups, dict):
            for group in application.roles:
                if group not in groups:
                    yield (*path, group), f"the directory has no group {group!r}; {one_of(group, groups)}"


def _ssh_groups(content: Content) -> Iterator[Finding]:
    declared = content.file.directory
    if declared is None or not declared.ssh_groups:
        return
    if SSH_ACCOUNTS in content.names("security_groups"):
        yield (
            ("security_groups", SSH_ACCOUNTS),
            "is the name of the group that 'directory.ssh_groups' gives every instance; choose another name",
        )
    raw = content.raw.get("directory")
    groups = raw.get("groups") if isinstance(raw, dict) else None
    for number, group in enumerate(declared.ssh_groups):
        path = ("directory", "ssh_groups", number)
        if isinstance(groups, dict) and group not in groups:
            yield path, f"the directory has no group {group!r}; {one_of(group, groups)}"
        elif group in declared.ssh_groups[:number]:
            yield path, f"{group!r} is named twice; remove one"


def _cloud_groups(content: Content) -> Iterator[Finding]:
    """Keystone isn't in the environment's private network: it asks by the directory's floating address."""
    declared = content.file.directory
    if declared is None:
        return
    if declared.keystone is not None and not declared.cloud_groups:
        yield (
            ("directory", "keystone"),
            "says how Keystone asks, and no group has a role on the cloud; add 'cloud_groups', or remove it",
        )
    if not declared.cloud_groups:
        return
    raw = content.raw.get("directory")
    groups = raw.get("groups") if isinstance(raw, dict) else None
    for group in declared.cloud_groups:
        if isinstance(groups, dict) and group not in groups:
            path = ("directory", "cloud_groups", group)
            yield path, f"the directory has no group {group!r}; {one_of(group, groups)}"
    application = content.file.applications.get(declared.application)
    instance = content.file.instances.get(application.instance) if application is not None else None
    if application is not None and instance is not None and not instance.floating_ip:
        yield (
            ("directory", "cloud_groups"),
            (
                f"Keystone asks the directory by its floating address, and instance {application.instance!r}"
                " has none; write 'floating_ip: true' there"
            ),
        )


def kinds_findings(content: Content, traits: Mapping[str, Traits | None]) -> Iterator[Finding]:
    """Check what depends on what kinds of application can do.

    Args:
        content: the file's.
        traits: application's name → what holds for its kind; None where the kind isn't known.
    """
    declared = content.file.directory
    for name, application in content.file.applications.items():
        known = traits.get(name)
        if known is None:
            continue
        path = ("applications", name)
        if known.directory and (declared is None or declared.application != name):
            yield (
                (*path, "kind"),
                (
                    "is a directory, and the section 'directory' doesn't name this application;"
                    f" write 'application: {name}' there, with the people's file, sites and groups"
                ),
            )
        if declared is not None and declared.application == name and not known.directory:
            yield (
                ("directory", "application"),
                f"{name!r} is of kind {application.kind!r}, which is no directory; name another one",
            )
        if application.roles and not known.roles:
            yield (
                (*path, "roles"),
                f"an application of kind {application.kind!r} can't ask a directory; remove it",
            )
            continue
        for group, role in application.roles.items():
            if role not in known.roles:
                yield (*path, "roles", group), f"there is no role {role!r}; {one_of(role, known.roles)}"
    yield from _certificates(content, traits)


def _certificates(content: Content, traits: Mapping[str, Traits | None]) -> Iterator[Finding]:
    """Applications ask by address, and a certificate for addresses is only made by our own authority."""
    for name, application in content.file.applications.items():
        instance = content.file.instances.get(application.instance)
        known = traits.get(name)
        if known is not None and known.serves == "applications" and instance and instance.certificate:
            yield (
                ("instances", application.instance, "certificate"),
                (
                    f"application {name!r} is asked by its address, by others of this environment only;"
                    " remove it: the environment's authority makes one"
                ),
            )


CHECKS = (_directory, _ssh_groups, _cloud_groups)
