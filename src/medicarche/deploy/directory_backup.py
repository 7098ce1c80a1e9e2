"""The directory's whole content as LDIF (RFC 2849): taken from its instance, and put back.

It is what the people's file doesn't hold: passwords that people have set themselves (as Argon2 makes them),
and what others have made beside our tree. It is as secret as those.
"""

from __future__ import annotations

import gzip
from contextlib import closing
from typing import TYPE_CHECKING

from medicarche.errors import MedicarcheError

if TYPE_CHECKING:
    from medicarche.ssh import Instance, Ssh

__all__ = ["back_up", "restore"]

_TAKE = "sudo slapcat -f /etc/ldap/medicarche.conf"
_PUT_BACK = "sudo python3 /usr/local/lib/medicarche/directory.py restore"
#: seconds without a byte
_SILENCE = 120.0


def back_up(ssh: Ssh, instance: Instance) -> bytes:
    """Return the content, compressed (gzip). The directory goes on serving meanwhile.

    Raises:
        Unreachable: the instance doesn't answer.
        MedicarcheError: there is no directory in it, or it is empty.
    """
    content = _run(ssh, instance, _TAKE, b"")
    if not content.startswith(b"dn:"):
        raise MedicarcheError(f"{instance.name}: its directory is empty", hint="medicarche provision")
    return gzip.compress(content, mtime=0)


def restore(ssh: Ssh, instance: Instance, backup: bytes) -> None:
    """Put a backup's content in the place of the present one; one that can't be loaded changes nothing.

    Raises:
        Unreachable: the instance doesn't answer.
        MedicarcheError: it isn't a backup, or slapd doesn't take it.
    """
    try:
        content = gzip.decompress(backup)
    except (OSError, EOFError) as error:
        raise MedicarcheError("not a backup of a directory (gzip)") from error
    if not content.startswith(b"dn:"):
        raise MedicarcheError("not a backup of a directory (LDIF)")
    _run(ssh, instance, _PUT_BACK, content)


def _run(ssh: Ssh, instance: Instance, command: str, given: bytes) -> bytes:
    with closing(ssh.connect(instance)) as client:
        stdin, stdout, stderr = client.exec_command(command, timeout=_SILENCE)
        stdin.write(given)
        stdin.channel.shutdown_write()
        output, errors = stdout.read(), stderr.read()
        code = stdout.channel.recv_exit_status()
    if code != 0:
        told = errors.decode(errors="replace").strip().splitlines()[-5:]
        raise MedicarcheError(
            "\n".join([f"{instance.name}: `{command}` ended with code {code}", *told]),
            hint="medicarche provision",
        )
    return output
