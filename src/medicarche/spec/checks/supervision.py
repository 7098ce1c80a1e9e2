"""Supervision: there is one, and nothing is in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.spec.supervision import EXPORTER_PORTS, GRAFANA, SUPERVISION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.spec.checks.content import Content, Finding

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


def _beside_it(content: Content) -> Iterator[Finding]:
    """Check that Grafana is where it reaches Prometheus, which answers on loopback only."""
    applications = content.file.applications
    supervisor = next(iter(_supervisors(content)), None)
    for name, application in applications.items():
        if application.kind != GRAFANA:
            continue
        if supervisor is None:
            yield (
                ("applications", name, "kind"),
                f"no application of kind {SUPERVISION!r} is there, whose figures it would show; add one",
            )
        elif application.instance != applications[supervisor].instance:
            instance = applications[supervisor].instance
            yield (
                ("applications", name, "instance"),
                (
                    f"it asks the supervision's Prometheus, which answers in instance {instance!r} only;"
                    f" write {instance!r}"
                ),
            )


CHECKS = (_only_one, _in_its_way, _beside_it)
