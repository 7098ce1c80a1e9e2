"""Which tests are there: each names what it proves, and is about something that is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from medicarche.pytest_plugin.options import (
    DIRECTORY,
    KIND,
    PEOPLE,
    REQUIREMENT,
    environment_file,
    requirements_file,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medicarche.report import Requirement


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse acceptance tests that name no requirement, or one that isn't known.

    So are tests refused that are for applications of a kind, and ask for none.
    Tests of a kind of application of which none is declared are taken out: they have nothing to be about.
    Tests that change the environment come last: the others look at it as it was built.

    Raises:
        pytest.UsageError: naming all such tests at once.
    """
    about_nothing = [item for item in items if is_about_nothing(item)]
    if about_nothing:
        config.hook.pytest_deselected(items=about_nothing)
        items[:] = [item for item in items if item not in about_nothing]
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)
    wrong = [
        f"{item.nodeid}: is for applications of a kind and asks for none: fixture application"
        for item in items
        if item.get_closest_marker(KIND) is not None and not _asks_for_application(item)
    ]
    for item in items:
        named = (cast("str", i) for marker in item.iter_markers(REQUIREMENT) for i in marker.args)
        ids = tuple(dict.fromkeys(named))
        if not ids:
            if _is_acceptance(item):
                wrong.append(f"{item.nodeid}: names no requirement (@pytest.mark.{REQUIREMENT})")
            continue
        unknown = [i for i in ids if i not in _known(config)]
        if unknown:
            wrong.append(f"{item.nodeid}: {', '.join(unknown)}: no such requirement")
        item.user_properties += [(REQUIREMENT, i) for i in ids]
    if wrong:
        raise pytest.UsageError("\n".join(wrong))


def _known(config: pytest.Config) -> Mapping[str, Requirement]:
    from medicarche.errors import SpecificationError  # noqa: PLC0415 - only where it is needed
    from medicarche.report import load_requirements  # noqa: PLC0415 - likewise

    try:
        return load_requirements(requirements_file(config))
    except SpecificationError as error:
        raise pytest.UsageError(f"{error.message}\n→ {error.hint}") from error


def _asks_for_application(item: pytest.Item) -> bool:
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    return "application_name" in fixtures


def _is_acceptance(item: pytest.Item) -> bool:
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    return "provisioned" in fixtures or "acceptance" in item.path.parts[:-1][-3:]


def is_about_nothing(item: pytest.Item) -> bool:
    """Tell whether pytest has put a skipped stand-in where no application of the wanted kind is declared."""
    if item.get_closest_marker(KIND) is None or not _asks_for_application(item):
        return False
    given: Mapping[str, object] = getattr(getattr(item, "callspec", None), "params", {})
    return not isinstance(given.get("application_name"), str)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``instance_name`` or ``application_name`` once for each one declared."""
    wanted = {"instance_name", "application_name"} & set(metafunc.fixturenames)
    if not wanted:
        return
    from medicarche.deploy import traits  # noqa: PLC0415 - only where it is needed
    from medicarche.errors import MedicarcheError  # noqa: PLC0415 - likewise
    from medicarche.spec import load_environment  # noqa: PLC0415 - likewise

    try:
        environment = load_environment(environment_file(metafunc.config), traits=traits)
    except MedicarcheError as error:
        raise pytest.Collector.CollectError(error.message) from error
    if "instance_name" in wanted:
        metafunc.parametrize("instance_name", [i.name for i in environment.instances])
    if "application_name" in wanted:
        people = metafunc.definition.get_closest_marker(PEOPLE) is not None
        asking = metafunc.definition.get_closest_marker(DIRECTORY) is not None
        kinds = {marker.args[0] for marker in metafunc.definition.iter_markers(KIND)}
        chosen = [
            pytest.param(a.name, marks=_requirements_of(metafunc.config, a.kind), id=a.name)
            for a in environment.applications
            if (not kinds or a.kind in kinds)
            and (not people or a.traits.serves == "people")
            and (not asking or a.roles)
        ]
        metafunc.parametrize("application_name", chosen)


def _requirements_of(config: pytest.Config, kind: str) -> list[pytest.MarkDecorator]:
    """What a test of an application proves besides: the requirement of its kind, and of no other."""
    ids = [r.id for r in _known(config).values() if r.application_kind == kind]
    return [pytest.mark.requirement(*ids)] if ids else []
