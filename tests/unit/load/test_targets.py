"""What a load test loads follows from the status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medicarche.errors import MedicarcheError
from medicarche.load import LoadTarget, read_status, targets


def status(
    *states: str, cloud: str = "up", namespace: str | None = "/run/netns/x", version: int = 1
) -> dict[str, Any]:
    return {
        "version": version,
        "cloud": {"name": "embedded-x", "state": cloud, "namespace": namespace},
        "applications": [
            {
                "name": f"a{n}",
                "kind": "wordpress",
                "state": state,
                "url": f"https://192.0.2.{n}:8088/",
                "authority": "/x/ca.pem",
            }
            for n, state in enumerate(states)
        ],
    }


def test_what_answers_is_a_target_and_what_isnt_deployed_isnt() -> None:
    assert targets(status("answering", "not deployed")) == (
        LoadTarget("a0", "wordpress", "https://192.0.2.0:8088", Path("/x/ca.pem"), Path("/run/netns/x")),
    )


def test_the_name_of_an_own_certificate_is_asked_for() -> None:
    found = status("answering", "answering")
    found["applications"][0]["certificate_name"] = "www.example.org"
    found["applications"][1]["certificate_name"] = None
    assert [t.name_asked for t in targets(found)] == ["www.example.org", ""]


def test_a_configured_cloud_has_no_name_space() -> None:
    (target,) = targets(status("answering", namespace=None))
    assert target.network is None
    target.enter()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (status("answering", "not answering"), "not answering: a1"),
        (status("not deployed", cloud="down"), "embedded-x is down"),
        (status("answering", version=2), "version 2"),
    ],
)
def test_what_cant_be_loaded_is_said(found: dict[str, Any], message: str) -> None:
    with pytest.raises(MedicarcheError, match=message):
        targets(found)


def test_the_status_can_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "status.json"
    monkeypatch.setenv("MEDICARCHE_STATUS", str(file))
    file.write_text(json.dumps(status("answering")), encoding="utf-8")
    assert read_status() == status("answering")
    for wrong in ("no JSON", "[]"):
        file.write_text(wrong, encoding="utf-8")
        with pytest.raises(MedicarcheError, match="the status isn't"):
            read_status()


def test_a_target_in_a_name_space_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded: list[tuple[list[str], Path]] = []
    monkeypatch.setattr("medicarche.embedded.namespace.guard", lambda *arguments: guarded.append(arguments))
    (inside,) = targets(status("answering"))
    inside.guard()
    assert guarded == [(["192.0.2.0/32"], Path("/run/netns/x"))]
    (anywhere,) = targets(status("answering", namespace=None))
    anywhere.guard()
    assert len(guarded) == 1
    with pytest.raises(MedicarcheError, match="not an address"):
        replace(inside, url="https://www.example.org:8088").guard()
