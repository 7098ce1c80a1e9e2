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

__all__ = ["AMBIGUOUS_STATUSES", "Ambiguous", "Api", "ApiError", "Clock"]

#: how often a call that may be sent again is sent at most
ATTEMPTS = 6
#: seconds after which a call isn't sent again: a silent service costs a read time-out each time
LONGEST_REPETITION = 120.0
#: seconds: first and longest back-off, longest obedience to Retry-After
FIRST_DELAY, LONGEST_DELAY, LONGEST_RETRY_AFTER = 0.5, 10.0, 60.0
FORBIDDEN, TOO_MANY_REQUESTS = 403, 429
#: a gateway, or the service itself, may have done the work before it answered so
AMBIGUOUS_STATUSES = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, passed in: tests never wait.

    Attributes:
        monotonic: seconds that only grow.
        sleep: waits that many seconds.
        jitter: returns a number between its two arguments.
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = field(default=random.uniform)

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
        return _json(self._repeat("GET", path, microversion=microversion, params=_text(params)))

    def collection(
        self, path: str, key: str, *, microversion: str | None = None, **params: object
    ) -> list[dict[str, Any]]:
        """GET a collection, following its pages (``<key>_links``, Glance's ``next``)."""
        answer = self.get(path, microversion=microversion, **params)
        found: list[dict[str, Any]] = list(answer[key])
        while (following := _next_page(answer, key)) is not None:
            answer = self.get(path, microversion=microversion, **{**params, **following})
            if not answer[key]:
                break
            found.extend(answer[key])
        return found

    def put(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """PUT a JSON object; sent again where its fate is unknown."""
        return _json(self._repeat("PUT", path, json=body))

    def patch(self, path: str, operations: list[dict[str, object]]) -> dict[str, Any]:
        """PATCH an image with a JSON patch (RFC 6902)."""
        headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        return _json(self._repeat("PATCH", path, json=operations, headers=headers))

    def change(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """PATCH a JSON object (Keystone's way): it sets named values, so it may be sent again."""
        return _json(self._repeat("PATCH", path, json=body))

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
            return _json(self._repeat("POST", path, json=body, microversion=microversion))
        for attempt in range(ATTEMPTS):
            try:
                answer = self._send("POST", path, json=body, microversion=microversion)
                return _json(answer)
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
        """PUT a stream of bytes, once (the stream can't be read again)."""
        headers = {"Content-Type": "application/octet-stream"}
        self._send("PUT", path, data=data, headers=headers)

    def _repeat(self, method: str, path: str, **options: Any) -> Response:  # noqa: ANN401 - requests' options
        deadline = self._clock.monotonic() + LONGEST_REPETITION
        for attempt in range(ATTEMPTS):
            try:
                return self._send(method, path, **options)
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
        try:
            answer = self._proxy.request(
                path,
                method,
                raise_exc=False,
                connect_retries=0,
                status_code_retries=0,
                **{key: value for key, value in options.items() if value is not None},
            )
        except keystone.SSLError as error:
            raise CloudUnreachable(f"{call}: TLS failed: {error}") from error
        except (keystone.ConnectionError, keystone.DiscoveryFailure) as error:
            raise CloudUnreachable(
                f"{call}: {error}", hint="Is the cloud up? `medicarche cloud status`"
            ) from error
        except keystone.Unauthorized as error:
            raise CloudRefused(f"{call}: the token was refused, and so was a new one: {error}") from error
        if answer.status_code >= 400:  # noqa: PLR2004 - HTTP's own number
            raise _error(call, answer)
        return answer


def _json(answer: Response) -> dict[str, Any]:
    if not answer.content:
        return {}
    try:
        decoded = answer.json()
    except ValueError as error:
        # e.g. a captive portal: 200, but not the API
        raise CloudUnreachable(f"{answer.url} doesn't answer with JSON; is it the API?") from error
    return decoded if isinstance(decoded, dict) else {"": decoded}


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
