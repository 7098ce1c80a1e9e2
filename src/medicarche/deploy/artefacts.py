"""Files that the operator gives and applications are made from: had, checked and kept on this machine.

They are had before anything is built: what can't be had is told when nothing has begun yet.

requests is imported where it is used: this module is imported in the deployment's own process too, where the
standard library's ssl must not be loaded before gevent has patched it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche.deploy.applications import KINDS
from medicarche.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medicarche.deploy.declaration import Artefact
    from medicarche.progress import Reporter, Stage
    from medicarche.spec.environment import Application, Environment

__all__ = ["Held", "Obtained", "held", "obtain"]

_URL = "https://"
_CHUNK = 1 << 20
#: seconds to connect, and between two bytes
_TIMEOUT = (10.0, 60.0)
_DIGEST = re.compile(r"\b([0-9a-fA-F]{64})\b")


@dataclass(frozen=True, slots=True)
class Held:
    """A checked file.

    ``path`` is None where it isn't on this machine; ``sha256`` says what it should be, if known.
    """

    path: Path | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Obtained:
    """What could be had.

    Attributes:
        files: application's name → its file.
        unavailable: names of the applications whose file can't be had, and which may be left out then.
    """

    files: dict[str, Held]
    unavailable: frozenset[str] = frozenset()


def _wanted(environment: Environment) -> Iterable[tuple[Application, Artefact]]:
    for application in environment.applications:
        declaration = KINDS.get(application.kind)
        if application.deployed and declaration is not None and declaration.artefact is not None:
            yield application, declaration.artefact(application)


def held(environment: Environment, cache: Path) -> dict[str, Held]:
    """Return what is known of the applications' files without asking anybody: for comparing only."""
    found = {}
    for application, artefact in _wanted(environment):
        path = _place(artefact, environment.source.parent, cache)
        digest = artefact.sha256 or _kept_digest(path)
        here = digest is not None and path.exists()
        found[application.name] = Held(path if here else None, digest)
    return found


def obtain(environment: Environment, cache: Path, reporter: Reporter) -> Obtained:
    """Have the files of all applications that need one: from the cache, a file, or a download.

    To be called in the host's own network.

    Args:
        environment: what is wanted.
        cache: where downloads are kept; may be emptied at any time.
        reporter: told what is under way.

    Raises:
        DeploymentError: a file can't be had, and its application may not be left out; or it isn't what its
            digest says. Names all of them at once.
    """
    found: dict[str, Held] = {}
    unavailable: dict[str, str] = {}
    failures: list[str] = []
    names: list[str] = []
    for application, artefact in _wanted(environment):
        said = f"{application.name}: {artefact.what} can't be had: {artefact.source}: "
        try:
            with reporter.stage(f"{application.name}: {artefact.what}") as stage:
                try:
                    found[application.name] = _obtain(artefact, environment.source.parent, cache, stage)
                except OSError as error:  # requests' own errors are OSErrors
                    if application.if_unavailable != "leave-out":
                        raise
                    unavailable[application.name] = said + _why(error)
        except (OSError, DeploymentError) as error:
            failures.append(said + _why(error))
            names.append(application.name)
    if failures:
        without = " ".join(f"--without {name}" for name in names)
        raise DeploymentError(
            "\n".join(failures),
            hint="name a file of yours in the environment file (settings: archive, sha256), or go on"
            f" without it: medicarche provision {without}",
        )
    for name, text in unavailable.items():
        reporter.note(text)
        reporter.note(f"{name} isn't deployed: the environment file lets it be left out")
    return Obtained(found, frozenset(unavailable))


def _why(error: Exception) -> str:
    import requests  # noqa: PLC0415 - see the module's first lines

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.ConnectionError):
        return "the connection failed (no such host, no route, or refused)"
    if isinstance(error, requests.Timeout):
        return f"no answer in {_TIMEOUT[0]:.0f} s"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _obtain(artefact: Artefact, folder: Path, cache: Path, stage: Stage) -> Held:
    path = _place(artefact, folder, cache)
    if not artefact.source.startswith(_URL):
        digest = artefact.sha256 or _read_digest(Path(f"{path}.sha256").read_text(encoding="utf-8"))
        stage.update("checking its SHA-256")
        _check(path, digest)
        return Held(path.resolve(), digest)
    wanted = artefact.sha256 or _kept_digest(path)
    if wanted is not None and path.exists():
        stage.update("checking its SHA-256")
        try:
            _check(path, wanted)
        except DeploymentError:
            path.unlink()  # a cache may be damaged; the file is had again
        else:
            return Held(path, wanted)
    if wanted is None:
        wanted = _read_digest(_download_text(f"{artefact.source}.sha256"))
    _download(artefact.source, path, wanted, stage)
    path.with_name(path.name + ".sha256").write_text(f"{wanted}\n", encoding="ascii")
    return Held(path, wanted)


def _place(artefact: Artefact, folder: Path, cache: Path) -> Path:
    """Return the operator's file, or where a download of it is kept."""
    if not artefact.source.startswith(_URL):
        return folder / Path(artefact.source).expanduser()
    key = hashlib.sha256(artefact.source.encode()).hexdigest()[:12]
    return cache / "artefacts" / f"{key}-{artefact.source.rstrip('/').rpartition('/')[2]}"


def _kept_digest(path: Path) -> str | None:
    try:
        return _read_digest(path.with_name(path.name + ".sha256").read_text(encoding="ascii"))
    except (OSError, DeploymentError):
        return None


def _read_digest(text: str) -> str:
    found = _DIGEST.search(text)
    if found is None:
        raise DeploymentError("its .sha256 file holds no SHA-256")
    return found[1].lower()


def _check(path: Path, wanted: str) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != wanted:
        raise DeploymentError(f"its SHA-256 is {found}, and should be {wanted}")


def _download_text(url: str) -> str:
    import requests  # noqa: PLC0415 - see the module's first lines

    answer = requests.get(url, timeout=_TIMEOUT)
    answer.raise_for_status()
    return answer.text


def _download(url: str, path: Path, wanted: str, stage: Stage) -> None:
    """Fetch a file; it has its name only when all of it is there and right."""
    import requests  # noqa: PLC0415 - see the module's first lines

    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*"):
        stale.unlink(missing_ok=True)  # of a run that was killed
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT) as answer, temporary.open("wb") as file:
            answer.raise_for_status()
            done = 0
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                stage.update(f"{done / 2**20:.0f} MiB")
            file.flush()
            os.fsync(file.fileno())
        _check(temporary, wanted)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
