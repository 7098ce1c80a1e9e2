"""What the tests of the applications share: the application's instance, its address, its administrator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
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
