"""Which cloud is meant, and what the environment can do on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medicarche.options import Options
from medicarche.target import select

if TYPE_CHECKING:
    import pytest

COMPANY = Path(__file__).parents[2] / "environments" / "medicarche.yaml"


def test_only_the_embedded_cloud_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the word is without effect on all that follows from the file; whose it was is known."""
    monkeypatch.delenv("OS_CLOUD", raising=False)
    here = select(Options(environment_file=COMPANY))
    looking = [a.name for a in here.environment.applications if "cloud" in a.egress]
    assert (looking, here.blind) == (["supervision"], ())
    elsewhere = select(Options(environment_file=COMPANY, cloud="some"))
    assert not [a.name for a in elsewhere.environment.applications if "cloud" in a.egress]
    assert elsewhere.blind == ("supervision",)
    rest = {a.name: set(a.egress) - {"cloud"} for a in here.environment.applications}
    assert {a.name: set(a.egress) for a in elsewhere.environment.applications} == rest
