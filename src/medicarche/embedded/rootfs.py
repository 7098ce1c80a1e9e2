"""The cached layers of the node's file system: each built once, or not at all.

A layer is a folder ``<cache>/node/<kind>-<hash>`` that holds ``tree``. It is built beside its place and
renamed into it when whole, so that a layer that is there is complete; what a killed build leaves behind is
removed by the next one. Builders take turns by a lock that dies with its holder.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche.embedded import cgroups, recipe
from medicarche.embedded.programs import confined, run_logged
from medicarche.private_files import turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from medicarche.progress import Stage

__all__ = ["Layer", "ensure_layer", "install_packages", "make_schema", "remove_tree"]

_UNFINISHED = ".building"
# what mmdebstrap and dpkg say that is worth showing
_TELLING = re.compile(r"^(?:I: (?P<step>.+?)(?:\.\.\.)?|(?:Setting up|Unpacking) (?P<package>[^\s:]+).*)$")


class Layer:
    """A cached layer of the node's file system.

    Args:
        folder: where layers are kept: ``<cache>/node``.
        kind: what is in it: ``packages`` or ``schema``.
        key: the hash of what it is built from.
    """

    def __init__(self, folder: Path, kind: str, key: str) -> None:
        self.folder = folder
        self.name = f"{kind}-{key}"

    @property
    def tree(self) -> Path:
        """The layer's files."""
        return self.folder / self.name / "tree"

    def is_complete(self) -> bool:
        """Say whether it was built to its end."""
        return (self.folder / self.name / "complete").is_file()


def ensure_layer(layer: Layer, build: Callable[[Path], None]) -> Layer:
    """Build a layer if it isn't there.

    Args:
        layer: which.
        build: fills the folder that it is given; may raise, and nothing of it is kept then.

    Returns:
        The layer, complete.
    """
    if layer.is_complete():
        return layer
    layer.folder.mkdir(parents=True, exist_ok=True)
    with turn(layer.folder / f"{layer.name}.lock"):
        if layer.is_complete():
            return layer
        unfinished = layer.folder / f"{layer.name}{_UNFINISHED}"
        remove_tree(unfinished)
        remove_tree(layer.folder / layer.name)
        (unfinished / "tree").mkdir(parents=True)
        try:
            build(unfinished / "tree")
            (unfinished / "complete").touch()
            _flush(unfinished)
            unfinished.rename(layer.folder / layer.name)
        except BaseException:
            remove_tree(unfinished)
            raise
    return layer


def install_packages(
    tree: Path, *, hypervisor: recipe.Hypervisor, sources: Sequence[str], log: Path, stage: Stage
) -> None:
    """Install Debian's packages into an empty folder.

    Raises:
        CommandError: mmdebstrap failed; with the last lines of its log.
    """
    script = tree.parent / "customize"
    script.write_text(f"#!/bin/sh\n{recipe.customize_script()}", encoding="utf-8")
    script.chmod(0o755)
    installed = 0

    def show(line: str) -> None:
        nonlocal installed
        match = _TELLING.match(line)
        if match is None:
            return
        if match["package"]:
            installed += 1
            stage.update(f"{match['package']} ({installed})")
        else:
            stage.update(match["step"])

    run_logged(
        confined(
            [
                "mmdebstrap",
                *recipe.mmdebstrap_options(hypervisor),
                f"--customize-hook={script}",
                recipe.SUITE,
                tree,
                *sources,
            ]
        ),
        log=log,
        on_line=show,
        what="installing the node's packages (mmdebstrap)",
        hint="if the mirror can't be reached, name another one: mirrors in the environment file",
        environment={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **_proxies()},
    )
    script.unlink()


def make_schema(tree: Path, *, packages: Path, script: str, log: Path, stage: Stage) -> None:
    """Fill a folder with the difference that the empty databases make to the layer of packages.

    Raises:
        CommandError: a service's own tool failed; with the last lines of the log.
    """
    work, root = tree.parent / "work", tree.parent / "root"
    work.mkdir()
    root.mkdir()
    program = tree.parent / "schema"
    program.write_text(script, encoding="utf-8")
    program.chmod(0o755)

    def show(line: str) -> None:
        if line.startswith("medicarche: "):
            stage.update(line.removeprefix("medicarche: "))

    options = (
        f"lowerdir={packages},upperdir={tree},workdir={work},index=off,metacopy=off,redirect_dir=off,xino=off"
    )
    run_logged(
        confined(
            [
                *(
                    "sh",
                    "-c",
                    'mount -t overlay -o "$1" medicarche "$2" && shift 2 && exec "$@"',
                    "sh",
                    options,
                    root,
                ),
                *("systemd-nspawn", "--quiet", f"--directory={root}", f"--machine=medicarche-{os.getpid()}"),
                *("--register=no", "--keep-unit"),
                *("--private-network", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--pipe"),
                *(f"--bind-ro={program}:/run/schema", "/run/schema"),
            ]
        ),
        log=log,
        on_line=show,
        what="making the databases of the node",
        environment={"PATH": os.environ["PATH"], "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": _hierarchy()},
    )
    for folder in (work, root):
        shutil.rmtree(folder)
    program.unlink()


def _hierarchy() -> str:
    return "1" if cgroups.is_unified() else "0"


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it; refuses to go through a mount.

    Raises:
        OSError: it can't be removed, or something is mounted below it.
    """
    if not path.exists():
        return
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    below = [m.split()[4] for m in mounts if m.split()[4].startswith(f"{path}/")]
    if below:
        raise OSError(f"{path}: not removed, since this is mounted below it: {', '.join(below)}")
    shutil.rmtree(path)


def _flush(path: Path) -> None:
    """Write to disk all that a layer holds, before its marker says that it is there."""
    run_logged(["sync", "-f", path], log=Path(os.devnull))


def _proxies() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k.lower() in {"http_proxy", "https_proxy", "no_proxy"}}
