"""The authorities that the node's Keystone believes: one file for all, written when it changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from folder_node import FolderNode
from medicarche.embedded import authorities

if TYPE_CHECKING:
    from pathlib import Path


def _trust(node: FolderNode, environment: str, certificate: str) -> str:
    authorities.trust(node, environment, certificate)  # type: ignore[arg-type]  # a stand-in
    return (node.root / "authorities.pem").read_text(encoding="utf-8")


def test_all_environments_are_believed_and_each_has_one_authority(tmp_path: Path) -> None:
    node = FolderNode(tmp_path)
    assert _trust(node, "b", "second\n") == "second\n"
    assert _trust(node, "a", "first\n") == "first\nsecond\n"
    assert _trust(node, "b", "third\n") == "first\nthird\n"
    assert (tmp_path / "authorities.pem").stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authorities", "authorities.pem"]


def test_the_same_again_touches_nothing(tmp_path: Path) -> None:
    node = FolderNode(tmp_path)
    _trust(node, "a", "first\n")
    os.utime(tmp_path / "authorities.pem", (1, 1))
    _trust(node, "a", "first\n")
    assert (tmp_path / "authorities.pem").stat().st_mtime == 1, "Keystone's processes would begin anew"
