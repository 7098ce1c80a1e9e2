"""The bridge's daemon: one event loop whose sockets belong to two network name spaces."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medicarche.embedded import bridge_config, namespace, package_proxy, pidfile
from medicarche.errors import CloudUnreachable, MachineError

if TYPE_CHECKING:
    from pathlib import Path

    from medicarche.embedded.bridge_config import Address, Config, Forward

__all__ = ["Bridge"]

CONNECT_SECONDS = 10.0
#: how long a connection waits for the package proxy to come up
UPSTREAM_SECONDS = 15.0
CLOSE_SECONDS = 10.0
WATCH_SECONDS = 1.0
CONNECTIONS_AT_MOST = 1024
#: where a port is taken, so many of those that follow are tried
PORTS_TRIED = 200

_CHUNK = 65536
_IP_FREEBIND = 15  # <linux/in.h>: bind to an address that isn't there yet
_log = logging.getLogger("medicarche.bridge")

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class _Listening:
    server: asyncio.Server
    got: Address
    forward: Forward


class Bridge:
    """The daemon's whole state. Made inside of a running event loop.

    Args:
        config: what to do.
        config_path: where ``config`` came from; its forwards are read again on SIGHUP.
        state_path: JSON of what listens where, rewritten after each change.
    """

    def __init__(self, config: Config, config_path: Path, state_path: Path) -> None:
        self._config = config
        self._config_path = config_path
        self._state_path = state_path
        self._identity = _identity(config.netns)
        self._listening: dict[Address, _Listening] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._orders: asyncio.Queue[str] = asyncio.Queue()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM, SIGINT, or until the network name space is gone.

        Args:
            ready: called once everything listens.

        Raises:
            CloudUnreachable: there is no such name space.
            MachineError: we aren't allowed to use it, or an address that instances reach is in use inside.
        """
        loop = asyncio.get_running_loop()
        for number, order in ((signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload")):
            loop.add_signal_handler(number, self._orders.put_nowait, order)
        if self._identity is None:
            raise CloudUnreachable(f"there is no network name space {self._config.netns}")
        inside = await self._serve_inside()
        watcher = asyncio.create_task(self._watch())
        try:
            await self._apply(self._config.forwards)
            ready()
            while await self._orders.get() == "reload":
                await self._reload()
        finally:
            watcher.cancel()
            for server in [*inside, *(entry.server for entry in self._listening.values())]:
                server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(watcher, *self._connections, return_exceptions=True)
            _log.info("ended")

    async def _watch(self) -> None:
        while _identity(self._config.netns) == self._identity:  # noqa: ASYNC110 - nothing tells of its end
            await asyncio.sleep(WATCH_SECONDS)
        _log.info("the network name space is gone")
        if self._config.proxy_pid_file is not None:
            pidfile.terminate(self._config.proxy_pid_file)
        self._orders.put_nowait("stop")

    async def _reload(self) -> None:
        try:
            await self._apply(bridge_config.load(self._config_path).forwards)
        except MachineError as error:
            _log.error("not reloaded: %s", error)

    async def _apply(self, forwards: tuple[Forward, ...]) -> None:
        """Listen for ``forwards`` and for nothing else; what listens already keeps its port."""
        wanted = {forward.listen: forward for forward in forwards}
        for address in self._listening.keys() - wanted.keys():
            self._listening.pop(address).server.close()
        # exact ports first: the next free one after a taken port may be another forward's own
        taken = []
        for address, forward in wanted.items():
            if address in self._listening:
                self._listening[address].forward = forward
            elif (sock := _listen(address)) is not None:
                await self._serve_forward(forward, sock)
            else:
                taken.append(forward)
        for forward in taken:
            host, port = forward.listen
            candidates = range(port + 1, min(port + PORTS_TRIED, 2**16))
            found = next((s for p in candidates if (s := _listen((host, p))) is not None), None)
            if found is None:
                _log.error("no free port from %s:%d on", host, port)
            else:
                await self._serve_forward(forward, found)
        self._write_state(forwards)

    async def _serve_forward(self, forward: Forward, sock: socket.socket) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # looked up at each connection: a reload may have changed the target
            target = self._listening[forward.listen].forward.connect
            await self._join((reader, writer), lambda: self._connect_inside(target))

        server = await asyncio.start_server(accept, sock=sock)
        self._listening[forward.listen] = _Listening(server, sock.getsockname()[:2], forward)

    async def _serve_inside(self) -> list[asyncio.Server]:
        """Serve what instances reach: the package proxy, and the relays."""
        served = [await self._serve_relay(relay) for relay in self._config.relays]
        listen, upstream = self._config.proxy_listen, self._config.proxy_upstream
        if listen is not None and upstream is not None:

            async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                client = writer.get_extra_info("peername")[0]
                await self._join((reader, writer), lambda: _connect_upstream(upstream, client))

            served.append(await self._listen_inside(listen, accept))
        return served

    async def _serve_relay(self, relay: Forward) -> asyncio.Server:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._join((reader, writer), lambda: self._connect_inside(relay.connect))

        return await self._listen_inside(relay.listen, accept)

    async def _listen_inside(self, listen: Address, accept: _Accept) -> asyncio.Server:
        sock = namespace.inside_socket(self._config.netns)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
            sock.bind(listen)
            return await asyncio.start_server(accept, sock=sock)
        except OSError as error:
            sock.close()
            raise MachineError(
                f"{listen[0]}:{listen[1]} inside {self._config.netns}: {error.strerror}",
                hint="something else of the cloud listens there: medicarche cloud down, then up",
            ) from error

    async def _connect_inside(self, target: Address) -> _Streams:
        sock = namespace.inside_socket(self._config.netns)
        try:
            sock.settimeout(0)
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(sock, target)
            return await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise

    async def _join(self, near: _Streams, connect: Callable[[], Awaitable[_Streams]]) -> None:
        """Connect one accepted connection to its other end, until both are done."""
        task = asyncio.current_task()
        if task is None or len(self._connections) >= CONNECTIONS_AT_MOST:
            _log.warning("refused: %d connections are open", len(self._connections))
            near[1].transport.abort()
            return
        self._connections.add(task)
        try:
            far = await connect()
        except CloudUnreachable:
            near[1].transport.abort()
        except MachineError:
            _log.exception("can't go on")
            self._orders.put_nowait("stop")
        except (OSError, TimeoutError) as error:
            _log.warning("can't connect: %s", error or "no answer")
            near[1].transport.abort()
        else:
            await _splice(near, far)
        finally:
            self._connections.discard(task)

    def _write_state(self, forwards: tuple[Forward, ...]) -> None:
        entries = [
            {
                "listen": forward.listen,
                "got": entry.got if (entry := self._listening.get(forward.listen)) else None,
                "connect": forward.connect,
            }
            for forward in forwards
        ]
        temporary = self._state_path.with_name(f".{self._state_path.name}.{os.getpid()}")
        temporary.write_text(
            json.dumps({"pid": os.getpid(), "forwards": entries}, indent=1), encoding="utf-8"
        )
        temporary.replace(self._state_path)


async def _connect_upstream(path: Path, client: str) -> _Streams:
    """Connect to the package proxy, which may still be starting.

    On its unix socket apt-cacher-ng wants to be told first whom it serves, as its own ``in.acng`` does.
    """
    async with asyncio.timeout(UPSTREAM_SECONDS):
        while True:
            try:
                streams = await asyncio.open_unix_connection(sock=package_proxy.connect(path))
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.2)
            else:
                streams[1].write(f"GET / HTTP/1.1\r\nX-Original-Source: {client}\r\n\r\n".encode("ascii"))
                return streams


async def _splice(near: _Streams, far: _Streams) -> None:
    """Carry bytes both ways. An end of file is passed on; the other direction goes on until its own."""
    for _, writer in (near, far):
        _keep_alive(writer.get_extra_info("socket"))
    pumps = [asyncio.create_task(_pump(near[0], far[1])), asyncio.create_task(_pump(far[0], near[1]))]
    try:
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        clean = all(task.exception() is None for task in done)
    except asyncio.CancelledError:
        clean = False
        raise
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for _, writer in (near, far):
            if not clean:
                writer.transport.abort()  # a reset on one side is a reset on the other
            writer.close()
    for _, writer in (near, far):
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await writer.wait_closed()
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _keep_alive(sock: socket.socket) -> None:
    """Find out within some two minutes that the other side is gone without a word."""
    if sock.family != socket.AF_INET:
        return
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _listen(address: Address) -> socket.socket | None:
    """Listen on the host; None where the port is taken."""
    try:
        return socket.create_server(address)
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            return None
        raise


def _identity(netns: Path) -> tuple[int, int] | None:
    try:
        found = netns.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
