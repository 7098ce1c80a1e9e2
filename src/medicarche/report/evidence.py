"""What a test shows of what it saw: texts, tables, pictures, commands with their output. Pure."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Evidence", "Item", "shorten"]

#: characters of one text, rows of one table: a report must stay readable, and small enough to be sent
LONGEST = 20_000
MOST_ROWS = 1_000
#: characters of one picture; it can't be shortened
LARGEST_PICTURE = 2_000_000

Kind = Literal["text", "table", "svg", "command"]


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of evidence.

    Attributes:
        kind: ``text``, ``table``, ``svg`` or ``command``.
        title: what it shows; one line.
        text: the text, the picture, or the command's output.
        command: as it was typed (``command``).
        columns: of the table.
        rows: of the table, each as long as ``columns``.
    """

    kind: Kind
    title: str
    text: str = ""
    command: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data, which a process can hand to another one (JSON, execnet)."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Item:
        """Undo `as_data`."""
        return cls(
            **{
                **data,
                "columns": tuple(data["columns"]),
                "rows": tuple(tuple(row) for row in data["rows"]),
            }
        )


class Evidence:
    """What the fixture ``evidence`` gives to a test.

    What is attached appears in the acceptance report under the requirements that the test names, however the
    test ends. Generated secrets are masked before it leaves the test's process.

    Args:
        attach: takes each item.
    """

    def __init__(self, attach: Callable[[Item], None]) -> None:
        self._attach = attach

    def text(self, title: str, text: str) -> None:
        """Attach a text; of a long one the end is kept."""
        self._attach(Item("text", title, shorten(text)))

    def table(self, title: str, columns: Iterable[object], rows: Iterable[Iterable[object]]) -> None:
        """Attach a table. Columns and cells are shown as ``str`` makes them; a long table is cut.

        Raises:
            ValueError: a row isn't as long as the columns.
        """
        heads = tuple(str(column) for column in columns)
        cells = [tuple(str(cell) for cell in row) for row in rows]
        for row in cells:
            if len(row) != len(heads):
                raise ValueError(f"{title}: a row of {len(row)} cells under {len(heads)} columns: {row}")
        left_out = len(cells) - MOST_ROWS
        if left_out > 0:
            note = f"[... {left_out} rows left out]"
            cells = [*cells[:MOST_ROWS], (note, *("" for _ in heads[1:]))]
        self._attach(Item("table", title, columns=heads, rows=tuple(cells)))

    def svg(self, title: str, svg: str) -> None:
        """Attach a picture: a whole SVG document, with its size or view box, and nothing loaded from afar.

        Raises:
            ValueError: it isn't one, or is larger than 2 million characters.
        """
        if len(svg) > LARGEST_PICTURE:
            raise ValueError(f"{title}: a picture of {len(svg)} characters; at most {LARGEST_PICTURE}")
        try:
            root = ET.fromstring(svg)  # noqa: S314 - what a test of ours has drawn itself
        except ET.ParseError as error:
            raise ValueError(f"{title}: not SVG: {error}") from error
        if root.tag != "{http://www.w3.org/2000/svg}svg":
            raise ValueError(f"{title}: not SVG: {html.escape(root.tag)}; is xmlns there?")
        self._attach(Item("svg", title, svg))

    def command(self, title: str, command: str, output: str) -> None:
        """Attach a command as it was typed, and what it answered."""
        self._attach(Item("command", title, shorten(output), command=command))


def shorten(text: str, longest: int = LONGEST) -> str:
    """Keep the end of a text, which is where a journal says what happened."""
    if len(text) <= longest:
        return text
    return f"[... {len(text) - longest} characters left out]\n{text[-longest:]}"
