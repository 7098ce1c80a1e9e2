"""What the embedded cloud tells about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from medicarche.embedded import recipe

__all__ = ["CloudStatus", "SiteFacts"]


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What the embedded cloud is like, for `medicarche.spec.environment.Site`.

    Attributes:
        hypervisor: ``lxc`` or ``kvm``.
        disk_format: of the images that it boots.
        package_proxy: address and port at which instances find the package proxy.
        external_physical_network: the provider's name for the external network.
        api: addresses and ports at which instances find the cloud's API.
    """

    hypervisor: recipe.Hypervisor
    disk_format: Literal["raw", "qcow2"]
    package_proxy: tuple[str, int]
    external_physical_network: str
    api: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class CloudStatus:
    """How the cloud is.

    Attributes:
        name: the cloud's.
        state: ``absent``, ``stopped``, ``running`` (not, or not yet, ready), ``ready``.
        waiting: service → why it isn't ready.
        dashboard: Horizon's URL on the host.
        forwards: all forwards as the bridge has them: ``{"listen", "got", "connect"}`` each.
        folder: where the cloud's data is.
        clouds_yaml: the file with its credentials.
        netns: its network name space.
        hypervisor: ``lxc`` or ``kvm``.
    """

    name: str
    state: Literal["absent", "stopped", "running", "ready"]
    folder: Path
    clouds_yaml: Path
    netns: Path
    hypervisor: str | None = None
    waiting: Mapping[str, str] = field(default_factory=dict)
    dashboard: str | None = None
    forwards: tuple[Mapping[str, Any], ...] = ()
