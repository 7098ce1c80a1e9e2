"""The real cloud answers as recorded: by hand, as root, ``MEDICARCHE_FAULTS_ON=NAME`` as in test_real.py."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_openstack import contract
from medicarche.cloud.connect import Target, connect
from medicarche.embedded import namespace
from medicarche.embedded.cloud import EmbeddedCloud
from medicarche.paths import Paths
from medicarche.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.cloud.connect import Connection, Connections

NAME = os.environ.get("MEDICARCHE_FAULTS_ON", "")
RECORDED = Path(contract.__file__).with_name("contract.json")


@contextmanager
def _person(connections: Connections, file: Path) -> Iterator[Connection]:
    """Make somebody with a password and log in: the embedded cloud's member is an application credential."""
    admin, member = connections.admin, connections.member
    assert admin is not None
    wanted = {"name": "contract", "domain_id": member.domain_id, "password": secrets.token_urlsafe(24)}
    user = admin.identity.post("/users", {"user": wanted})["user"]["id"]
    try:
        for role in admin.identity.collection("/roles", "roles"):
            if role["name"] in {"member", "reader"}:
                admin.identity.put(f"/projects/{member.project_id}/users/{user}/roles/{role['id']}")
        auth = {
            "auth_url": member.sdk.config.get_auth_args()["auth_url"],
            "username": wanted["name"],
            "password": wanted["password"],
            "project_id": member.project_id,
            "user_domain_id": member.domain_id,
        }
        write_private(file, json.dumps({"clouds": {"person": {"auth": auth}}}).encode())
        with connect(Target("person", file, "person")) as connected:
            yield connected.member
    finally:
        admin.identity.delete(f"/users/{user}")


@pytest.mark.skipif(not NAME, reason="MEDICARCHE_FAULTS_ON names no embedded cloud")
def test_the_real_one_answers_as_recorded(tmp_path: Path) -> None:
    cloud = EmbeddedCloud(NAME, Paths.from_environment())
    namespace.enter(cloud.netns)
    target = Target("real", cloud.clouds_yaml, "medicarche", "medicarche-admin")
    with connect(target) as connections:
        admin, project = connections.admin, connections.member.project_id
        assert admin is not None

        @contextmanager
        def limit(quota: str, most: int) -> Iterator[None]:
            admin.network.put(f"/quotas/{project}", {"quota": {quota: most}})
            yield
            admin.network.delete(f"/quotas/{project}")

        with _person(connections, tmp_path / "clouds.yaml") as person:
            answered = json.loads(json.dumps(contract.answers(connections, limit, person)))
    assert answered == json.loads(RECORDED.read_text(encoding="utf-8"))
