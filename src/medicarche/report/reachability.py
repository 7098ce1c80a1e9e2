"""The reachability matrix as a picture (SVG) and as a table: who reaches what, as declared or not. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, Literal

from medicarche.plan.matrix import deviations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medicarche.plan.matrix import Cell, Matrix
    from medicarche.plan.reach import Target

__all__ = ["COLUMNS", "Language", "matrix_svg", "matrix_table"]

Language = Literal["fr", "en"]

_CELL_WIDTH, _CELL_HEIGHT = 118, 52
_LEFT, _TOP, _LEGEND = 150, 118, 64
_PORTS_SHOWN = 4

#: what a cell is → its colour; light, so that it stays legible in black and white print
_COLOURS: Final[Mapping[str, str]] = {
    "open": "#bfe5bf",
    "filtered": "#e4e7eb",
    "refused": "#f3e6c4",
    "deviation": "#f0a3a0",
    "not tried": "#ffffff",
}
_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "fr": {
        "title": "Qui atteint quoi : {probes} essais en {seconds} s",
        "open": "ouvert, comme déclaré",
        "filtered": "rien d'ouvert : filtré",
        "refused": "rien d'ouvert : refusé en partie",
        "deviation": "écart avec la déclaration",
        "not tried": "non essayé",
        "outside": "extérieur",
        "administrators": "administrateurs",
        "keystone": "Keystone",
        "router": "routeur",
        "private": "adresse privée",
        "floating": "adresse flottante",
        "dns": "noms (DNS)",
        "metadata": "métadonnées",
        "packages": "paquets",
        "elsewhere": "ailleurs",
        "from": "depuis",
        "to": "vers",
        "more": "et {count} de plus",
    },
    "en": {
        "title": "Who reaches what: {probes} probes in {seconds} s",
        "open": "open, as declared",
        "filtered": "nothing open: filtered",
        "refused": "nothing open: partly refused",
        "deviation": "differs from the declaration",
        "not tried": "not tried",
        "outside": "outside",
        "administrators": "administrators",
        "keystone": "Keystone",
        "router": "router",
        "private": "private address",
        "floating": "floating address",
        "dns": "names (DNS)",
        "metadata": "metadata",
        "packages": "packages",
        "elsewhere": "elsewhere",
        "from": "from",
        "to": "to",
        "more": "and {count} more",
    },
}

#: vantage points and targets that have no name of their own
_NAMED: Final = ("outside", "administrators", "keystone", "metadata", "packages", "elsewhere")

#: of `matrix_table`, by language
COLUMNS: Final[Mapping[Language, tuple[str, ...]]] = {
    "fr": ("depuis", "vers", "adresse", "protocole", "ports", "déclaré", "constaté"),
    "en": ("from", "to", "address", "protocol", "ports", "declared", "found"),
}
_STATES: Final[Mapping[str, str]] = {
    "open": "ouvert",
    "refused": "refusé",
    "filtered": "filtré",
    "closed": "fermé",
    "silent": "silence",
    "unreachable": "inatteignable",
    "not tried": "non essayé",
}


def matrix_table(matrix: Matrix, language: Language = "fr") -> list[tuple[str, ...]]:
    """Return the matrix as rows of text under `COLUMNS`; runs of ports that are alike share a row."""
    state = _STATES if language == "fr" else {}
    words = {name: _WORDS[language][name] for name in _NAMED}
    return [
        (
            *(words.get(source, source), words.get(target, target), address, protocol),
            str(first) if first == last else f"{first}-{last}",
            *(state.get(word, word) for word in (declared, found)),
        )
        for source, target, address, protocol, first, last, declared, found in matrix.rows()
    ]


def matrix_svg(matrix: Matrix, language: Language = "fr") -> str:
    """Draw the matrix: a row for each vantage point, a column for each address.

    The colour says whether it is as declared, the text which ports are open; a cell that differs names the
    first difference. It is one SVG element without references to anything outside of it.
    """
    words = _WORDS[language]
    sources = list(dict.fromkeys(cell.source for cell in matrix.cells))
    targets = sorted(dict.fromkeys(cell.target for cell in matrix.cells), key=_order)
    cells = {(cell.source, cell.target): cell for cell in matrix.cells}
    width = _LEFT + _CELL_WIDTH * len(targets) + 10
    height = _TOP + _CELL_HEIGHT * len(sources) + _LEGEND
    seconds = f"{matrix.seconds:.0f}"
    probes = f"{matrix.probes:,}".replace(",", "\N{NO-BREAK SPACE}" if language == "fr" else ",")
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            ' font-family="sans-serif" font-size="11" style="max-width:100%">'
        ),
        _text(10, 20, words["title"].format(probes=probes, seconds=seconds), size=15, weight="bold"),
    ]
    parts.append(_text(10, _TOP - 12, f"{words['from']} \N{DOWNWARDS ARROW}", weight="bold"))
    parts.append(_text(_LEFT, 44, f"{words['to']} \N{RIGHTWARDS ARROW}", weight="bold"))
    for column, target in enumerate(targets):
        left = _LEFT + column * _CELL_WIDTH + 4
        parts.append(_text(left, _TOP - 44, _name_of(target, words), weight="bold"))
        parts.append(_text(left, _TOP - 29, words.get(target.kind, target.kind) if target.instance else ""))
        parts.append(_text(left, _TOP - 12, target.address))
    for row, source in enumerate(sources):
        top = _TOP + row * _CELL_HEIGHT
        named = source.name if source.kind == "instance" else words.get(source.kind, source.name)
        parts.append(_text(10, top + 22, named, weight="bold"))
        parts.append(_text(10, top + 38, source.address))
        for column, target in enumerate(targets):
            cell = cells.get((source, target))
            if cell is not None:
                parts += _drawn(cell, _LEFT + column * _CELL_WIDTH, top, words)
    parts += _legend(_TOP + _CELL_HEIGHT * len(sources) + 22, words)
    return "\n".join([*parts, "</svg>"])


def _order(target: Target) -> tuple[int, str, str]:
    kinds = ("floating", "private", "router", "dns", "metadata", "packages", "elsewhere")
    return kinds.index(target.kind), target.name, target.address


def _name_of(target: Target, words: Mapping[str, str]) -> str:
    return target.name if target.instance or target.kind == "router" else words[target.kind]


def _kind_of(cell: Cell) -> str:
    if cell.not_tried:
        return "not tried"
    if deviations(cell):
        return "deviation"
    if cell.open:
        return "open"
    return "refused" if any(states.get("refused") for states in cell.found.values()) else "filtered"


def _drawn(cell: Cell, left: int, top: int, words: Mapping[str, str]) -> list[str]:
    kind = _kind_of(cell)
    lines: Sequence[str] = ()
    if kind == "deviation":
        wrong = deviations(cell)[0]
        ports = str(wrong.first) if wrong.first == wrong.last else f"{wrong.first}-{wrong.last}"
        lines = (f"{wrong.protocol} {ports}", f"{wrong.declared} \N{NOT EQUAL TO} {wrong.found}")
    elif kind == "open":
        names = [f"{port}" if protocol == "tcp" else f"{port}/udp" for protocol, port in cell.open]
        lines = (", ".join(names[:_PORTS_SHOWN]),)
        if len(names) > _PORTS_SHOWN:
            lines = (*lines, words["more"].format(count=len(names) - _PORTS_SHOWN))
    title = f"{cell.source.name} \N{RIGHTWARDS ARROW} {cell.target.name} {cell.target.address}: {words[kind]}"
    dash = ' stroke-dasharray="3 3"' if kind == "not tried" else ""
    return [
        (
            f'<g><title>{escape(title)}</title><rect x="{left}" y="{top}" width="{_CELL_WIDTH - 2}"'
            f' height="{_CELL_HEIGHT - 2}" fill="{_COLOURS[kind]}" stroke="#8a94a0"{dash}/>'
        ),
        *(
            _text(left + 6, top + 20 + 15 * number, line, weight="bold" if not number else "normal")
            for number, line in enumerate(lines)
        ),
        "</g>",
    ]


def _legend(top: int, words: Mapping[str, str]) -> list[str]:
    parts, left = [], 10
    for kind, colour in _COLOURS.items():
        parts.append(
            f'<rect x="{left}" y="{top - 11}" width="14" height="14" fill="{colour}" stroke="#8a94a0"/>'
        )
        parts.append(_text(left + 20, top, words[kind]))
        left += 40 + 6 * len(words[kind])
    return parts


def _text(left: int, top: int, text: str, *, size: int = 11, weight: str = "normal") -> str:
    return f'<text x="{left}" y="{top}" font-size="{size}" font-weight="{weight}">{escape(text)}</text>'
