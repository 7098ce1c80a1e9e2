"""Reaching the instances over SSH: the environment's key, pinned host keys, waiting until they are ready.

A host key is learnt from the instance's own console log, which comes through the cloud's API, and is kept
with the server's id; an unknown or different key is refused, never accepted blindly (design, section 4).
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import selectors
import shlex
import socket
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medicarche.errors import MedicarcheError, Unreachable
from medicarche.private_files import locked, make_private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from medicarche.progress import Reporter

    #: server id → its console log, through the cloud's API
    ConsoleLog: TypeAlias = Callable[[str], str]

__all__ = [
    "ConsoleLog",
    "Instance",
    "KeyPair",
    "KnownHosts",
    "Pin",
    "Ssh",
    "ensure_key_pair",
    "host_keys",
]

# paramiko logs each refused connection with its traceback; without a handler logging prints that on stderr
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Instance(Protocol):
    """What is needed of an instance; `medicarche.converge.InstanceState` has it."""

    @property
    def name(self) -> str:
        """Its logical name."""
        ...

    @property
    def id(self) -> str:
        """The server's id in the cloud: another one is another machine, with other host keys."""
        ...

    @property
    def private_address(self) -> str | None:
        """Its fixed address."""
        ...

    @property
    def floating_address(self) -> str | None:
        """Its floating address, which is preferred where there is one."""
        ...


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An SSH key pair: the private key's file (0400), and the public key as one line without comment."""

    private: Path
    public: str


def ensure_key_pair(folder: Path, name: str = "administration") -> KeyPair:
    """Return the environment's SSH key pair (Ed25519); made the first time, the same ever after.

    Args:
        folder: the environment's folder; made 0700.
        name: the key pair's name, and its file's.

    Raises:
        MedicarcheError: the file is there and isn't an Ed25519 private key: it is never overwritten.
    """
    path = folder / name
    with locked(folder):
        if not path.exists():
            content = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            )
            write_private(path, content, mode=0o400)
        elif path.stat().st_mode & 0o377:
            path.chmod(0o400)
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MedicarcheError(
            f"{path}: not a private key in OpenSSH form without passphrase",
            hint="put it back from a backup, or move it away: with a new one the instances are replaced",
        ) from error
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(path, public.decode())


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
            taken = {address for instance in wanted for address in _addresses(instance)}
            for name, pin in pins.items():
                kept = tuple(address for address in pin.addresses if address not in taken)
                pins[name] = Pin(pin.server_id, kept, pin.keys)
            for instance in wanted:
                pin = pins.get(instance.name)
                if pin is not None and pin.server_id == instance.id:
                    pins[instance.name] = Pin(pin.server_id, _addresses(instance), pin.keys)
                elif fresh.get(instance.name):
                    pins[instance.name] = Pin(instance.id, _addresses(instance), fresh[instance.name])
                else:
                    pins.pop(instance.name, None)
            self._write(pins)
        return tuple(i.name for i in wanted if i.name not in pins)

    def forget(self, name: str) -> None:
        """Remove an instance's pin, by order of a person: a rebuild by hand keeps the server's id."""
        with locked(self._folder):
            pins = self.pins()
            if pins.pop(name, None) is not None:
                self._write(pins)

    def _write(self, pins: dict[str, Pin]) -> None:
        stored = {
            name: {"server_id": pin.server_id, "addresses": pin.addresses, "keys": pin.keys}
            for name, pin in sorted(pins.items())
        }
        lines = [
            f"{','.join(_entry(a, self._port) for a in pin.addresses)} {key}\n"
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


def _addresses(instance: Instance) -> tuple[str, ...]:
    return tuple(a for a in (instance.floating_address, instance.private_address) if a)


#: cloud-init writes it when its last stage is done, at every boot: {"v1": {"errors": [...], ...}}
_RESULT = "/run/cloud-init/result.json"


class Ssh:
    """Connections to the instances of one environment as their administrator.

    Args:
        folder: the environment's folder: its key pair and its pinned host keys.
        user: the image's default user.
        key_name: the key pair's name.
        port: where the instances' SSH listens.
        clock: seconds that only go forward.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        user: str,
        key_name: str = "administration",
        port: int = 22,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder = make_private_folder(folder)
        self.user = user
        self.key = ensure_key_pair(folder, key_name)
        self.known_hosts = KnownHosts(folder, port=port)
        self._port = port
        self._clock = clock
        self._sleep = sleep

    def command(
        self, instance: Instance, command: Sequence[str] = (), *, terminal: bool = False
    ) -> list[str]:
        """Return the argument list of the ``ssh`` program: pinned host keys, key only, no global settings.

        Args:
            instance: where to.
            command: a program and its arguments, quoted for the instance's shell; a login shell without it.
            terminal: ask for a terminal even with a command.

        Raises:
            Unreachable: the instance has no address.
        """
        options = {
            "UserKnownHostsFile": _quoted(self.known_hosts.path),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "PreferredAuthentications": "publickey",
            "ConnectTimeout": "10",
        }
        arguments = ["ssh", "-F", "none", "-i", str(self.key.private)]
        for key, value in options.items():
            arguments += ["-o", f"{key}={value}"]
        if terminal:
            arguments.append("-t")
        arguments += ["-p", str(self._port), "-l", self.user, "--", _address(instance)]
        if command:
            arguments.append(shlex.join(command))
        return arguments

    def connect(self, instance: Instance, *, timeout: float = 10.0) -> paramiko.SSHClient:
        """Open a connection to an instance; close it after use (it is a context manager).

        Args:
            instance: where to.
            timeout: seconds for each of TCP, the banner and the authentication.

        Raises:
            Unreachable: no answer, an unknown or different host key, or the key is refused.
        """
        address = _address(instance)
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        pin = self.known_hosts.pins().get(instance.name)
        keys = pin.keys if pin is not None and pin.server_id == instance.id else ()
        for line in keys:
            kind, encoded = line.split()
            key = paramiko.PKey.from_type_string(kind, base64.b64decode(encoded))
            client.get_host_keys().add(_entry(address, self._port), kind, key)
        try:
            client.connect(
                address,
                port=self._port,
                username=self.user,
                key_filename=str(self.key.private),
                allow_agent=False,
                look_for_keys=False,
                timeout=timeout,
                banner_timeout=timeout,
                auth_timeout=timeout,
            )
        except paramiko.BadHostKeyException as error:
            client.close()
            raise Unreachable(
                f"{instance.name} ({address}): its SSH host key isn't the one of its console log",
                hint=f"`medicarche console {instance.name}` shows its keys; is another machine there?",
            ) from error
        except paramiko.AuthenticationException as error:
            client.close()
            raise Unreachable(
                f"{instance.name} ({address}): it refuses {self.user} with the key {self.key.private}",
                hint=f"`medicarche console {instance.name}` shows whether cloud-init got the key",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            client.close()
            why = str(error) or type(error).__name__
            raise Unreachable(
                f"{instance.name} ({address}): no SSH: {why}", hint=_look_at(instance)
            ) from error
        return client

    def run(
        self, instance: Instance, command: Sequence[str], *, timeout: float = 60.0
    ) -> tuple[int, str, str]:
        """Run a program in an instance and return its exit code, standard output and standard error.

        Raises:
            Unreachable: as `connect`, or the program's output stopped for ``timeout`` seconds.
        """
        with closing(self.connect(instance)) as client:
            return self._execute(client, instance, shlex.join(command), timeout)

    def _execute(
        self, client: paramiko.SSHClient, instance: Instance, command: str, timeout: float
    ) -> tuple[int, str, str]:
        try:
            stdin, stdout, stderr = client.exec_command(command, timeout=timeout)
            stdin.close()
            output = stdout.read().decode(errors="replace")
            errors = stderr.read().decode(errors="replace")
            return stdout.channel.recv_exit_status(), output, errors
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(
                f"{instance.name}: `{command}` broke off: {str(error) or type(error).__name__}",
                hint=_look_at(instance),
            ) from error

    def wait_ready(
        self,
        instances: Sequence[Instance],
        *,
        console_log: ConsoleLog,
        reporter: Reporter,
        timeout: float = 180.0,
    ) -> None:
        """Wait for all instances at once: host keys known, SSH answering, cloud-init done.

        Args:
            instances: the instances, which are ACTIVE.
            console_log: server id → its console log (Nova's API); asked again until it holds the host keys.
            reporter: says which ones are still waited for; cloud-init's own complaints are noted.
            timeout: seconds for all of them together.

        Raises:
            Unreachable: one or more aren't ready in that time; all are named, with what was seen last.
        """
        deadline = self._clock() + timeout
        waiting: dict[str, tuple[Instance, str]] = {i.name: (i, "not tried yet") for i in instances}
        with reporter.stage("Waiting for the instances") as stage:
            while waiting:
                pinless = set(self.known_hosts.learn([i for i, _ in waiting.values()], console_log))
                closed = _closed([i for i, _ in waiting.values()], self._port, 1.0)
                for name, (instance, _) in list(waiting.items()):
                    problem: str | None
                    if name in closed:
                        problem = f"port {self._port}: {closed[name]}"
                    elif name in pinless:
                        problem = "its console log shows no SSH host keys yet"
                    else:
                        problem = self._not_ready(instance, reporter)
                    if problem is None:
                        del waiting[name]
                    else:
                        waiting[name] = (instance, problem)
                if not waiting:
                    return
                if self._clock() >= deadline:
                    break
                stage.update(", ".join(sorted(waiting)))
                self._sleep(0.5)
            lines = [f"{name}: {why}" for name, (_, why) in sorted(waiting.items())]
            first = min(waiting)
            raise Unreachable(
                f"not ready after {timeout:g} s:\n" + "\n".join(lines),
                hint=f"`medicarche console {first}` shows how far it booted",
            )

    def _not_ready(self, instance: Instance, reporter: Reporter) -> str | None:
        """Say what is missing until the instance is ready, or None."""
        try:
            with closing(self.connect(instance)) as client:
                code, output, _ = self._execute(client, instance, f"cat {_RESULT}", 10.0)
        except Unreachable as error:
            return error.message
        if code != 0:
            return "cloud-init isn't done"
        try:
            complaints = json.loads(output)["v1"]["errors"]
        except (ValueError, KeyError, TypeError):
            complaints = [f"{_RESULT} can't be read"]
        for complaint in complaints:
            reporter.note(f"{instance.name}: cloud-init says: {complaint}")
        return None


def _closed(instances: Sequence[Instance], port: int, timeout: float) -> dict[str, str]:
    """Return the instances whose port doesn't open, with why; all are tried at once in one thread.

    While an instance boots its port is closed or filtered: seen without a hand-shake or a thread for each.
    """
    closed: dict[str, str] = {}
    with selectors.DefaultSelector() as selector:
        for instance in instances:
            attempt = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            attempt.settimeout(0)
            try:
                attempt.connect((_address(instance), port))
            except BlockingIOError:
                pass
            except OSError as error:  # no route, for instance
                closed[instance.name] = error.strerror or str(error)
                attempt.close()
                continue
            selector.register(attempt, selectors.EVENT_WRITE, instance.name)
        deadline = time.monotonic() + timeout
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                attempt = _socket_of(key)
                if code := attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    closed[key.data] = os.strerror(code)
                selector.unregister(attempt)
                attempt.close()
        for key in list(selector.get_map().values()):
            closed[key.data] = f"no answer in {timeout:g} s"
            _socket_of(key).close()
    return closed


def _socket_of(key: selectors.SelectorKey) -> socket.socket:
    """Return the socket that was registered."""
    if not isinstance(key.fileobj, socket.socket):
        raise TypeError("only sockets are registered")
    return key.fileobj


def _address(instance: Instance) -> str:
    addresses = _addresses(instance)
    if not addresses:
        raise Unreachable(f"{instance.name}: it has no address", hint="run `medicarche provision`")
    return addresses[0]


def _entry(address: str, port: int) -> str:
    """Return a known_hosts file's form of an address (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT")."""
    return address if port == 22 else f"[{address}]:{port}"  # noqa: PLR2004 - SSH's own port, RFC 4253


def _look_at(instance: Instance) -> str:
    return (
        f"`medicarche console {instance.name}` shows how far it booted, `medicarche status` whether it runs"
    )


def _quoted(path: Path) -> str:
    """Quote a path for an ssh option that takes several files, and expands %-tokens."""
    return '"' + str(path).replace("%", "%%") + '"'
