"""Supervision: there is one, nothing is in its way, and what it acts with on the cloud may only look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.spec.suggest import one_of
from medicarche.spec.supervision import EXPORTER_PORTS, SUPERVISION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.spec.checks.content import Content, Finding
    from medicarche.spec.schema import ApplicationModel

__all__ = ["CHECKS"]

#: the group that every supervised instance carries
_GROUP = "supervised"


def _supervisors(content: Content) -> list[str]:
    return [name for name, a in content.file.applications.items() if a.kind == SUPERVISION]


def _only_one(content: Content) -> Iterator[Finding]:
    first, *others = _supervisors(content) or [""]
    for name in others:
        yield (
            ("applications", name, "kind"),
            f"application {first!r} supervises the whole environment already; remove one of the two",
        )


def _in_its_way(content: Content) -> Iterator[Finding]:
    if not _supervisors(content):
        return
    for name, application in content.file.applications.items():
        if application.port in EXPORTER_PORTS:
            what = EXPORTER_PORTS[application.port]
            yield (
                ("applications", name, "port"),
                f"{application.port} is for {what} where the environment is supervised; choose another port",
            )
    if _GROUP in content.names("security_groups"):
        yield (
            ("security_groups", _GROUP),
            "is the name of the group that the supervision gives every instance; choose another name",
        )


def _credential(content: Content) -> Iterator[Finding]:
    for name in _supervisors(content):
        application = content.file.applications[name]
        wanted = application.settings.get("credential")
        if wanted is None:
            continue
        yield from _credential_of(content, name, application, wanted)


def _credential_of(
    content: Content, name: str, application: ApplicationModel, wanted: str
) -> Iterator[Finding]:
    here = ("applications", name, "settings", "credential")
    known = content.names("application_credentials")
    credential = content.file.application_credentials.get(wanted)
    if wanted not in known:
        yield here, f"there is no application credential {wanted!r}; {one_of(wanted, known)}"
    elif credential is not None and credential.role != "reader":
        yield (
            here,
            (
                f"application credential {wanted!r} may change the project ({credential.role}),"
                " and supervision only looks; give it the role reader"
            ),
        )
    if "cloud" not in application.egress:
        yield here, "asks the cloud, which it can't reach; add cloud to its egress"


CHECKS = (_only_one, _in_its_way, _credential)
