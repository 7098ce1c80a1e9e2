"""How the cloud's Keystone asks the directory: what it is told on which cloud."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medicarche import cloud_directory
from medicarche.credentials import Credentials
from medicarche.embedded.authorities import BUNDLE
from medicarche.embedded.cloud import EmbeddedCloud
from medicarche.options import Options
from medicarche.paths import Paths
from medicarche.plan.resources import Domain
from medicarche.spec.directory import Keystone
from medicarche.target import select

if TYPE_CHECKING:
    from medicarche.target import Selection

FILE = Path(__file__).parents[2] / "environments" / "example-directory.yaml"


def _selection(tmp_path: Path, **options: str) -> Selection:
    paths = Paths(home=tmp_path / "home", cache=tmp_path / "cache")
    return select(Options(environment_file=FILE, paths=paths, **options))  # type: ignore[arg-type]  # words


@pytest.fixture(name="here")
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Selection:
    monkeypatch.delenv("OS_CLOUD", raising=False)
    return _selection(tmp_path)


def test_the_embedded_cloud_s_keystone_asks_from_the_gateway(here: Selection) -> None:
    site = cloud_directory.keystone_site(here)
    assert site is not None
    assert (site.prefixes, site.authority) == (("10.20.20.1/32",), BUNDLE)
    assert cloud_directory.note_of(here) == ()
    assert cloud_directory.keystone_site(here) == site, "the password is made once"
    password = Credentials(here.folder).get("directory/service/cloud.keystone")
    assert password
    assert password not in repr(site)
    Credentials(here.folder).renew("directory/service/cloud.keystone")
    other = cloud_directory.keystone_site(here)
    assert other is not None
    assert other.handed_over != site.handed_over


def test_another_cloud_s_operator_has_to_say_how(tmp_path: Path) -> None:
    there = _selection(tmp_path, cloud="some")
    assert cloud_directory.keystone_site(there) is None
    (note,) = cloud_directory.note_of(there)
    assert note.startswith("directory.cloud_groups has no effect on this cloud")
    directory = there.environment.directory
    assert directory is not None
    said = replace(directory, keystone=Keystone(("192.0.2.10/32",), "/etc/keystone/ours.pem"))
    there = replace(there, environment=replace(there.environment, directory=said))
    site = cloud_directory.keystone_site(there)
    assert site is not None
    assert (site.prefixes, site.authority) == (("192.0.2.10/32",), "/etc/keystone/ours.pem")
    assert cloud_directory.note_of(there) == ()


def test_nobody_is_told_anything_where_no_group_has_a_role(here: Selection) -> None:
    without = replace(here, environment=here.environment.without_cloud_groups())
    assert cloud_directory.keystone_site(without) is None
    assert cloud_directory.note_of(without) == ()
    cloud_directory.trust_authority(without)  # the cloud isn't up: it would be told
    assert not Credentials(here.folder).names()


def test_the_dashboard_offers_the_domain_as_long_as_there_is_one(
    here: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = []
    monkeypatch.setattr(EmbeddedCloud, "offer_domain", lambda _, name, domain: offered.append((name, domain)))
    cloud_directory.offer_log_in(here)
    cloud_directory.offer_log_in(here, gone=True)
    cloud_directory.offer_log_in(replace(here, environment=here.environment.without_cloud_groups()))
    assert offered == [("directory", "directory"), ("directory", None), ("directory", None)]


def test_keystone_knows_the_authority_before_it_has_the_password(
    here: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fake_openstack.fixtures import still_clock  # noqa: PLC0415 - of the tests' own
    from medicarche.cloud.connect import Connections  # noqa: PLC0415 - likewise

    trusted = []
    monkeypatch.setattr(EmbeddedCloud, "trust", lambda _, name, pem: trusted.append((name, pem)))
    bare = Connections(here.target, None, None, clock=still_clock())  # type: ignore[arg-type]  # nobody is asked
    able = cloud_directory.with_directory(bare, here)
    assert able.asks_with is not None
    password = able.asks_with(Domain(name="directory", server="floating_ip/directory", port=636))
    assert password == Credentials(here.folder).get("directory/service/cloud.keystone")
    ((name, pem),) = trusted
    assert name == "directory"
    assert pem.startswith("-----BEGIN CERTIFICATE-----")
