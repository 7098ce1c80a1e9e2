"""Lynis (https://cisofy.com/lynis/), run in an instance from a folder in memory, which is gone afterwards."""

from __future__ import annotations

import io
import shlex
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche.testing.baselines.findings import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import paramiko

__all__ = ["PROGRAM", "audit", "packed", "parse", "seen_in"]

#: the program, and the Debian package that it comes from
PROGRAM = {"lynis": "lynis"}
#: of the package, on this machine
_PARTS = ("/usr/share/lynis", "/etc/lynis/default.prf")


def packed() -> bytes:
    """Return Lynis as this machine's package brings it, to be unpacked in an instance (tar, gzip)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for part in _PARTS:
            path = Path(part)
            archive.add(path, arcname=path.name if path.is_file() else ".", filter=_lean)
        archive.add("/usr/sbin/lynis", arcname="lynis")
    return stream.getvalue()


def _lean(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out the translations; all belongs to root."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return None if "/languages/" in f"/{member.name}" and not member.name.endswith("/en") else member


#: seconds that the connection gets to tell that Lynis hung
_SILENCE = 30.0
#: a third of its time, for what others see better: updates that wait (BP-028, R61), certificates (SSLyze)
_SKIPPED = ("PKGS-7392", "CRYP-7902")
#: unpacks what comes in, runs it once, prints its report, and leaves nothing behind
_SCRIPT = """
umask 077
w=$(mktemp -d /run/medicarche-lynis.XXXXXX) || exit 1
trap 'rm -rf $w /run/lynis.pid' EXIT
cd $w && mkdir plugins && tar -xz || exit 1
printf 'skip-test=%s\\n' SKIPPED >>default.prf
export LC_ALL=C
timeout PATIENCE sh ./lynis audit system --quick --quiet --no-colors --log-file $w/log \\
  --profile $w/default.prf --plugin-dir $w/plugins --report-file $w/report.dat >/dev/null 2>&1 </dev/null
if [ $? = 124 ]; then
  echo "Lynis hung; the last lines of its log:" >&2
  tail -n 5 $w/log >&2
  exit 1
fi
cat $w/report.dat
"""


def audit(client: paramiko.SSHClient, archive: bytes, timeout: float = 300.0) -> str:
    """Run Lynis in an instance, and return its report.

    Args:
        client: a connection of somebody who may use sudo.
        archive: `packed`; it goes through standard input, as it is longer than a command line may be.
        timeout: seconds after which it counts as hanging.
    """
    script = _SCRIPT.replace("SKIPPED", " ".join(_SKIPPED)).replace("PATIENCE", f"{timeout:g}")
    stdin, stdout, stderr = client.exec_command(
        f"sudo --non-interactive sh -c {shlex.quote(script)}", timeout=timeout + _SILENCE
    )
    stdin.write(archive)
    stdin.channel.shutdown_write()
    report = stdout.read().decode(errors="replace")
    assert report, stderr.read().decode(errors="replace")  # noqa: S101 - a test's helper
    return report


def parse(report: str) -> Mapping[str, list[str]]:
    """Return its report: key → values; of a list (``warning[]``) all of them."""
    found: dict[str, list[str]] = {}
    for line in report.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key.removesuffix("[]"), []).append(value)
    return found


def seen_in(parsed: Mapping[str, list[str]]) -> Iterator[tuple[str, str, Seen]]:
    """Return its warnings as deviations; suggestions are advice, and are shown beside."""
    for line in parsed.get("warning", ()):
        check, text, *_ = [*line.split("|"), ""]
        yield check, "warning", Seen(met=False, words=text)
    index = int((parsed.get("hardening_index") or ["0"])[0])
    yield "hardening_index", "hardening index", Seen(met=index > 0, words=str(index))
