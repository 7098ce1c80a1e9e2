"""The prober against real sockets of this machine's loopback."""

from __future__ import annotations

import ast
import os
import re
import socket
import sys
from pathlib import Path

import pytest

from medicarche.errors import Unreachable
from medicarche.probe import agent
from medicarche.probe.vantage import BOOT, Station, sweep

HERE = (sys.executable, "-c", BOOT)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets need root")


@needs_root
def test_open_and_refused_are_told_apart_and_what_arrives_is_seen() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
    ):
        silent.bind(("127.0.0.1", 0))
        port, quiet = server.getsockname()[1], silent.getsockname()[1]
        closed = next(p for p in range(20_000, 20_100) if p != port)
        scan = {
            "source": None,
            "target": "127.0.0.1",
            "tcp": [[port, port], [closed, closed]],
            "udp": [quiet, 9],
        }
        found = sweep([Station("here", HERE, (scan,), watch=True)], settle=0.2)
    (answer,) = found.answers["here"]
    assert answer["states"]["tcp"] == {"open": [[port, port]], "refused": [[closed, closed]]}
    assert answer["states"]["udp"] == {"refused": [[9, 9]]}
    assert (answer["sent"], answer["lost"], answer["error"]) == (4, 0, None)
    assert {("127.0.0.1", "tcp", port), ("127.0.0.1", "udp", quiet)} <= set(found.received["here"])


@needs_root
def test_several_stations_at_once_and_runs_of_ports_as_ranges() -> None:
    def scan(source: str) -> dict[str, object]:
        return {"source": source, "target": "127.0.0.8", "tcp": [[20_000, 20_999]], "udp": []}

    sources = {"a": "127.0.0.6", "b": "127.0.0.7"}
    found = sweep([Station(n, HERE, (scan(s), scan(s))) for n, s in sources.items()], settle=0.2)
    for name in sources:
        assert [answer["states"]["tcp"] for answer in found.answers[name]] == [
            {"refused": [[20_000, 20_999]]},
            {"refused": [[20_000, 20_999]]},
        ]
    assert found.received == {}


@needs_root
def test_an_address_that_cant_be_sent_from_is_told() -> None:
    scan = {"source": "192.0.2.1", "target": "127.0.0.1", "tcp": [[1, 1]], "udp": []}
    found = sweep([Station("here", HERE, (scan,))], settle=0.1)
    assert found.answers["here"][0]["error"] == "EADDRNOTAVAIL"


def test_a_station_that_doesnt_work_is_named_with_its_last_words() -> None:
    found = sweep([Station("far away", (sys.executable, "-c", "raise SystemExit('no way')"), ())])
    assert found.answers == {}
    assert re.match(r"far away: .*\n.*no way", found.failed["far away"])


@needs_root
def test_a_station_that_ends_in_the_midst_of_it_is_an_error() -> None:
    dying = "import sys; sys.stdin.readline(); print('{}', flush=True); sys.stdin.readline()"
    with pytest.raises(Unreachable, match="before it had answered"):
        sweep([Station("far away", (sys.executable, "-c", dying), ())])


def test_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(agent.__file__).read_text(encoding="utf-8"))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
