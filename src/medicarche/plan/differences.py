"""Comparing one observed resource with the wanted one, field by field."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from medicarche.plan.model import FieldChange
from medicarche.plan.resources import SecurityGroupRule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from medicarche.plan.resources import Resource

__all__ = ["compared_fields", "described", "differences", "on_change", "shown"]

_LONGEST = 60
#: fields whose None, when wanted, leaves the choice to the cloud
_CLOUDS_CHOICE = {("router", "external_address"), ("server", "title")}
#: fields whose order says nothing
_SETS = {("port", "security_groups"), ("subnet", "pools")}
#: mappings of which only the wanted keys are compared: the cloud adds others
_SUBSETS = {("image", "properties"), ("quota", "limits")}
#: mappings that are told key by key
_MAPPINGS = _SUBSETS | {("flavor", "metadata"), ("server", "metadata"), ("domain", "options")}


def _fields(resource: Resource) -> Mapping[str, str]:
    return _fields_of(type(resource))  # type: ignore[arg-type]  # mypy takes a class for one of its objects


@cache
def _fields_of(resource_type: type[Resource]) -> Mapping[str, str]:
    return {
        field.name: str(field.metadata.get("on_change", "update"))
        for field in fields(resource_type)
        if field.name != "name"
    }


def compared_fields(resource: Resource) -> tuple[str, ...]:
    """Return the names of the fields that are compared."""
    return tuple(name for name, treatment in _fields(resource).items() if treatment != "ignore")


def on_change(resource: Resource, field: str) -> str:
    """Return what a difference in a field (``metadata.owner``: a key of one) leads to.

    Returns:
        ``update``, ``replace`` or ``ignore``.
    """
    return _fields(resource)[field.partition(".")[0]]


def differences(
    wanted: Resource,
    observed: Resource,
    translate: Callable[[Any], Any] = lambda value: value,
) -> tuple[FieldChange, ...]:
    """Compare two resources of one kind.

    Args:
        wanted: what should be.
        observed: what is.
        translate: applied to the observed values of reference fields, which are addresses.
    """
    found = []
    for name in compared_fields(wanted):
        new, old = getattr(wanted, name), getattr(observed, name)
        if name in wanted.references:
            old = translate(old)
        key = (wanted.kind.value, name)
        if key in _CLOUDS_CHOICE and new is None:
            continue
        if key in _MAPPINGS:
            found += _by_key(name, dict(old), dict(new), whole=key not in _SUBSETS)
            continue
        if key in _SETS:
            new, old = tuple(sorted(new)), tuple(sorted(old))
        if new != old:
            found.append(FieldChange(field=name, old=shown(old), new=shown(new)))
    return tuple(found)


def _by_key(name: str, old: dict[str, Any], new: dict[str, Any], *, whole: bool) -> list[FieldChange]:
    keys = sorted({*new, *old} if whole else new)
    return [
        FieldChange(field=f"{name}.{key}", old=shown(old.get(key)), new=shown(new.get(key)))
        for key in keys
        if old.get(key) != new.get(key)
    ]


def described(resource: Resource) -> str:
    """Describe a resource in a few words: the fields that aren't as they are by default."""
    if isinstance(resource, SecurityGroupRule):
        return _rule(resource)
    told = []
    for field in fields(resource):
        value = getattr(resource, field.name)
        ignored = field.metadata.get("on_change") == "ignore"
        if field.name not in {"name", *resource.references} and not ignored and value != field.default:
            told.append(f"{field.name} {shown(value)}")
    return ", ".join(told)


def _rule(rule: SecurityGroupRule) -> str:
    ports = "" if rule.port_min is None else f" {rule.port_min}"
    if rule.port_max != rule.port_min:
        ports += f"-{rule.port_max}"
    way = "from" if rule.direction == "ingress" else "to"
    other = rule.remote_group or rule.remote_prefix or "anywhere"
    return f"{rule.direction} {rule.ethertype} {rule.protocol or 'all'}{ports} {way} {other} in {rule.group}"


def shown(value: object) -> str:
    """Show a field's value to a person."""
    match value:
        case None | ():
            return "none"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(_item(item) for item in value)
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _item(item: object) -> str:
    if isinstance(item, tuple):
        first, second = item
        return f"{first}-{second}" if str(first)[:1].isdigit() else f"{first}={second}"
    return str(item)
