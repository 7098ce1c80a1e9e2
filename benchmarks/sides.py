"""The two that are compared: the playbook and the command. Both are processes in the cloud's name space."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Command", "Playbook"]

HERE = Path(__file__).resolve().parent
#: exit codes of ``medicarche plan``
NOTHING, CHANGES = 0, 2


def _run(words: list[str], environment: Mapping[str, str], *allowed: int) -> tuple[float, str, int]:
    """Run a program; return its seconds on the clock, what it printed, and its exit code."""
    began = time.monotonic()
    done = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    if done.returncode not in {0, *allowed}:
        raise RuntimeError(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return seconds, done.stdout, done.returncode


@dataclass(frozen=True, slots=True)
class Playbook:
    """``ansible/site.yml``, and ``ansible/remove.yml``.

    Attributes:
        program: ``ansible-playbook``, of a virtual environment of its own.
        clouds: the cloud's clouds.yaml.
        public_key: the file of the key that the servers get.
    """

    program: Path
    clouds: Path
    public_key: Path

    def run(self, book: str = "site.yml") -> tuple[float, int]:
        """Run one; return the seconds, and how many tasks' results were changes."""
        folder = HERE / "ansible"
        seconds, told, _ = _run(
            [
                str(self.program),
                *("-i", "localhost,"),
                *("-e", f"public_key_file={self.public_key}"),
                str(folder / book),
            ],
            {
                "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
                "OS_CLIENT_CONFIG_FILE": str(self.clouds),
                "ANSIBLE_NOCOLOR": "1",
            },
        )
        recap = told.rpartition("changed=")[2].split()
        return seconds, int(recap[0])


@dataclass(frozen=True, slots=True)
class Command:
    """``medicarche`` on an environment file."""

    file: Path

    def run(self, *words: str) -> float:
        """Run it, and return the seconds."""
        return self._run(*words)[0]

    def plan(self) -> tuple[float, dict[str, Any]]:
        """Return the seconds and the plan."""
        seconds, told = self._run("plan", "--json")
        plan: dict[str, Any] = json.loads(told)
        return seconds, plan

    def _run(self, *words: str) -> tuple[float, str]:
        program = [sys.executable, "-c", "from medicarche.cli import main; main()"]
        seconds, told, _ = _run([*program, "--environment", str(self.file), *words], {}, CHANGES)
        return seconds, told
