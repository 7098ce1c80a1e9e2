"""A cloud's own databases: those of all layers together, nothing of the layers shows through."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from medicarche.embedded import build
from medicarche.embedded.rootfs import Layer

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MYSQL = "var/lib/mysql"


def _layer(folder: Path, kind: str, files: dict[str, str]) -> Layer:
    layer = Layer(folder, kind, "key")
    for name, text in files.items():
        path = layer.tree / MYSQL / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return layer


def _files(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()
    }


def test_databases_are_the_layers_merged_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[tuple[object, str, bytes]] = []  # only root may set this kind of attribute
    monkeypatch.setattr(os, "setxattr", lambda path, name, value: marked.append((path, name, value)))
    packages = _layer(
        tmp_path, "packages", {"ibdata1": "old", "mysql/db.frm": "frame", "mysql/db.MAD": "old"}
    )
    schema = _layer(tmp_path, "schema", {"ibdata1": "new", "mysql/db.MAD": "new", "nova/a.ibd": "table"})
    data = tmp_path / "data"
    build.seed_databases((schema, packages), data)
    wanted = {"ibdata1": "new", "mysql/db.frm": "frame", "mysql/db.MAD": "new", "nova/a.ibd": "table"}
    assert _files(data / MYSQL) == wanted
    assert marked == [(data / MYSQL, "trusted.overlay.opaque", b"y")]

    (data / MYSQL / "ibdata1").write_text("the cloud's", encoding="utf-8")
    build.seed_databases((schema, packages), data)
    assert _files(data / MYSQL) == {**wanted, "ibdata1": "the cloud's"}
