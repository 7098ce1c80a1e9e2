"""Reading and comparing listening sockets."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess

import pytest

from medicarche.probe.sockets import (
    ACCOUNTS_COMMAND,
    SS_COMMAND,
    Listening,
    account_names,
    compare,
    parse_ss,
)
from medicarche.spec.environment import Listener

ALL = "0.0.0.0"  # noqa: S104 - compared with, not bound to

OUTPUT = (
    'udp UNCONN 0 0 192.168.222.17%eth0:68 0.0.0.0:* users:(("systemd-network",pid=7,fd=2)) uid:998\n'
    'tcp   LISTEN 0  128  0.0.0.0:22   0.0.0.0:* users:(("sshd",pid=211,fd=3)) ino:4 sk:2 cgroup:/x <->\n'
    'tcp   LISTEN 0  128     [::]:22      [::]:* users:(("sshd",pid=211,fd=4)) ino:9 sk:3 v6only:1 <->\n'
    'tcp   LISTEN 0  511        *:8080       *:* users:(("apache2",pid=8,fd=4),("apache2",pid=7,fd=4)) sk:4\n'
    "tcp   LISTEN 0  80 127.0.0.1:3306 0.0.0.0:* uid:104 ino:7 sk:5 <->\n"
)


#: what `ACCOUNTS_COMMAND` says beside it
ACCOUNTS = account_names(
    "root:x:0:0:root:/root:/bin/bash\n"
    "toor:x:0:0:root:/root:/bin/sh\n"
    "systemd-network:x:998:998:systemd Network Management:/:/usr/sbin/nologin\n"
)


def listener(
    address: str, port: int, process: str = "", protocol: str = "tcp", user: str = "root"
) -> Listener:
    return Listener(
        address=address, port=port, protocol=protocol, process=process, user=user, public=False, why="a test"
    )


def test_the_output_of_ss_is_read() -> None:
    assert parse_ss(OUTPUT, ACCOUNTS) == (
        Listening("tcp", "*", 8080, "apache2", "root"),
        Listening("tcp", ALL, 22, "sshd", "root"),
        Listening("tcp", "127.0.0.1", 3306, "", "104"),
        Listening("tcp", "::", 22, "sshd", "root"),
        Listening("udp", "192.168.222.17", 68, "systemd-network", "systemd-network"),
    )


def test_what_isnt_a_line_of_the_accounts_is_an_error() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        account_names("nobody")


@pytest.mark.parametrize("line", ["Netid State Recv-Q Send-Q", "tcp LISTEN 0 1 0.0.0.0:http 0.0.0.0:*", "x"])
def test_what_isnt_a_line_of_ss_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of ss"):
        parse_ss(line)


@pytest.mark.skipif(shutil.which("ss") is None, reason="iproute2 isn't installed")
def test_a_real_socket_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        output, accounts = (
            subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout
            for command in (SS_COMMAND, ACCOUNTS_COMMAND)
        )
    (found,) = [s for s in parse_ss(output, account_names(accounts)) if s.port == port]
    own = pwd.getpwuid(os.getuid()).pw_name
    assert (found.protocol, found.address, found.user) == ("tcp", "127.0.0.1", own)
    assert found.loopback


def test_no_difference() -> None:
    declared = [
        listener(ALL, 22, "sshd"),
        listener(ALL, 8080, "apache2"),
        listener("127.0.0.1", 3306, "mariadbd", user="104"),
        listener("192.168.222.17", 68, "systemd-networkd", "udp", "systemd-network"),
    ]
    assert compare(declared, parse_ss(OUTPUT, ACCOUNTS)) == ()


def test_what_listens_and_wasnt_declared() -> None:
    (difference,) = compare(
        [listener(ALL, 22)], parse_ss(OUTPUT.splitlines()[4] + "\n" + OUTPUT.splitlines()[1])
    )
    assert str(difference) == "undeclared: tcp 127.0.0.1:3306 (unknown process, 104)"


def test_what_was_declared_and_doesnt_listen() -> None:
    (difference,) = compare([listener("127.0.0.1", 9000, "php-fpm")], ())
    assert str(difference) == "missing: tcp 127.0.0.1:9000 (php-fpm): a test"


def test_all_addresses_where_loopback_was_declared() -> None:
    found = [Listening("tcp", ALL, 3306, "mariadbd", "mysql")]
    assert {d.what for d in compare([listener("127.0.0.1", 3306)], found)} == {"undeclared", "missing"}


def test_loopback_where_all_addresses_were_declared() -> None:
    found = [Listening("tcp", "127.0.0.1", 8088, "nginx")]
    assert {d.what for d in compare([listener(ALL, 8088)], found)} == {"undeclared", "missing"}


def test_another_process_than_declared() -> None:
    found = [Listening("tcp", ALL, 8088, "apache2")]
    (difference,) = compare([listener(ALL, 8088, "nginx")], found)
    assert difference.what == "wrong process"


def test_another_account_than_declared() -> None:
    found = [Listening("tcp", "127.0.0.1", 8384, "syncthing", "root")]
    (difference,) = compare([listener("127.0.0.1", 8384, "syncthing", user="syncthing")], found)
    assert str(difference) == "wrong account: tcp 127.0.0.1:8384 (syncthing, root); declared syncthing"


def test_one_account_of_several_declared() -> None:
    found = [Listening("tcp", "127.0.0.1", 8384, "syncthing", "syncthing")]
    assert compare([listener("127.0.0.1", 8384), listener("127.0.0.1", 8384, user="syncthing")], found) == ()


def test_another_protocol_than_declared() -> None:
    found = [Listening("udp", "127.0.0.1", 53, "x")]
    assert len(compare([listener("127.0.0.1", 53)], found)) == 2
