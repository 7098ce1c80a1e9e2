"""The embedded cloud's dashboard (Horizon), as a person's browser uses it: its log-in page, its forms."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from medicarche.probe import Client

__all__ = ["Choice", "domains_offered", "log_in", "submit"]

_OPTION = re.compile(r"<option([^>]*)>([^<]*)</option>")
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
FOUND = 302


class Choice(NamedTuple):
    """A domain that the log-in page offers. ``chosen``: before the person does anything."""

    domain: str
    shown: str
    chosen: bool


def domains_offered(page: str) -> list[Choice]:
    """Return the domains that a log-in page's HTML offers, in its order; none where it asks for none."""
    field = re.search(r'<select[^>]*name="domain".*?</select>', page, re.DOTALL)
    if field is None:
        return []
    found = [
        (re.search(r'value="([^"]*)"', given), shown.strip(), "selected" in given)
        for given, shown in _OPTION.findall(field.group())
    ]
    # a browser takes the first where the page says nothing
    any_chosen = any(chosen for _, _, chosen in found)
    return [
        Choice(unescape(value.group(1)), unescape(shown), chosen or (not any_chosen and number == 0))
        for number, (value, shown, chosen) in enumerate(found)
        if value is not None
    ]


def log_in(client: Client, dashboard: str, user: str, password: str, domain: str | None = None) -> bool:
    """Log in by the page's form, and tell whether that succeeded.

    Args:
        client: who has no session yet; outside of the cloud's network name space.
        dashboard: the address without the last slash.
        user: name in the domain.
        password: theirs.
        domain: None: as the page has it.
    """
    form = client.get(f"{dashboard}/auth/login/", allow_redirects=True)
    form.raise_for_status()
    given = {"username": user, "password": password, "region": "default"}
    region = re.search(r'name="region"[^>]*value="([^"]*)"', form.text)
    if region is not None:
        given["region"] = region.group(1)
    chosen = [choice.domain for choice in domains_offered(form.text) if choice.chosen]
    if domain is not None or chosen:
        given["domain"] = domain or chosen[0]
    answer = client.post(
        form.url,
        data={"csrfmiddlewaretoken": _token(form.text), **given},
        headers={"Referer": form.url},
    )
    return answer.status_code == FOUND and "sessionid" in client.cookies


def submit(client: Client, url: str, **fields: str) -> None:
    """Fill in a form of a page and send it; what comes of it is to be looked for where it should be."""
    form = client.get(url)
    form.raise_for_status()
    data = {"csrfmiddlewaretoken": _token(form.text), **fields}
    client.post(url, data=data, headers={"Referer": url})


def _token(page: str) -> str:
    found = _TOKEN.search(page)
    if found is None:
        raise LookupError("the page has no form")
    return found.group(1)
