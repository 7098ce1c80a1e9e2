"""The pyinfra operation that brings an application's code from an archive of the operator's.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra.api.command import FileUploadCommand, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from medicarche.deploy.operations import Differences, File, note

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from pyinfra.api.command import PyinfraCommand

__all__ = ["code", "program", "uploaded"]

_SOURCE = Path(__file__).parent / "scripts/code_tree.py"
_PROGRAM = "/usr/local/lib/medicarche/code_tree.py"


def program() -> File:
    """Return the program that unpacks, as it stands in the instance, beside those that import it."""
    return File(_PROGRAM, _SOURCE.read_text(encoding="utf-8"))


def uploaded(local: str, remote: str) -> Iterator[PyinfraCommand]:
    """Give the commands that upload an archive."""
    yield StringCommand(f"install -d -m 0755 {remote.rpartition('/')[0]}")
    # /tmp is in memory, and it is large
    yield FileUploadCommand(local, remote, remote_temp_filename="/var/tmp/medicarche-upload")  # noqa: S108 - in the instance, whose only people are its administrators


@operation()
def code(
    what: str, link: str, needs: Sequence[str], artefact: Mapping[str, Any]
) -> Generator[PyinfraCommand, None, None]:
    """Bring the code to that of an archive, which is uploaded where the instance hasn't got its code.

    Args:
        what: the application, for people.
        link: where its code is used.
        needs: files that its archive holds, from its one folder on.
        artefact: the archive's ``path`` on this machine and its ``sha256``; either may be None.
    """
    remote = f"/var/lib/medicarche/{what.lower()}.archive"
    wanted = {"what": what, "link": link, "needs": [*needs], "archive": remote, "sha256": artefact["sha256"]}
    text = json.dumps(wanted)
    differences = host.get_fact(Differences, script=_PROGRAM, program="/usr/bin/python3", _stdin=text)
    if differences == []:
        return
    for line in differences or ["isn't there"]:
        note(line)
    if artefact["path"] is not None and (differences is None or differences[0].startswith("the code")):
        yield from uploaded(artefact["path"], remote)
    yield StringCommand(f"python3 {_PROGRAM} apply", _stdin=text)
