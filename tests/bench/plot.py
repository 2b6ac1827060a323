"""Bars of the tables that compare contenders, and rates over time, as one picture each."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import spread
from tests.bench.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLOTS_ABREAST = 3


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


def draw_timelines(tables: Sequence[Table], path: Path) -> bool:
    """As `draw`: what was accepted and refused in each second, a plot for each row that knows."""
    drawn = [(table, name) for table in tables for name in table.timelines]
    if not drawn or importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    rows = -(-len(drawn) // _PLOTS_ABREAST)
    figure = Figure(figsize=(11, 1.9 * rows + 0.4), layout="constrained")
    figure.suptitle(
        "requests in each second: accepted (blue), refused or not answered (red)", fontsize=10
    )
    for place, (table, name) in enumerate(drawn, 1):
        axes = figure.add_subplot(rows, min(_PLOTS_ABREAST, len(drawn)), place)
        _over_time(axes, name, table.timelines[name])
    figure.savefig(path, dpi=110)
    return True


def _over_time(axes: Axes, name: str, timeline: Sequence[tuple[int, int]]) -> None:
    seconds = range(len(timeline))
    accepted = [each[0] for each in timeline]
    axes.step(seconds, accepted, where="post", color="tab:blue", linewidth=0.9)
    axes.bar(seconds, [each[1] for each in timeline], width=1.0, align="edge", color="tab:red")
    axes.set_ylim(0, max(accepted) * 1.15 + 1)
    axes.set_title(name, fontsize="small")
    axes.tick_params(labelsize="x-small")
