"""The lock of a run: exclusive, told, and gone with its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from medicarche.errors import Locked
from medicarche.runlock import held

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys, pathlib
from medicarche.runlock import held
with held(pathlib.Path(sys.argv[1]), "x"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_told_who_holds_it_and_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = rf"works on this cloud: process {holder.pid} \(.*\), since 20"
        with pytest.raises(Locked, match=told), held(tmp_path / "run.lock", "this cloud"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with held(tmp_path / "run.lock", "this cloud"):
        pass


def test_it_can_be_held_again_and_again(tmp_path: Path) -> None:
    for _ in range(3):
        with held(tmp_path / "new" / "run.lock", "x"):
            pass
    assert (tmp_path / "new" / "run.lock").stat().st_mode & 0o777 == 0o600
