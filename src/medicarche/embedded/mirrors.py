"""Which Debian mirrors to build from: those given, else those of the host's own apt configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.spec.environment import Mirrors

__all__ = ["Source", "host_sources", "mirrors_for", "parse_deb822", "parse_one_line"]

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SCHEMES = ("http://", "https://")
_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$"
)
_POCKETS = ("-updates", "-backports", "-backports-sloppy", "-proposed-updates", "-security", "/updates")


@dataclass(frozen=True, slots=True)
class Source:
    """One suite of one apt source, as sources.list(5) defines them.

    Attributes:
        uri: the archive's base URL, without a slash at its end.
        suite: ``bookworm``, ``bookworm-security``, ...
        components: ``main``, ...
        signed_by: the keyring's path where the source names one.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None = None


def mirrors_for(mirrors: Mirrors, suite: str, *, root: Path = Path("/")) -> tuple[str, ...]:
    """Return the sources.list lines from which a Debian suite is installed.

    Args:
        mirrors: the base URLs that the user gave; what is None there is taken from the host's apt
            configuration, where the host is a Debian.
        suite: a release's code name, ``bookworm`` or ``trixie``; needn't be the host's.
        root: where the host's own file system begins.

    Returns:
        ``deb ...`` lines for the suite, its updates and its security updates. Empty where no mirror is
        known: mmdebstrap then uses its own default.
    """
    known = [s for s in host_sources(root) if "main" in s.components] if _is_debian(root) else []
    plain = next((s for s in known if not s.suite.endswith(_POCKETS)), None)
    secure = next((s for s in known if s.suite.endswith(("-security", "/updates"))), None)
    if mirrors.debian:
        plain = Source(mirrors.debian.rstrip("/"), suite, ("main",))
    if mirrors.security:
        secure = Source(mirrors.security.rstrip("/"), suite, ("main",))
    if plain is None:
        return ()
    lines = [_line(plain, suite, root), _line(plain, f"{suite}-updates", root)]
    if secure is not None:
        lines.append(_line(secure, f"{suite}-security", root))
    return tuple(lines)


def host_sources(root: Path = Path("/")) -> tuple[Source, ...]:
    """Return the binary package sources that the host's apt uses, in both of its formats."""
    folder = root / "etc/apt"
    found: list[Source] = []
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))):
        if path.is_file():
            found.extend(parse_one_line(path.read_text(encoding="utf-8", errors="replace")))
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        found.extend(parse_deb822(path.read_text(encoding="utf-8", errors="replace")))
    return tuple(s for s in found if s.uri.startswith(_SCHEMES))


def parse_one_line(text: str) -> Iterator[Source]:
    """Read the one-line format of sources.list(5)."""
    for line in text.splitlines():
        match = _ONE_LINE.match(line.partition("#")[0].strip())
        if match is None:
            continue
        options = dict(o.split("=", 1) for o in (match["options"] or "").split() if "=" in o)
        yield Source(
            match["uri"].rstrip("/"),
            match["suite"],
            tuple(match["components"].split()),
            options.get("signed-by"),
        )


def parse_deb822(text: str) -> Iterator[Source]:
    """Read the deb822 format of sources.list(5)."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = _fields(paragraph)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {
            "no",
            "false",
        }:
            continue
        # an inlined key has a leading newline or an armour; only a path can be handed on
        key = fields.get("signed-by", "").strip()
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(
                    uri.rstrip("/"),
                    suite,
                    tuple(fields.get("components", "").split()),
                    key if key.startswith("/") else None,
                )


def _fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line[:1] in {" ", "\t"} and name:
            fields[name] += " " + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _line(source: Source, suite: str, root: Path) -> str:
    """A sources.list line; names the keyring where apt wouldn't find it by itself."""
    keyring = source.signed_by if source.signed_by and source.signed_by != str(KEYRING) else None
    if keyring is None and not _is_debian(root):
        keyring = str(KEYRING)
    option = f"[signed-by={keyring}] " if keyring else ""
    return f"deb {option}{source.uri} {suite} main"


def _is_debian(root: Path) -> bool:
    try:
        text = (root / "etc/os-release").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return re.search(r'^ID="?debian"?$', text, re.MULTILINE) is not None
