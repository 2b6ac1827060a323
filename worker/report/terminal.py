"""A report as text: tables in colour for a terminal, aligned columns for a pipe."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Literal

from worker.report.model import Report
from worker.report.table import Block, TextTable, blocks

if TYPE_CHECKING:
    from rich.table import Table as RichTable


def render_plain(report: Report) -> str:
    """For a pipe or a file: no colour, nothing wrapped, columns at least two blanks apart."""
    return "\n\n".join(_plain(block) for block in blocks(report)) + "\n"


def _plain(block: Block) -> str:
    if isinstance(block, str):
        return block
    cells = [[column.title for column in block.columns], *block.rows]
    widths = _widths(block)
    lines = [block.title]
    for row in cells:
        aligned = [
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for cell, width, column in zip(row, widths, block.columns, strict=True)
        ]
        lines.append("  " + "  ".join(aligned).rstrip())
    return "\n".join(lines)


def _widths(table: TextTable) -> list[int]:
    cells = [[column.title for column in table.columns], *table.rows]
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _fit(table: TextTable, width: int) -> TextTable:
    """The table without its last optional columns, as many as must go for it to fit."""
    optional = [n for n, column in enumerate(table.columns) if column.is_optional]
    if not optional or sum(_widths(table)) + 2 * len(table.columns) <= width:
        return table
    leaves = optional[-1]
    columns = [column for n, column in enumerate(table.columns) if n != leaves]
    rows = [[cell for n, cell in enumerate(row) if n != leaves] for row in table.rows]
    return _fit(TextTable(table.title, columns, rows), width)


def render_colour(report: Report, width: int) -> str:
    """For a terminal of `width` columns, with its escapes."""
    # Only where a terminal is there, is rich's price paid.
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    out = StringIO()
    console = Console(file=out, width=width, force_terminal=True, highlight=False, emoji=False)
    for block in blocks(report):
        console.print(Text(block) if isinstance(block, str) else _rich_table(_fit(block, width)))
        console.print()
    return out.getvalue()


def _rich_table(table: TextTable) -> RichTable:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    made = RichTable(
        title=Text(table.title), box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0)
    )
    for column in table.columns:
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        made.add_column(Text(column.title), justify=justify, style=column.style, overflow="fold")
    for row in table.rows:
        made.add_row(*map(Text, row))
    return made
