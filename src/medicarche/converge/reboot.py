"""Rebooting a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medicarche.cloud.connect import Connections

__all__ = ["reboot"]


def reboot(connections: Connections, server_id: str) -> None:
    """Order a server's hard reboot: as by its power switch, since one that hangs hears nothing else.

    It goes on while this returns; Nova begins a new console log.

    Raises:
        CloudError: there is no such server (404), it can't be rebooted as it is (409), Nova doesn't answer.
    """
    connections.member.compute.post(
        f"/servers/{server_id}/action", {"reboot": {"type": "HARD"}}, repeatable=True
    )
