"""What is sent again, what isn't, and what is waited for."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from keystoneauth1.identity.base import BaseIdentityPlugin

from fake_openstack import FakeOpenStack, Fault, Kind
from fake_openstack.fixtures import StillClock, still_clock
from medicarche.cloud.calls import Ambiguous, ApiError
from medicarche.cloud.conflicts import Conflict, conflict
from medicarche.cloud.connect import Connection, Target, connect
from medicarche.errors import CloudUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keystoneauth1.access import AccessInfo
    from keystoneauth1.session import Session


@pytest.fixture
def still() -> StillClock:
    """Return the clock of the connection."""
    return StillClock()


@pytest.fixture
def member(target: Target, still: StillClock) -> Iterator[Connection]:
    """Return a member's connection."""
    with closing(connect(target, clock=still_clock(still))) as connections:
        yield connections.member


def _count(cloud: FakeOpenStack, method: str, path: str) -> int:
    return sum(call[0] == method and path in call[1] for call in cloud.faults.calls)


NETWORK = {"network": {"name": "n"}}


@pytest.mark.parametrize("status", [None, 500, 502, 503, 504])
def test_a_post_is_sent_once(cloud: FakeOpenStack, member: Connection, status: int | None) -> None:
    kind = Kind.LOSE if status is None else Kind.REFUSE
    cloud.order(Fault(kind, "POST", "/networks", status=status or 0))
    with pytest.raises(Ambiguous):
        member.network.post("/networks", NETWORK)
    assert _count(cloud, "POST", "/networks") == 1


def test_a_token_that_another_thread_gives_up_is_asked_for_again(
    cloud: FakeOpenStack, member: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As keystoneauth's get_access fails between its lock and its answer."""
    auth = member.sdk.session.auth
    assert isinstance(auth, BaseIdentityPlugin)
    asked = auth.get_access
    races = [AssertionError(), AssertionError()]

    def get_access(session: Session, **options: Any) -> AccessInfo:  # noqa: ANN401 - keystoneauth's own
        if races:
            raise races.pop()
        return asked(session, **options)

    monkeypatch.setattr(auth, "get_access", get_access)
    member.network.post("/networks", NETWORK)
    assert not races
    assert _count(cloud, "POST", "/networks") == 1


def test_glances_503_is_not_repeated_by_the_sdk(cloud: FakeOpenStack, member: Connection) -> None:
    cloud.order(Fault(Kind.REFUSE, "POST", "/images", status=503))
    with pytest.raises(Ambiguous):
        member.image.post("/images", {"name": "x"})
    assert _count(cloud, "POST", "/images") == 1


def test_a_post_whose_answer_takes_too_long_is_sent_once(cloud: FakeOpenStack, target: Target) -> None:
    cloud.order(Fault(Kind.STALL, "POST", "/networks"))
    with (
        closing(connect(target, clock=still_clock(), read_timeout=0.2)) as connections,
        pytest.raises(Ambiguous),
    ):
        connections.member.network.post("/networks", NETWORK)
    assert _count(cloud, "POST", "/networks") == 1


@pytest.mark.parametrize("kind", [Kind.LOSE, Kind.DROP, Kind.REFUSE])
def test_a_get_is_repeated_with_growing_pauses(
    cloud: FakeOpenStack, member: Connection, still: StillClock, kind: Kind
) -> None:
    cloud.order(Fault(kind, "GET", "/networks", times=5))
    assert member.network.collection("/networks", "networks") == []
    assert still.sleeps == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_get_is_not_repeated_for_ever(cloud: FakeOpenStack, member: Connection) -> None:
    cloud.order(Fault(Kind.DROP, "GET", "/networks", times=100))
    with pytest.raises(CloudUnreachable):
        member.network.collection("/networks", "networks")
    assert _count(cloud, "GET", "/networks") == 6


YESTERDAY = format_datetime(datetime.now(UTC) - timedelta(days=1))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("100000", 60), (YESTERDAY, 0), ("nonsense", 0.5)],
    ids=["seconds", "too long", "a date that has passed", "nonsense"],
)
def test_retry_after_is_obeyed(
    cloud: FakeOpenStack, member: Connection, still: StillClock, header: str, seconds: float
) -> None:
    for method in ("GET", "POST"):
        cloud.order(Fault(Kind.REFUSE, method, "/networks", status=429, headers={"Retry-After": header}))
    member.network.collection("/networks", "networks")
    member.network.post("/networks", NETWORK)
    assert still.sleeps == [seconds, seconds]
    assert _count(cloud, "POST", "/networks") == _count(cloud, "GET", "/networks") == 2


def test_a_silent_service_is_not_asked_for_ever(
    cloud: FakeOpenStack, target: Target, still: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.order(Fault(Kind.DROP, "GET", "/networks", times=100))
    with closing(connect(target, clock=still_clock(still))) as connections:
        # each attempt takes as long as a read time-out
        monkeypatch.setattr(cloud.faults, "strike", _slow(cloud.faults.strike, still))
        with pytest.raises(CloudUnreachable):
            connections.member.network.get("/networks")
    assert _count(cloud, "GET", "/networks") == 2


def _slow(
    strike: Callable[[str, str], Fault | None], still: StillClock
) -> Callable[[str, str], Fault | None]:
    def slowly(method: str, path: str) -> Fault | None:
        still.sleep(90)
        return strike(method, path)

    return slowly


def test_an_error_tells_the_call_the_reason_and_the_request_id(member: Connection) -> None:
    with pytest.raises(ApiError, match=r"GET network /nowhere: 404 .* \(request id req-") as caught:
        member.network.get("/nowhere")
    assert caught.value.status == 404


def test_deleting_nothing_is_success(member: Connection) -> None:
    member.network.delete("/networks/absent")


def test_all_pages_are_read(member: Connection) -> None:
    for number in range(30):
        member.image.post("/images", {"name": f"image-{number}"})
    assert len(member.image.collection("/images", "images")) == 30


def test_an_answer_that_is_no_json(cloud: FakeOpenStack, member: Connection) -> None:
    cloud.order(Fault(Kind.REFUSE, "GET", "/networks", status=200, raw=b"<html>log in first</html>", times=6))
    with pytest.raises(CloudUnreachable, match="doesn't answer with JSON"):
        member.network.get("/networks")


@pytest.mark.parametrize(
    ("status", "code", "detail", "meaning"),
    [
        (409, "OverQuota", "Quota exceeded for resources: ['port'].", Conflict.QUOTA),
        (403, "", "Quota exceeded for instances: Requested 1, but already used 10", Conflict.QUOTA),
        (413, "", "The image storage quota is exceeded", Conflict.QUOTA),
        (409, "SecurityGroupRuleExists", "Security group rule already exists.", Conflict.EXISTS),
        (409, "", "Flavor with name x already exists.", Conflict.EXISTS),
        (409, "SecurityGroupInUse", "Security Group in use.", Conflict.WAIT),
        (409, "", "Cannot 'delete' instance 1 while it is in task_state resize", Conflict.WAIT),
        (409, "FlatNetworkInUse", "Flat network in use", Conflict.STOP),
        (403, "PolicyNotAuthorized", "already exists, says nobody", Conflict.STOP),
        (400, "SecurityGroupInUse", "", Conflict.STOP),
    ],
)
def test_what_a_conflict_means(status: int, code: str, detail: str, meaning: Conflict) -> None:
    assert conflict(ApiError("POST x", status=status, code=code, detail=detail)) is meaning
