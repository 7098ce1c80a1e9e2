"""Connecting: each thing that can be wrong with a cloud gives one clear error."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from fake_openstack import Fault, Kind
from fake_openstack.fixtures import still_clock
from medicarche.cloud.connect import Target, connect
from medicarche.errors import CloudRefused, CloudUnreachable, CloudUnsuitable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_openstack import FakeOpenStack


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Return a port that accepts connections and never answers: one that says no TLS either."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def _target(path: Path, cloud: str = "demo", admin: str | None = None) -> Target:
    return Target(name="fake", clouds_yaml=path, cloud=cloud, admin_cloud=admin)


def _moved(cloud: FakeOpenStack, path: Path, url: str) -> Target:
    cloud.write_clouds_yaml(path)
    path.write_text(path.read_text("utf-8").replace(cloud.url, url), "utf-8")
    return _target(path)


def test_member_and_admin(target: Target) -> None:
    with closing(connect(target)) as connections:
        assert connections.member.project_id == "project-demo"
        assert connections.admin is not None
        assert connections.admin.project_id == "project-admin"
        assert connections.traffic.requests == 8


def test_without_an_admin_entry_a_member_is_no_admin(target: Target) -> None:
    assert target.clouds_yaml is not None
    with closing(connect(_target(target.clouds_yaml))) as connections:
        assert connections.admin is None


def test_a_member_with_the_role_is_the_admin(target: Target) -> None:
    assert target.clouds_yaml is not None
    with closing(connect(_target(target.clouds_yaml, "admin"))) as connections:
        assert connections.admin is connections.member


def test_an_application_credential(target: Target) -> None:
    assert target.clouds_yaml is not None
    with closing(connect(_target(target.clouds_yaml, "demo-credential"))) as connections:
        assert connections.member.project_id == "project-demo"


def test_the_usual_search(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(target.clouds_yaml))
    with closing(connect(Target(name="demo", clouds_yaml=None, cloud="demo"))) as connections:
        assert connections.member.roles == {"member", "reader"}


def test_a_file_that_is_given_is_not_mixed_with_the_environments_variables(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_PASSWORD", "another")
    monkeypatch.setenv("OS_AUTH_URL", "http://127.0.0.1:1/v3")
    connect(target).close()


def test_an_unknown_name_tells_the_known_ones(target: Target) -> None:
    assert target.clouds_yaml is not None
    with pytest.raises(
        CloudRefused, match=r"no cloud 'nowhere' in .*; it knows: admin, demo, demo-credential"
    ):
        connect(_target(target.clouds_yaml, "nowhere"))


def test_a_refused_password(cloud: FakeOpenStack, tmp_path: Path) -> None:
    path = cloud.write_clouds_yaml(tmp_path / "clouds.yaml", password="wrong")  # noqa: S106 - the fake's own
    with pytest.raises(CloudRefused, match="refuses the credentials") as caught:
        connect(_target(path))
    assert caught.value.exit_code == 5
    assert "wrong" not in caught.value.message + str(caught.value.hint)


def test_no_answer(cloud: FakeOpenStack, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(CloudUnreachable, match="doesn't answer"):
        connect(_moved(cloud, tmp_path / "clouds.yaml", url))


def test_a_proxy_that_the_environment_names_is_used_but_for_the_hosts_that_need_none(
    cloud: FakeOpenStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = "http://{}:{}".format(*closed.getsockname())
    monkeypatch.setenv("http_proxy", cloud.url)  # it answers for whatever host it is asked for
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    target = _moved(cloud, tmp_path / "clouds.yaml", address)
    with closing(connect(target)) as connections:
        assert connections.member.project_id == "project-demo"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(CloudUnreachable, match="doesn't answer"):
        connect(target)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_authorities_that_the_environment_names_are_used(
    cloud: FakeOpenStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "absent.pem"))
    target = _moved(cloud, tmp_path / "clouds.yaml", cloud.url.replace("http:", "https:"))
    with pytest.raises(CloudRefused, match=r"absent\.pem") as caught:
        connect(target)
    assert "cacert" in str(caught.value.hint)


def test_authorities_that_are_not_there(cloud: FakeOpenStack, tmp_path: Path) -> None:
    target = _moved(cloud, tmp_path / "clouds.yaml", cloud.url.replace("http:", "https:"))
    assert target.clouds_yaml is not None
    text = target.clouds_yaml.read_text("utf-8").replace(
        "  demo:\n", "  demo:\n    cacert: /nowhere/ca.pem\n"
    )
    target.clouds_yaml.write_text(text, "utf-8")
    with pytest.raises(CloudRefused, match=r"/nowhere/ca\.pem"):
        connect(target)


def test_a_silent_cloud(cloud: FakeOpenStack, tmp_path: Path, silent_port: int) -> None:
    with pytest.raises(CloudUnreachable, match="doesn't answer"):
        connect(_moved(cloud, tmp_path / "clouds.yaml", f"http://127.0.0.1:{silent_port}"), read_timeout=0.1)


def test_no_tls(cloud: FakeOpenStack, tmp_path: Path) -> None:
    url = cloud.url.replace("http:", "https:")
    with pytest.raises(CloudUnreachable, match="TLS failed") as caught:
        connect(_moved(cloud, tmp_path / "clouds.yaml", url))
    assert "cacert" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("service", "name"), [("network", "Neutron"), ("compute", "Nova"), ("image", "Glance")]
)
def test_a_missing_service(cloud: FakeOpenStack, target: Target, service: str, name: str) -> None:
    cloud.keystone.services.remove(service)
    with pytest.raises(CloudUnsuitable, match=rf"lacks {name} \({service}\)"):
        connect(target)


@pytest.mark.parametrize(("path", "name"), [("compute", "Nova"), ("image", "image")])
def test_a_silent_service(cloud: FakeOpenStack, target: Target, path: str, name: str) -> None:
    cloud.order(Fault(Kind.DROP, "GET", f"^/({path}.*)?$", times=100))
    with pytest.raises(CloudUnreachable, match="doesn't answer") as caught:
        connect(target)
    assert name in caught.value.message


def test_a_service_of_no_version(cloud: FakeOpenStack, tmp_path: Path) -> None:
    """Seen: with an end point that the file names, keystoneauth takes the first of the versions, unlooked."""
    path = cloud.write_clouds_yaml(tmp_path / "clouds.yaml")
    override = f"    image_endpoint_override: {cloud.url}/image\n    auth:\n"
    path.write_text(path.read_text("utf-8").replace("    auth:\n", override), "utf-8")
    cloud.order(Fault(Kind.CHANGE, "GET", "^/image/?$", raw=b'{"versions": []}', times=100))
    with pytest.raises(CloudUnreachable, match="a service in the catalogue doesn't answer"):
        connect(_target(path))


def test_an_unknown_region(cloud: FakeOpenStack, tmp_path: Path) -> None:
    path = cloud.write_clouds_yaml(tmp_path / "clouds.yaml", region="Mars")
    with pytest.raises(CloudUnsuitable, match="no region 'Mars'; it has: RegionOne"):
        connect(_target(path))


def test_a_nova_that_is_too_old(cloud: FakeOpenStack, target: Target) -> None:
    cloud.nova.max_microversion = "2.53"
    with pytest.raises(CloudUnsuitable, match=r"Nova's API is 2\.53; 2\.61 is needed"):
        connect(target)


def test_an_expired_token_is_renewed(cloud: FakeOpenStack, target: Target) -> None:
    with closing(connect(target, clock=still_clock())) as connections:
        cloud.keystone.forget_tokens()
        assert connections.member.network.collection("/networks", "networks") == []
