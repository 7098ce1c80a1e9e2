"""A port of this machine that leads to what an instance reaches, through its SSH connection."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import paramiko

__all__ = ["tunnel"]

_HERE = "127.0.0.1"
_CHUNK = 65_536
#: seconds for the instance to reach the address
_PATIENCE = 10.0


@contextmanager
def tunnel(client: paramiko.SSHClient, address: str, port: int) -> Iterator[tuple[str, int]]:
    """Give an address and a port here that lead to ``address`` and ``port`` as an instance reaches them.

    A connection that the instance can't make is closed without a word. All are closed at the end.

    Args:
        client: a connection to the instance (`medicarche.ssh.Ssh.connect`).
        address: as seen from the instance; 127.0.0.1 is the instance itself.
        port: of that address.
    """
    with socket.create_server((_HERE, 0)) as server:
        accepting = threading.Thread(
            target=_accept, args=(server, client, (address, port)), name=f"tunnel to {address}", daemon=True
        )
        accepting.start()
        try:
            yield server.getsockname()[:2]
        finally:
            # wakes the thread that waits for the next connection
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(server: socket.socket, client: paramiko.SSHClient, target: tuple[str, int]) -> None:
    while True:
        try:
            visitor, source = server.accept()
        except OSError:
            return
        threading.Thread(target=_lead, args=(visitor, source, client, target), daemon=True).start()


def _lead(
    visitor: socket.socket, source: tuple[str, int], client: paramiko.SSHClient, target: tuple[str, int]
) -> None:
    """Carry both ways until one of the two ends.

    By a thread each way: what `select` would ask a channel for is a pipe, which paramiko closes twice when
    both sides end at once, and with it whatever file has its number by then.
    """
    import paramiko  # noqa: PLC0415 - slow to import, and not always wanted

    with visitor, suppress(paramiko.SSHException, OSError, EOFError):
        transport = client.get_transport()
        if transport is None:
            return
        with transport.open_channel("direct-tcpip", target, source, timeout=_PATIENCE) as channel:
            back = threading.Thread(target=_carry, args=(channel, visitor), daemon=True)
            back.start()
            _carry(visitor, channel)
            channel.close()
            back.join()


def _carry(source: socket.socket | paramiko.Channel, sink: socket.socket | paramiko.Channel) -> None:
    """Carry bytes until their source ends, and let the other direction end too."""
    with suppress(OSError, EOFError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError, EOFError):
        sink.shutdown(socket.SHUT_RDWR)
