"""Load on the company's web site, as its visitors make it: ``locust -f tests/load --headless``.

The address comes from ``medicarche status --json``. The process enters the cloud's network name space when
the test begins: by then Locust's web interface listens where a person's browser is, outside. A page that says
that something went wrong counts as a failure, whatever its status. A run that failed, or that measured
nothing, ends with an exit code other than 0.
"""

from __future__ import annotations

import html
import logging
import re
import sys
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from locust import HttpUser, between, events, task

from medicarche.errors import MedicarcheError
from medicarche.load import LoadTarget, read_status, targets

if TYPE_CHECKING:
    from locust.clients import ResponseContextManager
    from locust.env import Environment

#: kinds of applications that there is a scenario for
SCENARIOS = ("wordpress",)


def _site() -> LoadTarget:
    """Find the web site, or end with one message."""
    try:
        found = targets(read_status())
    except MedicarcheError as error:
        sys.stderr.write(f"Error: {error}\n" + (f"→ {error.hint}\n" if error.hint else ""))
        sys.exit(error.exit_code)
    for target in found:
        if target.kind not in SCENARIOS:
            _log.warning("%s: not loaded, there is no scenario for %s", target.name, target.kind)
    sites = [target for target in found if target.kind == "wordpress"]
    if not sites:
        sys.exit("Error: no web site is deployed\n→ medicarche provision")
    return sites[0]


_log = logging.getLogger(__name__)
SITE = _site()
SITE.guard()


@events.test_start.add_listener  # type: ignore[untyped-decorator] # Locust ships no types for its hooks
def _enter(**_details: object) -> None:
    SITE.enter()


@events.quitting.add_listener  # type: ignore[untyped-decorator] # as above
def _fail_where_nothing_was_measured(environment: Environment, **_details: object) -> None:
    asked = environment.parsed_options is not None and environment.parsed_options.headless
    if asked and environment.stats.total.num_requests == 0:
        _log.error("no request was made: nothing was measured")
        environment.process_exit_code = 1


#: what WordPress, PHP, Apache and nginx write on a page when they fail
_ERRORS = re.compile(
    r"Fatal error|Parse error|Error establishing a database|Erreur lors de la connexion à la base"
    r"|Erreur critique|critical error|wp-die-message|Service Unavailable|Bad Gateway",
    re.IGNORECASE,
)
_LOADED = re.compile(
    r"""<(?:link[^>]*rel=['"]stylesheet['"][^>]*href|script[^>]*src|img[^>]*src)=['"]([^'"]+)"""
)


class Visitor(HttpUser):
    """Somebody who reads the public site."""

    host = SITE.url
    wait_time = between(0.5, 2)

    def on_start(self) -> None:
        """Believe the environment's authority only, and no proxy of this machine."""
        self.client.verify = str(SITE.authority)
        self.client.trust_env = False
        self.client.headers["Accept-Language"] = "fr"

    @task(6)
    def read_the_home_page(self) -> None:
        """Open the home page with all that it loads."""
        with self.client.get("/", name="home page", catch_response=True) as answer:
            page = _check(answer, 200)
        for address in {html.unescape(found) for found in _LOADED.findall(page)}:
            absolute = urljoin(f"{SITE.url}/", address)
            if absolute.startswith(f"{SITE.url}/"):
                path = urlsplit(absolute).path
                with self.client.get(path, name="styles, scripts, images", catch_response=True) as answer:
                    _check(answer, 200, page=False)

    @task(2)
    def search(self) -> None:
        """Look for a word."""
        with self.client.get("/?s=virus", name="search", catch_response=True) as answer:
            _check(answer, 200)

    @task(1)
    def mistype(self) -> None:
        """Ask for a page that isn't there: it has to be told so, by the site's own page."""
        with self.client.get("/page-inconnue/", name="page that isn't there", catch_response=True) as answer:
            _check(answer, 404)


def _check(answer: ResponseContextManager, expected: int, *, page: bool = True) -> str:
    """Judge an answer, and return its text (empty where it failed)."""
    text = str(answer.text or "")
    wrong = _ERRORS.search(text) if page else None
    if answer.error:
        answer.failure(answer.error)
    elif answer.status_code != expected:
        answer.failure(f"status {answer.status_code} instead of {expected}")
    elif wrong:
        answer.failure(f"an error told with status {answer.status_code}: {wrong.group()}")
    elif page and not re.search(r"<html[^>]* lang=.*</html>\s*$", text, re.DOTALL):
        answer.failure("not a whole page")
    else:
        answer.success()
        return text
    return ""
