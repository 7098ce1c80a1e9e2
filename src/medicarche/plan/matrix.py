"""The reachability matrix: what was found from each vantage point, beside what was declared. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from medicarche.plan.reach import PORTS, Expected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from medicarche.plan.reach import Policy, Span, Target, VantagePoint

__all__ = ["Cell", "Deviation", "Matrix", "deviations", "received_undeclared"]

_SILENT = "silent"
_ACCEPTED: Mapping[Expected, frozenset[str]] = {
    Expected.OPEN: frozenset({"open"}),
    Expected.REFUSED: frozenset({"refused"}),
    Expected.FILTERED: frozenset({_SILENT}),
    Expected.CLOSED: frozenset({"refused", "unreachable", _SILENT}),
}


@dataclass(frozen=True, slots=True)
class Deviation:
    """Ports at which declaration and evidence disagree."""

    source: str
    target: str
    address: str
    protocol: str
    first: int
    last: int
    declared: str
    found: str

    def __str__(self) -> str:
        ports = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return (
            f"from {self.source} to {self.target} ({self.address}), {self.protocol} {ports}:"
            f" declared {self.declared}, found {self.found}"
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """What was found from one vantage point at one address.

    Attributes:
        source: from where.
        target: what.
        expected: all TCP ports and the UDP ports that were probed.
        found: protocol → state → first and last port of each run of ports that answered so; ports that
            aren't in it kept silent.
        probes: packets sent.
        not_tried: why nothing was probed; empty where it was.
    """

    source: VantagePoint
    target: Target
    expected: tuple[Span, ...]
    found: Mapping[str, Mapping[str, Sequence[Sequence[int]]]] = field(default_factory=dict)
    probes: int = 0
    not_tried: str = ""

    @property
    def open(self) -> tuple[tuple[str, int], ...]:
        """What answered: protocol and port."""
        return tuple(
            (protocol, port)
            for protocol, states in sorted(self.found.items())
            for first, last in states.get("open", ())
            for port in range(first, last + 1)
        )


@dataclass(frozen=True, slots=True)
class Matrix:
    """All cells, and what it took to find them.

    Attributes:
        cells: row by row.
        received: instance → source address, protocol and port of what really arrived in it.
        seconds: from the first probe to the last answer.
        lost: answers that the probing machines had no room for; a matrix is only evidence where it is 0.
    """

    cells: tuple[Cell, ...]
    received: Mapping[str, tuple[tuple[str, str, int], ...]]
    seconds: float
    lost: int = 0

    @property
    def probes(self) -> int:
        """Packets sent in all."""
        return sum(cell.probes for cell in self.cells)

    def rows(self) -> Iterator[tuple[str, str, str, str, int, int, str, str]]:
        """Yield what is declared and found as a table.

        A row is: vantage point, target, address, protocol, first and last port, declared, found.
        """
        for cell in self.cells:
            for span in cell.expected:
                for first, last, state in _runs(cell, span):
                    found = "not tried" if cell.not_tried else state
                    yield (
                        *(cell.source.name, cell.target.name, cell.target.address),
                        *(span.protocol, first, last, str(span.expected), found),
                    )


def deviations(cell: Cell) -> tuple[Deviation, ...]:
    """Compare one cell both ways: what is open undeclared, what is declared and isn't, and all between."""
    if cell.not_tried:
        return ()
    return tuple(
        Deviation(
            *(cell.source.name, cell.target.name, cell.target.address, span.protocol),
            *(first, last, str(span.expected), state),
        )
        for span in cell.expected
        for first, last, state in _runs(cell, span)
        if state not in _accepted(span, cell)
    )


def _accepted(span: Span, cell: Cell) -> frozenset[str]:
    if span.protocol == "udp" and span.expected is not Expected.FILTERED and cell.target.instance is not None:
        # a server need not answer what it can't read, and refusals are rationed: the receipt counts
        return _ACCEPTED[span.expected] | {_SILENT}
    return _ACCEPTED[span.expected]


def received_undeclared(policy: Policy, matrix: Matrix) -> tuple[str, ...]:
    """Return what arrived in an instance and may not, whatever the sender saw of it."""
    return tuple(
        f"{instance} received {protocol} {port} from {source}, which no rule lets in"
        for instance, received in sorted(matrix.received.items())
        for source, protocol, port in received
        if not policy.enters(instance, "tcp" if protocol == "tcp" else "udp", port, source)
    )


def _runs(cell: Cell, span: Span) -> Iterator[tuple[int, int, str]]:
    """Cut a span into runs of ports that were found in one state."""
    runs: list[tuple[int, int, str]] = []
    for state, ranges in cell.found.get(span.protocol, {}).items():
        for low, high in ranges:
            first, last = max(low, span.first), min(high, span.last)
            if first <= last:
                runs.append((first, last, state))
    position = span.first
    for first, last, state in sorted(runs):
        if first > position:
            yield position, first - 1, _SILENT
        yield first, last, state
        position = last + 1
    if position <= span.last and position in PORTS:
        yield position, span.last, _SILENT
