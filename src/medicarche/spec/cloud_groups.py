"""The directory's groups on the cloud itself, as far as the environment file says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from medicarche.spec.environment import Application, Environment

__all__ = ["KEYSTONE", "POWERS", "people_of", "serving"]

#: the name of Keystone's own account in the directory: with a dot, which no application's name has
KEYSTONE: Final = "cloud.keystone"

#: what somebody can be in the environment's project, the most powerful first
POWERS: Final = ("admin", "member", "reader")


def serving(environment: Environment) -> Application | None:
    """Return the directory that Keystone asks, or None where it asks none.

    One that isn't deployed for a while too: the domain stays, and nobody gets in by it meanwhile.
    """
    directory = environment.directory
    if directory is None or not directory.cloud_groups:
        return None
    return directory.served_by(environment.applications)


def people_of(environment: Environment) -> dict[str, str]:
    """Return login → the most powerful role on the cloud, of those of the directory who have one."""
    directory = environment.directory
    return {} if directory is None else directory.with_roles(directory.cloud_groups, POWERS)
