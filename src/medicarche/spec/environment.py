"""The environment as frozen data: what `medicarche.spec.load` makes of the environment file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from medicarche.spec.directory import Directory

__all__ = [
    "Application",
    "CertificateSpec",
    "Environment",
    "FlavorSpec",
    "ImageSpec",
    "IngressRule",
    "Instance",
    "KeystoneSite",
    "Listener",
    "Locale",
    "Mirrors",
    "NetworkSpec",
    "Person",
    "RouterSpec",
    "SecurityGroupSpec",
    "Site",
    "Size",
    "SubnetSpec",
    "Traits",
]


@dataclass(frozen=True, slots=True)
class Locale:
    """``language`` (``fr_FR.UTF-8``), ``keyboard`` (XKB layout) and ``timezone`` of the instances."""

    language: str
    keyboard: str
    timezone: str


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Debian mirrors' base URLs; where None, those of the host's own apt configuration."""

    debian: str | None = None
    security: str | None = None


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """An IPv4 subnet."""

    name: str
    cidr: str
    gateway: str | None
    dhcp: bool
    pools: tuple[tuple[str, str], ...]
    dns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network and its subnets. ``external``: gives floating addresses; made by an admin."""

    name: str
    external: bool
    physical_network: str | None
    subnets: tuple[SubnetSpec, ...]


@dataclass(frozen=True, slots=True)
class RouterSpec:
    """A router: the subnets that it joins, and its way out."""

    name: str
    external_network: str | None
    external_address: str | None
    subnets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IngressRule:
    """Who may reach which port. ``sources``: prefixes; ``why`` goes into the rule's description."""

    port: int
    protocol: str
    sources: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class SecurityGroupSpec:
    """What all instances that carry the group share."""

    name: str
    ingress: tuple[IngressRule, ...]


@dataclass(frozen=True, slots=True)
class FlavorSpec:
    """A size of instance. Units are in the names."""

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    public: bool = True
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """An image that is built here. ``disk_mib``: what its file system may have; instances' grow."""

    name: str
    suite: str
    user: str
    disk_mib: int
    visibility: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that an application opens in its instance.

    ``address`` is an IP address (``0.0.0.0`` for all of IPv4), or `PRIVATE`: the instance's own on its
    network, which only the cloud knows. ``public`` ones are those that a security group opens; all others
    must be on loopback. ``user`` is the account that opens it: root where the program gives its rights up
    only after that.
    """

    PRIVATE: ClassVar[str] = "private"

    address: str
    port: int
    protocol: str
    process: str
    user: str
    public: bool
    why: str


@dataclass(frozen=True, slots=True)
class Size:
    """The smallest instance that carries an application, and who says so."""

    ram_mib: int
    disk_gib: int
    source: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What holds for all applications of a kind, as far as others than its own module have to know it.

    Attributes:
        serves: whom its port is for. ``people``: anybody, over HTTPS, through the instance's nginx;
            ``applications``: the instances of those that use it and nobody else, by itself.
        process: the program that listens on its port.
        roles: what people of the directory can be in it, the most powerful first; empty where it can't ask a
            directory.
        directory: it is a directory itself.
        services: what runs in its instance and can tell what it does: ``apache``, ``mariadb``,
            ``postgresql`` (`medicarche.spec.supervision.SERVICES`).
    """

    serves: Literal["people", "applications"] = "people"
    process: str = "nginx"
    roles: tuple[str, ...] = ()
    directory: bool = False
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Application:
    """An application in its instance.

    ``kind`` names the module in `medicarche.deploy`; ``settings`` are that module's, checked by it.
    ``egress`` names what it may reach: ``cloud``, ``dns``, ``packages``, ``time``. Where it isn't
    ``deployed`` its place in the cloud is kept, and every report says so. ``if_unavailable``: ``leave-out``
    goes on without it where the file that it is made from can't be had, ``stop`` doesn't.
    ``roles``: group of the directory → what its people are in the application; empty where it doesn't use the
    directory.
    """

    name: str
    kind: str
    instance: str
    port: int
    title: str
    settings: Mapping[str, str]
    egress: tuple[str, ...]
    deployed: bool = True
    if_unavailable: str = "stop"
    roles: Mapping[str, str] = field(default_factory=dict)
    traits: Traits = field(default_factory=Traits)


@dataclass(frozen=True, slots=True)
class CertificateSpec:
    """The operator's own certificate: its files.

    ``authority`` is what visitors believe; None for the authorities that every system believes.
    """

    chain: Path
    key: Path
    authority: Path | None


@dataclass(frozen=True, slots=True)
class Instance:
    """A server: its size, image, network, groups.

    ``subnet``: of its network; always filled in by `load_environment`. ``metadata``: sorted by key. Without a
    ``certificate`` of the operator's, the environment's authority makes one.
    """

    name: str
    flavor: str
    image: str
    network: str
    floating_ip: bool
    security_groups: tuple[str, ...]
    subnet: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    certificate: CertificateSpec | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the company. ``cloud_role``: admin, member or reader; None has no account on the cloud."""

    login: str
    name: str
    group: str
    cloud_role: str | None


@dataclass(frozen=True, slots=True)
class ApplicationCredentialSpec:
    """What a program acts with on the cloud. ``role``: member or reader; ``why``: what it is for."""

    name: str
    role: str
    why: str


@dataclass(frozen=True, slots=True)
class Environment:
    """The whole environment. ``source`` is the file that it was read from."""

    source: Path
    name: str
    organization: str
    domain: str
    locale: Locale
    administrators: tuple[str, ...]
    mirrors: Mirrors
    networks: tuple[NetworkSpec, ...]
    routers: tuple[RouterSpec, ...]
    security_groups: tuple[SecurityGroupSpec, ...]
    flavors: tuple[FlavorSpec, ...]
    images: tuple[ImageSpec, ...]
    key_pair: str
    instances: tuple[Instance, ...]
    applications: tuple[Application, ...]
    people: tuple[Person, ...] = ()
    application_credentials: tuple[ApplicationCredentialSpec, ...] = ()
    #: the project's limits, by the environment file's names
    quotas: tuple[tuple[str, int], ...] = ()
    directory: Directory | None = None

    def instance(self, name: str) -> Instance:
        """Return the instance of that name.

        Raises:
            KeyError: there is none.
        """
        for instance in self.instances:
            if instance.name == name:
                return instance
        raise KeyError(name)

    def without(self, names: Collection[str]) -> Environment:
        """Return this environment with those applications left out: declared, and not deployed."""
        applications = (replace(a, deployed=a.deployed and a.name not in names) for a in self.applications)
        return replace(self, applications=tuple(applications))

    def without_egress(self, word: str) -> Environment:
        """Return this environment with that word taken out of every application's egress."""
        applications = (replace(a, egress=tuple(w for w in a.egress if w != word)) for a in self.applications)
        return replace(self, applications=tuple(applications))

    def without_cloud_groups(self) -> Environment:
        """Return this environment with nobody of the directory on the cloud."""
        if self.directory is None:
            return self
        return replace(self, directory=replace(self.directory, cloud_groups={}))

    def applications_of(self, instance: str) -> tuple[Application, ...]:
        """Return the applications that run in an instance."""
        return tuple(a for a in self.applications if a.instance == instance)

    @property
    def for_people(self) -> tuple[Application, ...]:
        """The deployed applications that people open in a browser."""
        return tuple(a for a in self.applications if a.deployed and a.traits.serves == "people")

    def users_of(self, application: str) -> tuple[Application, ...]:
        """Return the applications that use another one: those that ask the directory, where it is that."""
        if self.directory is None or self.directory.application != application:
            return ()
        return tuple(a for a in self.applications if a.roles)


@dataclass(frozen=True, slots=True)
class KeystoneSite:
    """How the Keystone of the cloud at hand asks the directory.

    Attributes:
        prefixes: the addresses that it asks from, as the directory's instance sees them.
        authority: the path, where Keystone runs, of the certificates of those whom it believes.
        handed_over: digest of what it is handed over and never shows again: the password that it asks with,
            and the authority's certificate.
    """

    prefixes: tuple[str, ...]
    authority: str
    handed_over: str


@dataclass(frozen=True, slots=True)
class Site:
    """What the cloud at hand gives, and the environment file doesn't say.

    Attributes:
        disk_format: of images: ``raw`` for containers (virt_type lxc), ``qcow2`` for KVM.
        hypervisor: ``lxc`` or ``kvm``: chooses the image's flavour.
        package_proxy: address and port at which instances reach a package proxy, or None where they go to
            the mirrors themselves.
        image_recipes: image name → hash of its recipe.
        public_key: the environment's SSH public key.
        external_physical_network: the provider's name for the external network, where we make it.
        api: addresses and ports at which instances reach the cloud's API; empty where it isn't known to us.
        keystone: how Keystone asks the directory; None where it asks none.
    """

    disk_format: str
    hypervisor: str
    package_proxy: tuple[str, int] | None
    image_recipes: Mapping[str, str]
    public_key: str
    external_physical_network: str | None = None
    api: tuple[tuple[str, int], ...] = ()
    keystone: KeystoneSite | None = None
