"""The fake answers as a real cloud did: ``contract.json`` is what an embedded OpenStack (Zed) answered."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fake_openstack import contract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections

RECORDED = Path(contract.__file__).with_name("contract.json")


def test_the_fake_answers_as_the_real_one_did(cloud: FakeOpenStack, connections: Connections) -> None:
    @contextmanager
    def limit(quota: str, most: int) -> Iterator[None]:
        before = cloud.neutron.quota[quota]
        cloud.neutron.quota[quota] = most
        yield
        cloud.neutron.quota[quota] = before

    answered = json.loads(json.dumps(contract.answers(connections, limit, connections.member)))
    assert answered == json.loads(RECORDED.read_text(encoding="utf-8"))
    assert cloud.census() == {}
