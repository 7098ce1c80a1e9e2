"""HTTP calls to one service of a cloud: what may be sent again, and what must not.

The rules (design, section 3):

- GET, PUT, PATCH (ours to Glance only set named values) and DELETE are sent again after a lost connection or
  a gateway's error, with capped and jittered back-off.
- POST is sent once. Where its fate is unknown, `Ambiguous` is raised and the caller looks for the mark. Only
  429 (the service says that it did nothing) is followed by a second one.
- ``Retry-After`` is obeyed, up to a minute.

keystoneauth would send a POST again by itself: it turns read time-outs into ``ConnectTimeout``, which its
``connect_retries`` catches, and openstacksdk sets ``status_code_retries`` to 5 for Glance. Both are 0 here,
for each call.
"""

from __future__ import annotations

import email.utils
import random
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from keystoneauth1 import exceptions as keystone

from medicarche.errors import CloudError, CloudRefused, CloudUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openstack.proxy import Proxy
    from requests import Response

__all__ = ["AMBIGUOUS_STATUSES", "NOT_KEYSTONE", "Ambiguous", "Api", "ApiError", "Clock"]

#: what keystoneauth stumbles with over answers that are JSON and something else: Keystone's, the versions'
NOT_KEYSTONE = (AttributeError, LookupError, TypeError)
#: how often a call that may be sent again is sent at most
ATTEMPTS = 6
#: seconds after which a call isn't sent again: a silent service costs a read time-out each time
LONGEST_REPETITION = 120.0
#: seconds: first and longest back-off, longest obedience to Retry-After
FIRST_DELAY, LONGEST_DELAY, LONGEST_RETRY_AFTER = 0.5, 10.0, 60.0
UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS = 401, 403, 429
#: how many tokens a call is tried with
TOKENS = 3
#: a gateway, or the service itself, may have done the work before it answered so
AMBIGUOUS_STATUSES = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, passed in: tests never wait.

    Attributes:
        monotonic: seconds that only grow.
        sleep: waits that many seconds.
        jitter: returns a number between its two arguments.
        wait: waits that many seconds, or until an event is set.
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = field(default=random.uniform)
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait

    def back_off(self, attempt: int, retry_after: float | None = None) -> None:
        """Sleep before the next attempt: what the service asked for, else exponentially longer, jittered."""
        if retry_after is not None:
            self.sleep(min(retry_after, LONGEST_RETRY_AFTER))
            return
        ceiling = min(LONGEST_DELAY, FIRST_DELAY * 2**attempt)
        self.sleep(self.jitter(ceiling / 2, ceiling))


class ApiError(CloudError):
    """A service answered with an error.

    Attributes:
        status: the HTTP status.
        code: the service's own name for the error (Neutron's exception type), or an empty string.
        detail: the service's message.
        request_id: to be found in the service's log.
        retry_after: seconds, where the service named them.
    """

    def __init__(
        self,
        call: str,
        *,
        status: int,
        code: str = "",
        detail: str = "",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        told = f" (request id {request_id})" if request_id else ""
        hint = "Has the user the role that this needs?" if status == FORBIDDEN else None
        super().__init__(f"{call}: {status} {detail or code}{told}", hint=hint)
        self.call = call
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after


class Ambiguous(CloudUnreachable):
    """A POST whose fate is unknown: it may have taken effect. Look for the mark before sending another."""


class Api:
    """One service (``compute``, ``network``, ``image``) as one user in one project. Safe to share by threads.

    Args:
        proxy: openstacksdk's proxy of the service; it finds the end point, authenticates, sets the
            microversion's header.
        clock: time.
    """

    def __init__(self, proxy: Proxy, clock: Clock) -> None:
        self._proxy = proxy
        self._clock = clock

    def of(self, proxy: Proxy) -> Api:
        """Return another service, with the same clock."""
        return Api(proxy, self._clock)

    def get(self, path: str, *, microversion: str | None = None, **params: object) -> dict[str, Any]:
        """GET a JSON object."""
        return self._repeat("GET", path, microversion=microversion, params=_text(params))

    def collection(
        self, path: str, key: str, *, microversion: str | None = None, **params: object
    ) -> list[dict[str, Any]]:
        """GET a collection, following its pages (``<key>_links``, Glance's ``next``)."""
        found: list[dict[str, Any]] = []
        following: dict[str, str] | None = {}
        while following is not None:
            query = _text({**params, **following})
            answer = self._repeat("GET", path, microversion=microversion, params=query, holds=key)
            found.extend(answer[key])
            following = _next_page(answer, key) if answer[key] else None
        return found

    def put(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """PUT a JSON object; sent again where its fate is unknown."""
        return self._repeat("PUT", path, json=body)

    def patch(self, path: str, operations: list[dict[str, object]]) -> dict[str, Any]:
        """PATCH an image with a JSON patch (RFC 6902)."""
        headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        return self._repeat("PATCH", path, json=operations, headers=headers)

    def change(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """PATCH a JSON object (Keystone's way): it sets named values, so it may be sent again."""
        return self._repeat("PATCH", path, json=body)

    def delete(self, path: str, *, microversion: str | None = None) -> None:
        """DELETE; that there is nothing to delete is success."""
        try:
            self._repeat("DELETE", path, microversion=microversion)
        except ApiError as error:
            if error.status != 404:  # noqa: PLR2004 - HTTP's own number
                raise

    def post(
        self,
        path: str,
        body: Mapping[str, object],
        *,
        microversion: str | None = None,
        repeatable: bool = False,
    ) -> dict[str, Any]:
        """POST a JSON object, once.

        Args:
            path: below the service's end point.
            body: the JSON object.
            microversion: of the compute API.
            repeatable: the call creates nothing that a second one would create again (reading a console,
                setting named values); it is treated as a PUT then.

        Raises:
            Ambiguous: it isn't known whether it took effect.
            ApiError: it was refused.
        """
        if repeatable:
            return self._repeat("POST", path, json=body, microversion=microversion)
        for attempt in range(ATTEMPTS):
            try:
                answer = self._send("POST", path, json=body, microversion=microversion)
                return _json(f"POST {self._proxy.service_type} {path}", answer, Ambiguous)
            except CloudUnreachable as error:
                raise Ambiguous(error.message, hint=error.hint) from error
            except ApiError as error:
                if error.status in AMBIGUOUS_STATUSES:
                    raise Ambiguous(error.message) from error
                if error.status != TOO_MANY_REQUESTS or attempt == ATTEMPTS - 1:
                    raise
                self._clock.back_off(attempt, error.retry_after)
        raise AssertionError("the loop returns or raises")

    def upload(self, path: str, data: Any) -> None:  # noqa: ANN401 - requests takes anything that has read()
        """PUT a stream of bytes, once: it can't be read again, with a new token neither."""
        headers = {"Content-Type": "application/octet-stream"}
        try:
            self._send("PUT", path, data=data, headers=headers, allow_reauth=False)
        except ApiError as error:
            if error.status == UNAUTHORIZED:
                self._proxy.invalidate()
            raise

    def _repeat(
        self,
        method: str,
        path: str,
        *,
        holds: str | None = None,
        **options: Any,  # noqa: ANN401 - requests' options
    ) -> dict[str, Any]:
        """Send a call until it is answered; ``holds`` names the list that the answer must have."""
        call = f"{method} {self._proxy.service_type} {path}"
        deadline = self._clock.monotonic() + LONGEST_REPETITION
        for attempt in range(ATTEMPTS):
            try:
                answer = self._send(method, path, **options)
                return {} if method == "DELETE" else _json(call, answer, CloudUnreachable, holds)
            except CloudUnreachable:
                if attempt == ATTEMPTS - 1 or self._clock.monotonic() >= deadline:
                    raise
                self._clock.back_off(attempt)
            except ApiError as error:
                repeatable = error.status in AMBIGUOUS_STATUSES or error.status == TOO_MANY_REQUESTS
                if not repeatable or attempt == ATTEMPTS - 1:
                    raise
                self._clock.back_off(attempt, error.retry_after)
        raise AssertionError("the loop returns or raises")

    def _send(self, method: str, path: str, **options: Any) -> Response:  # noqa: ANN401 - requests' options
        call = f"{method} {self._proxy.service_type} {path}"
        options = {key: value for key, value in options.items() if value is not None}
        try:
            answer = self._with_a_token(path, method, options)
        except keystone.SSLError as error:
            raise CloudUnreachable(f"{call}: TLS failed: {error}") from error
        except (keystone.ConnectionError, keystone.DiscoveryFailure) as error:
            raise CloudUnreachable(
                f"{call}: {error}", hint="Is the cloud up? `medicarche cloud status`"
            ) from error
        except NOT_KEYSTONE as error:
            raise CloudUnreachable(f"{call}: an answer isn't the API's: {error!r}") from error
        except keystone.Unauthorized as error:
            raise CloudRefused(f"{call}: the token was refused, and so was a new one: {error}") from error
        if answer.status_code >= 400:  # noqa: PLR2004 - HTTP's own number
            raise _error(call, answer)
        return answer

    def _with_a_token(self, path: str, method: str, options: dict[str, Any]) -> Response:
        """Send a call; again where the token has expired, as nothing was done then."""
        for attempt in range(TOKENS):
            last = attempt == TOKENS - 1
            try:
                answer = self._proxy.request(
                    path, method, raise_exc=False, connect_retries=0, status_code_retries=0, **options
                )
            except AssertionError as error:
                # keystoneauth, where another thread gives the token up in the moment in which this one asks
                # for it (BaseIdentityPlugin.get_access, invalidate): nothing was sent
                if last:
                    raise CloudUnreachable(f"{method} {path}: no token stays with us") from error
                continue
            # keystoneauth gets a new token and tries again in one of the threads whose token expired; the
            # others are handed their 401 (Session.request); a stream can't be read again
            if answer.status_code != UNAUTHORIZED or last or "data" in options:
                return answer
        raise AssertionError("the loop returns or raises")


class _Object(dict[str, Any]):
    """A JSON object of an answer; that a key is missing is the cloud's mistake, not ours."""

    def __init__(self, content: Mapping[str, Any], call: str, error: type[CloudUnreachable]) -> None:
        super().__init__(content)
        self._call = call
        self._error = error

    def __missing__(self, key: str) -> Any:  # noqa: ANN401 - never returns
        raise self._error(f"{self._call}: the answer lacks {key!r}; is it the API's?")


def _json(
    call: str, answer: Response, error: type[CloudUnreachable], holds: str | None = None
) -> dict[str, Any]:
    """Decode an answer; ``error`` is raised where it, or later one of its keys, isn't there."""
    try:
        decoded = (
            {}
            if not answer.content
            else answer.json(object_hook=lambda content: _Object(content, call, error))
        )
    except ValueError as cause:
        # e.g. a captive portal: 200, but not the API
        raise error(f"{call}: {answer.url} doesn't answer with JSON; is it the API?") from cause
    if not isinstance(decoded, dict):
        raise error(f"{call}: the answer is no JSON object; is it the API's?")
    if holds is not None and not isinstance(decoded.get(holds), list):
        raise error(f"{call}: the answer holds no list {holds!r}; is it the API's?")
    return decoded or _Object({}, call, error)


def _text(params: Mapping[str, object]) -> dict[str, object] | None:
    return {key: value for key, value in params.items() if value is not None} or None


def _next_page(answer: Mapping[str, Any], key: str) -> dict[str, str] | None:
    target = answer.get("next")
    for link in answer.get(f"{key}_links", ()):
        if link["rel"] == "next":
            target = link["href"]
    return dict(parse_qsl(urlsplit(target).query)) if target else None


def _error(call: str, answer: Response) -> ApiError:
    code, detail = "", answer.reason or ""
    try:
        body = answer.json()
    except ValueError:
        body = None
        detail = answer.text.strip()[:200] or detail
    if isinstance(body, dict):
        # mostly an object in an object, under a name that differs by service and error
        inner = next((value for value in body.values() if isinstance(value, dict)), body)
        code = str(inner.get("type", ""))
        detail = str(inner.get("message", detail))
    return ApiError(
        call,
        status=answer.status_code,
        code=code,
        detail=detail,
        request_id=answer.headers.get("x-openstack-request-id")
        or answer.headers.get("x-compute-request-id")
        or "",
        retry_after=_retry_after(answer.headers.get("Retry-After")),
    )


def _retry_after(value: str | None) -> float | None:
    """Read the header's two forms (RFC 9110, section 10.2.3): seconds, or a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
