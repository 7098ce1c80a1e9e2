"""The resources of an OpenStack project as frozen data: what is wanted and what was observed have one form.

A reference to another resource is that resource's *address* (``network/private``). In what was observed, a
reference to something that isn't part of the environment is ``id:<uuid>``, so that it compares unequal.

Field metadata says how the planner treats a difference:

- ``REPLACE``: the API can't change it; the resource is deleted and created again;
- ``IGNORE``: used at creation only, never compared (a value that the API doesn't give back);
- neither: changed in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal

__all__ = [
    "IGNORE",
    "REPLACE",
    "ApplicationCredential",
    "Domain",
    "Flavor",
    "FloatingIp",
    "GroupRole",
    "Image",
    "KeyPair",
    "Kind",
    "Network",
    "Port",
    "Project",
    "Quota",
    "Resource",
    "RoleAssignment",
    "Router",
    "RouterInterface",
    "SecurityGroup",
    "SecurityGroupRule",
    "Server",
    "Subnet",
    "User",
]

REPLACE = {"on_change": "replace"}
IGNORE = {"on_change": "ignore"}


class Kind(StrEnum):
    """The kinds of resources, in an order in which they can be created."""

    PROJECT = "project"
    QUOTA = "quota"
    USER = "user"
    ROLE_ASSIGNMENT = "role_assignment"
    APPLICATION_CREDENTIAL = "application_credential"
    FLAVOR = "flavor"
    IMAGE = "image"
    KEY_PAIR = "key_pair"
    NETWORK = "network"
    SUBNET = "subnet"
    ROUTER = "router"
    ROUTER_INTERFACE = "router_interface"
    SECURITY_GROUP = "security_group"
    SECURITY_GROUP_RULE = "security_group_rule"
    PORT = "port"
    SERVER = "server"
    FLOATING_IP = "floating_ip"
    DOMAIN = "domain"
    GROUP_ROLE = "group_role"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What all resources have. ``name`` is unique within its kind and environment."""

    kind: ClassVar[Kind]
    #: names of the fields that hold addresses of other resources
    references: ClassVar[tuple[str, ...]] = ()

    name: str

    @property
    def address(self) -> str:
        """The resource's logical address within its environment: ``kind/name``."""
        return f"{self.kind.value}/{self.name}"

    def referred(self) -> tuple[str, ...]:
        """Return the addresses that this resource refers to."""
        found: list[str] = []
        for name in self.references:
            value: Any = getattr(self, name)
            if isinstance(value, str):
                found.append(value)
            elif value is not None:
                found.extend(value)
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project(Resource):
    """The Keystone project that all else is in. It is there before us: looked up, never made or removed."""

    kind = Kind.PROJECT


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota(Resource):
    """The project's limits in one service (``compute``, ``network``): always there, changed in place only."""

    kind = Kind.QUOTA

    #: the environment file's name → limit (-1: none), sorted; only the wanted ones are compared
    limits: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Resource):
    """Keystone user (admin only). Its password is made with it, and known to its owner only."""

    kind = Kind.USER

    enabled: bool = True
    #: the person's name
    purpose: str = field(default="", metadata=IGNORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAssignment(Resource):
    """A user's role in a project (admin only). It carries no mark: one of a marked user's is ours."""

    kind = Kind.ROLE_ASSIGNMENT
    references = ("user", "project")

    user: str = field(metadata=REPLACE)
    project: str = field(metadata=REPLACE)
    role: str = field(metadata=REPLACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationCredential(Resource):
    """What a program acts with, as the project's member and with no more than these roles.

    Only the member itself makes one (Keystone API, ``application_credentials``); its secret is known to who
    holds its file, and to nobody else.
    """

    kind = Kind.APPLICATION_CREDENTIAL

    #: sorted
    roles: tuple[str, ...] = field(metadata=REPLACE)
    purpose: str = field(default="", metadata=IGNORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network(Resource):
    """Neutron network. ``external`` ones, and provider attributes, need the admin."""

    kind = Kind.NETWORK

    external: bool = field(default=False, metadata=REPLACE)
    physical_network: str | None = field(default=None, metadata=IGNORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet(Resource):
    """Neutron subnet (IPv4)."""

    kind = Kind.SUBNET
    references = ("network",)

    network: str = field(metadata=REPLACE)
    cidr: str = field(metadata=REPLACE)
    gateway: str | None = None
    dhcp: bool = True
    #: inclusive ranges (first, last)
    pools: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Router(Resource):
    """Neutron router. A fixed ``external_address`` needs the admin."""

    kind = Kind.ROUTER
    references = ("external_network",)

    external_network: str | None = None
    external_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterInterface(Resource):
    """The router's port on a subnet (added to the router by PUT, so that adding twice is no second one)."""

    kind = Kind.ROUTER_INTERFACE
    references = ("router", "subnet")

    router: str = field(metadata=REPLACE)
    subnet: str = field(metadata=REPLACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup(Resource):
    """Neutron security group. It is created empty: Neutron's own two egress rules are removed as drift."""

    kind = Kind.SECURITY_GROUP

    purpose: str = field(default="", metadata=IGNORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupRule(Resource):
    """Neutron security-group rule. The API can't change one: any difference replaces it.

    ``name`` is made from its content, so that two rules of one content have one address.
    """

    kind = Kind.SECURITY_GROUP_RULE
    references = ("group", "remote_group")

    group: str = field(metadata=REPLACE)
    direction: Literal["ingress", "egress"] = field(metadata=REPLACE)
    ethertype: Literal["IPv4", "IPv6"] = field(default="IPv4", metadata=REPLACE)
    protocol: str | None = field(default=None, metadata=REPLACE)
    port_min: int | None = field(default=None, metadata=REPLACE)
    port_max: int | None = field(default=None, metadata=REPLACE)
    remote_prefix: str | None = field(default=None, metadata=REPLACE)
    remote_group: str | None = field(default=None, metadata=REPLACE)
    purpose: str = field(default="", metadata=IGNORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor(Resource):
    """Nova flavor (admin only). Sizes can't be changed: a difference replaces it."""

    kind = Kind.FLAVOR

    vcpus: int = field(metadata=REPLACE)
    ram_mib: int = field(metadata=REPLACE)
    disk_gib: int = field(metadata=REPLACE)
    ephemeral_gib: int = field(default=0, metadata=REPLACE)
    swap_mib: int = field(default=0, metadata=REPLACE)
    public: bool = field(default=True, metadata=REPLACE)
    #: extra specs, sorted by key
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(Resource):
    """Glance image. ``recipe`` is the hash of what it is built from, kept in the image's properties."""

    kind = Kind.IMAGE

    disk_format: str = field(metadata=REPLACE)
    recipe: str = field(metadata=REPLACE)
    visibility: str = "public"
    min_disk_gib: int = 0
    min_ram_mib: int = 0
    #: os_distro, os_version, ...; sorted by key; others that the cloud adds aren't compared
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair(Resource):
    """Nova key pair. ``public_key`` is one line in OpenSSH form, without comment."""

    kind = Kind.KEY_PAIR

    public_key: str = field(metadata=REPLACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Port(Resource):
    """Neutron port of a server."""

    kind = Kind.PORT
    references = ("network", "subnet", "security_groups")

    network: str = field(metadata=REPLACE)
    subnet: str = field(metadata=REPLACE)
    #: sorted addresses
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(Resource):
    """Nova server on one port of its own."""

    kind = Kind.SERVER
    references = ("flavor", "image", "key_pair", "port")

    flavor: str = field(metadata=REPLACE)
    image: str = field(metadata=REPLACE)
    key_pair: str = field(metadata=REPLACE)
    port: str = field(metadata=REPLACE)
    #: what the cloud shows; None: the logical name, and no matter what it becomes
    title: str | None = None
    running: bool = True
    #: sorted by key; the ownership mark isn't among them
    metadata: tuple[tuple[str, str], ...] = ()
    #: cloud-init user data in clear (never a secret)
    user_data: str = field(default="", metadata=IGNORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingIp(Resource):
    """Neutron floating IP. Its address is the cloud's choice; ``port`` can be changed in place."""

    kind = Kind.FLOATING_IP
    references = ("network", "port")

    network: str = field(metadata=REPLACE)
    port: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain(Resource):
    """Keystone domain whose people and groups are a directory's, asked by LDAP (admin only).

    Its configuration is in Keystone's database (Keystone API, ``domains/{id}/config``); the password in it is
    never shown again, so that a digest beside it says which one it is.
    """

    kind = Kind.DOMAIN

    #: address of the floating IP that Keystone asks. No reference: it isn't in the way of that one's removal
    server: str
    port: int
    #: ``group.option`` → value, but for where and the password; sorted
    options: tuple[tuple[str, str | int | float | bool], ...] = ()
    handed_over: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRole(Resource):
    """The role of a directory's group in a project (admin only). It can only be given while that answers.

    It carries no mark: one of a group of our domain is ours. No reference to that domain: where both go, the
    domain goes first, since Keystone wouldn't take a role away without asking a directory that may be gone.
    """

    kind = Kind.GROUP_ROLE
    references = ("project",)

    domain: str = field(metadata=REPLACE)
    project: str = field(metadata=REPLACE)
    group: str = field(metadata=REPLACE)
    role: str = field(metadata=REPLACE)
