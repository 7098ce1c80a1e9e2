"""Host keys: learnt from the instances' console logs, pinned with the server's id."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from medicarche.errors import MedicarcheError
from medicarche.private_files import locked, write_private
from medicarche.ssh.instance import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from medicarche.ssh.instance import Instance

__all__ = ["ConsoleLog", "KnownHosts", "Pin", "entry", "host_keys"]

#: server id → its console log, through the cloud's API
ConsoleLog: TypeAlias = Callable[[str], str]

_BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"\b(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) (AAAA[0-9A-Za-z+/]+={0,2})")


def host_keys(console_log: str) -> tuple[str, ...]:
    """Return the host keys that cloud-init wrote to a console log, as ``type base64`` lines; all types.

    cloud-init's module keys_to_console writes them between two marks at an instance's first boot. Of several
    blocks the last one counts (a rebuild boots anew in the same log). A line that isn't a key is left out.
    """
    blocks = _BLOCK.findall(console_log)
    if not blocks:
        return ()
    found: list[str] = []
    for kind, encoded in _KEY.findall(blocks[-1]):
        line = f"{kind} {encoded}"
        try:
            serialization.load_ssh_public_key(line.encode())
        except (ValueError, UnsupportedAlgorithm):
            continue
        if line not in found:
            found.append(line)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Pin:
    """The host keys of one server: its id, the addresses that it has now, the keys of all types."""

    server_id: str
    addresses: tuple[str, ...]
    keys: tuple[str, ...]


class KnownHosts:
    """The pinned host keys of an environment's instances.

    ``host-keys.json`` holds them by instance; ``known_hosts``, beside it, is made from it for ssh, paramiko
    and pyinfra.

    Args:
        folder: the environment's folder.
        port: where the instances' SSH listens.
    """

    def __init__(self, folder: Path, *, port: int = 22) -> None:
        self._folder = folder
        self._port = port

    @property
    def path(self) -> Path:
        """The known_hosts file. It may be named in configuration before it is there."""
        return self._folder / "known_hosts"

    def pins(self) -> dict[str, Pin]:
        """Return the pins by instance name."""
        try:
            stored = json.loads((self._folder / "host-keys.json").read_text(encoding="utf-8"))
            return {
                name: Pin(pin["server_id"], tuple(pin["addresses"]), tuple(pin["keys"]))
                for name, pin in stored.items()
            }
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MedicarcheError(
                f"{self._folder / 'host-keys.json'}: not a file of pinned host keys",
                hint="move it away: the keys are learnt again from the console logs",
            ) from error

    def learn(self, instances: Iterable[Instance], console_log: ConsoleLog) -> tuple[str, ...]:
        """Pin the host keys of instances whose server has none yet, and bring all addresses up to date.

        A pin of the same server id is never replaced. An address that another instance had before goes to
        the one that has it now.

        Args:
            instances: the instances as they are now.
            console_log: server id → its console log.

        Returns:
            The names of the instances whose console log holds no keys yet; call again later.
        """
        wanted = tuple(instances)
        known = self.pins()
        fresh: dict[str, tuple[str, ...]] = {}
        for instance in wanted:
            pin = known.get(instance.name)
            if pin is None or pin.server_id != instance.id:
                fresh[instance.name] = host_keys(console_log(instance.id))
        with locked(self._folder):
            pins = self.pins()
            taken = {address for instance in wanted for address in addresses(instance)}
            for name, pin in pins.items():
                kept = tuple(address for address in pin.addresses if address not in taken)
                pins[name] = Pin(pin.server_id, kept, pin.keys)
            for instance in wanted:
                pin = pins.get(instance.name)
                if pin is not None and pin.server_id == instance.id:
                    pins[instance.name] = Pin(pin.server_id, addresses(instance), pin.keys)
                elif fresh.get(instance.name):
                    pins[instance.name] = Pin(instance.id, addresses(instance), fresh[instance.name])
                else:
                    pins.pop(instance.name, None)
            self._write(pins)
        return tuple(i.name for i in wanted if i.name not in pins)

    def learn_again(self, instance: Instance, console_log: ConsoleLog) -> bool:
        """Replace an instance's pin where its console log shows other keys: it was rebuilt, and kept its id.

        To be called where the instance has shown another key than the pinned one. The console log is asked of
        Nova, by whose word the first pin was learnt too; what it doesn't show is never pinned.

        Returns:
            Whether the pin was replaced.
        """
        keys = host_keys(console_log(instance.id))
        with locked(self._folder):
            pins = self.pins()
            pin = pins.get(instance.name)
            if not keys or pin is None or pin.server_id != instance.id or set(pin.keys) == set(keys):
                return False
            pins[instance.name] = Pin(instance.id, addresses(instance), keys)
            self._write(pins)
        return True

    def _write(self, pins: dict[str, Pin]) -> None:
        stored = {
            name: {"server_id": pin.server_id, "addresses": pin.addresses, "keys": pin.keys}
            for name, pin in sorted(pins.items())
        }
        lines = [
            f"{','.join(entry(a, self._port) for a in pin.addresses)} {key}\n"
            for _, pin in sorted(pins.items())
            if pin.addresses
            for key in pin.keys
        ]
        for path, content in (
            (self._folder / "host-keys.json", json.dumps(stored, indent=2) + "\n"),
            (self.path, "".join(lines)),
        ):
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                write_private(path, content.encode())


def entry(address: str, port: int) -> str:
    """Return a known_hosts file's form of an address (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT")."""
    return address if port == 22 else f"[{address}]:{port}"  # noqa: PLR2004 - SSH's own port, RFC 4253
