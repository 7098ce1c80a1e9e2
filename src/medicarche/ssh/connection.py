"""Connections to the instances: the ssh program's arguments, paramiko, waiting until they are ready."""

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
from typing import TYPE_CHECKING

from medicarche.errors import CloudError, NotReady, Unreachable
from medicarche.private_files import make_private_folder
from medicarche.ssh.instance import addresses
from medicarche.ssh.keys import ensure_key_pair
from medicarche.ssh.known_hosts import KnownHosts, entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import paramiko

    from medicarche.progress import Reporter
    from medicarche.ssh.instance import Instance
    from medicarche.ssh.known_hosts import ConsoleLog

__all__ = ["KEEPALIVE", "Ssh", "keep_alive"]

# paramiko logs each refused connection with its traceback; without a handler logging prints that on stderr
logging.getLogger("paramiko").addHandler(logging.NullHandler())

#: cloud-init writes it when its last stage is done, at every boot: {"v1": {"errors": [...], ...}}
_RESULT = "/run/cloud-init/result.json"
#: seconds of silence after which a word is sent
KEEPALIVE = 10
#: seconds between two looks whether what is waited for still runs
_LOOK_AGAIN = 5.0
#: a change of colour; Nova takes the escape character away (nova/api/openstack/compute/console_output.py)
_COLOUR = re.compile(r"\x1b?\[[0-9;:]*m")
#: lines of a console log that are told of an instance that isn't ready
_CONSOLE_LINES = 12


def keep_alive(client: paramiko.SSHClient) -> None:
    """Let a connection outlive a change of its instance's security groups.

    Neutron's agent forgets the instance's connections then. What the instance sends next counts as a new
    connection to the outside, which isn't allowed, and is lost, however often it is sent again: whoever only
    waits for an answer waits for ever. What comes from here counts as a new one to port 22, and all goes on.
    """
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(KEEPALIVE)


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
            "ServerAliveInterval": str(KEEPALIVE),
            "ServerAliveCountMax": "30",
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
        import paramiko  # noqa: PLC0415 - slow to import, and not always wanted

        address = _address(instance)
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        pin = self.known_hosts.pins().get(instance.name)
        keys = pin.keys if pin is not None and pin.server_id == instance.id else ()
        for line in keys:
            kind, encoded = line.split()
            key = paramiko.PKey.from_type_string(kind, base64.b64decode(encoded))
            client.get_host_keys().add(entry(address, self._port), kind, key)
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
        keep_alive(client)
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
        import paramiko  # noqa: PLC0415 - as above

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
        stopped: Callable[[], Iterable[str]] = tuple,
        timeout: float = 180.0,
    ) -> None:
        """Wait for all instances at once: host keys known, SSH answering, cloud-init done.

        Args:
            instances: the instances, which are ACTIVE.
            console_log: server id → its console log (Nova's API); asked again until it holds the host keys.
            reporter: says which ones are still waited for; cloud-init's own complaints are noted.
            stopped: names of instances that don't run any more; asked every few seconds.
            timeout: seconds for all of them together.

        Raises:
            NotReady: one or more aren't ready in that time; all are named, with what was seen last and the
                end of the console log.
            Unreachable: one has stopped: waiting longer would be in vain.
        """
        began = self._clock()
        deadline = began + timeout
        look = began + _LOOK_AGAIN
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
                        problem = self._not_ready(instance, console_log, reporter)
                    if problem is None:
                        del waiting[name]
                    else:
                        waiting[name] = (instance, problem)
                if not waiting:
                    return
                if self._clock() >= deadline:
                    break
                if self._clock() >= look:
                    look = self._clock() + _LOOK_AGAIN
                    if gone := sorted(waiting.keys() & set(stopped())):
                        raise Unreachable(
                            f"stopped while they were waited for: {', '.join(gone)}",
                            hint="`medicarche provision` starts them again",
                        )
                stage.update(", ".join(sorted(waiting)))
                self._sleep(0.5)
            raise _hanging(waiting, console_log, timeout)

    def _not_ready(self, instance: Instance, console_log: ConsoleLog, reporter: Reporter) -> str | None:
        """Say what is missing until the instance is ready, or None."""
        import paramiko  # noqa: PLC0415 - as above

        try:
            with closing(self.connect(instance)) as client:
                code, output, _ = self._execute(client, instance, f"cat {_RESULT}", 10.0)
        except Unreachable as error:
            other = isinstance(error.__cause__, paramiko.BadHostKeyException)
            if other and self.known_hosts.learn_again(instance, console_log):
                reporter.note(f"{instance.name}: rebuilt: its console log shows other host keys than before")
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


def _hanging(
    waiting: Mapping[str, tuple[Instance, str]], console_log: ConsoleLog, timeout: float
) -> NotReady:
    """Return the error that tells of each what was seen last, and where its boot has come to."""
    lines = [f"{name}: {why}" for name, (_, why) in sorted(waiting.items())]
    for name, (instance, _) in sorted(waiting.items()):
        lines += [f"the end of {name}'s console log:", *_end_of(console_log, instance)]
    return NotReady(
        f"not ready after {timeout:g} s:\n" + "\n".join(lines),
        names=frozenset(waiting),
        hint=f"`medicarche console {min(waiting)}` shows how far it booted",
    )


def _end_of(console_log: ConsoleLog, instance: Instance) -> list[str]:
    """Return the last lines of an instance's console log, as a person reads them, indented."""
    try:
        lines = _COLOUR.sub("", console_log(instance.id)).splitlines()
    except CloudError as error:
        lines = [error.message]
    written = [f"  {line.strip()}" for line in lines if line.strip()]
    return written[-_CONSOLE_LINES:] or ["  (it is empty)"]


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
    found = addresses(instance)
    if not found:
        raise Unreachable(f"{instance.name}: it has no address", hint="run `medicarche provision`")
    return found[0]


def _look_at(instance: Instance) -> str:
    return (
        f"`medicarche console {instance.name}` shows how far it booted, `medicarche status` whether it runs"
    )


def _quoted(path: Path) -> str:
    """Quote a path for an ssh option that takes several files, and expands %-tokens."""
    return '"' + str(path).replace("%", "%%") + '"'
