"""Building an image: mmdebstrap makes the root file system, mkfs.ext4 the disk; nothing is mounted."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche import host_packages
from medicarche.embedded import namespace
from medicarche.embedded.mirrors import mirrors_for
from medicarche.embedded.programs import confined, run_logged
from medicarche.errors import CommandError, MachineError
from medicarche.image import kvm_disk, recipe
from medicarche.private_files import turn
from medicarche.process import run

if TYPE_CHECKING:
    from medicarche.paths import Paths
    from medicarche.progress import Reporter, Stage
    from medicarche.spec.environment import ImageSpec, Locale, Mirrors

__all__ = ["build", "image_path"]

_PROGRAMS = {"mmdebstrap": "mmdebstrap", "mkfs.ext4": "e2fsprogs", "unshare": "util-linux"}
_KVM_PROGRAMS = {"sfdisk": "fdisk", "qemu-img": "qemu-utils"}
_TELLING = re.compile(r"^(?:I: (?P<step>.+?)(?:\.\.\.)?|(?:Unpacking|Setting up) (?P<package>[^\s:]+).*)$")
#: for journal, inode tables and what is reserved, of the space that the files take
_SPARE = 1.08


def image_path(image: ImageSpec, locale: Locale, hypervisor: str, paths: Paths) -> Path:
    """Return where the image is in the cache, built or not."""
    key = recipe.recipe_hash(image, locale, hypervisor)
    # an earlier version of us may have left one of the same key with its empty space
    form = f"{hypervisor}-shrunk" if hypervisor == "lxc" else hypervisor
    return paths.cache / "images" / f"{image.suite}-{form}-{key}.{recipe.disk_format(hypervisor)}"


def build(  # noqa: PLR0917 - the rooms' agreed interface
    image: ImageSpec, locale: Locale, hypervisor: str, paths: Paths, mirrors: Mirrors, reporter: Reporter
) -> Path:
    """Return the image's file: from the cache if it's there, else built.

    A run that is killed leaves no half-written image, no process and no mount; what it leaves on the disk is
    removed by the next build. Of two runs that want one image, the second waits for the first.

    Args:
        image: what to build.
        locale: of its users.
        hypervisor: ``lxc`` or ``kvm``.
        paths: the image goes to ``images`` in the cache.
        mirrors: where the packages come from.
        reporter: told what is under way.

    Raises:
        MachineError: not root, or a program is missing.
        CommandError: a program failed; the message holds the log's last lines.
    """
    target = image_path(image, locale, hypervisor, paths)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    _make_room(hypervisor, reporter, target.with_suffix(".packages.log"))
    title = f"image {image.name}: Debian {image.suite} for {hypervisor}"
    lock = target.parent / ".lock"
    with (
        reporter.stage(title) as stage,
        turn(lock, lambda: stage.update("waiting for another run that builds an image")),
    ):
        if target.exists():  # the other run has built it
            return target
        for stale in target.parent.glob(".build-*"):
            shutil.rmtree(stale)
        work = Path(tempfile.mkdtemp(prefix=".build-", dir=target.parent))
        try:
            disk = _build(image, locale, hypervisor, mirrors_for(mirrors, image.suite), work, stage)
            disk.replace(target)
        finally:
            stage.update("removing what was needed to build it")
            shutil.rmtree(work)
    return target


def _build(  # noqa: PLR0917 - one step of `build`, with its arguments
    image: ImageSpec, locale: Locale, hypervisor: str, lines: tuple[str, ...], work: Path, stage: Stage
) -> Path:
    log = work.parent / f"build-{image.suite}-{hypervisor}.log"
    log.unlink(missing_ok=True)
    tree, overlay = work / "root", work / "files"
    _write_files(image, locale, hypervisor, overlay)
    script = work / "customize.sh"
    script.write_text(recipe.customize_script(), encoding="utf-8")
    arguments = (
        hypervisor,
        locale.language,
        locale.timezone,
        recipe.LABEL,
        " ".join(recipe.masked_units(hypervisor)),
    )
    command = [
        "mmdebstrap",
        *recipe.mmdebstrap_options(image, locale, hypervisor),
        f"--customize-hook=sync-in {overlay} /",
        f"--customize-hook=copy-in {script} /tmp",
        f'--customize-hook=chroot "$1" sh /tmp/customize.sh {shlex.join(arguments)}',
        '--customize-hook=rm "$1/tmp/customize.sh"',
        image.suite,
        str(tree),
        *lines,
    ]
    installed = 0

    def on_line(line: str) -> None:
        nonlocal installed
        match = _TELLING.match(line)
        if match and match["package"]:
            installed += line.startswith("Setting up")
            stage.update(f"{match['package']} ({installed} packages)")
        elif match:
            stage.update(match["step"])

    run_logged(
        namespace.outside_command([str(a) for a in confined(command)]),
        log=log,
        on_line=on_line,
        environment={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TMPDIR": str(work), "HOME": "/root"},
        what=f"building image {image.name} (mmdebstrap)",
        hint="check that the Debian mirror can be reached, and the packages' names; then run it again",
    )
    _write_sources(tree, lines)
    stage.update("writing the file system")
    size = image.disk_mib * 2**20
    if hypervisor == "lxc":
        disk = work / "disk.raw"
        _make_file_system(image, tree, disk, size, log)
        _shrink(disk, log)
        return disk
    root = work / "root.ext4"
    _make_file_system(image, tree, root, kvm_disk.root_size(size), log)
    stage.update("writing the disk")
    raw, disk = work / "disk.raw", work / "disk.qcow2"
    kvm_disk.assemble(raw, root, tree, size, log)
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk], log=log)
    return disk


def _write_files(image: ImageSpec, locale: Locale, hypervisor: str, folder: Path) -> None:
    """Write the image's own files with their modes, whatever our umask is."""
    folder.mkdir()
    for file in recipe.files(image, locale, hypervisor):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
        path.chmod(file.mode)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


def _write_sources(tree: Path, lines: tuple[str, ...]) -> None:
    """Write the instances' apt sources: the mirrors, by the keys that Debian itself installs."""
    if lines:
        text = "".join(re.sub(r"\[signed-by=\S*\] ", "", line) + "\n" for line in lines)
        (tree / "etc/apt/sources.list").write_text(text, encoding="utf-8")


def _make_file_system(image: ImageSpec, tree: Path, target: Path, size: int, log: Path) -> None:
    """Make an ext4 file system of ``size`` bytes with the content of ``tree``."""
    needed = int(run(["du", "-s", "-B1", tree]).split()[0]) * _SPARE
    if needed > size:
        raise CommandError(
            f"image {image.name}: its files need {needed / 2**20:.0f} MiB of {size / 2**20:.0f}",
            hint=f"raise disk_mib of image {image.name} in the environment file",
        )
    with target.open("wb") as stream:
        stream.truncate(size)
    run(
        [
            *("mkfs.ext4", "-q", "-F", "-L", recipe.LABEL, "-m", "1", "-d", tree),
            # older e2fsprogs (the node's) must be able to grow it
            *("-O", "^metadata_csum_seed", "-E", "lazy_itable_init=1,root_owner=0:0", target),
        ],
        log=log,
        hint=f"raise disk_mib of image {image.name} in the environment file if it is full",
    )


def _shrink(disk: Path, log: Path) -> None:
    """Make a file system no larger than what it holds; each instance's copy grows to its flavor's disk.

    Glance and Nova know no holes: they read, check and copy every byte, for the image and for each instance.
    What it keeps of its first size: journal, inodes per group, how far it can grow.
    """
    hint = f"its log: {log}"
    run(["resize2fs", "-f", "-M", disk], log=log, hint=hint)
    plain = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    header = run(["dumpe2fs", "-h", disk], environment=plain, hint=hint)
    sizes = dict(re.findall(r"^(Block count|Block size): +(\d+)$", header, re.MULTILINE))
    os.truncate(disk, int(sizes["Block count"]) * int(sizes["Block size"]))


def _make_room(hypervisor: str, reporter: Reporter, log: Path) -> None:
    if os.geteuid() != 0:
        raise MachineError("building an image needs root", hint="run it as root (sudo)")
    if platform.machine() != "x86_64":
        raise MachineError(f"images are built on x86_64, this machine is {platform.machine()}")
    programs = _PROGRAMS | (_KVM_PROGRAMS if hypervisor == "kvm" else {})
    host_packages.ensure(host_packages.missing(programs), reporter, log=log)
