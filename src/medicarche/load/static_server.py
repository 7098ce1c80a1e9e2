"""A static page on this machine's loopback address, served by nginx: the generator's calibration.

nginx is the machine's own where there is one; else Debian's or Ubuntu's package is fetched and unpacked into
the cache. It isn't installed: no service starts, nothing of the machine changes.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from medicarche.embedded import namespace
from medicarche.errors import CommandError, MachineError
from medicarche.load.connection import Request
from medicarche.pki import Authority
from medicarche.private_files import locked
from medicarche.process import last_lines, run

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SIZE", "StaticServer", "find_nginx", "serve"]

#: bytes of the page: what a small stylesheet has
SIZE = 4096
_HOST = "127.0.0.1"
_DOMAIN = "calibration.internal"
_PATIENCE = 10.0
_CONFIGURATION = """
daemon off; master_process off; worker_rlimit_nofile 4096;
pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 10000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  ssl_certificate {certificate}; ssl_certificate_key {key};
  server {{
    listen {host}:{plain};
    listen {host}:{secure} ssl;
    root {folder}/www;
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class StaticServer:
    """The running server.

    Attributes:
        plain: its page over HTTP.
        secure: the same page over TLS.
        process: nginx, one process; it may be stopped and continued by signals.
    """

    plain: Request
    secure: Request
    process: subprocess.Popen[bytes]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Hold the server still for as long as the block runs: it takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def find_nginx(cache: Path) -> Path:
    """Return the nginx program: of this machine, else fetched into the cache.

    Raises:
        MachineError: there is none, and none can be fetched.
    """
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is not None:
        return Path(found)
    folder = cache / "nginx"
    program = folder / "usr/sbin/nginx"
    with locked(folder):
        if not program.exists():
            hint = "install nginx, or see what apt-get says: apt-get download nginx"
            if shutil.which("apt-get") is None:
                raise MachineError("nginx is missing: the generator can't be calibrated", hint=hint)
            try:
                with TemporaryDirectory() as work, namespace.outside():
                    run(["apt-get", "--quiet", "download", "nginx"], directory=Path(work))
                    (package,) = Path(work).glob("nginx_*.deb")
                    run(["dpkg-deb", "--extract", package, folder])
                run([program, "-v"])
            except (CommandError, ValueError) as error:
                program.unlink(missing_ok=True)
                raise MachineError(
                    f"nginx can't be fetched: the generator can't be calibrated\n{error}", hint=hint
                ) from error
    return program


@contextmanager
def serve(nginx: Path) -> Iterator[StaticServer]:
    """Serve the page on free ports of 127.0.0.1 for as long as the block runs.

    Raises:
        MachineError: nginx doesn't answer.
    """
    with TemporaryDirectory(prefix="medicarche-calibration-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker isn't root
        (folder / "www").mkdir()
        (folder / "www/index.html").write_bytes(b"m" * SIZE)
        authority = Authority(folder, organization="Calibration", domain=_DOMAIN)
        authority.ensure()
        issued = authority.issue("page", [f"page.{_DOMAIN}"], [_HOST])
        plain, secure = _free_ports()
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                host=_HOST,
                plain=plain,
                secure=secure,
                certificate=issued.certificate,
                key=issued.key,
            ),
            encoding="ascii",
        )
        command = [str(nginx), "-c", str(configuration), "-e", str(folder / "error.log")]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _wait(process, plain, folder / "error.log")
                content = b"m" * SIZE
                yield StaticServer(
                    Request(_HOST, plain, "/", contains=content),
                    Request(_HOST, secure, "/", authority=authority.ca_certificate, contains=content),
                    process,
                )
            finally:
                process.send_signal(signal.SIGCONT)
                process.terminate()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind((_HOST, 0))
        second.bind((_HOST, 0))
        return first.getsockname()[1], second.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as attempt:
            attempt.settimeout(1)
            if attempt.connect_ex((_HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise MachineError(f"nginx doesn't serve the calibration's page\n{last_lines(log)}")
