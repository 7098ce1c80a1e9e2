"""From a document to the models: every error of form at once, in words, and the part that can be used.

What is wrong in form is cut away, so that the checks of meaning can still run on the rest: the user sees all
errors in one go, not one class of errors after another.
"""

from __future__ import annotations

import copy
import types
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from medicarche.spec.document import Document, KeyPath, Problem
from medicarche.spec.schema import EnvironmentFile
from medicarche.spec.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

__all__ = ["validate"]

_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
}
_LIMITS = {
    "greater_than_equal": "{value} is too small; write {ge} or more",
    "less_than_equal": "{value} is too large; write {le} or less",
    "too_short": "is empty; write at least one",
    "string_too_short": "is empty; write a text",
    "string_too_long": "is too long; write {max_length} characters at most",
}
#: stands in for top-level values that are missing or wrong, while the rest is checked
_STAND_INS: dict[str, Any] = {
    "version": 1,
    "name": "x",
    "organization": "x",
    "domain": "x",
    "locale": {"language": "C.UTF-8", "keyboard": "us", "timezone": "UTC"},
    "administrators": {"prefixes": ["192.0.2.0/24"]},
    "networks": {},
    "flavors": {},
    "images": {},
    "instances": {},
}


def validate(document: Document) -> tuple[EnvironmentFile, list[Problem]]:
    """Check the form of a document.

    Returns:
        The file's content as models, without the parts that are wrong in form, and what is wrong. Items
        that were cut out of lists are noted in the document, so that paths still find their lines.

    Raises:
        SpecificationError: it isn't a mapping, so that nothing in it can be checked; or a part that is wrong
            can't be cut out.
    """
    if not isinstance(document.data, dict):
        raise document.error([Problem(1, "", "the file is no environment; write 'key: value' lines")])
    data = copy.deepcopy(document.data)
    problems: list[Problem] = []
    first = True
    # each round cuts away at least one wrong part, or is the last: it ends
    before: object = None
    while data != before:
        before = copy.deepcopy(data)
        try:
            return EnvironmentFile.model_validate(data), problems
        except ValidationError as error:
            details = error.errors(include_url=False)
        if first:
            problems += [_problem(document, detail) for detail in details]
        # from behind, so that cutting an item out of a list doesn't move the next error's item
        for detail in reversed(details):
            _cut(document, data, detail)
        first = False
    raise document.error(problems)


def _path(detail: ErrorDetails) -> KeyPath:
    return tuple(part for part in detail["loc"] if part != "[key]")


def _problem(document: Document, detail: ErrorDetails) -> Problem:
    path = _path(detail)
    return document.problem(path, _text(detail, path))


def _text(detail: ErrorDetails, path: KeyPath) -> str:  # noqa: PLR0911 - each line is one kind of error
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in _KINDS:
        wanted = _KINDS[kind]
        if value is None:
            return f"is empty; write {wanted}, or remove the key"
        return f"{_shown(value)} is not {wanted}; write {wanted}"
    if kind in _LIMITS:
        return _LIMITS[kind].format(value=value, **context)
    if kind == "extra_forbidden":
        known = _keys(path[:-1])
        return f"unknown key{did_you_mean(str(path[-1]), known)}; known here: {', '.join(known)}"
    if kind == "missing":
        return f"is missing; add it{_purpose(path)}"
    if kind == "literal_error":
        return f"{_shown(value)} can't be used here; write {context['expected']}"
    if kind == "medicarche":
        return str(context["message"])
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}; correct the value"


def _shown(value: object) -> str:
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return "true" if value else "false"
        case str() if len(value) > 60:  # noqa: PLR2004 - what fits on a line
            return f"{value[:57]!r}..."
    return repr(value)


def _cut(document: Document, data: dict[str, Any], detail: ErrorDetails) -> None:
    """Remove from the data the smallest part that makes this error go away."""
    path = _path(detail)
    if detail["type"] == "missing" and len(path) > 1:
        path = path[:-1]
    if detail["type"] != "extra_forbidden":
        while not _removable(path):
            path = path[:-1]
    top = str(path[0])
    if len(path) == 1:
        data.pop(top, None)
        if top in _STAND_INS:
            data[top] = copy.deepcopy(_STAND_INS[top])
        return
    holder: Any = data
    for part in path[:-1]:
        try:
            holder = holder[part]
        except (KeyError, IndexError, TypeError):
            return  # cut already, together with something around it
    last = path[-1]
    if isinstance(holder, dict):
        holder.pop(str(last), None)
    elif isinstance(holder, list) and isinstance(last, int) and last < len(holder):
        original = document.original(path)
        del holder[last]
        document.cut.add(original)


def _removable(path: KeyPath) -> bool:
    """Tell whether the thing at a path may be absent: an optional key, an entry of a mapping or list."""
    if len(path) == 1:
        return True
    holder = _type_at(path[:-1])
    if isinstance(holder, type) and issubclass(holder, BaseModel):
        for name, info in holder.model_fields.items():
            if path[-1] in {name, info.alias}:
                return not info.is_required()
        return True
    return True


def _keys(path: KeyPath) -> list[str]:
    holder = _type_at(path)
    if isinstance(holder, type) and issubclass(holder, BaseModel):
        return [info.alias or name for name, info in holder.model_fields.items()]
    return []


def _purpose(path: KeyPath) -> str:
    holder = _type_at(path[:-1])
    if isinstance(holder, type) and issubclass(holder, BaseModel):
        for name, info in holder.model_fields.items():
            if path[-1] in {name, info.alias} and info.description:
                return f" ({info.description.rstrip('.')})"
    return ""


def _type_at(path: KeyPath) -> object:
    """Return the type that the models declare at a path."""
    current: object = EnvironmentFile
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields: Mapping[str, Any] = current.model_fields
            found = [info.annotation for name, info in fields.items() if part in {name, info.alias}]
            current = found[0] if found else None
        elif get_origin(current) in {dict, list}:
            current = get_args(current)[-1]
        else:
            return None
        if get_origin(current) in {Union, types.UnionType}:
            current = next((a for a in get_args(current) if a is not type(None)), None)
    return current
