"""Connecting to the cloud that is meant, before the environment's file is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.background import in_background
from medicarche.cloud.connect import Connections, Target, connect
from medicarche.embedded import namespace

if TYPE_CHECKING:
    from concurrent.futures import Future

    from medicarche.options import Options

__all__ = ["begin", "target_of"]


def target_of(options: Options) -> Target:
    """Return which entries of ``clouds.yaml`` are meant.

    Raises:
        MedicarcheError: the embedded cloud's name can't be one.
    """
    entry = options.entry
    if entry is not None:
        return Target(name=entry, clouds_yaml=None, cloud=entry, admin_cloud=options.admin_cloud)
    place = options.place()
    return Target(
        name=f"embedded-{place.name}",
        clouds_yaml=place.clouds_yaml,
        cloud="medicarche",
        admin_cloud="medicarche-admin",
        embedded=True,
    )


def begin(options: Options) -> Future[Connections] | None:
    """Begin to connect; the process is in an embedded cloud's network name space afterwards.

    Keystone takes as long over two passwords as Python over the rest of our modules: a command that begins
    with this, and goes on to import, doesn't wait for either. Whether the environment's file is right isn't
    known yet: nothing is asked for but tokens and versions.

    Returns:
        What is there to wait for, or None where the embedded cloud isn't up (`Selection.enter` says so).

    Raises:
        MedicarcheError: the embedded cloud's name can't be one.
        MachineError: we aren't allowed to enter its name space.
    """
    target = target_of(options)
    if target.embedded:
        netns = options.place().netns
        if not netns.exists():
            return None
        namespace.enter(netns)
    return in_background(lambda: connect(target), "connect")
