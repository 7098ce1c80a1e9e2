"""Environment files that are wrong in any way: each is told by line and key, and none ends in a traceback.

A sample here; ``nox -s random`` tries 10,000 (``MEDICARCHE_MALFORMED``).
"""

from __future__ import annotations

import copy
import io
import os
import random
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError

from medicarche import deploy
from medicarche.errors import SpecificationError
from medicarche.spec import load_environment

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = (Path(__file__).parent / "base.yaml").read_text(encoding="utf-8")
CONTENT = YAML(typ="safe", pure=True).load(BASE)
SHARDS = 10
EXAMPLES = int(os.environ.get("MEDICARCHE_MALFORMED", "100")) // SHARDS
JUNK = (
    "\t", "  ", ":", ": ", "- ", "{", "}", "[", "]", "'", '"', "#", "&a ", "*a", "!!binary ", "!x ", "|", ">",
    "%", "@", "`", "<<: ", "---\n", "...\n", "? ", "\x00", "\x1b[31m", "\u2028", "é", "\U0001f600", "null",
    "~", "true", "0x1F", "1e400", ".nan", "-1", "2026-01-01", "99999999999999999999", "\r", "\n", "\ufeff",
    "a" * 300,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 65536, 1.5, float("inf"), "", " ", "x" * 300, "../x", "a b", "ARCHE", "é", "\n",
    "0.0.0.0/0", "10.0.0.0/8", "999.1.1.1", "::1", "0", [], {}, [[]], {"x": {}}, [None], ["a", "a"], {"": 1},
)  # fmt: skip


def _any_text(chance: random.Random) -> str:
    """Return the file with characters or lines added, taken away, moved or cut off."""
    text = BASE
    for _ in range(chance.randint(1, 4)):
        at, until = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        lines = text.split("\n")
        match chance.randrange(7):
            case 0:
                text = text[:at] + chance.choice(JUNK) + text[at:]
            case 1:
                text = text[:at] + text[min(until, at + 20) :]
            case 2:
                del lines[chance.randrange(len(lines))]
                text = "\n".join(lines)
            case 3:
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                text = "\n".join(lines)
            case 4:
                number = chance.randrange(len(lines))
                lines[number] = " " * chance.randint(1, 3) + lines[number]
                text = "\n".join(lines)
            case 5:
                words = re.findall(r"[\w./-]+", text) or [""]  # all of it may have been cut off
                text = text.replace(chance.choice(words), chance.choice([*words, *JUNK]), 1)
            case _:
                text = text[:at] if chance.random() < 0.2 else text
    return text


def _any_value(chance: random.Random) -> str:
    """Return the file with values of another kind, keys that nobody knows, and keys left out."""
    content = copy.deepcopy(CONTENT)
    for _ in range(chance.randint(1, 3)):
        around: Any = content
        while True:
            keys: list[Any] = list(around) if isinstance(around, dict) else list(range(len(around)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(around[key], dict | list) and around[key] and chance.random() < 0.7:
                around = around[key]
                continue
            match chance.randrange(3):
                case 0:
                    del around[key]
                case 1 if isinstance(around, dict):
                    around[chance.choice(["x", "Port", "", "name", "a.b"])] = chance.choice(VALUES)
                case _:
                    around[key] = chance.choice(VALUES)
            break
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(content, stream)
    return stream.getvalue()


@pytest.mark.parametrize("make", [_any_text, _any_value])
@pytest.mark.parametrize("shard", range(SHARDS // 2))
def test_each_is_told_by_line_and_key(
    make: Callable[[random.Random], str], shard: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp(f"malformed-{shard}") / "environment.yaml"

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.integers(min_value=0, max_value=2**64))
    def told(seed: int) -> None:
        path.write_text(make(random.Random(seed)), encoding="utf-8", newline="")  # noqa: S311 - a sample
        error = _error(path)
        assume(error is not None)
        assert error is not None
        assert error.exit_code == SpecificationError.exit_code
        assert error.hint
        what = "(.+: .+|the file .+)" if _is_yaml(path) else ".+"
        for line in error.message.split("\n"):
            assert re.match(rf"{re.escape(str(path))}:\d+: {what}", line), line
            assert line.isprintable()

    told()


def _error(path: Path) -> SpecificationError | None:
    try:
        load_environment(
            path,
            check_settings=deploy.check_settings,
            private_listeners=deploy.listeners,
            minimum_size=deploy.minimum_size,
        )
    except SpecificationError as error:
        return error
    return None


def _is_yaml(path: Path) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            YAML(typ="safe", pure=True).compose(path)
    except (YAMLError, ValueError):
        return False
    return True
