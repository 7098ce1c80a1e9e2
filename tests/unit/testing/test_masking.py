"""No secret in what is told of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.credentials import Credentials
from medicarche.embedded.cloud_secrets import load_or_generate, values
from medicarche.testing.masking import mask, masked

if TYPE_CHECKING:
    from pathlib import Path


def test_secrets_are_masked() -> None:
    text = "login dsi with Abcdefgh12345678 failed; Abcdefgh12345678XYZ too"
    result = mask(text, ["Abcdefgh12345678", "Abcdefgh12345678XYZ", "dsi"])
    assert result == "login dsi with ******** failed; ******** too"


def test_what_pytest_shows_of_a_long_secret_is_masked_too() -> None:
    secret = "46DAIBwB6HRTabcdefgF4VurlX93rpib"  # noqa: S105 - nobody's
    assert (
        mask("assert '46DAIBwB6HRT...F4VurlX93rpib' == ''", [secret]) == "assert '********...********' == ''"
    )
    assert mask("'46DAIBwB6HRT...F4VurlX...", [secret]) == "'********...F4VurlX..."
    assert mask("46DAIBw isn't enough to tell", [secret]) == "46DAIBw isn't enough to tell"


def test_private_keys_and_tokens_are_masked_by_their_form() -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\ndef\n-----END OPENSSH PRIVATE KEY-----"
    token = "gAAAAABl" + "aB3_-" * 30
    certificate = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----"
    text = f"before\n{key}\nX-Auth-Token: {token}\n{certificate}"
    assert mask(text, ()) == f"before\n********\nX-Auth-Token: ********\n{certificate}"


def test_plain_data_is_masked_wherever_a_secret_stands(tmp_path: Path) -> None:
    secret = Credentials(tmp_path).get_or_create("website/administrator")
    data = {"sections": [("journal", f"password={secret}")], secret: {"deep": [secret, 1, None, True]}}
    found = masked(data, Credentials(tmp_path).values())
    assert found == {
        "sections": [("journal", "password=********")],
        "********": {"deep": ["********", 1, None, True]},
    }


def test_an_embedded_clouds_secrets_are_all_known(tmp_path: Path) -> None:
    assert values(tmp_path / "secrets.json") == frozenset()
    made = load_or_generate(tmp_path / "secrets.json")
    known = values(tmp_path / "secrets.json")
    assert {made.admin, made.application_credential_secret, *made.token_keys, made.metadata} <= known
    assert made.application_credential_id not in known
