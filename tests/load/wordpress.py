"""People on the company's web site: its visitors, and who writes in it."""

from __future__ import annotations

import html
import re
import secrets
import threading
from urllib.parse import urljoin, urlsplit

from locust import between, task

from medicarche.load.scenario import Person, of

_LOADED = re.compile(
    r"""<(?:link[^>]*rel=['"]stylesheet['"][^>]*href|script[^>]*src|img[^>]*src)=['"]([^'"]+)"""
)
#: WordPress keeps an account's sessions in one row that it reads, changes and writes back: two log-ins of one
#: account at the same instant lose one of them. People have accounts of their own; these share the only one
_ONE_BY_ONE = threading.Lock()
_NONCE = re.compile(r'createNonceMiddleware\(\s*"([0-9a-f]+)"')


@of("wordpress")
class Visitor(Person):
    """Somebody who reads the public site."""

    weight = 9

    @task(6)
    def read_the_home_page(self) -> None:
        """Open the home page with all that it loads."""
        with self.ask("GET", "/", "home page") as answer:
            page = self.check(answer, 200, page=True)
        for address in sorted({html.unescape(found) for found in _LOADED.findall(page)}):
            absolute = urljoin(f"{self.host}/", address)
            if absolute.startswith(f"{self.host}/"):
                with self.ask("GET", urlsplit(absolute).path, "styles, scripts, images") as answer:
                    self.check(answer, 200)

    @task(2)
    def search(self) -> None:
        """Look for a word."""
        with self.ask("GET", "/?s=virus", "search") as answer:
            self.check(answer, 200, page=True)

    @task(1)
    def mistype(self) -> None:
        """Ask for a page that isn't there: it has to be told so, by the site's own page."""
        with self.ask("GET", "/page-inconnue/", "page that isn't there") as answer:
            self.check(answer, 404, page=True)


@of("wordpress")
class Editor(Person):
    """Somebody who writes in the site: logs in, looks at the pages, drafts one, removes it."""

    weight = 1
    wait_time = between(3, 8)
    nonce = ""

    def on_start(self) -> None:
        """Log in; a wrong password would be answered with 200, and the form again."""
        user, password = self.login()
        data = {"log": user, "pwd": password, "redirect_to": f"{self.host}/wp-admin/", "testcookie": "1"}
        with self.ask("GET", "/wp-login.php", "editor's log-in page") as answer:
            self.check(answer, 200, contains="user_login", page=True)
        with _ONE_BY_ONE, self.ask("POST", "/wp-login.php", "editor logs in", data=data) as answer:
            self.check(answer, 302)

    @task(3)
    def look_at_the_pages(self) -> None:
        """Open the list of pages."""
        with self.ask("GET", "/wp-admin/edit.php?post_type=page", "list of pages") as answer:
            self.check(answer, 200, contains="wp-list-table")

    @task(1)
    def draft_a_page(self) -> None:
        """Write a draft through the editor's own interface, and throw it away."""
        if not self.nonce:
            with self.ask("GET", "/wp-admin/post-new.php?post_type=page", "open the editor") as answer:
                found = _NONCE.search(self.check(answer, 200, contains="wp-api-fetch"))
            if found is None:
                return
            self.nonce = found[1]
        headers = {"X-WP-Nonce": self.nonce}
        page = {
            "title": f"Essai de charge {secrets.token_hex(4)}",
            "content": "Brouillon.",
            "status": "draft",
        }
        with self.ask(
            "POST", "/?rest_route=/wp/v2/pages", "save a draft", json=page, headers=headers
        ) as answer:
            text = self.check(answer, 201, contains='"id":')
        if text:
            number = re.search(r'"id":(\d+)', text)
            assert number
            path = f"/?rest_route=/wp/v2/pages/{number[1]}&force=true"
            with self.ask("DELETE", path, "remove a draft", headers=headers) as answer:
                self.check(answer, 200, contains='"deleted":true')
