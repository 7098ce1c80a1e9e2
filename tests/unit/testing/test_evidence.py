"""What stands beside a failed test: no secrets, and not too much."""

from __future__ import annotations

from medicarche.testing.evidence import mask, shorten


def test_secrets_are_masked() -> None:
    text = "login dsi with Abcdefgh12345678 failed; Abcdefgh12345678XYZ too"
    masked = mask(text, ["Abcdefgh12345678", "Abcdefgh12345678XYZ", "dsi"])
    assert masked == "login dsi with ******** failed; ******** too"


def test_the_end_of_a_long_text_is_kept() -> None:
    text = shorten("a" * 100 + "the end", longest=10)
    assert text.endswith("aaathe end")
    assert text.startswith("[... 97 characters left out]")
    assert shorten("short", longest=10) == "short"
