"""What long work says without a terminal: plain lines, no control sequence."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from medicarche.progress import ConsoleReporter, SilentReporter


def test_stages_without_a_terminal_are_plain_lines() -> None:
    stream = io.StringIO()
    reporter = ConsoleReporter(Console(file=stream, force_terminal=False))
    with reporter.stage("Build [the] image") as stage:
        stage.update("half")
        reporter.note("a note")
    text = stream.getvalue()
    assert "… Build [the] image\n" in text
    assert "a note" in text
    assert "✓ Build [the] image (0.0 s)" in text
    assert "\x1b" not in text


def test_a_failed_stage_is_shown_as_failed() -> None:
    stream = io.StringIO()
    reporter = ConsoleReporter(Console(file=stream, force_terminal=False))
    with pytest.raises(ValueError, match="x"), reporter.stage("Try"):
        raise ValueError("x")
    assert "✗ Try" in stream.getvalue()


def test_stages_on_a_terminal_end_with_the_spinner_gone() -> None:
    stream = io.StringIO()
    reporter = ConsoleReporter(Console(file=stream, force_terminal=True, width=60))
    with reporter.stage("One"), reporter.stage("Two") as two:
        two.update("[red]not markup")
    assert "✓ One" in stream.getvalue()
    assert reporter._open == {}


def test_the_silent_reporter_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = SilentReporter()
    with reporter.stage("x") as stage:
        stage.update("y")
    reporter.note("z")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
