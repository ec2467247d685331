"""Tables as Go's text/tabwriter lays them out for Docker: columns at least 10 wide, 3 spaces between them."""

from __future__ import annotations

from engine.cli.output import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Sequence

_MIN_WIDTH = 10
_PADDING = 3


def layout(rows: Iterable[Sequence[str]], min_width: int = _MIN_WIDTH, padding: int = _PADDING) -> str:
    """The rows as lines; cells are made printable, the last one of a row is not padded."""
    cells = [[printable(cell) for cell in row] for row in rows]
    columns = max(map(len, cells), default=0)
    widths = [
        max(min_width, max(len(row[at]) for row in cells if len(row) > at + 1) + padding) if at + 1 < columns else 0
        for at in range(columns)
    ]
    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row[:-1], widths)]
        lines.append("".join([*padded, row[-1]]) + "\n")
    return "".join(lines)
