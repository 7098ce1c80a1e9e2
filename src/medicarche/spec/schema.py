"""The environment file's form: what may be written in it, key by key.

The models only check what can be seen at one place: types, units, forms. What relates several places to
each other is in `medicarche.spec.checks`. The JSON Schema for editors is made from the same models.
A new section is one more model and one more field of `EnvironmentFile`.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from medicarche.spec.suggest import did_you_mean

__all__ = [
    "ADMINISTRATORS",
    "ANYWHERE",
    "AdministratorsModel",
    "ApplicationModel",
    "EnvironmentFile",
    "FlavorModel",
    "ImageModel",
    "IngressModel",
    "InstanceModel",
    "LocaleModel",
    "MirrorsModel",
    "NetworkModel",
    "PoolModel",
    "RouterModel",
    "SecurityGroupModel",
    "SubnetModel",
    "json_schema",
]

#: words that an ingress rule's ``from`` understands besides prefixes
ADMINISTRATORS = "administrators"
ANYWHERE = "anywhere"


def _wrong(message: str) -> PydanticCustomError:
    # braces would be read as placeholders by pydantic
    return PydanticCustomError("medicarche", "{message}", {"message": message})


def _pattern(pattern: str, form: str) -> tuple[AfterValidator, WithJsonSchema]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise _wrong(f"{value!r} can't be used here; write {form}")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


def _network(value: str) -> str:
    try:
        IPv4Network(value)
    except NetmaskValueError:
        raise _wrong(
            f"{value!r} has no valid prefix length; write one from 0 to 32 behind the slash"
        ) from None
    except AddressValueError:
        raise _wrong(
            f"{value!r} is not an IPv4 prefix; write address/length, such as 192.168.1.0/24"
        ) from None
    except ValueError:
        meant = IPv4Network(value, strict=False)
        raise _wrong(f"{value!r} is an address inside a prefix; write {meant}") from None
    if "/" not in value:
        raise _wrong(f"{value!r} has no prefix length; write {value}/32 for this one address")
    return value


def _address(value: str) -> str:
    try:
        IPv4Address(value)
    except AddressValueError:
        raise _wrong(f"{value!r} is not an IPv4 address; write one such as 192.168.1.1") from None
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        if known or not re.fullmatch(r"[A-Za-z_]+(/[A-Za-z0-9_+-]+)*", value):
            meant = did_you_mean(value, known)
            raise _wrong(f"{value!r} is not a time zone; write one such as Europe/Paris{meant}") from None
    return value


def _sources(value: object) -> str | list[str]:
    """Check an ingress rule's ``from``: a word, one prefix, or a list of prefixes."""
    if value in {ADMINISTRATORS, ANYWHERE}:
        return str(value)
    if isinstance(value, str):
        if "/" not in value and not value[:1].isdigit():
            meant = did_you_mean(value, {ADMINISTRATORS, ANYWHERE})
            raise _wrong(
                f"{value!r} is no source; write administrators, anywhere, or a list of prefixes{meant}"
            )
        return [_network(value)]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return [_network(item) for item in value]
    raise _wrong("is no source; write administrators, anywhere, or a list of prefixes")


def _setting(value: object) -> str:
    """Make text of a setting: its application's module knows what it means."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise _wrong("is not a single value; write a text, a number, true or false")


_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"

#: goes into every ownership mark (255 characters at most, as Neutron's descriptions) and key pair's name
EnvironmentName = Annotated[
    str,
    *_pattern(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", "at most 32 small letters, digits and dashes"),
]
#: names that Neutron, Nova and Glance take, and that need no quoting anywhere
Name = Annotated[
    str,
    *_pattern(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
        "at most 63 letters, digits, dots, dashes and underscores, a letter or digit first",
    ),
]
#: Nova refuses dots in key pairs' names (before microversion 2.92)
KeyPairName = Annotated[
    str,
    *_pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", "at most 63 letters, digits, dashes and underscores"),
]
#: a host name's label, RFC 1123 section 2.1
HostName = Annotated[
    str,
    *_pattern(_LABEL, "a host name: at most 63 small letters, digits and dashes, no dash at either end"),
]
DomainName = Annotated[
    str,
    *_pattern(
        rf"(?=.{{1,189}}$){_LABEL}(\.{_LABEL})*", "a domain name in small letters, such as example.internal"
    ),
]
UserName = Annotated[
    str,
    *_pattern(
        r"[a-z_][a-z0-9_-]{0,31}", "a user's name: at most 32 small letters, digits, dashes, underscores"
    ),
]
PackageName = Annotated[str, *_pattern(r"[a-z0-9][a-z0-9+.-]+", "a Debian package's name")]
Url = Annotated[
    str, *_pattern(r"https?://[^\s/?#@]+(/[^\s?#]*)?", "a URL that begins with http:// or https://")
]
Language = Annotated[
    str,
    *_pattern(r"(C|[a-z]{2,3}_[A-Z]{2})\.UTF-8(@[a-z]+)?", "a UTF-8 locale, such as fr_FR.UTF-8"),
]
Keyboard = Annotated[str, *_pattern(r"[a-z]{2,8}", "an XKB layout, such as fr")]
Timezone = Annotated[str, AfterValidator(_timezone)]
Prefix = Annotated[
    str,
    AfterValidator(_network),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$"}),
]
Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "ipv4"})]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
#: written into a security-group rule's description, behind the mark; both have 255 characters
Why = Annotated[str, Field(min_length=1, max_length=80)]
Sources = Annotated[
    Any,
    PlainValidator(_sources),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [ADMINISTRATORS, ANYWHERE]},
                {"type": "string", "pattern": r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$"},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "pattern": r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$"},
                },
            ],
        },
    ),
]
Setting = Annotated[
    Any,
    PlainValidator(_setting),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
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
        ge=256, le=1024 * 1024, description="Size in MiB of the file system before it grows."
    )
    visibility: Literal["public", "private", "shared", "community"] = Field(
        default="private",
        description="Who in the cloud may use the image.",
    )
    packages: list[PackageName] = Field(
        default_factory=list,
        description="Debian packages installed besides the usual ones.",
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


class ApplicationModel(Model):
    """An application in its instance."""

    kind: Name = Field(description="Which application: wordpress, ...")
    instance: HostName = Field(description="Name of the instance that it runs in.")
    port: PortNumber = Field(description="The TCP port that serves it, over TLS.")
    title: Text = Field(description="Its title, as people see it.")
    settings: dict[Name, Setting] = Field(
        default_factory=dict, description="Settings of this kind of application."
    )
    egress: list[Literal["dns", "packages", "time"]] = Field(
        default_factory=list,
        description="What it may reach; all else is refused.",
    )


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


def json_schema() -> dict[str, Any]:
    """Return the environment file's JSON Schema (draft 2020-12), for editors and other programs."""
    schema = EnvironmentFile.model_json_schema(by_alias=True)
    for definition in (schema, *schema["$defs"].values()):
        # shown by editors as the hover text: the model's name says nothing to a person
        definition["title"] = definition["title"].removesuffix("Model")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Medicarche environment",
    }
