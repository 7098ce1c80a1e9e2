"""Connecting before all else is read: to the cloud that is meant, and nobody waits for it in vain."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from medicarche import connecting
from medicarche.background import in_background
from medicarche.cli import app
from medicarche.embedded import namespace
from medicarche.errors import CloudUnreachable
from medicarche.options import Options
from medicarche.paths import Paths
from medicarche.target import select

if TYPE_CHECKING:
    from fake_openstack import FakeOpenStack

COMPANY = Path(__file__).parents[3] / "environments" / "medicarche.yaml"


@pytest.mark.parametrize("entry", [None, "some"])
def test_what_is_connected_to_ahead_is_what_is_selected_later(
    entry: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OS_CLOUD", raising=False)
    for options in (Options(COMPANY, cloud=entry), Options(COMPANY, embedded_name="other")):
        assert connecting.target_of(options) == select(options).target
    monkeypatch.setenv("OS_CLOUD", "from-outside")
    assert connecting.target_of(Options(COMPANY)) == select(Options(COMPANY)).target


def test_it_connects_to_a_configured_cloud(
    cloud: FakeOpenStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cloud.write_clouds_yaml(tmp_path / "clouds.yaml")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    begun = connecting.begin(Options(cloud="demo", admin_cloud="admin"))
    assert begun is not None
    with begun.result() as connections:
        assert (connections.member.entry, connections.admin and connections.admin.entry) == ("demo", "admin")
        assert connections.traffic.writes == 0


def test_a_failure_is_told_to_who_asks_for_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(
        "clouds: {gone: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: u, password: p,"
        " project_name: p, user_domain_id: default, project_domain_id: default}}}\n"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    begun = connecting.begin(Options(cloud="gone"))
    assert begun is not None
    with pytest.raises(CloudUnreachable, match="doesn't answer"):
        begun.result()


def test_an_embedded_cloud_that_is_down_isnt_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OS_CLOUD", raising=False)
    entered: list[Path] = []
    monkeypatch.setattr(namespace, "enter", entered.append)
    options = Options(embedded_name="unit-test-none", paths=Paths(tmp_path, tmp_path))
    assert connecting.begin(options) is None
    assert entered == []


def test_the_processs_end_waits_for_nothing_in_the_background() -> None:
    """A pool's threads would be waited for: fifteen seconds where Keystone doesn't answer."""
    never = (
        "import threading; from medicarche.background import in_background; "
        "in_background(threading.Event().wait, 'for ever')"
    )
    done = subprocess.run([sys.executable, "-c", never], check=False, timeout=60)
    assert done.returncode == 0


def test_results_and_exceptions_come_back() -> None:
    assert in_background(lambda: threading.current_thread().name, "named").result() == "named"
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 // 0, "fails").result()


def test_plan_begins_to_connect_before_the_rest_is_imported() -> None:
    look = (
        "import sys; import medicarche.cli.app; import medicarche.cli.plan; "
        "print(sorted(m for m in sys.modules if m.startswith(('medicarche.spec', 'medicarche.plan'))))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_command_is_where_the_table_says() -> None:
    group, context = app.medicarche, click.Context(app.medicarche)
    names = group.list_commands(context)
    assert len(names) > 10
    for name in names:
        command = group.get_command(context, name)
        assert command is not None
        assert (command.name, bool(command.help)) == (name, True)
    assert group.get_command(context, "bulid") is None
