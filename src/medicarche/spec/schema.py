"""The environment file's form: what may be written in it, key by key.

The models only check what can be seen at one place: types, units, forms. What relates several places to
each other is in `medicarche.spec.checks`. The JSON Schema for editors is made from the same models.
A new section is one more model and one more field of `EnvironmentFile`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from medicarche.spec.values import (
    Address,
    DomainName,
    EnvironmentName,
    HostName,
    Keyboard,
    KeyPairName,
    Language,
    Limit,
    Login,
    MetadataKey,
    Name,
    PackageName,
    PortNumber,
    Prefix,
    Setting,
    Sources,
    Text,
    Timezone,
    Url,
    UserName,
    Why,
)

__all__ = [
    "AdministratorsModel",
    "ApplicationModel",
    "CertificateModel",
    "DirectoryModel",
    "EnvironmentFile",
    "FlavorModel",
    "GroupModel",
    "ImageModel",
    "IngressModel",
    "InstanceModel",
    "LocaleModel",
    "MirrorsModel",
    "NetworkModel",
    "PersonModel",
    "PoolModel",
    "QuotasModel",
    "RouterModel",
    "SecurityGroupModel",
    "SubnetModel",
    "json_schema",
]


class Model(BaseModel):
    """What all sections share: no unknown key, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LocaleModel(Model):
    """Language, keyboard and time zone of the instances."""

    language: Language = Field(description="Locale of the instances, in UTF-8: fr_FR.UTF-8.")
    keyboard: Keyboard = Field(description="XKB keyboard layout of the instances' consoles: fr.")
    timezone: Timezone = Field(description="Time zone of the instances, as in the tz database: Europe/Paris.")


class AdministratorsModel(Model):
    """Who administers the instances."""

    prefixes: list[Prefix] = Field(
        min_length=1,
        description="IPv4 prefixes from which SSH is reachable.",
    )
    allow_anywhere: bool = Field(
        default=False,
        description="Allow 0.0.0.0/0 among the prefixes, which opens SSH to everybody.",
    )


class MirrorsModel(Model):
    """Debian mirrors; without them those of the host's own apt configuration."""

    debian: Url | None = Field(default=None, description="Base URL of the Debian mirror.")
    security: Url | None = Field(default=None, description="Base URL of Debian's security mirror.")


class PoolModel(Model):
    """An inclusive range of IPv4 addresses."""

    first: Address = Field(description="First address of the range.")
    last: Address = Field(description="Last address of the range (included).")


class SubnetModel(Model):
    """An IPv4 subnet."""

    cidr: Prefix = Field(description="Address range: 192.168.222.0/24.")
    gateway: Address | None = Field(default=None, description="Address of the router on this subnet.")
    dhcp: bool = Field(default=True, description="Neutron's DHCP and DNS serve this subnet.")
    pools: list[PoolModel] = Field(
        default_factory=list,
        description="Ranges from which addresses are given; without them the whole subnet but the gateway.",
    )
    dns: list[Address] = Field(
        default_factory=list,
        description="Name servers told by DHCP; without them Neutron's own.",
    )


class NetworkModel(Model):
    """A network and its subnets."""

    external: bool = Field(
        default=False,
        description="It gives floating addresses to the outside; made by an administrator of the cloud.",
    )
    physical_network: Name | None = Field(
        default=None,
        description="The provider's name of the physical network, for an external network.",
    )
    subnets: dict[Name, SubnetModel] = Field(
        default_factory=dict,
        description="Subnets by name; names are unique in the whole file.",
    )


class RouterModel(Model):
    """A router: the subnets that it joins, and its way out."""

    external_network: Name | None = Field(default=None, description="Name of the external network.")
    external_address: Address | None = Field(
        default=None,
        description="Its fixed address on the external network; without it the cloud chooses one.",
    )
    subnets: list[Name] = Field(default_factory=list, description="Names of the subnets that it joins.")


class IngressModel(Model):
    """Who may reach which port."""

    port: PortNumber = Field(description="The port that is opened.")
    protocol: Literal["tcp", "udp"] = Field(default="tcp", description="tcp or udp.")
    sources: Sources = Field(
        alias="from",
        description="Who may reach it: administrators, anywhere, a prefix or a list of prefixes.",
    )
    why: Why = Field(description="What it is opened for; becomes the rule's description (80 characters).")


class SecurityGroupModel(Model):
    """Ports that all instances carrying the group open."""

    ingress: list[IngressModel] = Field(
        default_factory=list, description="What may come in; all else is refused."
    )


class FlavorModel(Model):
    """A size of instance."""

    vcpus: int = Field(ge=1, le=512, description="Virtual processors.")
    ram_mib: int = Field(ge=64, le=16 * 1024 * 1024, description="Memory in MiB.")
    disk_gib: int = Field(ge=1, le=65536, description="Root disk in GiB.")
    ephemeral_gib: int = Field(default=0, ge=0, le=65536, description="Ephemeral disk in GiB.")
    swap_mib: int = Field(default=0, ge=0, le=1024 * 1024, description="Swap disk in MiB.")
    public: bool = Field(default=True, description="All projects of the cloud may use it.")
    metadata: dict[Text, Setting] = Field(default_factory=dict, description="Extra specs.")


class ImageModel(Model):
    """An image that is built from Debian packages."""

    suite: Literal["trixie", "bookworm"] = Field(description="Debian's suite.")
    user: UserName = Field(description="The user that administrators log in as.")
    disk_mib: int = Field(
        ge=256,
        le=1024 * 1024,
        description="Size in MiB that its file system may have; an instance's grows to its flavor's disk.",
    )
    visibility: Literal["public", "private", "shared", "community"] = Field(
        default="private",
        description="Who in the cloud may use the image.",
    )
    packages: list[PackageName] = Field(
        default_factory=list,
        description="Debian packages installed besides the usual ones.",
    )


class CertificateModel(Model):
    """The operator's own certificate, for what an instance serves. Paths start at this file's folder."""

    chain: Text = Field(description="File: the certificate, then those between it and its authority (PEM).")
    key: Text = Field(description="File: its private key (PEM), without a password.")
    authority: Text | None = Field(
        default=None,
        description="File: the authority that visitors believe (PEM); without it, those that every system"
        " believes.",
    )


class InstanceModel(Model):
    """A server."""

    flavor: Name = Field(description="Name of its flavor.")
    image: Name = Field(description="Name of its image.")
    network: Name = Field(description="Name of its network.")
    subnet: Name | None = Field(
        default=None,
        description="Name of its subnet, where its network has several.",
    )
    security_groups: list[Name] = Field(
        min_length=1,
        description="Names of the security groups that it shares with others.",
    )
    floating_ip: bool = Field(default=False, description="It has a floating address of its own.")
    certificate: CertificateModel | None = Field(
        default=None,
        description="The operator's own certificate; without it the environment's authority makes one.",
    )
    metadata: dict[MetadataKey, Setting] = Field(
        default_factory=dict,
        description="What Nova keeps beside the server, and tells it: owner, cost centre...",
    )


class ApplicationModel(Model):
    """An application in its instance."""

    kind: Name = Field(description="Which application: wordpress, ...")
    instance: HostName = Field(description="Name of the instance that it runs in.")
    port: PortNumber = Field(description="The TCP port that serves it, over TLS.")
    roles: dict[Name, Name] = Field(
        default_factory=dict,
        description="Group of the directory → what its people are in this application; nobody else of the"
        " directory gets in. Without it the application doesn't ask the directory.",
    )
    title: Text = Field(description="Its title, as people see it.")
    settings: dict[Name, Setting] = Field(
        default_factory=dict, description="Settings of this kind of application."
    )
    egress: list[Literal["cloud", "dns", "packages", "time"]] = Field(
        default_factory=list,
        description="What it may reach (cloud: the API of the cloud that it runs on); all else is refused.",
    )
    deployed: bool = Field(
        default=True,
        description="Whether it is deployed; where not, its place in the cloud is kept, and reports say so.",
    )
    if_unavailable: Literal["stop", "leave-out"] = Field(
        default="stop",
        description="What happens where the file that it is made from can't be had: stop (before anything is"
        " begun), or leave-out (go on without it; its place in the cloud is kept, and reports say so).",
    )


class KeystoneModel(Model):
    """How the Keystone of a cloud that isn't the embedded one asks the directory; its operator knows."""

    prefixes: list[Prefix] = Field(
        min_length=1, description="From which addresses, as the directory's instance sees them."
    )
    authority: Text = Field(
        description="Path, on Keystone's own machines, of the environment's authority's certificate."
    )


class DirectoryModel(Model):
    """The company's people, where they work and what they belong to; an application serves them by LDAP."""

    application: HostName = Field(description="Name of the application that serves the directory.")
    people: Text = Field(
        description="File of the people, CSV or YAML; its path starts at this file's folder."
    )
    sites: dict[Name, Text] = Field(min_length=1, description="Sites by name, and where they are.")
    groups: dict[Name, Text] = Field(min_length=1, description="Groups by name, and who is in them.")
    ssh_groups: list[Name] = Field(
        default_factory=list,
        description="Groups whose people administer the instances over SSH, each by an account of their own;"
        " without it the instances ask no directory for accounts.",
    )
    cloud_groups: dict[Name, Literal["admin", "member", "reader"]] = Field(
        default_factory=dict,
        description="Group of the directory → what its people are on the cloud, in the environment's project:"
        " admin (all of the cloud), member (change the project), reader (look at it). Keystone then asks the"
        " directory, by a domain that has the environment's name.",
    )
    keystone: KeystoneModel | None = Field(
        default=None,
        description="How Keystone asks the directory, on a cloud that isn't the embedded one; without it"
        " 'cloud_groups' has no effect there.",
    )


class GroupModel(Model):
    """People who do the same work."""

    cloud_role: Literal["admin", "member", "reader"] | None = Field(
        default=None,
        description="What its people may do on the cloud: admin (all), member (change the project), reader"
        " (look at it); without it they have no account there.",
    )


class PersonModel(Model):
    """Somebody of the company."""

    name: Text = Field(description="First and last name.")
    group: Name = Field(description="Name of the person's group.")


class ApplicationCredentialModel(Model):
    """What a program acts with on the cloud, as the project's member and with one of its roles only."""

    role: Literal["member", "reader"] = Field(
        default="reader", description="What it may do: member (change the project), reader (look at it)."
    )
    why: Text = Field(description="What it is for.")


class QuotasModel(Model):
    """Limits of the project; those that aren't written stay as the cloud has them."""

    instances: Limit | None = Field(default=None, description="Servers.")
    vcpus: Limit | None = Field(default=None, description="Virtual processors of all servers.")
    ram_mib: Limit | None = Field(default=None, description="Memory of all servers, in MiB.")
    key_pairs: Limit | None = Field(default=None, description="Key pairs of one user.")
    networks: Limit | None = Field(default=None, description="Networks.")
    subnets: Limit | None = Field(default=None, description="Subnets.")
    routers: Limit | None = Field(default=None, description="Routers.")
    ports: Limit | None = Field(default=None, description="Ports, routers' and DHCP's included.")
    security_groups: Limit | None = Field(default=None, description="Security groups.")
    security_group_rules: Limit | None = Field(default=None, description="Rules of all security groups.")
    floating_ips: Limit | None = Field(default=None, description="Floating IPs.")


class EnvironmentFile(Model):
    """A company's IT environment on OpenStack: what exists, what listens where, who may reach it."""

    version: Literal[1] = Field(description="Version of this file's form: 1.")
    name: EnvironmentName = Field(
        description="Name of the environment; marks all that belongs to it in the cloud."
    )
    organization: Text = Field(description="The company's name, as people see it.")
    domain: DomainName = Field(description="DNS domain of the instances.")
    locale: LocaleModel = Field(description="Language, keyboard, time zone.")
    administrators: AdministratorsModel = Field(description="Who may reach SSH.")
    mirrors: MirrorsModel = Field(default_factory=MirrorsModel, description="Debian mirrors.")
    networks: dict[Name, NetworkModel] = Field(description="Networks by name.")
    routers: dict[Name, RouterModel] = Field(default_factory=dict, description="Routers by name.")
    security_groups: dict[Name, SecurityGroupModel] = Field(
        default_factory=dict,
        description="Security groups by name; each application has one of its own besides, named app-NAME.",
    )
    flavors: dict[Name, FlavorModel] = Field(description="Flavors by name.")
    images: dict[Name, ImageModel] = Field(description="Images by name.")
    key_pair: KeyPairName = Field(
        default="administration", description="Name of the administrators' key pair."
    )
    instances: dict[HostName, InstanceModel] = Field(
        description="Instances by name, which is their host name."
    )
    applications: dict[HostName, ApplicationModel] = Field(
        default_factory=dict,
        description="Applications by name.",
    )
    groups: dict[Name, GroupModel] = Field(default_factory=dict, description="Groups of people by name.")
    people: dict[Login, PersonModel] = Field(
        default_factory=dict,
        description="People by login; each has an account of their own, with the role of their group.",
    )
    directory: DirectoryModel | None = Field(
        default=None, description="All people of the company, in a directory that applications ask."
    )
    application_credentials: dict[Name, ApplicationCredentialModel] = Field(
        default_factory=dict,
        description="Application credentials by name: for programs that act on the cloud. Each is handed over"
        " by a file of its own.",
    )
    quotas: QuotasModel = Field(default_factory=QuotasModel, description="Limits of the project.")


def json_schema() -> dict[str, Any]:
    """Return the environment file's JSON Schema (draft 2020-12), for editors and other programs."""
    schema = EnvironmentFile.model_json_schema(by_alias=True)
    for definition in (schema, *schema["$defs"].values()):
        # shown by editors as the hover text: the model's name says nothing to a person
        definition["title"] = definition["title"].removesuffix("Model")
        for values in definition["properties"].values():
            if "patternProperties" in values:
                # a name of another form than the pattern's is wrong, not free
                values["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Medicarche environment",
    }
