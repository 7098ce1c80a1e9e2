"""The command line's own behaviour: exit codes, where it writes, and that it never shows a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from rich.console import Console

from medicarche import cli, errors

if TYPE_CHECKING:
    from pathlib import Path


def medicarche(*arguments: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "MEDICARCHE_"))}
    environment |= {"MEDICARCHE_HOME": str(directory / "home"), "MEDICARCHE_CACHE": str(directory / "cache")}
    return subprocess.run(
        [sys.executable, "-c", "from medicarche.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env=environment | variables,
    )


def here(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command in this process, which has imported all that it needs; its exit code."""
    monkeypatch.setattr(sys, "argv", ["medicarche", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code if isinstance(ended.value.code, int) else int(ended.value.code is not None)


def test_a_missing_environment_file_is_named(tmp_path: Path) -> None:
    done = medicarche("plan", directory=tmp_path)
    assert done.returncode == 3
    assert "environments/medicarche.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_unknown_command_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("bulid", monkeypatch=monkeypatch) == 64
    told = capsys.readouterr()
    assert "No such command" in told.err
    assert told.out == ""


def test_help_names_the_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("--help", monkeypatch=monkeypatch) == 0
    assert "3 environment file wrong" in capsys.readouterr().out


def test_the_schema_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("schema", monkeypatch=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "object"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.MedicarcheError("x"), 1),
        (errors.SpecificationError("x"), 3),
        (errors.MachineError("x"), 4),
        (errors.QuotaTooSmall("x"), 5),
        (errors.Locked("x"), 6),
        (errors.OutsideNamespace("x"), 7),
        (click.UsageError("x"), 64),
        (click.ClickException("x"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (PermissionError(13, "x", "y"), 4),
        (ValueError("x"), 70),
    ],
)
def test_each_error_has_its_exit_code(
    error: BaseException, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # an internal error's details go there
    assert cli._tell(Console(stderr=True, quiet=True), error) == code


def test_an_error_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    cli._tell(Console(stderr=True), errors.CloudRefused("no [entry] there", hint="give one"))
    told = capsys.readouterr().err
    assert "Error: no [entry] there" in told
    assert "→ give one" in told


def test_every_error_class_is_in_the_drawn_tree() -> None:
    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        assert name in drawn
