"""CLOUD-2: the dashboard, as a person's browser on this machine sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medicarche.embedded import namespace
from medicarche.probe import Client
from medicarche.spec.cloud_groups import serving
from medicarche.testing.dashboard import domains_offered, log_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Environment
    from medicarche.testing.built import Built

pytestmark = pytest.mark.requirement("CLOUD-2")


@pytest.fixture(scope="module")
def person(provisioned: Built, dashboard: str) -> tuple[str, str, str]:
    """User name, password and domain of a person who isn't the admin."""
    del dashboard  # asked for first: it skips where the cloud isn't an embedded one
    embedded = provisioned.selection.embedded
    assert embedded is not None
    user, password = embedded.dashboard_login()
    assert user != "admin"
    return user, password, "Default"


@pytest.fixture(scope="module")
def page(dashboard: str, person: tuple[str, str, str]) -> Iterator[Callable[[str], str]]:
    """Log in through the login page, then fetch pages by their path."""
    # the forward is on the host's loopback address: a browser isn't in the cloud's network name space
    # only each request is made outside: other fixtures talk to the cloud in between
    with Client(timeout=90) as client:
        with namespace.outside():
            assert log_in(client, dashboard, *person), "the dashboard refused the login"

        def fetch(path: str) -> str:
            with namespace.outside():
                answer = client.get(f"{dashboard}{path}", allow_redirects=True)
            assert answer.status_code == 200
            assert "/auth/login" not in answer.url, "the session didn't hold"
            return answer.text

        yield fetch


def test_instances(page: Callable[[str], str], instances: tuple[InstanceState, ...]) -> None:
    shown = page("/project/instances/")
    for instance in instances:
        assert instance.id in shown
        assert str(instance.private_address) in shown


def test_quotas(page: Callable[[str], str]) -> None:
    assert "quota" in page("/project/").lower()


def test_networks(page: Callable[[str], str], environment: Environment) -> None:
    shown = page("/project/networks/")
    for network in environment.networks:
        for subnet in network.subnets:
            if not network.external:
                assert subnet.cidr in shown


def test_routers(page: Callable[[str], str], environment: Environment) -> None:
    shown = page("/project/routers/")
    assert [r.name for r in environment.routers if r.name not in shown] == []


def test_security_groups(page: Callable[[str], str], environment: Environment) -> None:
    shown = page("/project/security_groups/")
    assert [g.name for g in environment.security_groups if g.name not in shown] == []


def test_floating_ips(page: Callable[[str], str], instances: tuple[InstanceState, ...]) -> None:
    shown = page("/project/floating_ips/")
    assert [i.name for i in instances if i.floating_address and i.floating_address not in shown] == []


def test_the_log_in_page_asks_for_a_domain_where_there_is_a_choice(
    dashboard: str, person: tuple[str, str, str], environment: Environment
) -> None:
    with namespace.outside(), Client(timeout=90) as client:
        shown = client.get(f"{dashboard}/auth/login/", allow_redirects=True).text
        offered = [(choice.domain, choice.chosen) for choice in domains_offered(shown)]
        others = [] if serving(environment) is None else [("Default", True), (environment.name, False)]
        assert offered == others
        user, password, _ = person
        assert log_in(client, dashboard, user, password), "who leaves the domain as it is isn't let in"


def test_a_wrong_password_is_refused(dashboard: str, person: tuple[str, str, str]) -> None:
    user, _, domain = person
    with namespace.outside(), Client(timeout=90) as client:
        assert not log_in(client, dashboard, user, "not the password", domain)
