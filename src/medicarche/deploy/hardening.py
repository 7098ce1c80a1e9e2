"""What units of several applications are hardened with."""

from __future__ import annotations

from medicarche.deploy.operations import File

__all__ = ["drop_in", "private_tmp"]


def drop_in(unit: str) -> str:
    """Return where our additions to a unit of Debian's stand."""
    return f"/etc/systemd/system/{unit}.d/medicarche.conf"


def private_tmp(unit: str) -> File:
    """Give a service a ``/tmp`` of its own (ANSSI-BP-028, R55: temporary folders of each service apart)."""
    text = "# Written by Medicarche; changes are put back. ANSSI-BP-028, R55.\n[Service]\nPrivateTmp=yes\n"
    return File(drop_in(unit), text)
