"""Names of the security groups that follow from the declaration."""

from __future__ import annotations

__all__ = ["SUPERVISED", "application_group"]

#: carried by every instance of an environment that is supervised
SUPERVISED = "supervised"


def application_group(application_name: str) -> str:
    """Return the name of an application's own security group."""
    return f"app-{application_name}"
