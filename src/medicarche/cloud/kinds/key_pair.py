"""Nova key pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud.marks import key_pair_name
from medicarche.cloud.work import Work, create_once
from medicarche.plan.resources import KeyPair, Kind, Resource

if TYPE_CHECKING:
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["KeyPairHandler"]


class KeyPairHandler:
    """Key pairs of the member; the name is the mark. They belong to a user, not to a project."""

    kind = Kind.KEY_PAIR

    def read(self, listing: Listing) -> None:
        """Add key pairs; see `medicarche.cloud.work.Handler`."""
        prefix = key_pair_name(listing.environment, "")
        for wrapped in listing.raw["keypairs"]:
            raw = wrapped["keypair"]
            if not raw["name"].startswith(prefix):
                continue
            pair = KeyPair(
                name=raw["name"].removeprefix(prefix), public_key=" ".join(raw["public_key"].split()[:2])
            )
            in_use = any(server.get("key_name") == raw["name"] for server in listing.raw["servers"])
            listing.add(
                pair, raw, identifier=raw["name"], in_use=in_use, detail={"fingerprint": raw["fingerprint"]}
            )

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Never."""
        return False

    def create(self, work: Work, wanted: KeyPair) -> str:
        """Import the public key."""
        api = work.member.compute
        name = key_pair_name(work.environment, wanted.name)

        def find() -> list[Raw]:
            return [
                wrapped["keypair"]
                for wrapped in api.collection("/os-keypairs", "keypairs")
                if wrapped["keypair"]["name"] == name
                and wrapped["keypair"]["public_key"].split()[:2] == wanted.public_key.split()[:2]
            ]

        body = {"keypair": {"name": name, "public_key": wanted.public_key}}
        made = create_once(work, lambda: api.post("/os-keypairs", body)["keypair"], find)
        return str(made["name"])

    def update(self, work: Work, observed: Observed, wanted: KeyPair) -> None:
        """Nothing of a key pair is changed in place."""

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a key pair; servers keep the key that they were given."""
        work.member.compute.delete(f"/os-keypairs/{observed.id}")
