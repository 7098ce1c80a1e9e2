"""Files that the operator gives: had, checked, kept; what can't be had is told before anything begins."""

from __future__ import annotations

import functools
import hashlib
import http.server
import ssl
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medicarche.deploy import Obtained, held, obtain
from medicarche.errors import DeploymentError
from medicarche.pki import Authority
from medicarche.progress import SilentReporter
from medicarche.spec import load_environment
from medicarche.spec.environment import Application, Environment

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"an archive" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BASE = Path(__file__).parents[1] / "spec/base.yaml"


def _environment(folder: Path, **settings: str) -> Environment:
    application = Application("nextcloud", "nextcloud", "n", 8806, "N", settings, ())
    return replace(load_environment(BASE), source=folder / "environment.yaml", applications=(application,))


def _obtain(folder: Path, **settings: str) -> Path:
    environment = _environment(folder, **settings)
    found = obtain(environment, folder / "cache", SilentReporter()).files["nextcloud"]
    assert held(environment, folder / "cache")["nextcloud"] == found
    assert found.sha256 == SHA256
    assert found.path is not None
    return found.path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A file of the operator's."""
    path = tmp_path / "nextcloud.zip"
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_found_beside_the_environment_file(tmp_path: Path, archive: Path) -> None:
    assert _obtain(tmp_path, archive="nextcloud.zip", sha256=SHA256) == archive
    archive.with_name("nextcloud.zip.sha256").write_text(f"{SHA256}  nextcloud.zip\n")
    assert _obtain(tmp_path, archive=str(archive)) == archive


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"archive": "nowhere.zip", "sha256": SHA256}, "nowhere.zip: No such file"),
        ({"archive": "nextcloud.zip", "sha256": "0" * 64}, f"its SHA-256 is {SHA256}, and should be 000"),
        ({"archive": "nextcloud.zip"}, "No such file"),
    ],
)
@pytest.mark.usefixtures("archive")
def test_what_cant_be_had_is_told_with_what_to_do(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(DeploymentError) as caught:
        obtain(_environment(tmp_path, **settings), tmp_path / "cache", SilentReporter())
    assert caught.value.message.startswith("nextcloud: Nextcloud's archive can't be had: ")
    assert said in caught.value.message
    assert "--without nextcloud" in str(caught.value.hint)


def test_what_isnt_deployed_isnt_asked_for(tmp_path: Path) -> None:
    environment = _environment(tmp_path, archive="nowhere.zip")
    left_out = replace(environment, applications=(replace(environment.applications[0], deployed=False),))
    assert obtain(left_out, tmp_path, SilentReporter()) == Obtained({})


class Noted(SilentReporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)


@pytest.mark.parametrize("source", ["nowhere.zip", "https://127.0.0.1:1/n.zip"])
def test_what_may_be_left_out_is_left_out_and_told(tmp_path: Path, source: str) -> None:
    environment = _optional(_environment(tmp_path, archive=source, sha256=SHA256))
    noted = Noted()
    assert obtain(environment, tmp_path / "cache", noted) == Obtained({}, frozenset({"nextcloud"}))
    assert noted.lines[0].startswith(f"nextcloud: Nextcloud's archive can't be had: {source}: ")
    assert noted.lines[1].startswith("nextcloud isn't deployed")


@pytest.mark.usefixtures("archive")
def test_a_wrong_file_isnt_left_out_but_refused(tmp_path: Path) -> None:
    environment = _optional(_environment(tmp_path, archive="nextcloud.zip", sha256="0" * 64))
    with pytest.raises(DeploymentError, match="and should be 000"):
        obtain(environment, tmp_path / "cache", SilentReporter())


def _optional(environment: Environment) -> Environment:
    (application,) = environment.applications
    return replace(environment, applications=(replace(application, if_unavailable="leave-out"),))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """An https server of a folder; its URL, and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    issued = Authority(tmp_path, organization="O", domain="o.internal").issue(
        "s", ["localhost"], ["127.0.0.1"]
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        made.socket = context.wrap_socket(made.socket, server_side=True)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "pki/ca.pem"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield f"https://127.0.0.1:{made.server_port}", folder
        made.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_a_download_is_checked_by_what_its_makers_publish_and_kept(
    tmp_path: Path, server: tuple[str, Path]
) -> None:
    url, folder = server
    (folder / "n.tar.bz2").write_bytes(CONTENT)
    (folder / "n.tar.bz2.sha256").write_text(f"{SHA256}  n.tar.bz2\n")
    source = f"{url}/n.tar.bz2"
    environment = _environment(tmp_path, archive=source)
    assert held(environment, tmp_path / "cache")["nextcloud"].path is None
    path = _obtain(tmp_path, archive=source)
    assert path.read_bytes() == CONTENT
    assert held(environment, tmp_path / "cache")["nextcloud"].path == path
    # no second time, and without the network
    (folder / "n.tar.bz2").unlink()
    (folder / "n.tar.bz2.sha256").unlink()
    assert _obtain(tmp_path, archive=source) == path
    # a damaged cache isn't believed
    path.write_bytes(b"damaged")
    (folder / "n.tar.bz2").write_bytes(CONTENT)
    assert _obtain(tmp_path, archive=source).read_bytes() == CONTENT


def test_a_download_that_is_wrong_or_isnt_there_leaves_nothing(
    tmp_path: Path, server: tuple[str, Path]
) -> None:
    url, folder = server
    (folder / "n.zip").write_bytes(b"something else")
    for name, said in (("n.zip", "its SHA-256 is"), ("nothing.zip", "HTTP status 404")):
        with pytest.raises(DeploymentError, match=said):
            _obtain(tmp_path, archive=f"{url}/{name}", sha256=SHA256)
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_no_connection_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="the connection failed"):
        _obtain(tmp_path, archive="https://127.0.0.1:1/n.zip", sha256=SHA256)
