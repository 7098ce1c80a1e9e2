"""``medicarche provision --no-deploy`` as a process of its own, on a fake cloud that has the image."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche import converge, planning
from medicarche.cloud.connect import connect
from medicarche.cloud.observe import observe
from medicarche.options import Options
from medicarche.paths import Paths
from medicarche.plan import derive, make_plan
from medicarche.plan.resources import Image
from medicarche.progress import SilentReporter
from medicarche.target import select

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from fake_openstack.cloud import FakeOpenStack

__all__ = ["Command"]

ENVIRONMENT = Path(__file__).resolve().parents[2] / "environments" / "medicarche.yaml"
#: seconds that a run, or a moment in it, may take on a busy machine
PATIENCE = 120.0


class Command:
    """The command, with folders of its own.

    Attributes:
        cloud: the cloud that it works on.
        folder: the environment's folder.
        whole: what the cloud holds after a run.
    """

    def __init__(self, cloud: FakeOpenStack, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud = cloud
        self._started: list[subprocess.Popen[str]] = []
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.write_clouds_yaml(folder / "clouds.yaml")))
        monkeypatch.setenv("MEDICARCHE_HOME", str(folder / "home"))
        monkeypatch.setenv("MEDICARCHE_CACHE", str(folder / "cache"))
        selection = select(
            Options(ENVIRONMENT, cloud="demo", admin_cloud="admin", paths=Paths.from_environment())
        )
        self.folder = selection.folder
        name = selection.environment.name
        wanted = derive(selection.environment, planning.site_of(selection))
        images = [resource for resource in wanted if isinstance(resource, Image)]
        file = folder / "image"
        file.write_bytes(b"disk")
        with connect(selection.target) as connections:
            converge.apply(
                connections,
                make_plan(name, images, observe(connections, name, images)),
                images={image.name: file for image in images},
                reporter=SilentReporter(),
            )
        before = cloud.snapshot()
        assert self.run().returncode == 0
        self.whole = cloud.census()
        cloud.restore(before)
        for old in self.folder.glob("runs/*"):
            old.unlink()

    def close(self) -> None:
        """End what was started and is still there."""
        for process in self._started:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def start(self, *words: str, before: str = "") -> subprocess.Popen[str]:
        """Start it, in a process group of its own, and return at once."""
        program = f"{before}from medicarche.cli import main; main()"
        where = ("--environment", str(ENVIRONMENT), "--cloud", "demo", "--admin-cloud", "admin")
        process = subprocess.Popen(
            [sys.executable, "-c", program, *where, *(words or ("provision", "--no-deploy"))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            process_group=0,
        )
        self._started.append(process)
        return process

    def run(self, *words: str, before: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*words, before=before)
        out, told = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, told)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to happen in the cloud."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)
