"""What the tests of the applications share: the application's instance, its address, its administrator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from medicarche.testing.browser import browse, missing_packages
from medicarche.testing.company import as_csv
from medicarche.testing.supervision import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import Page

    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.probe import Client
    from medicarche.spec import Member
    from medicarche.spec.environment import Application


@pytest.fixture
def instance(application: Application, instances: tuple[InstanceState, ...]) -> InstanceState:
    """The application's instance; `machine` is this one from inside."""
    return next(i for i in instances if i.name == application.instance)


@pytest.fixture
def url(application: Application, instance: InstanceState) -> str:
    """The application's address, without the last slash."""
    return f"https://{instance.floating_address}:{application.port}"


@pytest.fixture
def administrator(application: Application, credentials: Credentials) -> tuple[str, str]:
    """The administrator's login and password."""
    password = credentials.get(f"{application.name}/administrator")
    assert password, "no password was generated"
    return application.settings["administrator"], password


@pytest.fixture
def password(application: Application, credentials: Credentials) -> Callable[[str], str]:
    """Give the directory's password that was handed over: of a person, or of a service (``service/NAME``)."""

    def get(who: str) -> str:
        purpose = who if "/" in who else f"person/{who}"
        found = credentials.get(f"{application.name}/{purpose}")
        assert found, f"no password was generated for {who}"
        return found

    return get


@pytest.fixture
def with_people(changed_file: Callable[[Callable[[Any], None]], Path], tmp_path: Path) -> Callable[..., Path]:
    """Write an environment file with other people; without ``accounts`` it has no SSH groups either."""

    def write(members: Sequence[Member], *, accounts: bool = True) -> Path:
        people = tmp_path / "people.csv"
        people.write_text(as_csv(members), encoding="utf-8")

        def change(content: Any) -> None:  # noqa: ANN401 - YAML
            content["directory"]["people"] = str(people)
            if not accounts:
                del content["directory"]["ssh_groups"]

        return changed_file(change)

    return write


@pytest.fixture
def watch(outside: Client, url: str, administrator: tuple[str, str]) -> Watch:
    """The supervision."""
    return Watch(outside, url, administrator)


@pytest.fixture
def page(
    application: Application,
    instance: InstanceState,
    authority: Path,
    host_has: Callable[[tuple[str, ...]], None],
) -> Iterator[Page]:
    """An empty page of a person's browser, which believes the application's certificate."""
    host_has(missing_packages())
    with browse(str(instance.floating_address), application.port, authority) as opened:
        yield opened
