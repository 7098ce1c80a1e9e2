"""Programs that we start: their output, their failure, their end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from medicarche.errors import CommandError
from medicarche.process import last_lines, run

if TYPE_CHECKING:
    from pathlib import Path


def test_output_is_returned_and_input_is_given() -> None:
    assert run([sys.executable, "-c", "print(input()[::-1])"], stdin="abc\n") == "cba\n"


def test_without_input_the_program_reads_end_of_file() -> None:
    assert run([sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"]) == "''\n"


def test_a_failure_names_program_code_and_last_words() -> None:
    with pytest.raises(CommandError, match=r"exit code 3\n.*no room") as caught:
        run(
            [sys.executable, "-c", "import sys; print('no room', file=sys.stderr); sys.exit(3)"],
            hint="make room",
        )
    assert caught.value.hint == "make room"
    assert caught.value.exit_code == 1


def test_a_failure_with_a_log_shows_its_end_and_its_path(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "a.log"
    with pytest.raises(CommandError) as caught:
        run([sys.executable, "-c", "print('first'); print('last'); raise SystemExit(1)"], log=log)
    assert "last" in caught.value.message
    assert str(log) in caught.value.message


def test_a_missing_program_is_named() -> None:
    with pytest.raises(CommandError, match="no-such-program: no such program"):
        run(["no-such-program"])


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(CommandError, match=r"not finished after 0\.2 s"):
        run([sys.executable, "-c", "import time; time.sleep(30)"], timeout=0.2)


def test_the_last_lines_of_a_file_and_of_none(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert last_lines(path) == ""
    path.write_text("".join(f"{n}\n" for n in range(100)))
    assert last_lines(path, 2) == "98\n99"
