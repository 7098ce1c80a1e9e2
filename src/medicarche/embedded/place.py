"""Where an embedded cloud is on this machine, whether it is up or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from medicarche.paths import Paths

__all__ = ["NETNS_FOLDER", "RUN_FOLDER", "Place"]

#: where ip-netns(8) keeps name spaces
NETNS_FOLDER: Final = Path("/run/netns")
#: of what runs: a reboot of the machine empties it
RUN_FOLDER: Final = Path("/run/medicarche")


@dataclass(frozen=True, slots=True)
class Place:
    """The files and folders of one embedded cloud, all of which follow from its name.

    Attributes:
        name: several clouds with different names can be on one machine.
        paths: where clouds and caches are.
    """

    name: str
    paths: Paths

    @property
    def node(self) -> str:
        """The name of its node: of its machine, its network name space and its control groups."""
        return f"medicarche-{self.name}"

    @property
    def folder(self) -> Path:
        """What outlives a stop."""
        return self.paths.cloud(self.name)

    @property
    def clouds_yaml(self) -> Path:
        """Where its entries are: a member's, an admin's, a reader's."""
        return self.folder / "clouds.yaml"

    @property
    def netns(self) -> Path:
        """Its network name space, as ip-netns(8) names it; there as long as the cloud is up."""
        return NETNS_FOLDER / self.node

    @property
    def run_folder(self) -> Path:
        """What is written down of what runs."""
        return RUN_FOLDER / self.name

    @property
    def lock(self) -> Path:
        """Held by who starts or stops it.

        It is the machine's: a cloud of this name with its data elsewhere is in the way, too.
        """
        return RUN_FOLDER / f"{self.name}.lock"
