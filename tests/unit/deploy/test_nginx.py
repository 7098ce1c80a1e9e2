"""nginx' own configuration: one place for what is below HTTP, whoever brings it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medicarche.deploy.operations import File

pytest.importorskip("pyinfra")
INSTANCE = {
    "package_proxy": None,
    "ssh_accounts": None,
    "certificate": "certificate\n",
    "private_key": "key\n",
    "host_names": ["host.medicarche.internal"],
}


def _main(*, streams: bool) -> str:
    from medicarche.deploy import base  # noqa: PLC0415 - it imports pyinfra

    people = [{"name": "site", "port": 8088, "https_at": "8088"}]
    found: Sequence[File] = base._configuration(INSTANCE, people, streams=streams)
    return next(file.content for file in found if file.path == "/etc/nginx/nginx.conf")


def test_streams_of_several_applications_share_one_block() -> None:
    main = _main(streams=True)
    assert main.count("stream {") == 1
    assert main.count("load_module") == 1
    # the module is installed with the first application that brings a stream, and only then
    without = _main(streams=False)
    assert "stream {" not in without
    assert "load_module" not in without


def test_no_application_brings_a_block_or_a_module_of_its_own() -> None:
    from medicarche.deploy import base  # noqa: PLC0415 - it imports pyinfra

    found = sorted((base._TEMPLATES.parent / "applications").glob("*/templates/stream.conf.j2"))
    assert len(found) >= 2
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert "stream {" not in text, path
        assert "load_module" not in text, path
