"""The published JSON Schema is the models' own, and the environment files follow it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from medicarche.spec import json_schema, load_environment

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs" / "environment.schema.json"
#: what stands beside an environment (objectives, exceptions) has a second word in its name
ENVIRONMENTS = sorted(p for p in (ROOT / "environments").glob("*.yaml") if "." not in p.stem)


def _read(path: Path) -> Any:  # noqa: ANN401 - any YAML value
    return YAML(typ="safe", pure=True).load(path)


def test_the_published_schema_is_up_to_date() -> None:
    assert json.loads(PUBLISHED.read_text()) == json_schema(), (
        "write it again: python -m medicarche.spec > docs/environment.schema.json"
    )


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_environments_follow_the_schema_and_load(path: Path) -> None:
    jsonschema.validate(_read(path), json_schema(), jsonschema.Draft202012Validator)
    assert load_environment(path).source == path


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("nmae",), "x"),
        (("name",), "With Spaces"),
        (("flavors", "medicarche.small", "vcpus"), "2"),
        (("flavors", "medicarche.small", "vcpus"), 0),
        (("networks", "private", "subnets", "private-subnet", "cidr"), "192.168.222.0"),
        (("security_groups", "private-sg", "ingress", 0, "from"), "everybody"),
        (("applications", "website", "egress"), ["internet"]),
        (("instances", "web_site"), {}),
    ],
)
def test_an_editor_sees_what_load_refuses(keys: tuple[str | int, ...], value: object) -> None:
    content = _read(ROOT / "environments" / "medicarche.yaml")
    around = content
    for key in keys[:-1]:
        around = around[key]
    around[keys[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json_schema(), jsonschema.Draft202012Validator)


def test_every_key_says_what_it_is() -> None:
    schema = json_schema()
    for name, definition in {**schema["$defs"], "environment": schema}.items():
        assert definition["description"], name
        assert definition["additionalProperties"] is False, name
        for key, values in definition["properties"].items():
            assert values.get("description"), f"{name}.{key}"
