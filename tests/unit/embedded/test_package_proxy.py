"""What the proxy may fetch, and how it is started; the proxy itself runs in the acceptance tests."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING

import pytest

from medicarche.embedded import package_proxy
from medicarche.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = (
    "deb http://mirror.example/debian trixie main",
    "deb [signed-by=/k.gpg] http://mirror.example/debian trixie-updates main",
    "deb https://security.example:8443/debian-security/ trixie-security main",
)


def setting(text: str, name: str) -> str:
    found = re.search(rf"^{name}: ?(.*)$", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


def test_each_mirror_is_mapped_once_and_fetched_by_its_own_scheme() -> None:
    assert package_proxy.mappings(SOURCES) == (
        package_proxy.Mapping(
            "mirror-example-debian", ("http://mirror.example/debian",), "http://mirror.example/debian"
        ),
        package_proxy.Mapping(
            "security-example-8443-debian-security",
            ("http://security.example:8443/debian-security",),
            "https://security.example:8443/debian-security",
        ),
    )


def test_nothing_but_the_mirrors_may_be_fetched() -> None:
    text = package_proxy.configuration(SOURCES)
    assert setting(text, "ForceManaged") == "1"
    assert setting(text, "ReportPage") == ""
    assert (
        setting(text, "Remap-mirror-example-debian")
        == "http://mirror.example/debian ; http://mirror.example/debian"
    )
    assert len(re.findall(r"^Remap-", text, re.MULTILINE)) == 2


def test_no_tcp_port_is_opened() -> None:
    text = package_proxy.configuration(SOURCES)
    assert setting(text, "BindAddress") == "192.0.2.1"
    assert setting(text, "SocketPath") == "/run/apt-cacher-ng/socket"


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("security.example:8443", True),
        ("security.example:443", False),
        ("mirror.example:443", False),
        ("securityXexample:8443", False),
        ("security.example:8443.evil.example:443", False),
        ("evil.example:443", False),
    ],
)
def test_tunnels_lead_to_https_mirrors_only(target: str, *, allowed: bool) -> None:
    pattern = setting(package_proxy.configuration(SOURCES), "PassThroughPattern")
    assert (re.search(pattern, target) is not None) is allowed


def test_without_an_https_mirror_nothing_is_tunnelled() -> None:
    pattern = setting(package_proxy.configuration(SOURCES[:1]), "PassThroughPattern")
    assert re.search(pattern, "mirror.example:443") is None


def test_the_machines_own_proxy_is_used() -> None:
    assert "\nProxy:" not in package_proxy.configuration(SOURCES)
    text = package_proxy.configuration(SOURCES, upstream_proxy="http://proxy.example:3128")
    assert setting(text, "Proxy") == "http://proxy.example:3128"


@pytest.mark.parametrize("sources", [(), ("deb cdrom:[x] trixie main",), ("# nothing",)])
def test_without_a_mirror_there_is_one_clear_error(sources: tuple[str, ...]) -> None:
    with pytest.raises(MachineError) as raised:
        package_proxy.configuration(sources)
    assert "mirrors:" in str(raised.value.hint)


def test_a_root_without_the_program_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="holds no apt-cacher-ng"):
        package_proxy.start(tmp_path / "root", tmp_path / "folder", tmp_path / "cache", SOURCES)


def test_two_proxies_never_share_a_cache(tmp_path: Path) -> None:
    first, lock = package_proxy._hold(tmp_path / "packages")
    second, other = package_proxy._hold(tmp_path / "packages")
    assert (first.name, second.name) == ("packages", "packages-2")
    os.close(lock)
    again, third = package_proxy._hold(tmp_path / "packages")
    assert again == first
    os.close(other)
    os.close(third)


def test_connects_to_a_socket_whose_path_is_too_long_for_the_kernel(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        parent = os.open(folder, os.O_PATH)
        server.bind(f"/proc/self/fd/{parent}/socket")
        os.close(parent)
        server.listen()
        package_proxy.connect(folder / "socket").close()
    with pytest.raises(ConnectionRefusedError):
        package_proxy.connect(folder / "socket")
    with pytest.raises(FileNotFoundError):
        package_proxy.connect(folder / "missing")


def test_nothing_runs_and_nothing_is_stopped_where_nothing_was_started(tmp_path: Path) -> None:
    assert not package_proxy.running(tmp_path)
    assert not package_proxy.stop(tmp_path)
