"""TLS, by SSLyze (https://github.com/nabla-c0d3/sslyze), from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from medicarche.testing.baselines.findings import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["command", "scan", "seen_in"]

#: what Mozilla's intermediate configuration allows (https://wiki.mozilla.org/Security/Server_Side_TLS)
_OLD = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
_NEW = ("tls_1_2", "tls_1_3")
_FORWARD = ("TLS_ECDHE_", "TLS_DHE_", "TLS_AES_", "TLS_CHACHA20_")
_AUTHENTICATED = ("GCM", "CCM", "POLY1305")
_SMALLEST_CURVE = 224


def command(endpoint: str, authority: Path, output: Path) -> list[str]:
    """Return the command line of a scan."""
    return [
        *(
            sys.executable,
            "-m",
            "sslyze",
            f"--json_out={output}",
            "--quiet",
            f"--certinfo_ca_file={authority}",
        ),
        *("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--certinfo"),
        *("--heartbleed", "--openssl_ccs", "--fallback", "--reneg", "--robot", "--compression"),
        *("--elliptic_curves", "--resum_attempts=2", "--resum"),
        endpoint,
    ]


def scan(endpoint: str, authority: Path, folder: Path) -> dict[str, Any]:
    """Scan ``address:port``; ``folder`` holds SSLyze's report.

    Raises:
        AssertionError: it can't be scanned.
    """
    output = folder / "sslyze.json"
    done = subprocess.run(
        command(endpoint, authority, output), capture_output=True, text=True, timeout=180, check=False
    )
    assert output.exists(), done.stdout + done.stderr  # noqa: S101 - a test's helper
    (result,) = json.loads(output.read_text(encoding="utf-8"))["server_scan_results"]
    assert result["scan_status"] == "COMPLETED", result  # noqa: S101 - a test's helper
    found: dict[str, Any] = result["scan_result"]
    return found


def seen_in(scanned: dict[str, Any]) -> Iterator[tuple[str, str, Seen]]:
    """Say what the scan saw, check by check."""
    for version in (*_OLD, *_NEW):
        accepted = _result(scanned, f"{version}_cipher_suites")["accepted_cipher_suites"]
        names = [suite["cipher_suite"]["name"] for suite in accepted]
        if version in _OLD:
            yield version, "old version", Seen(met=not names, words=", ".join(names) or "refused")
            continue
        weak = [
            name
            for name in names
            if not name.startswith(_FORWARD) or not any(word in name for word in _AUTHENTICATED)
        ]
        yield version, "cipher suites", Seen(met=bool(names) and not weak, words=", ".join(weak or names))
    curves = _result(scanned, "elliptic_curves")["supported_curves"] or []
    small = [
        curve["name"] for curve in curves if (curve.get("bits") or _size(curve["name"])) < _SMALLEST_CURVE
    ]
    yield (
        "curves",
        "elliptic curves",
        Seen(met=not small, words=", ".join(small or [curve["name"] for curve in curves])),
    )
    for name, title, key in (
        ("heartbleed", "CVE-2014-0160", "is_vulnerable_to_heartbleed"),
        ("openssl_ccs_injection", "CVE-2014-0224", "is_vulnerable_to_ccs_injection"),
        ("tls_compression", "CRIME, CVE-2012-4929", "supports_compression"),
    ):
        met = not _result(scanned, name)[key]
        yield name, title, Seen(met=met, words="no" if met else "yes")
    robot = str(_result(scanned, "robot")["robot_result"])
    yield "robot", "ROBOT, CVE-2017-13099", Seen(met=robot.startswith("NOT_VULNERABLE"), words=robot)
    renegotiation = _result(scanned, "session_renegotiation")
    met = (
        renegotiation["supports_secure_renegotiation"]
        and not renegotiation["is_vulnerable_to_client_renegotiation_dos"]
    )
    yield (
        "session_renegotiation",
        "renegotiation",
        Seen(met=met, words="secure" if met else str(renegotiation)),
    )
    (deployment,) = _result(scanned, "certificate_info")["certificate_deployments"]
    chain = deployment["path_validation_results"]
    trusted = [p for p in chain if p["was_validation_successful"]]
    yield (
        "certificate",
        "signed by the environment's authority",
        Seen(met=bool(trusted), words="trusted" if trusted else str(chain)[:200]),
    )
    leaf = deployment["received_certificate_chain"][0]
    key, digest = leaf["public_key"], (leaf["signature_hash_algorithm"] or {}).get("name", "")
    strong = digest in {"sha256", "sha384", "sha512"}
    yield (
        "certificate_key",
        "key and signature",
        Seen(
            met=strong and key["key_size"] >= (256 if "EC" in key["algorithm"] else 2048),
            words=f"{key['algorithm']} {key['key_size']}, {digest}",
        ),
    )


def _result(scanned: dict[str, Any], name: str) -> dict[str, Any]:
    attempt = scanned[name]
    assert attempt["status"] == "COMPLETED", f"{name}: {attempt.get('error_reason')}"  # noqa: S101 - a test's helper
    found: dict[str, Any] = attempt["result"]
    return found


def _size(name: str) -> int:
    digits = "".join(c for c in name if c.isdigit())
    return int(digits or 0)
