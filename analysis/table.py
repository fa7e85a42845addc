"""Lines and tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.labels import printable

COLUMN_GAP = 2
EDGES = 2
UNKNOWN = "-"


class Column(NamedTuple):
    """A heading with a cell a row."""

    heading: str
    cells: list[str]
    is_text: bool = False

    @property
    def width(self) -> int:
        """What the column needs when its heading wraps between words."""
        return max(map(cell_len, [*self.heading.split(), *self.cells]))

    @property
    def natural_width(self) -> int:
        """What it needs when the heading does not wrap."""
        return max(map(cell_len, [*self.heading.splitlines(), *self.cells]))


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line that may be copied: not wrapped, without markup."""
    console.print(Text(printable(text), style=style), soft_wrap=True, highlight=False)


def print_columns(
    fixed: Sequence[Column],
    optional: Sequence[Column],
    styles: Sequence[str],
    console: Console,
) -> list[str]:
    """Print a table with all fixed columns and each optional one that still fits.

    Returns:
        The headings of those left out.
    """
    shown, left_out = list(fixed), []
    for column in optional:
        if _table_width(c.width for c in [*shown, column]) <= console.width:
            shown.append(column)
        else:
            left_out.append(column.heading)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    is_roomy = _table_width(column.natural_width for column in shown) <= console.width
    is_narrow = _table_width(column.width for column in shown) > console.width
    for column in shown:
        # Left to itself, rich takes room from headings and figures alike.
        width = column.natural_width if is_roomy else column.width
        table.add_column(
            Text(column.heading),
            justify="left" if column.is_text else "right",
            width=None if is_narrow else width,
            overflow="fold",
        )
    for cells, style in zip(zip(*(c.cells for c in shown), strict=True), styles, strict=True):
        table.add_row(*map(Text, cells), style=style)
    console.print(table)
    return left_out


def _table_width(widths: Iterable[int]) -> int:
    return EDGES + sum(width + COLUMN_GAP for width in widths)


def fraction_column(heading: str, values: Sequence[float | None]) -> Column:
    """Return a column of fractions with four digits."""
    return Column(heading, [UNKNOWN if value is None else f"{value:.4f}" for value in values])
