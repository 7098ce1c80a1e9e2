"""Every mistake is said, at its line, and all of them at once."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from medicarche.errors import SpecificationError
from medicarche.spec import Application, Listener, listeners, load_environment

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent
BASE = (HERE / "base.yaml").read_text(encoding="utf-8")
CASES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(HERE / "errors.yaml")


def _edited(edit: dict[str, str]) -> str:
    text = BASE
    for old, new in edit.items():
        assert text.count(old) == 1, f"{old!r} is not once in base.yaml"
        text = text.replace(old, new)
    return text


def _errors(path: Path, text: str | bytes) -> list[str]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    error = _error(path)
    if error is None:
        return []
    assert error.exit_code == 3
    assert error.hint
    return error.message.split("\n")


def _error(path: Path) -> SpecificationError | None:
    try:
        load_environment(path)
    except SpecificationError as error:
        return error
    return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["errors"])[2:70])
def test_mistake(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "environment.yaml"
    said = _errors(path, _edited(case["edit"]))
    expected = list(case["errors"])
    if "*" in expected:  # what follows from it may be said too
        expected.remove("*")
    else:
        assert len(said) == len(expected), said
    for part in expected:
        assert any(line.startswith(f"{path}:{part}") for line in said), said
    for line in said:
        assert re.fullmatch(rf"{re.escape(str(path))}:\d+: (\S+: )?.+; .+", line), "what is wrong; what to do"


def test_all_mistakes_are_said_at_once_and_in_order(tmp_path: Path) -> None:
    text = _edited(
        {
            "name: lab\n": "name: LAB\n",
            "gateway: 192.168.222.1": "gateway: 1.2.3.4",
            "flavor: small": "flavor: x",
        },
    )
    said = _errors(tmp_path / "x.yaml", text)
    assert [line.split(":")[1] for line in said] == ["2", "24", "42"]


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("- a\n- b\n", 1, "the file is no environment"),
        ("just words", 1, "the file is no environment"),
        ("a:\n\tb: 1\n", 2, "a tab is used for indentation"),
        ("a: [1\n", 2, "the file is not YAML"),
        ("a: b: c\n", 1, "near a: the file is not YAML: mapping values are not allowed here"),
        (
            "a: 1\nb:\n  c:\n    d: 1\n  e: 'x\n",
            6,
            "near b.e: the file is not YAML: found unexpected end of stream",
        ),
        ("b:\n  - c: 1\n   d: 1\n", 3, "near b.d: "),
        ("a: *nobody\n", 1, "found undefined alias 'nobody'"),
        ("a: 1\n---\nb: 2\n", 2, "a second YAML document"),
        ("a: \x00", 1, "the file is not YAML"),
        (b"name: lab\norganization: caf\xe9\n", 2, "the file is not UTF-8"),
        ("[" * 2000, 1, "nested too deeply"),
        ("a: " + "[" * 60 + "]" * 60, 1, "nested too deeply"),
        ("a: &a [*a]\n", 1, "an alias refers to what it is itself a part of"),
        ("a: " + "9" * 5000, 1, "the file is not YAML"),
        (
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 10}]\n" for i in range(1, 10)),
            1,
            "aliases",
        ),
    ],
)
def test_what_is_not_readable_is_one_error(
    content: str | bytes, line: int, part: str, tmp_path: Path
) -> None:
    path = tmp_path / "environment.yaml"
    (said,) = _errors(path, content)
    assert re.match(rf"{re.escape(str(path))}:\d+: ", said)
    assert part in said
    if part != "aliases":
        assert said.startswith(f"{path}:{line}: ")


def test_a_pair_of_surrogates_is_one_character_and_half_of_one_is_told(tmp_path: Path) -> None:
    """JSON writes characters beyond 16 bits so; the form's check never ended with a key like this."""
    path = tmp_path / "environment.yaml"
    wrong = r'"\udb61\udc6e": null'
    said = "\n".join(_errors(path, _edited({"flavors:\n": f"flavors:\n  {wrong}\n"})))
    assert chr(0xE846E).encode("unicode_escape").decode() in said
    path.write_text(_edited({"organization: Laboratory": r'organization: "Virus \ud83e\udda0"'}))
    assert load_environment(path).organization == "Virus \N{MICROBE}"
    (said,) = _errors(path, _edited({"organization: Laboratory": r'organization: "Virus \ud83e"'}))
    assert said == f"{path}:3: organization: an escape is half of a character; write the character itself"


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="there is no such file") as caught:
        load_environment(tmp_path / "none.yaml")
    assert caught.value.hint is not None
    with pytest.raises(SpecificationError, match="this is a folder"):
        load_environment(tmp_path)
    with pytest.raises(SpecificationError, match="can't be read"):
        load_environment(tmp_path / ("x" * 300))
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(SpecificationError, match="larger than 1024 KiB"):
        load_environment(large)


def test_a_byte_order_mark_and_aliases_are_fine(tmp_path: Path) -> None:
    text = _edited({"prefixes: [10.20.20.0/24]": "prefixes: [&lan 10.20.20.0/24, *lan]"})
    assert _errors(tmp_path / "x.yaml", "\ufeff" + text) == []
    assert load_environment(tmp_path / "x.yaml").administrators == ("10.20.20.0/24",)


def test_content() -> None:
    environment = load_environment(HERE / "base.yaml")
    assert environment.instance("website").subnet == "private-subnet"
    (group,) = environment.security_groups
    assert [rule.sources for rule in group.ingress] == [("10.20.20.0/24",), ("0.0.0.0/0",)]
    (application,) = environment.applications_of("website")
    assert application.settings == {"tagline": "Hello"}
    with pytest.raises(KeyError):
        environment.instance("none")


def test_listeners() -> None:
    environment = load_environment(HERE / "base.yaml")
    found = [(s.process, s.port, s.public) for s in listeners(environment, "website")]
    assert found == [("sshd", 22, True), ("nginx", 80, True), ("nginx", 8088, True)]
    with pytest.raises(KeyError):
        listeners(environment, "none")


def test_port_80_is_served_only_where_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(_edited({"      - {port: 80, from: anywhere, why: redirects to HTTPS}\n": ""}))
    assert [s.port for s in listeners(load_environment(path), "website")] == [22, 8088]


def test_settings_are_checked_by_the_application_s_own_module(tmp_path: Path) -> None:
    def check(application: Application) -> Iterable[str]:
        assert application.kind == "wordpress"
        return [
            "tagline: is too short; write more",
            "kind: is no application; write wordpress",
            "no administrator; add it",
        ]

    path = tmp_path / "x.yaml"
    path.write_text(BASE)
    with pytest.raises(SpecificationError) as caught:
        load_environment(path, check_settings=check)
    assert caught.value.message.split("\n") == [
        f"{path}:49: applications.website.kind: is no application; write wordpress",
        f"{path}:53: applications.website.settings: no administrator; add it",
        f"{path}:53: applications.website.settings.tagline: is too short; write more",
    ]


@pytest.mark.parametrize(("port", "count"), [(3306, 0), (8088, 1), (80, 1)])
def test_ports_inside_the_instance_are_claimed_too(port: int, count: int, tmp_path: Path) -> None:
    def private(_: Application) -> Iterable[Listener]:
        yield Listener("127.0.0.1", port, "tcp", "apache2", "root", public=False, why="behind nginx")
        yield Listener("192.0.2.1", 8088, "tcp", "nginx", "root", public=True, why="over TLS")

    path = tmp_path / "x.yaml"
    path.write_text(BASE)
    try:
        load_environment(path, private_listeners=private)
        said = []
    except SpecificationError as error:
        said = error.message.split("\n")
    assert len(said) == count
    assert all("its apache2 listens on port" in line for line in said)


_BASE_CONTENT = YAML(typ="safe", pure=True).load(BASE)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_value_anywhere_is_taken_or_refused_in_words(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A wrong value must never be a traceback, nor a wrong name or address slip through into the data."""
    content = copy.deepcopy(_BASE_CONTENT)
    for _ in range(data.draw(st.integers(1, 3))):
        around: Any = content
        while True:
            keys: list[Any] = list(around) if isinstance(around, dict) else list(range(len(around)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(around[key], dict | list) and data.draw(st.booleans()):
                around = around[key]
                continue
            if isinstance(around, dict) and data.draw(st.booleans()):
                del around[key]
            else:
                around[key] = data.draw(_VALUES)
            break
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")  # which is YAML, written in no time
    error = _error(path)
    if error is not None:
        assert all(line.startswith(f"{path}:") for line in error.message.split("\n"))
        return
    environment = load_environment(path)
    assert all(i.network in {n.name for n in environment.networks} for i in environment.instances)
