"""The company's people as frozen data: what `medicarche.spec.people_file` makes of the people's file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from medicarche.spec.environment import Application

__all__ = ["Directory", "Keystone", "Member", "base_of"]


def base_of(domain: str) -> str:
    """Return the distinguished name that a domain's directory begins at (RFC 2247)."""
    return ",".join(f"dc={label}" for label in domain.split("."))


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody of the company: who, where, and in which groups."""

    login: str
    first_name: str
    last_name: str
    mail: str
    site: str
    groups: tuple[str, ...]
    #: SSH public key, without its comment; empty where there is none
    ssh_key: str = ""

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"


@dataclass(frozen=True, slots=True)
class Keystone:
    """How the Keystone of a cloud that isn't the embedded one asks the directory.

    Attributes:
        prefixes: the addresses that it asks from, as the directory's instance sees them.
        authority: path, on Keystone's own machines, at which its operator keeps our authority's certificate.
    """

    prefixes: tuple[str, ...]
    authority: str


@dataclass(frozen=True, slots=True)
class Directory:
    """All people of the company, and what they belong to.

    Attributes:
        application: the application that serves it.
        people_file: where the people come from.
        sites: name → where it is.
        groups: name → who is in it.
        members: sorted by login.
        ssh_groups: whose people administer the instances over SSH; empty where nobody does by the directory.
        cloud_groups: group → what its people are in the environment's project; empty where Keystone doesn't
            ask the directory.
        keystone: how the Keystone of a cloud of somebody else's asks; None where the file doesn't say.
    """

    application: str
    people_file: Path
    sites: Mapping[str, str]
    groups: Mapping[str, str]
    members: tuple[Member, ...]
    ssh_groups: tuple[str, ...] = ()
    cloud_groups: Mapping[str, str] = field(default_factory=dict)
    keystone: Keystone | None = None

    def served_by(self, applications: Iterable[Application]) -> Application:
        """Return the application that serves it, among those of its environment."""
        return next(a for a in applications if a.name == self.application)

    @property
    def ssh_members(self) -> tuple[Member, ...]:
        """Those who administer the instances over SSH, with a key or without one."""
        return tuple(m for m in self.members if set(m.groups) & set(self.ssh_groups))

    def with_all_roles(self, roles: Mapping[str, str], powers: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Return login → all that the person is in an application, of those who are something there.

        Args:
            roles: group → role.
            powers: roles, the most powerful first; each person's are in this order too.
        """
        found = {}
        for member in self.members:
            theirs = {roles[group] for group in member.groups if group in roles}
            if theirs:
                found[member.login] = tuple(sorted(theirs, key=powers.index))
        return found

    def with_roles(self, roles: Mapping[str, str], powers: tuple[str, ...]) -> dict[str, str]:
        """Return login → what the person is in an application, of those who are something there.

        Args:
            roles: group → role; who is in several groups has the most powerful role.
            powers: roles, the most powerful first.
        """
        return {login: theirs[0] for login, theirs in self.with_all_roles(roles, powers).items()}
