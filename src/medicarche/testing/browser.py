"""A person's browser: Chromium without a window, in the network name space of its caller."""

from __future__ import annotations

import base64
import hashlib
import shutil
import ssl
from contextlib import contextmanager
from ctypes.util import find_library
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from medicarche import host_packages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

__all__ = ["browse", "browse_here", "missing_packages"]

_PROGRAM = "chromium"
#: milliseconds that an element may take to be there
_PATIENCE = 60_000.0


def missing_packages() -> tuple[str, ...]:
    """Return the packages of Debian's that a browser needs and this machine lacks."""
    found = host_packages.missing({_PROGRAM: "chromium"})
    # Playwright brings a Node.js of its own, which is linked to it
    return found if find_library("atomic") else (*found, "libatomic1")


@contextmanager
def browse(address: str, port: int, authority: Path) -> Iterator[Page]:
    """Open a page of a browser that believes this server's certificate, as the authority has signed it.

    Chromium has no option for an authority of one's own: the certificate is verified here, and the browser
    is then told its key and accepts no other.

    Raises:
        ssl.SSLError: the certificate isn't to be believed.
    """
    pem = ssl.get_server_certificate((address, port), ca_certs=str(authority), timeout=20)
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    with _opened(f"--ignore-certificate-errors-spki-list={base64.b64encode(digest).decode()}") as page:
        yield page


@contextmanager
def browse_here() -> Iterator[Page]:
    """Open a page of a browser for what answers on this machine's loopback, without TLS."""
    with _opened() as page:
        yield page


@contextmanager
def _opened(*arguments: str) -> Iterator[Page]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - large; only where a browser is wanted

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(_PROGRAM),
            args=[
                "--no-sandbox",  # its own sandbox needs a user that isn't root
                "--disable-dev-shm-usage",
                *arguments,
            ],
        )
        try:
            page = browser.new_context(locale="fr-FR").new_page()
            page.set_default_timeout(_PATIENCE)
            yield page
        finally:
            browser.close()
