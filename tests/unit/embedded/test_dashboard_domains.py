"""The domains that Horizon's log-in page offers: those of environments that have a directory on the cloud."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from folder_node import FolderNode
from medicarche.embedded import cloud_secrets, configure, dashboard_domains

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _offer(node: FolderNode, environment: str, domain: str | None) -> None:
    dashboard_domains.offer(node, environment, domain)  # type: ignore[arg-type]  # a stand-in


def test_each_environment_offers_its_own_and_takes_it_back(tmp_path: Path) -> None:
    node, whole = FolderNode(tmp_path), tmp_path / "dashboard-domains"
    _offer(node, "b", "b")
    _offer(node, "a", "a")
    assert whole.read_text(encoding="utf-8") == "a\nb\n"
    _offer(node, "a", None)
    assert whole.read_text(encoding="utf-8") == "b\n"
    _offer(node, "b", None)
    assert not whole.read_text(encoding="utf-8")
    assert whole.exists(), "uwsgi wouldn't see it go, and the page would go on offering it"


def test_the_same_again_and_nothing_at_all_touch_nothing(tmp_path: Path) -> None:
    node, whole = FolderNode(tmp_path), tmp_path / "dashboard-domains"
    _offer(node, "a", None)
    assert not whole.exists()
    _offer(node, "a", "a")
    os.utime(whole, (1, 1))
    _offer(node, "a", "a")
    _offer(node, "b", None)
    assert whole.stat().st_mtime == 1, "Horizon's process would begin anew"


def _settings(monkeypatch: pytest.MonkeyPatch, whole: Path) -> dict[str, Any]:
    """Return Horizon's settings as Horizon's process reads them."""
    module = ModuleType("openstack_dashboard.settings")
    module.HORIZON_CONFIG = {}  # type: ignore[attr-defined]  # what they take from Horizon
    monkeypatch.setitem(sys.modules, "openstack_dashboard", ModuleType("openstack_dashboard"))
    monkeypatch.setitem(sys.modules, "openstack_dashboard.settings", module)
    files = configure.render(
        configure.Settings(
            cloud_secrets.Secrets.generate(), "lxc", unified=False, external_gateway="10.0.0.1/24"
        )
    )
    (text,) = [f.text for f in files if f.path == "etc/openstack-dashboard/local_settings.py"]
    found: dict[str, Any] = {}
    exec(text.replace(dashboard_domains.DOMAINS, str(whole)), found)  # noqa: S102 - ours, rendered
    return found


def test_the_page_asks_for_a_domain_only_where_there_is_a_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, whole = FolderNode(tmp_path), tmp_path / "dashboard-domains"
    assert _settings(monkeypatch, whole)["OPENSTACK_KEYSTONE_MULTIDOMAIN_SUPPORT"] is False
    _offer(node, "medicarche", "medicarche")
    settings = _settings(monkeypatch, whole)
    assert settings["OPENSTACK_KEYSTONE_MULTIDOMAIN_SUPPORT"] is True
    assert settings["OPENSTACK_KEYSTONE_DOMAIN_DROPDOWN"] is True
    assert settings["OPENSTACK_KEYSTONE_DOMAIN_CHOICES"] == [
        ("Default", "Comptes du cloud"),
        ("medicarche", "Annuaire : medicarche"),
    ], "the first one is chosen for who comes for the first time"
    _offer(node, "medicarche", None)
    assert _settings(monkeypatch, whole)["OPENSTACK_KEYSTONE_MULTIDOMAIN_SUPPORT"] is False
