"""The bridge as it is, on loopback: our own network name space plays the cloud's, so no root is needed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from medicarche.embedded import bridge, bridge_config, pidfile
from medicarche.errors import CommandError, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 10.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A cloud's folder; its name space can be taken away by removing the link."""
    (tmp_path / "netns").symlink_to("/proc/self/ns/net")
    yield tmp_path
    bridge.stop(tmp_path)


def write_config(folder: Path, forwards: list[dict[str, Any]], **more: object) -> Path:
    path = folder / "bridge.json"
    data = {
        "netns": str(folder / "netns"),
        "forwards": forwards,
        "ready_file": str(folder / "ready"),
        "log": str(folder / "bridge.log"),
        **more,
    }
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def serve(answer: Callable[[socket.socket], None], *, path: Path | None = None) -> int:
    """Serve each connection by ``answer`` in a thread; on loopback, or on a unix socket."""
    if path is None:
        server = socket.create_server(("127.0.0.1", 0))
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()

    def loop() -> None:
        with server:
            for _ in range(50):
                connection, _address = server.accept()
                with connection:
                    answer(connection)

    threading.Thread(target=loop, daemon=True).start()
    return 0 if path else int(server.getsockname()[1])


def echo_after_end(connection: socket.socket) -> None:
    """Answer only when the other side has said that it is done: needs a half-close that is passed on."""
    received = b""
    while data := connection.recv(65536):
        received += data
    connection.sendall(received[::-1])


def forward(listen: int, connect: int) -> dict[str, Any]:
    return {"listen": ["127.0.0.1", listen], "connect": ["127.0.0.1", connect]}


def ask(port: int, question: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sock:
        sock.sendall(question)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while data := sock.recv(65536):
            answer += data
        return answer


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it didn't come true"
        time.sleep(0.02)


def test_carries_both_ways_and_passes_the_half_close_on(folder: Path) -> None:
    port = free_port()
    pid = bridge.start(write_config(folder, [forward(port, serve(echo_after_end))]))
    assert (folder / "ready").read_text(encoding="ascii").strip() == str(pid)
    big = os.urandom(3_000_000)
    assert ask(port, big) == big[::-1]
    assert bridge.state(folder)["forwards"] == [
        {"listen": ["127.0.0.1", port], "got": ["127.0.0.1", port], "connect": bridge_connect(folder)}
    ]


def bridge_connect(folder: Path) -> list[Any]:
    data: dict[str, Any] = json.loads((folder / "bridge.json").read_text(encoding="utf-8"))
    connect: list[Any] = data["forwards"][0]["connect"]
    return connect


def test_a_taken_port_is_replaced_but_not_by_one_that_another_forward_asks_for(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        forwards = [forward(first, serve(echo_after_end)), forward(first + 1, serve(echo_after_end))]
        bridge.start(write_config(folder, forwards))
        got = [entry["got"][1] for entry in bridge.state(folder)["forwards"]]
    assert first not in got
    assert got[0] != first + 1
    for port in got:
        assert ask(port, b"abc") == b"cba"


def test_reload_keeps_adds_retargets_and_removes(folder: Path) -> None:
    kept, retargeted, removed, added = free_port(), free_port(), free_port(), free_port()
    upper = serve(lambda connection: connection.sendall(b"other"))
    target = serve(echo_after_end)
    bridge.start(write_config(folder, [forward(p, target) for p in (kept, retargeted, removed)]))
    pid = bridge.state(folder)["pid"]
    with socket.create_connection(("127.0.0.1", kept), timeout=SECONDS) as open_connection:
        state = bridge.set_forwards(
            folder, [forward(kept, target), forward(retargeted, upper), forward(added, target)]
        )
        assert [entry["got"][1] for entry in state["forwards"]] == [kept, retargeted, added]
        assert state["pid"] == pid
        open_connection.sendall(b"still there")
        open_connection.shutdown(socket.SHUT_WR)
        assert open_connection.recv(100) == b"ereht llits"
    assert ask(added, b"ab") == b"ba"
    with socket.create_connection(("127.0.0.1", retargeted), timeout=SECONDS) as sock:
        assert sock.recv(100) == b"other"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", removed))


def test_a_broken_file_at_reload_changes_nothing(folder: Path) -> None:
    port = free_port()
    path = write_config(folder, [forward(port, serve(echo_after_end))])
    bridge.start(path)
    path.write_text("{", encoding="utf-8")
    pidfile.send(folder / "bridge.pid", signal.SIGHUP)
    wait_until(lambda: "not reloaded" in (folder / "bridge.log").read_text(encoding="utf-8"))
    assert ask(port, b"ab") == b"ba"


def test_the_package_proxy_is_reached_even_while_it_still_starts(folder: Path) -> None:
    port, upstream = free_port(), folder / "proxy.sock"
    proxy = {"listen": ["127.0.0.1", port], "upstream_socket": str(upstream)}
    bridge.start(write_config(folder, [], package_proxy=proxy))
    threading.Timer(0.5, lambda: serve(echo_after_end, path=upstream)).start()
    introduction = b"GET / HTTP/1.1\r\nX-Original-Source: 127.0.0.1\r\n\r\n"
    assert ask(port, b"ab")[::-1] == introduction + b"ab"


def test_a_dead_end_closes_the_connection_and_leaks_nothing(folder: Path) -> None:
    dead, living = free_port(), free_port()
    pid = bridge.start(
        write_config(folder, [forward(dead, free_port()), forward(living, serve(echo_after_end))])
    )
    ask(living, b"ab")
    before = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(ConnectionResetError):
            ask_until_reset(dead)
        ask(living, b"ab")
    wait_until(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) <= before)


def ask_until_reset(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sock:
        if sock.recv(1) == b"":
            raise ConnectionResetError


def test_ends_when_the_namespace_goes(folder: Path) -> None:
    pid = bridge.start(write_config(folder, []))
    (folder / "netns").unlink()
    wait_until(lambda: pidfile._started(pid) is None)
    assert not (folder / "ready").exists()
    assert bridge.state(folder) == {}


def test_the_package_proxy_ends_with_the_namespace(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as proxy:
        pidfile.write(folder / "pid", proxy.pid)
        config = {
            "listen": ["127.0.0.1", free_port()],
            "upstream_socket": str(folder / "s"),
            "pid_file": str(folder / "pid"),
        }
        bridge.start(write_config(folder, [], package_proxy=config))
        assert proxy.poll() is None
        (folder / "netns").unlink()
        assert proxy.wait(SECONDS) == -signal.SIGTERM


def test_stop_ends_it_once_and_start_takes_over_what_runs(folder: Path) -> None:
    path = write_config(folder, [])
    pid = bridge.start(path)
    assert bridge.start(path) == pid
    assert bridge.stop(folder)
    assert not bridge.stop(folder)
    assert pidfile.alive(folder / "bridge.pid") is None


def test_a_killed_daemon_is_replaced(folder: Path) -> None:
    path = write_config(folder, [])
    pid = bridge.start(path)
    pidfile.send(folder / "bridge.pid", signal.SIGKILL)
    wait_until(lambda: pidfile.alive(folder / "bridge.pid") is None)
    assert bridge.start(path) != pid


def test_an_address_in_use_inside_is_one_clear_error(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        proxy = {"listen": ["127.0.0.1", taken.getsockname()[1]], "upstream_socket": str(folder / "s")}
        with pytest.raises(CommandError, match="in use"):
            bridge.start(write_config(folder, [], package_proxy=proxy))
    assert pidfile.alive(folder / "bridge.pid") is None


def test_a_missing_namespace_is_one_clear_error(folder: Path) -> None:
    (folder / "netns").unlink()
    with pytest.raises(CommandError, match="no network name space"):
        bridge.start(write_config(folder, []))


@pytest.mark.parametrize(
    ("forwards", "message"),
    [
        ([{"listen": ["0.0.0.0", 80], "connect": ["127.0.0.1", 80]}], "loopback only"),  # noqa: S104 - is refused
        ([{"listen": ["127.0.0.1", 0], "connect": ["127.0.0.1", 80]}], "not a port"),
        ([{"listen": ["localhost", 80], "connect": ["127.0.0.1", 80]}], "localhost"),
        ([forward(80, 80), forward(80, 81)], "twice"),
    ],
)
def test_wrong_forwards_are_refused(folder: Path, forwards: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(MachineError, match=message):
        bridge_config.load(write_config(folder, forwards))


def test_a_recycled_process_number_is_never_killed(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        pidfile.write(path, other.pid)
        record = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**record, "started": record["started"] - 1}), encoding="utf-8")
        assert pidfile.alive(path) is None
        assert not pidfile.terminate(path)
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0


def test_terminate_kills_what_ignores_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    code = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        pidfile.write(path, stubborn.pid)
        assert pidfile.alive(path) == stubborn.pid
        assert pidfile.terminate(path, grace=0.2)
    assert stubborn.returncode == -signal.SIGKILL
    assert not path.exists()


def test_a_relay_leads_from_one_address_inside_to_another(folder: Path) -> None:
    port = free_port()
    relay = {"listen": ["127.0.0.2", port], "connect": ["127.0.0.1", serve(echo_after_end)]}
    bridge.start(write_config(folder, [], relays=[relay]))
    with socket.create_connection(("127.0.0.2", port), timeout=SECONDS) as sock:
        sock.sendall(b"ab")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(10) == b"ba"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_relay_whose_address_is_taken_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        relay = {"listen": ["127.0.0.1", taken.getsockname()[1]], "connect": ["127.0.0.1", free_port()]}
        with pytest.raises(CommandError, match="Address already in use"):
            bridge.start(write_config(folder, [], relays=[relay]))
