"""A YAML file as plain data that knows its lines.

ruamel.yaml composes the node graph; the data is built from it here, so that all duplicate keys are found at
once, each key keeps its line, and aliases can't make a small file grow without bound.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.events import AliasEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from medicarche.errors import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Document", "KeyPath", "Problem", "read", "read_text"]

KeyPath = tuple[str | int, ...]

#: a key at the beginning of a line, as far as it can be told without parsing
_KEY = re.compile(r"(?P<indentation> *)(?P<key>[\w.-]+) *:(?: |$)")
_LARGEST_FILE = 1024 * 1024  # bytes: the largest environment seen has 40 KiB
_MOST_VALUES = 50_000
_DEEPEST = 40
_TOO_DEEP = f"the file is nested too deeply; an environment needs {_DEEPEST} levels at most"
_STANDARD = "tag:yaml.org,2002:"
_SCALARS = frozenset(f"{_STANDARD}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp"))


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One error: the line, the path of keys and what is wrong."""

    line: int
    path: str
    text: str


@dataclass(slots=True)
class Document:
    """A file's data and where each key stands.

    Attributes:
        path: the file.
        data: dictionaries, lists and scalars.
        lines: path of keys → line, counted from 1.
        problems: what is wrong with the YAML itself, but readable (duplicate keys ...).
        cut: paths of the list items that the check of form left out.
    """

    path: Path
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    cut: set[KeyPath] = field(default_factory=set)

    def original(self, path: KeyPath) -> KeyPath:
        """Return where a path into the cut data stands in the file."""
        found: KeyPath = ()
        for part in path:
            if isinstance(part, int):
                index, left = 0, part
                while left or (*found, index) in self.cut:
                    left -= (*found, index) not in self.cut
                    index += 1
                found = (*found, index)
            else:
                found = (*found, part)
        return found

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: KeyPath, text: str) -> Problem:
        """Make a problem at a key."""
        return Problem(self.line(path), _dotted(path), text)

    def told(self, problems: Iterable[Problem]) -> list[str]:
        """Return the problems as lines of text, in the file's order."""
        lines = [
            f"{self.path}:{p.line}: {p.path}: {p.text}" if p.path else f"{self.path}:{p.line}: {p.text}"
            for p in sorted(set(problems))
        ]
        return [_one_line(line) for line in lines]

    def error(
        self, problems: Iterable[Problem], other: Document | None = None, theirs: Iterable[Problem] = ()
    ) -> SpecificationError:
        """Make one error of all problems; ``theirs`` are those of another file that this one names."""
        lines = {self.path: self.told(problems)}
        if other is not None:
            lines[other.path] = other.told(theirs)
        wrong = " and ".join(str(path) for path, found in lines.items() if found)
        return SpecificationError(
            "\n".join(line for found in lines.values() for line in found),
            hint=f"correct {wrong}, then run the command again",
        )


def _one_line(text: str) -> str:
    """Write what a terminal would act upon as an escape: one error is one line, whatever the file holds."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _dotted(path: KeyPath) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        key = part or "''"
        text += f".{key}" if text else key
    return text


def read(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        SpecificationError: it isn't there, isn't a readable UTF-8 file, isn't YAML, or is empty.
    """
    document = Document(path)
    text = read_text(path)
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = _DEEPEST + 2  # the document and the last value; an older ruamel.yaml ignores it
    try:
        node = _compose(yaml, document, text)
        if node is None:
            raise SpecificationError(
                f"{path}:1: the file is empty; describe an environment in it",
                hint="start from environments/example-minimal.yaml",
            )
        document.lines[()] = 1
        document.data = _Builder(yaml, document).build(node, (), frozenset())
    except MarkedYAMLError as error:
        raise _syntax_error(path, text, error) from None
    except (YAMLError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise SpecificationError(f"{path}:1: the file is not YAML: {first}", hint=f"correct {path}") from None
    except RecursionError:
        raise SpecificationError(
            f"{path}:1: {_TOO_DEEP}",
            hint=f"correct {path}",
        ) from None
    return document


def _compose(yaml: YAML, document: Document, text: str) -> Node | None:
    """Return the text's node graph; of an anchor that is there twice, an alias may mean either: told."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ReusedAnchorWarning)
        node: Node | None = yaml.compose(text)
    if any(warning.category is ReusedAnchorWarning for warning in warned):
        seen: dict[str, int] = {}
        for event in YAML(typ="safe", pure=True).parse(text):
            if not isinstance(event, NodeEvent) or isinstance(event, AliasEvent) or event.anchor is None:
                continue
            anchor, line = event.anchor, event.start_mark.line + 1
            if anchor in seen:
                twice = f"the anchor &{anchor} twice (line {seen[anchor]}); give one of them another name"
                document.problems.append(Problem(line, "", f"the file has {twice}"))
            else:
                seen[anchor] = line
    return node


def read_text(path: Path, what: str = "environment file") -> str:
    """Read a text file; ``what`` is the word for it in messages.

    Raises:
        SpecificationError: it isn't there, isn't a readable UTF-8 file, or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SpecificationError(
            f"{path}: there is no such file",
            hint=f"name an {what}, such as environments/medicarche.yaml",
        ) from None
    except IsADirectoryError:
        raise SpecificationError(f"{path}: this is a folder", hint=f"name the {what} in it") from None
    except OSError as error:
        raise SpecificationError(
            f"{path}: the file can't be read: {error.strerror}",
            hint="check its permissions",
        ) from None
    if len(content) > _LARGEST_FILE:
        raise SpecificationError(
            f"{path}: the file is larger than {_LARGEST_FILE // 1024} KiB",
            hint=f"name the right {what}",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecificationError(
            f"{path}:{line}: the file is not UTF-8 text",
            hint=f"save {path} as UTF-8",
        ) from None


def _syntax_error(path: Path, text: str, error: MarkedYAMLError) -> SpecificationError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    problem = str(error.problem or error.context or "it can't be read").splitlines()[0]
    if "\\t" in problem or "'\t'" in problem:
        what = "a tab is used for indentation; use spaces"
    elif "expected a single document" in str(error) or "but found another document" in problem:
        what = "the file holds a second YAML document; remove the line '---' and what follows"
    elif problem.startswith("maximum depth"):
        what = _TOO_DEEP
    else:
        what = f"the file is not YAML: {problem}"
    key = _last_key(text.splitlines()[:line])
    where = f"near {key}: " if key else ""
    return SpecificationError(
        _one_line(f"{path}:{line}: {where}{what}"), hint=f"correct {path}, then run the command again"
    )


def _last_key(lines: list[str]) -> str:
    """Return the path of the last key in lines that don't parse, by indentation alone."""
    around: list[tuple[int, str]] = []
    for line in lines:
        if found := _KEY.match(line):
            indentation = len(found["indentation"])
            around = [(n, key) for n, key in around if n < indentation]
            around.append((indentation, found["key"]))
    return _dotted(tuple(key for _, key in around))


class _Builder:
    """Builds data from nodes, and remembers lines."""

    def __init__(self, yaml: YAML, document: Document) -> None:
        self._yaml = yaml
        self._document = document
        self._count = 0

    def build(self, node: Node, path: KeyPath, around: frozenset[int]) -> Any:  # noqa: ANN401 - any YAML value
        self._count += 1
        line = node.start_mark.line + 1
        if self._count > _MOST_VALUES:
            self._refuse(line, f"aliases make this file larger than {_MOST_VALUES} values; write them out")
        if id(node) in around:
            self._refuse(line, "an alias refers to what it is itself a part of; write the value out")
        if len(path) > _DEEPEST:
            self._refuse(line, _TOO_DEEP)
        if isinstance(node, MappingNode):
            return self._mapping(node, path, around | {id(node)})
        if isinstance(node, SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self._document.lines[*path, index] = item.start_mark.line + 1
                items.append(self.build(item, (*path, index), around | {id(node)}))
            return items
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        raise TypeError(f"YAML node of an unknown kind: {type(node).__name__}")

    def _mapping(self, node: MappingNode, path: KeyPath, around: frozenset[int]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self._problem(line, path, "a key is not a single word; write 'key: value'")
                continue
            key = self._whole(key_node, path)
            here = (*path, key)
            if key == "<<":
                self._problem(line, here, "merge keys are not part of YAML 1.2; write the values out")
                continue
            if key in data:
                self._problem(
                    line, here, f"the key is there twice (line {self._document.lines[here]}); remove one"
                )
                continue
            self._document.lines[here] = line
            data[key] = self.build(value_node, here, around)
        return data

    def _scalar(self, node: ScalarNode, path: KeyPath) -> object:
        tag, node.value = str(node.tag), self._whole(node, path)
        if tag not in _SCALARS:
            shown = tag.replace(_STANDARD, "!!")
            self._problem(node.start_mark.line + 1, path, f"the tag {shown} is not understood; remove it")
            return str(node.value)
        if tag.endswith(":timestamp"):
            return str(node.value)
        return self._yaml.constructor.construct_object(node)

    def _whole(self, node: ScalarNode, path: KeyPath) -> str:
        """Return a scalar's text: JSON, which is YAML, may escape one character as a pair of surrogates."""
        text = str(node.value)
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            line = node.start_mark.line + 1
            self._problem(line, path, "an escape is half of a character; write the character itself")
            return text.encode("utf-8", "replace").decode("utf-8")

    def _problem(self, line: int, path: KeyPath, text: str) -> None:
        self._document.problems.append(Problem(line, _dotted(path), text))

    def _refuse(self, line: int, text: str) -> None:
        raise SpecificationError(
            f"{self._document.path}:{line}: {text}", hint=f"correct {self._document.path}"
        )
