"""The mirrors that follow from the user's wishes and the host's apt configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medicarche.embedded.mirrors import mirrors_for, parse_deb822, parse_one_line
from medicarche.spec.environment import Mirrors

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
# the archive
Types: deb deb-src
URIs: http://one.example/debian/
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://sec.example/debian-security
# a comment inside
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text('PRETTY_NAME="Debian"\nID=debian\n')
    return tmp_path


def test_deb822_with_comments_and_continued_fields() -> None:
    found = list(parse_deb822(DEB822))
    assert [(s.uri, s.suite) for s in found] == [
        ("http://one.example/debian", "bookworm"),
        ("http://one.example/debian", "bookworm-updates"),
        ("https://sec.example/debian-security", "bookworm-security"),
    ]
    assert found[0].components == ("main", "contrib")


def test_one_line_format_with_options_and_comments() -> None:
    text = (
        "# deb http://no.example/ x main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian/ trixie main # why\n"
    )
    (source,) = parse_one_line(text)
    assert (source.uri, source.suite, source.components, source.signed_by) == (
        "http://a.example/debian",
        "trixie",
        ("main",),
        "/k.gpg",
    )


def test_the_hosts_own_mirrors_serve_another_suite(root: Path) -> None:
    (root / "etc/apt/sources.list.d/debian.sources").write_text(DEB822)
    assert mirrors_for(Mirrors(), "trixie", root=root) == (
        "deb http://one.example/debian trixie main",
        "deb http://one.example/debian trixie-updates main",
        "deb https://sec.example/debian-security trixie-security main",
    )


def test_what_the_user_names_goes_before_the_hosts(root: Path) -> None:
    (root / "etc/apt/sources.list").write_text("deb http://one.example/debian bookworm main\n")
    lines = mirrors_for(Mirrors(debian="http://mine.example/debian/"), "bookworm", root=root)
    assert lines == (
        "deb http://mine.example/debian bookworm main",
        "deb http://mine.example/debian bookworm-updates main",
    )


def test_ubuntus_mirrors_are_not_debians(root: Path) -> None:
    (root / "etc/os-release").write_text("ID=ubuntu\nID_LIKE=debian\n")
    (root / "etc/apt/sources.list").write_text("deb http://archive.example/ubuntu noble main\n")
    assert mirrors_for(Mirrors(), "bookworm", root=root) == ()
    (first, *_) = mirrors_for(Mirrors(debian="http://mine.example/debian"), "bookworm", root=root)
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert first == f"deb [signed-by={keyring}] http://mine.example/debian bookworm main"


def test_media_are_not_mirrors(root: Path) -> None:
    (root / "etc/apt/sources.list").write_text(
        "deb cdrom:[Debian]/ bookworm main\ndeb file:/srv/d bookworm main\n"
    )
    assert mirrors_for(Mirrors(), "bookworm", root=root) == ()
