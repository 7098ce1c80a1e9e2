"""CLOUD-3, CLOUD-7: who reaches what: every port of every address, from every vantage point, both ways."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from medicarche.plan.matrix import Matrix, deviations, received_undeclared
from medicarche.report.reachability import COLUMNS, matrix_svg, matrix_table
from medicarche.testing.reachability import ALL_PORTS, NOT_OURS, gather_once, lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from medicarche.converge import InstanceState
    from medicarche.report import Evidence
    from medicarche.testing.built import Built
    from medicarche.testing.reachability import Layout

# alone: a rule that another test tries for a moment would be found
pytestmark = [pytest.mark.requirement("CLOUD-3", "CLOUD-7"), pytest.mark.alone]


@pytest.fixture
def layout(provisioned: Built, instances: tuple[InstanceState, ...]) -> Layout:
    """What is probed from where, and what must be found."""
    return lay_out(provisioned, instances)


@pytest.fixture
def matrix(
    provisioned: Built, layout: Layout, run_folder: Path, tcp_ports: Sequence[tuple[int, int]]
) -> Matrix:
    """What was found; probed once for the whole run."""
    return gather_once(provisioned, layout, tcp_ports, run_folder)


@pytest.mark.parametrize("kind", ["outside", "administrators", "router", "keystone", "instance"])
def test_what_is_reached_is_what_is_declared(kind: str, matrix: Matrix, evidence: Evidence) -> None:
    cells = [cell for cell in matrix.cells if cell.source.kind == kind]
    part = replace(matrix, cells=tuple(cells))
    evidence.svg(f"Qui atteint quoi, depuis : {kind}", matrix_svg(part))
    evidence.table("Accès déclarés et constatés", COLUMNS["fr"], matrix_table(part))
    assert [str(d) for cell in cells for d in deviations(cell)] == []
    untried = sorted({cell.not_tried for cell in cells if cell.not_tried})
    assert [why for why in untried if why != NOT_OURS] == []
    if untried:
        pytest.skip(f"not tried: {NOT_OURS}")
    # where the cloud's Keystone asks no directory, nothing is opened to it
    assert cells or kind == "keystone"


def test_nothing_arrives_in_an_instance_that_no_rule_lets_in(
    layout: Layout, matrix: Matrix, evidence: Evidence
) -> None:
    rows = [(instance, *row) for instance, received in matrix.received.items() for row in received]
    evidence.table("Ce qui est arrivé dans chaque instance", ("instance", "de", "protocole", "port"), rows)
    assert list(received_undeclared(layout.policy, matrix)) == []
    # what is declared did arrive: the instances watched
    for instance in layout.instances:
        assert matrix.received.get(instance.name), f"{instance.name} watched nothing"


def test_every_port_was_probed_and_no_answer_lost(
    matrix: Matrix, tcp_ports: Sequence[tuple[int, int]], evidence: Evidence
) -> None:
    evidence.svg("Qui atteint quoi", matrix_svg(matrix))
    evidence.text(
        "Sondage", f"{matrix.probes} essais, {matrix.seconds:.1f} s, {matrix.lost} réponses perdues"
    )
    assert matrix.lost == 0
    tried = [cell for cell in matrix.cells if not cell.not_tried]
    assert tried
    if tuple(tcp_ports) != ALL_PORTS:
        pytest.skip("only some ports were asked for (--tcp-ports)")
    for cell in tried:
        assert cell.probes >= 65_535, f"{cell.source.name} to {cell.target.name} {cell.target.address}"
