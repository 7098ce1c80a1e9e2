"""Single values of the environment file: names, addresses, prefixes, sizes, each with its form in words."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from medicarche.spec.suggest import did_you_mean

__all__ = [
    "ADMINISTRATORS",
    "ANYWHERE",
    "Address",
    "DomainName",
    "EnvironmentName",
    "HostName",
    "KeyPairName",
    "Keyboard",
    "Language",
    "Limit",
    "Login",
    "MetadataKey",
    "Name",
    "PackageName",
    "PortNumber",
    "Prefix",
    "Setting",
    "Sources",
    "Text",
    "Timezone",
    "Url",
    "UserName",
    "Why",
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
    if isinstance(value, str):
        if value in {ADMINISTRATORS, ANYWHERE}:
            return value
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
#: a person's name for logging in, which is a file's name too
Login = Annotated[
    str,
    *_pattern(
        r"[a-z_][a-z0-9_.-]{0,31}", "a login: at most 32 small letters, digits, dots, dashes, underscores"
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
#: of a quota; OpenStack counts in signed integers of 32 bits
Limit = Annotated[int, Field(ge=0, le=2**31 - 1)]
#: of a server's metadata (Nova's API, schema "metadata")
MetadataKey = Annotated[
    str,
    *_pattern(
        r"[A-Za-z0-9:_. -]{1,255}",
        "at most 255 letters, digits, colons, dots, dashes, underscores and spaces",
    ),
]
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
