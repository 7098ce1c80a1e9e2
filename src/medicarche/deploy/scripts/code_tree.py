"""An application's code from its makers' archive: all of it or none, and changed over to in one step.

Written by Medicarche; changes are put back. It runs in an instance by the system's Python, and imports
nothing of Medicarche's; an application's own program may import it from beside itself. Each archive gets a
folder of its own, with the first digits of its SHA-256 in its name; a link says which one is used.

"check" says as a JSON list what differs, and changes nothing; "apply" changes it (as root). Standard input: a
JSON object: what, link, needs, archive, sha256.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any

_DIGITS = 16
_KINDS = {b"BZh": "bztar", b"\x1f\x8b": "gztar", b"\xfd7z": "xztar", b"PK": "zip"}
_LONGEST = max(map(len, _KINDS))


class Tree:
    """An application's code.

    Attributes:
        what: the application, for people.
        link: where its code is used; the folders are beside it.
        needs: files that its archive holds, from its one folder on.
    """

    def __init__(self, what: str, link: pathlib.Path, needs: tuple[str, ...]) -> None:
        """Say where it is; nothing is read yet."""
        self.what = what
        self.link = link
        self.needs = needs

    def name_of(self, sha256: str) -> str:
        """Return the name of the folder for an archive."""
        return f"{self.link.name}-{sha256[:_DIGITS]}"

    def is_of(self, sha256: str | None) -> bool:
        """Tell whether it is an archive's; None: of any."""
        return self.link.is_symlink() and (
            sha256 is None or self.link.readlink().name == self.name_of(sha256)
        )

    def older(self) -> list[pathlib.Path]:
        """Return the folders of code that were in the present one's place before."""
        used = self.link.readlink().name if self.link.is_symlink() else None
        found = self.link.parent.glob(f"{self.link.name}-" + "[0-9a-f]" * _DIGITS)
        return sorted(tree for tree in found if tree.name != used)

    def change_to(self, archive: pathlib.Path, sha256: str) -> None:
        """Unpack an archive that isn't there yet, and use it; the archive is removed then.

        The folders that were used before stay (`older`): a server may have their files open.

        Raises:
            SystemExit: it isn't what its SHA-256 says, or isn't the application's; nothing has changed.
        """
        target = self.link.parent / self.name_of(sha256)
        if not target.exists():
            self._unpack(archive, sha256, target)
        link = self.link.with_name(f".{self.link.name}-new")
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        link.replace(self.link)
        archive.unlink(missing_ok=True)

    def _unpack(self, archive: pathlib.Path, sha256: str, target: pathlib.Path) -> None:
        if not archive.exists():
            sys.exit(f"{self.what}'s archive isn't there: {archive}")
        with archive.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            start = stream.read(_LONGEST)
        if found != sha256:
            sys.exit(f"the archive's SHA-256 is {found}, and should be {sha256}")
        root = target.parent
        root.mkdir(parents=True, exist_ok=True)
        for stale in root.glob(f".medicarche-{self.link.name}-*"):
            shutil.rmtree(stale)
        kind = next((kind for magic, kind in _KINDS.items() if start.startswith(magic)), None)
        if kind is None:
            sys.exit(f"the archive holds no {self.what}: it is none of {', '.join(_KINDS.values())}")
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f".medicarche-{self.link.name}-", dir=root))
        options: dict[str, Any] = {} if kind == "zip" else {"filter": "data"}
        try:
            shutil.unpack_archive(archive, folder, kind, **options)
            tops = list(folder.iterdir())
            missing = [name for name in self.needs if len(tops) != 1 or not (tops[0] / name).exists()]
            if missing:
                sys.exit(f"the archive holds no {self.what}: {', '.join(missing)} isn't in its one folder")
            # read-only for the server: it is the operator who changes it
            subprocess.run(["chown", "-R", "root:root", str(folder)], check=True)
            subprocess.run(["chmod", "-R", "u=rwX,go=rX", str(folder)], check=True)
            tops[0].rename(target)
        finally:
            shutil.rmtree(folder)


def differences(wanted: dict[str, Any]) -> list[str]:
    """Say what differs, in words."""
    tree = _tree(wanted)
    if not tree.is_of(wanted["sha256"]):
        return ["the code isn't the archive's" if tree.link.exists() else "the code isn't there"]
    return ["older code takes up room"] if tree.older() else []


def apply(wanted: dict[str, Any]) -> None:
    """Change to the archive; what was used before is removed, as whoever has it open is restarted."""
    tree = _tree(wanted)
    if not tree.is_of(wanted["sha256"]):
        if wanted["sha256"] is None:
            sys.exit(f"{tree.what}'s archive isn't known: nothing can be unpacked")
        tree.change_to(pathlib.Path(wanted["archive"]), wanted["sha256"])
    for older in tree.older():
        shutil.rmtree(older)


def _tree(wanted: dict[str, Any]) -> Tree:
    return Tree(wanted["what"], pathlib.Path(wanted["link"]), tuple(wanted["needs"]))


def _main() -> None:
    wanted = json.load(sys.stdin)
    if sys.argv[1] == "check":
        sys.stdout.write(json.dumps(differences(wanted)) + "\n")
    else:
        apply(wanted)


if __name__ == "__main__":
    try:
        _main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd[:8]))} ... ended with code {error.returncode}")
