"""The cloud's Keystone and the company's directory: how the one asks the other, and with what."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from medicarche.credentials import Credentials
from medicarche.embedded.authorities import BUNDLE
from medicarche.pki import Authority
from medicarche.spec.cloud_groups import serving
from medicarche.spec.environment import KeystoneSite

if TYPE_CHECKING:
    from medicarche.cloud.connect import Connections
    from medicarche.plan.resources import Domain
    from medicarche.target import Selection

__all__ = ["keystone_site", "note_of", "offer_log_in", "trust_authority", "with_directory"]


def keystone_site(selection: Selection) -> KeystoneSite | None:
    """Return how the cloud's Keystone asks the directory; makes its password where there is none.

    None where it asks none: nobody of the directory is to be on the cloud, or it isn't known how that cloud's
    Keystone would ask.
    """
    directory = selection.environment.directory
    if directory is None or serving(selection.environment) is None:
        return None
    handed_over = _digest(_password(selection), _authority(selection))
    if selection.embedded is not None:
        return KeystoneSite((selection.embedded.keystone_asks_from(),), BUNDLE, handed_over)
    if directory.keystone is None:
        return None
    return KeystoneSite(directory.keystone.prefixes, directory.keystone.authority, handed_over)


def note_of(selection: Selection) -> tuple[str, ...]:
    """Return why nobody of the directory is on the cloud, where the file says that some are."""
    directory = selection.environment.directory
    if directory is None or not directory.cloud_groups:
        return ()
    if selection.embedded is not None or directory.keystone is not None:
        return ()
    text = (
        "directory.cloud_groups has no effect on this cloud: it isn't known from where its Keystone asks, nor"
        " where it finds our authority's certificate; 'directory.keystone' says both"
    )
    return (text,)


def trust_authority(selection: Selection) -> None:
    """Have the embedded cloud's Keystone believe the environment's authority, where it asks the directory.

    At each `provision`: the file is in the node, where nothing else looks after it.

    Raises:
        MachineError: the cloud isn't up.
        CommandError: the node's file can't be written.
    """
    if selection.embedded is not None and keystone_site(selection) is not None:
        selection.embedded.trust(selection.environment.name, _authority(selection))


def offer_log_in(selection: Selection, *, gone: bool = False) -> None:
    """Have the embedded cloud's dashboard offer the directory's domain, where Keystone asks it; else none.

    At each `provision`, as above.

    Args:
        selection: the environment and its cloud.
        gone: the environment was removed: there is no domain any more.

    Raises:
        MachineError: the cloud isn't up.
        CommandError: the node's file can't be written.
    """
    if selection.embedded is not None:
        asked = not gone and serving(selection.environment) is not None
        selection.embedded.offer_domain(
            selection.environment.name, selection.environment.name if asked else None
        )


def with_directory(connections: Connections, selection: Selection) -> Connections:
    """Return the connections, able to have Keystone ask the directory."""

    def asks_with(_domain: Domain) -> str:
        trust_authority(selection)
        return _password(selection)

    return replace(connections, asks_with=asks_with)


def _password(selection: Selection) -> str:
    from medicarche.deploy.directory import keystone_secret  # noqa: PLC0415 - slow to import

    directory = selection.environment.directory
    if directory is None:
        raise ValueError("no directory, and so no password to ask it with")
    return Credentials(selection.folder).get_or_create(keystone_secret(directory))


def _authority(selection: Selection) -> str:
    """Return the certificate of the environment's authority, which is made where there is none."""
    environment = selection.environment
    authority = Authority(selection.folder, organization=environment.organization, domain=environment.domain)
    return authority.ensure().read_text(encoding="ascii")


def _digest(password: str, authority: str) -> str:
    """Tell a password and an authority from others, without telling it: it is random, of 190 bits."""
    return hashlib.sha256(f"medicarche keystone {password} {authority}".encode()).hexdigest()[:32]
