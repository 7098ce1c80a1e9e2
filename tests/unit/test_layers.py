"""The arrows between the rooms go one way (design, section 2)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import medicarche

SOURCE = Path(medicarche.__file__).parent

#: each room and module may import those of the lines above its own, and itself
LAYERS = (
    {"__init__", "errors"},
    {"background", "paths", "private_files", "process", "progress"},
    {"credentials", "host_packages", "pki", "runlock", "spec", "ssh"},
    {"given_certificate", "plan"},
    {"cloud", "embedded"},
    {"converge", "deploy", "image", "probe", "report"},
    {"options"},
    {"connecting"},
    {"forwards", "people", "target"},
    {"cloud_directory"},
    {"deploying", "planning"},
    {"provisioning"},
    {"load"},
    {"status", "testing"},
    {"cli", "pytest_plugin"},
)
#: rooms that may import less than the layers allow
ALLOWED = {
    "spec": {"errors"},
    "plan": {"spec"},
    "cloud": {"background", "errors", "plan", "spec"},
    "probe": {*LAYERS[0], *LAYERS[1], "cloud", "embedded", "plan", "spec", "ssh"},
}
#: rooms without I/O, and the third-party packages that they may use
PURE = {"spec": {"cryptography", "pydantic", "pydantic_core", "ruamel"}, "plan": {"rich", "ruamel"}}
#: standard modules that do I/O or know the time or chance; reading the one file is spec.document's
IMPURE = {
    "asyncio", "http", "multiprocessing", "os", "random", "secrets", "selectors", "shutil", "signal",
    "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
ONLY_UNDER_RENDER = {"rich": {"plan/render.py"}}


def _files(room: str) -> list[Path]:
    folder, module = SOURCE / room, SOURCE / f"{room}.py"
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [module]


def _imported(path: Path) -> set[str]:
    """Return the modules that a file imports, those for type checking too."""
    found = set()
    package = ("medicarche", *path.relative_to(SOURCE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found.add(module)
            if module == "medicarche":
                found |= {f"medicarche.{alias.name}" for alias in node.names}
    return found


def _rooms(path: Path) -> set[str]:
    return {name.split(".")[1] for name in _imported(path) if name.startswith("medicarche.")}


def _names() -> list[str]:
    return sorted({path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCE.rglob("*.py")})


@pytest.mark.parametrize("name", _names())
def test_arrows_go_one_way(name: str) -> None:
    own = [number for number, layer in enumerate(LAYERS) if name in layer]
    assert len(own) == 1, f"say in LAYERS where {name!r} stands"
    allowed = ALLOWED.get(name, set[str]().union(*LAYERS[: own[0]])) | {name, "__version__"}
    wrong = {
        f"{path.relative_to(SOURCE)} imports medicarche.{other}"
        for path in _files(name)
        for other in _rooms(path) - allowed
    }
    assert not wrong


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_do_no_input_or_output(room: str) -> None:
    standard = sys.stdlib_module_names - IMPURE
    wrong = set()
    for path in _files(room):
        short = str(path.relative_to(SOURCE))
        for name in _imported(path):
            top = name.partition(".")[0]
            may = top in standard or top == "medicarche" or top in PURE[room]
            if not may or short not in ONLY_UNDER_RENDER.get(top, {short}):
                wrong.add(f"{short} imports {name}")
    assert not wrong


def test_the_test_sees_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test must be able to fail: imports in functions and for type checking are seen."""
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    file = tmp_path / "spec" / "x.py"
    file.parent.mkdir()
    file.write_text(
        "def f():\n    from medicarche.cloud import y\n    from ..plan import z\n    import socket\n"
    )
    assert _rooms(file) == {"cloud", "plan"}
    assert "socket" in _imported(file)
