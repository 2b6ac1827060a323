"""Bars of the tables that compare contenders, as one SVG."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import spread
from tests.bench.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(tables: Sequence[Table], path: Path) -> bool:
    """Whether there was anything to draw, and something to draw it with."""
    drawn = [
        table for table in tables if table.plotted and any(row.is_measured for row in table.rows)
    ]
    if not drawn or importlib.util.find_spec("matplotlib") is None:
        return False
    # Here, so that the parent of what is measured stays small.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2 * len(drawn)), layout="constrained")
    for place, table in enumerate(drawn, 1):
        _bars(figure.add_subplot(len(drawn), 1, place), table)
    figure.savefig(path, format="svg")
    return True


def _bars(axes: Axes, table: Table) -> None:
    rows = [row for row in reversed(table.rows) if row.is_measured]
    spreads = [spread(row.figures[table.plotted]) for row in rows]
    reach = [
        [each.median - each.low for each in spreads],
        [each.high - each.median for each in spreads],
    ]
    own = ["tab:blue" if row.name.startswith("complete-sessions") else "0.7" for row in rows]
    axes.barh([row.name for row in rows], [each.median for each in spreads], xerr=reach, color=own)
    axes.set_xlabel(f"{table.column(table.plotted).title}: median, lowest and highest round")
    axes.set_title(table.title, fontsize="medium")
    if table.is_logarithmic:
        axes.set_xscale("log")
