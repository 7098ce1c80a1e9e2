"""HTTP as a visitor sees it: a `requests` session that believes one authority and is soon out of patience."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Client", "answers"]

_SERVER_ERROR = 500


class Client(requests.Session):
    """A session for one vantage point. Use it as a context manager.

    It ignores the machine's proxy settings (they lead out of the cloud's name space), follows no redirect
    unless told to (where a redirect leads is evidence), and never waits longer than ``timeout``.

    Args:
        authority: PEM file of the certificate authority that is believed; without one, TLS isn't possible.
        timeout: seconds to connect, and seconds between two bytes.
    """

    def __init__(self, authority: Path | None = None, *, timeout: float = 20) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["User-Agent"] = "medicarche-acceptance"
        self.headers["Accept-Language"] = "fr"
        self._authority = str(authority) if authority else None
        self._timeout = timeout

    def request(
        self,
        method: str | bytes,
        url: str | bytes,
        *arguments: Any,  # noqa: ANN401 - the signature of requests.Session.request
        **options: Any,  # noqa: ANN401 - likewise
    ) -> requests.Response:
        """Send a request; see `requests.Session.request`.

        Raises:
            ValueError: an https address, and no authority was given.
            requests.RequestException: no answer, or a certificate that isn't to be believed.
        """
        text = url if isinstance(url, str) else url.decode()
        if text.startswith("https:") and self._authority is None:
            raise ValueError(f"{text}: no authority was given to verify it with")
        options.setdefault("timeout", self._timeout)
        options.setdefault("verify", self._authority)
        options.setdefault("allow_redirects", False)
        return super().request(method, url, *arguments, **options)

    def get(self, url: str | bytes, **options: Any) -> requests.Response:  # noqa: ANN401 - as in requests
        """Send a GET request; see `request`. `requests.Session.get` would follow redirects by itself."""
        options.setdefault("allow_redirects", False)
        return super().get(url, **options)


def answers(url: str, authority: Path | None = None, *, timeout: float = 10) -> bool:
    """Say whether a URL is answered by something that works: a status below 500, over TLS that holds."""
    with Client(authority, timeout=timeout) as client:
        try:
            return client.get(url).status_code < _SERVER_ERROR
        except requests.RequestException:
            return False
