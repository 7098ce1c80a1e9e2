"""What a conflict means: a table, not a retry (design, section 3)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medicarche.cloud.calls import ApiError

__all__ = ["Conflict", "conflict"]


class Conflict(StrEnum):
    """What to do about a refusal."""

    QUOTA = "quota"  # stop: the quota is too small
    WAIT = "wait"  # in use, or in the wrong state: it passes
    EXISTS = "exists"  # already there: adopt it where it carries our mark, stop where it doesn't
    STOP = "stop"  # anything else


#: Neutron's exception types (neutron-lib/exceptions), by what they mean. Those of 400 and 404 are there too,
#: as Neutron answers so where a router's interface is there already.
NEUTRON = {
    "OverQuota": Conflict.QUOTA,
    "SecurityGroupRuleExists": Conflict.EXISTS,
    "SecurityGroupInUse": Conflict.WAIT,
    "SubnetInUse": Conflict.WAIT,
    "NetworkInUse": Conflict.WAIT,
    "PortInUse": Conflict.WAIT,
    "RouterInUse": Conflict.WAIT,
    "RouterInterfaceInUseByFloatingIP": Conflict.WAIT,
    "RetryRequest": Conflict.WAIT,
    "ServicePortInUse": Conflict.WAIT,
    "ResourceInUse": Conflict.WAIT,
}
#: parts of Nova's and Glance's messages; they send no types
MESSAGES = (
    ("quota", Conflict.QUOTA),
    ("already exists", Conflict.EXISTS),
    ("duplicate entry", Conflict.EXISTS),  # Keystone: "... attempting to store user - Duplicate entry ..."
    ("while it is in", Conflict.WAIT),  # "Cannot 'x' instance ... while it is in task_state deleting"
    ("is in use", Conflict.WAIT),  # Glance: "Image ... could not be deleted because it is in use"
    ("concurrent", Conflict.WAIT),
)
CONFLICT, FORBIDDEN, TOO_LARGE = 409, 403, 413


def conflict(error: ApiError) -> Conflict:
    """Say what a refusal means.

    Nova reports its quotas by 403, Glance by 413; all else that isn't 409 is `Conflict.STOP`.
    """
    if error.status not in {CONFLICT, FORBIDDEN, TOO_LARGE}:
        return Conflict.STOP
    message = error.detail.lower()
    meaning = NEUTRON.get(error.code) or next((m for part, m in MESSAGES if part in message), Conflict.STOP)
    if error.status != CONFLICT and meaning is not Conflict.QUOTA:
        return Conflict.STOP
    return meaning
