"""The real cloud answers as recorded: by hand, as root, ``MEDICARCHE_FAULTS_ON=NAME`` as in test_real.py."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_openstack import contract
from medicarche.cloud import Target, connect
from medicarche.embedded import EmbeddedCloud, namespace
from medicarche.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = os.environ.get("MEDICARCHE_FAULTS_ON", "")
RECORDED = Path(contract.__file__).with_name("contract.json")


@pytest.mark.skipif(not NAME, reason="MEDICARCHE_FAULTS_ON names no embedded cloud")
def test_the_real_one_answers_as_recorded() -> None:
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

        answered = json.loads(json.dumps(contract.answers(connections, limit)))
    assert answered == json.loads(RECORDED.read_text(encoding="utf-8"))
