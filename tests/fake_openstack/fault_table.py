"""The rows of the fault table: what can go wrong at a call, and which calls it can go wrong at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fake_openstack.faults import BESIDE, Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_openstack.sweep import Call, Rig

__all__ = ["LIES", "ROWS", "Row", "more_fields", "strange_states", "without"]

GONE_FOR_LONG = 1000


@dataclass(frozen=True)
class Row:
    """A kind of fault.

    Attributes:
        name: for people.
        faults: makes the faults to order.
        at: whether it can happen at a call.
        killed: when the process is killed, instead of a fault in the cloud.
        honest: the cloud tells the truth, late or not at all: so must the run. Without it the cloud's lists
            lie, and the run can only be judged by what comes of the next ones.
        spare: what was asked for is done during the next run: the one behind it is the last that writes.
        survives: the run goes on as if nothing had happened; but for discovery and authentication.
        paged: it strikes at a list's second page, and not every list has one.
    """

    name: str
    faults: Callable[[Rig, Call], list[Fault]]
    at: Callable[[Call], bool]
    killed: str = ""
    honest: bool = True
    spare: bool = False
    survives: bool = False
    paged: bool = False


def _any(_call: Call) -> bool:
    return True


def _writes(call: Call) -> bool:
    return call.writes


def _posts(call: Call) -> bool:
    return call.writes and call.method == "POST"


def _lists(call: Call) -> bool:
    return call.method == "GET" and not call.discovers


def _answers_json(call: Call) -> bool:
    return call.method != "DELETE" and not call.path.endswith("/file")


def _api(call: Call) -> bool:
    return call.of_an_environment


def _fault(kind: Kind, **options: Any) -> Callable[[Rig, Call], list[Fault]]:  # noqa: ANN401 - Fault's fields
    def make(_rig: Rig, call: Call) -> list[Fault]:
        return [Fault(kind, call.method, call.pattern, skip=call.number - 1, **options)]

    return make


def _refusal(status: int, code: str, message: str, **options: Any) -> Callable[[Rig, Call], list[Fault]]:  # noqa: ANN401 - Fault's fields
    """Return what makes a refusal in the words of the service that is asked."""

    def make(_rig: Rig, call: Call) -> list[Fault]:
        body: dict[str, Any] = {"itemError": {"code": status, "message": message}}
        if call.path.startswith("/network"):
            body = {"NeutronError": {"type": code, "message": message, "detail": ""}}
        kind = Kind.REFUSE_AFTER if options.get("done") else Kind.REFUSE
        times = int(options.get("times", 1))
        headers = options.get("headers", {})
        return [
            Fault(
                kind, call.method, call.pattern, skip=call.number - 1,
                status=status, body=body, times=times, headers=headers,
            )
        ]  # fmt: skip

    return make


def _expired(rig: Rig, call: Call) -> list[Fault]:
    forget = rig.fake.keystone.forget_tokens
    return [Fault(Kind.CHANGE, call.method, call.pattern, skip=call.number - 1, before=forget)]


def _items(body: Any) -> list[Any]:  # noqa: ANN401 - JSON
    lists = [value for value in body.values() if isinstance(value, list)] if isinstance(body, dict) else []
    return lists[0] if lists else []


def without(choose: Callable[[list[Any]], list[Any]]) -> Callable[[Any], Any]:
    def change(body: Any) -> Any:  # noqa: ANN401 - JSON
        items = _items(body)
        items[:] = choose(items)
        return body

    return change


def more_fields(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Add fields that nobody knows to every object."""
    if isinstance(value, dict):
        more = {key: more_fields(item) for key, item in value.items()}
        return more if set(value) <= {"href", "rel"} else {**more, "x_new": {"of": ["a", "later", "release"]}}
    return [more_fields(item) for item in value] if isinstance(value, list) else value


def strange_states(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Give all objects a state that nobody knows."""
    if isinstance(value, dict):
        return {key: "PONDERING" if key == "status" else strange_states(item) for key, item in value.items()}
    return [strange_states(item) for item in value] if isinstance(value, list) else value


def _cut(rig: Rig, call: Call) -> list[Fault]:
    """Page by page, and the page at this call says that it is the last one."""
    rig.fake.page(1)

    def change(body: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in body.items() if key != "next" and not key.endswith("_links")}

    return [Fault(Kind.CHANGE, call.method, call.pattern, skip=call.number - 1, change=change)]


def _second_page(kind: Kind = Kind.REFUSE, **options: Any) -> Callable[[Rig, Call], list[Fault]]:  # noqa: ANN401 - Fault's fields
    def make(rig: Rig, call: Call) -> list[Fault]:
        rig.fake.page(1)
        path = call.pattern.removesuffix(r"/?(\?|$)") + r"\?.*marker="
        return [Fault(kind, call.method, path, skip=call.number - 1, **options)]

    return make


def _paged(rig: Rig, call: Call) -> list[Fault]:
    rig.fake.page(1)
    return [Fault(Kind.CHANGE, call.method, call.pattern)]


def _raw(text: bytes) -> Callable[[Rig, Call], list[Fault]]:
    return _fault(Kind.CHANGE, raw=text)


#: what a list may leave out
LIES: dict[str, Callable[[list[Any]], list[Any]]] = {
    "first of the list missing": lambda items: items[1:],
    "last of the list missing": lambda items: items[:-1],
    "list empty": lambda _items: [],
}
_SLOW_DOWN = {"headers": {"Retry-After": "3"}, "status": 429}
_AT_A_DATE = {"headers": {"Retry-After": "Fri, 31 Dec 2027 23:59:59 GMT"}, "status": 429}
_NONE = _fault(Kind.CHANGE)
ROWS = (
    Row("killed before the request", _NONE, _any, killed="before the request"),
    Row("killed after the request", _fault(Kind.LATE), _writes, killed="after the request", spare=True),
    Row("killed after the answer", _NONE, _any, killed="after the answer"),
    Row("another run beside it", _NONE, _api, killed=BESIDE, honest=False),
    Row("request lost", _fault(Kind.DROP), _any, survives=True),
    Row("answer lost", _fault(Kind.LOSE), _any, survives=True),
    Row("request comes late", _fault(Kind.LATE), _writes, spare=True),
    Row("service gone for good", _fault(Kind.DROP, times=GONE_FOR_LONG), _any),
    *(Row(f"{status}", _fault(Kind.REFUSE, status=status), _any) for status in (500, 502, 503, 504)),
    *(
        Row(f"{status} though done", _fault(Kind.REFUSE_AFTER, status=status), _writes)
        for status in (500, 502, 504)
    ),
    Row("503 for good", _fault(Kind.REFUSE, status=503, times=GONE_FOR_LONG), _any),
    Row("429", _fault(Kind.REFUSE, **_SLOW_DOWN), _api, survives=True),
    Row("429 until a date", _fault(Kind.REFUSE, **_AT_A_DATE), _api, survives=True),
    Row("409 quota", _refusal(409, "OverQuota", "Quota exceeded for resources"), _posts),
    Row(
        "409 wrong state",
        _refusal(409, "ResourceInUse", "Cannot do this while it is in task_state x"),
        _writes,
    ),
    Row(
        "409 wrong state for good",
        _refusal(409, "ResourceInUse", "Cannot do this while it is in task_state x", times=GONE_FOR_LONG),
        _writes,
    ),
    Row(
        "409 name taken", _refusal(409, "NameTaken", "This name already exists", times=GONE_FOR_LONG), _writes
    ),
    Row(
        "409 there already", _refusal(409, "SecurityGroupRuleExists", "It already exists", done=True), _posts
    ),
    Row("403 quota", _refusal(403, "OverQuota", "Quota exceeded for instances"), _posts),
    Row("413 quota", _refusal(413, "OverQuota", "Quota exceeded"), _posts),
    Row("token expired", _expired, _api, survives=True),
    *(
        Row(
            f"{name}{word}",
            _fault(Kind.CHANGE, change=without(choose), times=times),
            _lists,
            honest=False,
        )
        for name, choose in LIES.items()
        for word, times in (("", 1), (" twice", 2), (" for good", GONE_FOR_LONG))
    ),
    Row("page by page", _paged, _lists, survives=True),
    Row("paging cut short", _cut, _lists, honest=False),
    Row("next page refused", _second_page(status=400), _lists, paged=True),
    Row("next page answers 500", _second_page(status=500), _lists, survives=True, paged=True),
    Row("next page lost", _second_page(kind=Kind.LOSE), _lists, survives=True, paged=True),
    Row("unknown fields", _fault(Kind.CHANGE, change=more_fields), _answers_json, survives=True),
    Row("unknown states", _fault(Kind.CHANGE, change=strange_states), _answers_json),
    Row("half of the JSON", _raw(b'{"half": ["of the'), _answers_json),
    Row("a page of HTML", _raw(b"<html><body>Log in</body></html>"), _answers_json),
    Row("no body", _raw(b""), _answers_json),
    Row("another object", _raw(b'{"hello": "world"}'), _answers_json),
    Row("a JSON list", _raw(b"[1, 2]"), _answers_json),
    Row("JSON null", _raw(b"null"), _answers_json),
)
