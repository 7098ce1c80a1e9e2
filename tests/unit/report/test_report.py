"""The acceptance report: what it says follows from what became of the tests, in both forms."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from medicarche.report import Item, Titles, html, load_requirements, write
from medicarche.report.model import (
    Check,
    Cloud,
    Exemption,
    InstanceFact,
    Part,
    Report,
    Run,
    as_data,
    cloud_from,
    results,
    schema,
)
from medicarche.report.topology import draw
from medicarche.spec import load_environment

ROOT = Path(__file__).parents[3]
ENVIRONMENT = load_environment(ROOT / "environments" / "medicarche.yaml")
ADDRESSES = {i.name: (f"192.168.222.{n}", f"10.20.20.{n}") for n, i in enumerate(ENVIRONMENT.instances, 100)}
Language = Literal["fr", "en"]
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'


def _test(name: str, outcome: Any = "passed", *ids: str, **more: Any) -> Check:  # noqa: ANN401 - as `Check` has them
    return Check(f"tests/test_x.py::{name}", name, outcome, ids, "2026-11-24T08:00:00+00:00", 1.5, **more)


def _cloud() -> Cloud:
    instances = tuple(
        InstanceFact(i.name, "an-id", i.flavor, i.image, *ADDRESSES[i.name], ("a title",), (22, 80))
        for i in ENVIRONMENT.instances
    )
    parts = (Part("Nova", "26.2.2"),)
    return Cloud("embedded-x", "embedded", "Zed", parts, instances, (), draw(ENVIRONMENT, ADDRESSES))


def _report(
    *tests: Check,
    language: Language = "fr",
    not_run: dict[str, tuple[str, ...]] | None = None,
    **more: Any,  # noqa: ANN401 - as `Report` has them
) -> Report:
    run = more.pop("run", Run("pytest tests/acceptance", "2026-11-24T08:00:00+00:00", 88.0, 2, "0.1.0"))
    texts = {r.id: r.text(language) for r in load_requirements().values()}
    return Report(
        language=language,
        organization="Medicarche & <fils>",
        environment="medicarche",
        environment_file=Part("medicarche.yaml", "abc"),
        run=run,
        complete=run.complete,
        cloud=more.pop("cloud", None),
        requirements=results(texts, tests, not_run or {}, frozenset({"APP-2"})),
        tests=tests,
        **more,
    )


TABLE = Item("table", "ports", columns=("a",), rows=(("22",),))
FULL = _report(
    _test("test_good[a]", "passed", "CLOUD-7", "APP-4", measured=(Part("seconds", "1.2"),)),
    _test("test_good[b]", "passed", "CLOUD-7", evidence=(TABLE,)),
    _test(
        "test_bad",
        "failed",
        "CLOUD-8",
        message="AssertionError: <b>root</b> gets in",
        details="E   assert <b>",
        evidence=(Item("svg", "matrix", PICTURE), Item("command", "ssh", "ok", "ssh root@x")),
        diagnostics=(Item("text", "website: journal", "sshd[1]: accepted"),),
    ),
    _test("test_left", "skipped", "CLOUD-3", message="nobody outside to see it"),
    cloud=_cloud(),
    exemptions=(Exemption("bp-028/R5", ("all",), "Conteneur.", "Exploitation", "2027-06-30"),),
    undeployed=("nextcloud",),
)


def _row(page: str, requirement: str) -> str:
    found = re.search(rf'<tr><td class="id"><a href="#{requirement}">.*?</tr>', page, re.DOTALL)
    assert found
    return found[0]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", ("prouvée", "en échec", "non prouvée", "non déployée", "non prouvée")),
        ("en", ("proved", "failed", "not proved", "not deployed", "not proved")),
    ],
)
def test_each_requirement_has_its_verdict(language: Language, words: tuple[str, ...]) -> None:
    page = html(_report(*FULL.tests, language=language))
    assert f'<html lang="{language}">' in page
    asked = ("CLOUD-7", "CLOUD-8", "CLOUD-3", "APP-2", "LOAD-1")
    for requirement, word in zip(asked, words, strict=True):
        badge = re.search(r'class="badge [a-z-]+">([^<]*)<', _row(page, requirement))
        assert badge
        assert badge[1] == word
    for requirement in load_requirements():
        assert f'id="{requirement}"' in page


def test_a_skipped_test_is_nowhere_shown_as_passed() -> None:
    page = html(_report(_test("test_left", "skipped", "CLOUD-3", message="nobody to see it")))
    assert "0 / 1" in _row(page, "CLOUD-3")
    assert 'class="badge passed"' not in page
    assert 'class="badge proved"' not in page
    assert "nobody to see it" in page


def test_the_overall_verdict() -> None:
    everything = tuple(_test(f"test_{n}", "passed", i) for n, i in enumerate(load_requirements()))
    texts = dict.fromkeys(load_requirements(), "")
    full = _report()
    accepted = Report(
        **{
            **{key: getattr(full, key) for key in full.__slots__},
            "requirements": results(texts, everything, {}, frozenset()),
            "tests": everything,
        }
    )
    assert accepted.overall == "accepted"
    assert FULL.overall == "failed"
    assert _report(_test("test_good", "passed", "CLOUD-1")).overall == "incomplete"
    # a whole list of proofs of a partial run isn't enough
    assert (
        Report(**{**{k: getattr(accepted, k) for k in full.__slots__}, "complete": False}).overall
        == "incomplete"
    )


@pytest.mark.parametrize(
    "partly", [{"not_run": ("tests/test_x.py::test_y",)}, {"interrupted": True}, {"narrowed": True}]
)
def test_a_partial_run_says_so_on_top(partly: dict[str, Any]) -> None:
    run = Run("pytest -k x", "2026-11-24T08:00:00+00:00", 1.0, 1, "0.1.0", **partly)
    page = html(_report(_test("test_good", "passed", "CLOUD-1"), run=run))
    assert "Exécution partielle" in page[: page.index("Synthèse par exigence")]
    assert "Exécution partielle" not in html(FULL)


def test_the_life_cycle_runs_apart_and_is_named() -> None:
    run = Run("pytest", "2026-11-24T08:00:00+00:00", 1.0, 1, "0.1.0", lifecycle_not_run=44)
    assert run.complete
    assert "44 contrôle(s) du cycle de vie" in html(_report(run=run))


def test_a_requirement_of_which_a_test_was_left_out_isnt_proved() -> None:
    report = _report(_test("test_good", "passed", "CLOUD-1"), not_run={"tests/x.py::test_y": ("CLOUD-1",)})
    row = _row(html(report), "CLOUD-1")
    assert "1 non exécuté(s)" in row
    assert "non prouvée" in row


def test_the_page_stands_alone_and_nothing_in_it_is_run() -> None:
    page = html(FULL)
    assert "<script" not in page
    addresses = re.findall(r"""(?:src|href)=["']?([^"'> ]+)""", page)
    assert addresses
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    assert "url(" not in page
    assert "Medicarche &amp; &lt;fils&gt;" in page
    assert "&lt;b&gt;root&lt;/b&gt; gets in" in page
    pictures = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)
    assert len(pictures) == 2
    assert base64.b64decode(pictures[1]).decode() == PICTURE


def test_evidence_and_what_explains_a_failure_are_shown() -> None:
    page = html(FULL)
    for text in (
        "$ ssh root@x",
        "website: journal",
        "sshd[1]: accepted",
        "E   assert &lt;b&gt;",
        "seconds = 1.2",
    ):
        assert text in page
    assert "2 / 2" in page  # tests of one function stand in one line
    for place in ("Nom", "Fonction", "Date", "Signature", "Réserves"):
        assert place in page
    assert "bp-028/R5" in page
    assert "nextcloud" in page
    assert "@media print" in page


def test_the_json_form_follows_the_published_schema() -> None:
    published = json.loads((ROOT / "docs" / "acceptance-report.schema.json").read_text(encoding="utf-8"))
    assert published == schema(), "python -m medicarche.report > docs/acceptance-report.schema.json"
    for report in (FULL, _report()):
        data = json.loads(report.as_json())
        jsonschema.validate(data, published)
        assert [r["id"] for r in data["requirements"]] == list(load_requirements())
    wrong = {**json.loads(FULL.as_json()), "language": "de"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, published)


def test_both_forms_are_written(tmp_path: Path) -> None:
    page = write(FULL, tmp_path / "new" / "folder")
    assert page.read_text(encoding="utf-8") == html(FULL)
    assert json.loads(page.with_name("report.json").read_text(encoding="utf-8"))["version"] == 1


def test_a_clouds_facts_travel_between_processes() -> None:
    assert cloud_from(json.loads(json.dumps(as_data(_cloud())))) == _cloud()


def test_the_topology_shows_all_that_is_declared() -> None:
    root = ET.fromstring(draw(ENVIRONMENT, ADDRESSES))  # noqa: S314 - drawn here
    words = " ".join(root.itertext())
    for network in ENVIRONMENT.networks:
        assert network.name in words
        assert all(subnet.cidr in words for subnet in network.subnets)
    for router in ENVIRONMENT.routers:
        assert str(router.external_address) in words
    for instance in ENVIRONMENT.instances:
        assert instance.name in words
        assert " ↔ ".join(ADDRESSES[instance.name]) in words
        assert set(instance.security_groups) <= set(words.split())
    for application in ENVIRONMENT.applications:
        assert f"port {application.port}" in words


def test_titles_come_from_the_file_beside_the_tests_or_from_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "titles.yaml").write_text("test_a: {fr: La première}\n", encoding="utf-8")
    (tmp_path / "titles.yaml").write_text(
        "test_a: {fr: Une autre}\ntest_b: {fr: La deuxième}\n", encoding="utf-8"
    )
    (folder / "below").mkdir()
    french, english = Titles(tmp_path, "fr"), Titles(tmp_path, "en")
    assert french.of("tests/test_x.py::test_a[website-root]") == "La première [website-root]"
    assert french.of("tests/below/test_x.py::test_a") == "La première"
    assert french.of("tests/below/test_x.py::test_b") == "La deuxième"
    assert french.of("elsewhere/test_x.py::test_c") == "C"
    assert english.of("tests/test_x.py::test_a") == "A"
    assert french.of("tests/test_x.py::test_root_isnt_let_in") == "Root isn't let in"
    assert english.of("tests/test_x.py::test_it_cant_be_reached") == "It can't be reached"


def test_every_check_of_the_plan_has_its_french_sentence() -> None:
    french, english = Titles(ROOT, "fr"), Titles(ROOT, "en")
    found = [
        f"{file.relative_to(ROOT)}::{name}"
        for folder in ("acceptance", "mutations")
        for file in sorted((ROOT / "tests" / folder).rglob("test_*.py"))
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(found) > 100
    assert [check for check in found if french.of(check) == english.of(check)] == []
