"""Bars of the tables that compare contenders, as one SVG."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from bench.figures import spread
from bench.table import Table


def draw(tables: Sequence[Table], path: Path) -> bool:
    """Whether there was anything to draw, and something to draw it with."""
    drawn = [table for table in tables if table.plotted]
    if not drawn or importlib.util.find_spec("matplotlib") is None:
        return False
    # Here, so that the parent of what is measured stays small.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2 * len(drawn)), layout="constrained")
    for place, table in enumerate(drawn, 1):
        axes = figure.add_subplot(len(drawn), 1, place)
        rows = [row for row in reversed(table.rows) if row.is_measured]
        spreads = [spread(row.figures[table.plotted]) for row in rows]
        middles = [each.median for each in spreads]
        reach = [
            [each.median - each.low for each in spreads],
            [each.high - each.median for each in spreads],
        ]
        own = ["tab:blue" if row.name.startswith("complete-sessions") else "0.7" for row in rows]
        axes.barh([row.name for row in rows], middles, xerr=reach, color=own)
        column = table.column(table.plotted)
        axes.set_xlabel(f"{column.title}: median, lowest and highest round")
        axes.set_title(table.title, fontsize="medium")
        if max(middles) > 50 * max(min(middles), 1e-9):
            axes.set_xscale("log")
    figure.savefig(path, format="svg")
    return True
