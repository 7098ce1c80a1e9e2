"""The caching package proxy: apt-cacher-ng out of the node's root file system, in the host's network.

It listens on a unix socket only, which the bridge offers to the instances inside of the cloud's network name
space. It fetches from the configured mirrors and refuses all else, so that it is no way out for instances.
What it has fetched stays in the cache for other clouds and later runs.

Sources with ``http://`` are cached, whatever the mirror itself speaks; those with ``https://`` are tunnelled
to their mirror, and not cached.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import jinja2

from medicarche.embedded import mirrors, namespace, pidfile
from medicarche.errors import CommandError, MachineError
from medicarche.process import last_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Mapping", "configuration", "connect", "mappings", "running", "start", "stop"]

#: the user that it runs as: of the range that systemd gives to dynamic users, so nobody's on any disk
_USER = 61_942
_START_SECONDS = 20.0
_CACHES_AT_MOST = 16
_PORTS = {"http": 80, "https": 443}
#: sun_path of unix(7), with its final null byte
_SOCKET_PATH_AT_MOST = 108


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mirror: the cache folder's ``name``, the URLs that clients ask for, the URL to fetch from."""

    name: str
    asked: tuple[str, ...]
    fetched: str


def mappings(sources: Sequence[str]) -> tuple[Mapping, ...]:
    """Return one mapping per base URL of sources.list(5) lines.

    Raises:
        MachineError: there is no source with an http or https URL.
    """
    found: dict[str, Mapping] = {}
    for source in mirrors.parse_one_line("\n".join(sources)):
        parts = urlsplit(source.uri)
        if parts.scheme not in _PORTS or not parts.hostname:
            continue
        base = f"{parts.netloc}{parts.path}".rstrip("/")
        name = re.sub(r"[^a-z0-9]+", "-", base.lower()).strip("-")
        found.setdefault(base, Mapping(name, (f"http://{base}",), f"{parts.scheme}://{base}"))
    if not found:
        raise MachineError(
            "no Debian mirror is known for the instances' packages",
            hint="name them in the environment file: mirrors: {debian: URL, security: URL}",
        )
    return tuple(found.values())


def configuration(sources: Sequence[str], *, upstream_proxy: str | None = None) -> str:
    """Return apt-cacher-ng's configuration for the mirrors of sources.list(5) lines.

    Args:
        sources: ``deb http://mirror/debian trixie main``; suites don't matter, any of a mirror is served.
        upstream_proxy: URL of the proxy through which this machine reaches the mirrors, if it must.

    Raises:
        MachineError: there is no source with an http or https URL.
    """
    found = mappings(sources)
    hosts = {urlsplit(mapping.fetched) for mapping in found}
    ends = sorted(f"{re.escape(str(h.hostname))}:{h.port or 443}" for h in hosts if h.scheme == "https")
    template = resources.files("medicarche.embedded").joinpath("templates/package-proxy.conf.j2")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - a configuration file, not HTML
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        mappings=found,
        tunnels=f"^({'|'.join(ends)})$" if ends else "^$",
        upstream_proxy=upstream_proxy,
    )


def start(root: Path, folder: Path, cache: Path, sources: Sequence[str] = ()) -> Path:
    """Start the proxy, or leave the one alone that runs with the same configuration.

    Args:
        root: a root file system with apt-cacher-ng; isn't changed.
        folder: of the cloud, for the proxy alone: configuration, socket, log, process number.
        cache: what was fetched; where another cloud's proxy works on it, a sibling is used.
        sources: sources.list(5) lines with the mirrors; those of ``root`` itself where empty.

    Returns:
        The unix socket.

    Raises:
        MachineError: the root file system has no apt-cacher-ng, or no mirror is known.
        CommandError: it didn't start; with its last words.
    """
    socket_path = folder / "run/socket"
    text = configuration(sources or _own_sources(root), upstream_proxy=_upstream_proxy())
    if running(folder):
        if (folder / "acng.conf").read_text(encoding="utf-8") == text and _answers(socket_path):
            return socket_path
        stop(folder)
    if not (root / "usr/sbin/apt-cacher-ng").exists():
        raise MachineError(
            f"{root} holds no apt-cacher-ng", hint="build it anew: medicarche cloud purge, then cloud up"
        )
    (folder / "run").mkdir(parents=True, exist_ok=True)
    for stale in ("run/socket", "process"):
        (folder / stale).unlink(missing_ok=True)
    (folder / "acng.conf").write_text(text, encoding="utf-8")
    held, lock = _hold(cache)
    try:
        for owned in (held, folder / "run"):
            _give(owned)
        _launch(root, folder, held, lock)
    finally:
        os.close(lock)  # apt-cacher-ng has inherited it, and holds the lock as long as it lives
    return socket_path


def stop(folder: Path) -> bool:
    """End the proxy of the cloud in ``folder``, and no other process; says whether there was one."""
    found = pidfile.terminate(folder / "pid")
    (folder / "run/socket").unlink(missing_ok=True)
    return found


def running(folder: Path) -> bool:
    """Say whether the proxy of the cloud in ``folder`` runs."""
    return pidfile.alive(folder / "pid") is not None


def _launch(root: Path, folder: Path, cache: Path, lock: int) -> None:
    log = folder / "output"
    with (
        resources.as_file(
            resources.files("medicarche.embedded").joinpath("templates/package-proxy.sh")
        ) as script,
        log.open("wb") as output,
    ):
        subprocess.run(
            namespace.outside_command(
                [
                    # slave: what the host unmounts goes here, too; else another cloud's network would live on
                    *("setsid", "--fork", "unshare", "--mount", "--propagation=slave", "--"),
                    *("sh", str(script), str(root), str(folder), str(cache), str(_USER)),
                ]
            ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[lock],
            check=True,
        )
        # the script must not vanish (a zipped package) before its shell has read it
        _wait(folder, log)


def _wait(folder: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    recorded = False
    while time.monotonic() < deadline:
        if not recorded:
            with suppress(FileNotFoundError, ValueError, ProcessLookupError):
                pidfile.write(folder / "pid", int((folder / "process").read_text(encoding="ascii")))
                recorded = True
        elif not running(folder):
            break
        elif _answers(folder / "run/socket"):
            return
        time.sleep(0.05)
    stop(folder)
    raise CommandError(
        f"the package proxy (apt-cacher-ng) didn't start:\n{last_lines(log)}", hint=f"its log: {log}"
    )


def connect(path: Path) -> socket.socket:
    """Connect to a unix socket, however long its path is.

    Raises:
        OSError: nothing listens there.
    """
    sock = socket.socket(socket.AF_UNIX)
    try:
        if len(os.fsencode(path)) < _SOCKET_PATH_AT_MOST:
            sock.connect(str(path))
        else:
            parent = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
            try:
                sock.connect(f"/proc/self/fd/{parent}/{path.name}")
            finally:
                os.close(parent)
    except BaseException:
        sock.close()
        raise
    return sock


def _answers(path: Path) -> bool:
    try:
        connect(path).close()
    except OSError:
        return False
    return True


def _hold(cache: Path) -> tuple[Path, int]:
    """Lock the cache folder: apt-cacher-ng doesn't expect a second one in it."""
    for number in count(1):
        folder = cache if number == 1 else cache.with_name(f"{cache.name}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            if number == _CACHES_AT_MOST:
                raise MachineError(
                    f"{number} package proxies run on this machine already",
                    hint="end clouds that aren't needed: medicarche cloud down",
                ) from None
        else:
            return folder, lock
    raise AssertionError  # count() has no end


def _give(folder: Path) -> None:
    """Give a folder to the proxy's user."""
    if folder.stat().st_uid == _USER:
        return
    for path in folder.rglob("*"):
        os.chown(path, _USER, _USER, follow_symlinks=False)
    os.chown(folder, _USER, _USER)  # the last one: an interrupted change is made again


def _own_sources(root: Path) -> list[str]:
    return [
        f"deb {source.uri} {source.suite} {' '.join(source.components)}"
        for source in mirrors.host_sources(root)
    ]


def _upstream_proxy() -> str | None:
    """Return the proxy that the host's own apt uses, or None."""
    if shutil.which("apt-config") is None:
        return None
    done = subprocess.run(
        ["apt-config", "shell", "PROXY", "Acquire::http::Proxy"], capture_output=True, text=True, check=False
    )
    match = re.search(r"^PROXY='(https?://[^']+)'", done.stdout)
    return match[1] if match else os.environ.get("http_proxy") or None
