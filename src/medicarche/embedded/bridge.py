"""The bridge between the host's loopback and the embedded cloud: a daemon with sockets in both name spaces.

- Forwards: a person's browser reaches ``127.0.0.1:PORT`` of the host, the bridge connects to an address
  inside of the cloud's network name space. A port that is taken is replaced by the next free one, so that
  two clouds live on one machine; `state` says which.
- Relays: instances reach an address inside of the name space, the bridge connects to the loopback there,
  where the cloud's API listens. Whether an instance may, its security groups say.
- Package proxy: instances reach an address inside of the name space, the bridge connects to the unix socket
  of the package proxy outside of it (`medicarche.embedded.package_proxy`).

Only bytes cross: no route, no address translation, nothing of the host's network is changed. The daemon ends
by itself when the name space goes away.

Its configuration, ``bridge.json``, lies in a folder of its cloud; the daemon keeps its process number, state
and log beside it. The forwards are read again on SIGHUP::

    {"netns": "/run/netns/...", "ready_file": "...", "log": "...",
     "forwards": [{"listen": ["127.0.0.1", 8080], "connect": ["127.0.0.1", 80]}],
     "relays": [{"listen": ["10.20.20.1", 5000], "connect": ["127.0.0.1", 5000]}],
     "package_proxy": {"listen": ["10.20.20.1", 3142], "upstream_socket": "...", "pid_file": "..."}}

The package proxy recorded in ``pid_file`` is ended where the name space goes away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicarche.embedded import bridge_config, namespace, pidfile
from medicarche.embedded.bridge_daemon import Bridge
from medicarche.errors import CommandError, MedicarcheError
from medicarche.process import last_lines, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from medicarche.embedded.bridge_config import Config

__all__ = ["main", "set_forwards", "start", "state", "stop"]

_CONFIG = "bridge.json"
_PID = "bridge.pid"
_STATE = "bridge-state.json"
_START_SECONDS = 30.0
_RELOAD_SECONDS = 10.0
_log = logging.getLogger("medicarche.bridge")


def start(config_path: Path) -> int:
    """Start the daemon, in the host's own network name space, and wait until everything listens.

    Where it runs already, it reads its forwards again.

    Returns:
        The daemon's process number.

    Raises:
        CommandError: it didn't start; the message holds its last words.
        MachineError: its configuration is wrong.
    """
    folder = config_path.parent
    config = bridge_config.load(config_path)
    if (pid := pidfile.alive(folder / _PID)) is not None:
        _reload(folder, config)
        return pid
    (folder / _STATE).unlink(missing_ok=True)
    run(
        namespace.outside_command(
            [sys.executable, "-m", "medicarche.embedded.bridge", "--daemon", "--config", str(config_path)]
        ),
        timeout=_START_SECONDS,
        hint=f"its log: {config.log}",
    )
    pid = pidfile.alive(folder / _PID)
    if pid is None:
        raise CommandError(
            f"the bridge ended as soon as it had started:\n{last_lines(config.log)}",
            hint=f"its log: {config.log}",
        )
    return pid


def stop(folder: Path) -> bool:
    """End the daemon of the cloud in ``folder``, and no other process; says whether there was one."""
    found = pidfile.terminate(folder / _PID)
    (folder / _STATE).unlink(missing_ok=True)
    with suppress(MedicarcheError):
        ready = bridge_config.load(folder / _CONFIG).ready_file
        if ready is not None:
            ready.unlink(missing_ok=True)
    return found


def set_forwards(folder: Path, forwards: Iterable[Mapping[str, Sequence[Any]]]) -> dict[str, Any]:
    """Change the forwards; those that stay keep their ports and connections.

    Args:
        folder: where ``bridge.json`` lies.
        forwards: ``{"listen": [host, port], "connect": [address, port]}`` each.

    Returns:
        The new `state`.

    Raises:
        CommandError: the daemon doesn't run, or doesn't take them over in its time.
        ValueError: a forward is wrong.
    """
    path = folder / _CONFIG
    items = [{"listen": list(item["listen"]), "connect": list(item["connect"])} for item in forwards]
    bridge_config.parse_forwards(items)
    data = json.loads(path.read_text(encoding="utf-8"))
    data["forwards"] = items
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data, indent=1), encoding="utf-8")
    temporary.replace(path)
    return _reload(folder, bridge_config.load(path))


def state(folder: Path) -> dict[str, Any]:
    """Say what listens where: ``{"pid": 123, "forwards": [{"listen": .., "got": .., "connect": ..}]}``.

    ``got`` differs from ``listen`` where that port was taken, and is None where no free one was found. An
    empty dictionary where the daemon doesn't run.
    """
    if pidfile.alive(folder / _PID) is None:
        return {}
    try:
        data: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data


def _reload(folder: Path, config: Config) -> dict[str, Any]:
    wanted = [[list(forward.listen), list(forward.connect)] for forward in config.forwards]
    if not pidfile.send(folder / _PID, signal.SIGHUP):
        raise CommandError("the bridge doesn't run", hint="start the cloud again: medicarche cloud up")
    deadline = time.monotonic() + _RELOAD_SECONDS
    while time.monotonic() < deadline:
        current = state(folder)
        if [[e["listen"], e["connect"]] for e in current.get("forwards", ())] == wanted:
            return current
        time.sleep(0.02)
    raise CommandError(
        f"the bridge didn't take over its forwards in {_RELOAD_SECONDS:g} s:\n{last_lines(config.log)}",
        hint="start the cloud again: medicarche cloud down, then up",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon: ``python -m medicarche.embedded.bridge --config FILE``; its exit code."""
    parser = argparse.ArgumentParser(prog="medicarche.embedded.bridge", description="The bridge's daemon.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--daemon", action="store_true", help="return as soon as everything listens")
    options = parser.parse_args(arguments)
    try:
        path = options.config.resolve()
        config = bridge_config.load(path)
        if options.daemon:
            return _in_background(config, path)
        asyncio.run(_serve(config, path))
    except MedicarcheError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


async def _serve(config: Config, path: Path, announce: int | None = None) -> None:
    folder = path.parent
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    pidfile.write(folder / _PID, os.getpid())

    def ready() -> None:
        _log.info("ready, process %d", os.getpid())
        if config.ready_file is not None:
            config.ready_file.write_text(f"{os.getpid()}\n", encoding="ascii")
        if announce is not None:
            os.write(announce, b"ready")
            os.close(announce)

    try:
        await Bridge(config, path, folder / _STATE).run(ready)
    finally:
        if config.ready_file is not None:
            config.ready_file.unlink(missing_ok=True)
        (folder / _PID).unlink(missing_ok=True)


def _in_background(config: Config, path: Path) -> int:
    """Become a daemon; the process that was started returns when the daemon is ready, or has failed."""
    receive, announce = os.pipe()
    if os.fork() == 0:
        os.close(receive)
        os._exit(_background(config, path, announce))
    os.close(announce)
    with os.fdopen(receive, "rb") as pipe:
        said = pipe.read()
    if said == b"ready":
        return 0
    sys.stderr.write(f"{said.decode() or last_lines(config.log)}\n")
    return 1


def _background(config: Config, path: Path, announce: int) -> int:
    os.setsid()
    os.chdir("/")
    config.log.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(config.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(null)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(_serve(config, path, announce))
    except MedicarcheError as error:
        with suppress(OSError):
            os.write(announce, str(error).encode())
        return error.exit_code
    except Exception:  # noqa: BLE001 - the daemon's last words, whatever they are about
        _log.exception("failed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
