"""All runs together: how long requests took, and what became of each night."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worker.core.tally import Histogram
from worker.core.text import duration
from worker.report.canvas import (
    LOOKS,
    Canvas,
    draw,
    put_heading,
    set_count_ticks,
    set_duration_ticks,
)
from worker.report.model import RunSummary
from worker.report.svg import ACCENT, INK, PAPER
from worker.report.timeline import parse_time

MAX_RUNS_IN_HISTORY: Final = 30
_FEWEST_REQUESTS = 3
_FEWEST_PLACES = 6
_FEW_RUNS = 8


def draw_latency(latency_ms: Histogram, salt: str) -> str | None:
    """How the requests' times are distributed; None where there are too few."""
    if latency_ms.total < _FEWEST_REQUESTS:
        return None
    return draw(salt, lambda canvas: _latency_figure(latency_ms, canvas))


def draw_history(runs: Sequence[RunSummary], salt: str) -> str:
    """One bar for each run, the newest on the right."""
    return draw(salt, lambda canvas: _history_figure(runs, canvas))


def _latency_figure(latency_ms: Histogram, canvas: Canvas) -> Figure:
    edges = _latency_edges(latency_ms)
    up_to = [latency_ms.at_most(edge) for edge in edges]
    figure = Figure(figsize=(canvas.width, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.stairs(
        [upper - lower for lower, upper in pairwise(up_to)],
        edges,
        fill=True,
        facecolor=ACCENT,
        linewidth=0,
    )
    axes.set_xscale("log")
    axes.set_title("Lines by the time of their last request", pad=20)
    axes.set_xlim(edges[0], edges[-1])
    set_duration_ticks(axes.xaxis, edges[0], edges[-1])
    set_count_ticks(axes)
    axes.grid(axis="y")
    _mark_percentiles(axes, latency_ms)
    return figure


def _latency_edges(latency_ms: Histogram) -> list[float]:
    """Four bars to a doubling, from the fastest to the slowest."""
    fastest, slowest = latency_ms.percentile(0), latency_ms.percentile(100)
    assert fastest is not None
    assert slowest is not None
    first = math.floor(math.log2(fastest) * 4) - 1
    last = math.ceil(math.log2(slowest) * 4) + 1
    return [2 ** (step / 4) for step in range(first, last + 1)]


def _mark_percentiles(axes: Axes, latency_ms: Histogram) -> None:
    for percent, style, align in ((50, "-", "right"), (99, ":", "left")):
        value = latency_ms.percentile(percent)
        assert value is not None
        axes.axvline(value, color=INK, linewidth=1, linestyle=style)
        axes.annotate(
            f" p{percent} {duration(value / 1000)} ",
            (value, 1.02),
            xycoords=("data", "axes fraction"),
            ha=align,
            color=INK,
            fontsize=9,
        )


def _history_figure(runs: Sequence[RunSummary], canvas: Canvas) -> Figure:
    shown = runs[-MAX_RUNS_IN_HISTORY:]
    figure = Figure(figsize=(canvas.width, 3.2), layout="constrained")
    axes = figure.subplots()
    base = [0] * len(shown)
    for outcome, label, colour, hatch in LOOKS:
        heights = [getattr(run.lines, outcome.value) for run in shown]
        axes.bar(
            range(len(shown)),
            heights,
            0.7,
            base,
            facecolor=colour,
            hatch=hatch or None,
            edgecolor=PAPER,
            linewidth=0,
            label=label,
        )
        base = [lower + height for lower, height in zip(base, heights, strict=True)]
    if canvas.is_wide or len(shown) <= _FEW_RUNS:
        _name_failures(axes, shown)
    _name_nights(axes, shown, canvas)
    axes.set_ylim(0, max(base) * 1.3)
    axes.set_xlim(-0.6, max(len(shown), _FEWEST_PLACES) - 0.4)
    axes.grid(axis="y")
    put_heading(axes, "Outcomes recorded by each run", canvas)
    set_count_ticks(axes)
    return figure


def _name_failures(axes: Axes, runs: Sequence[RunSummary]) -> None:
    text = "{:,}" if len(runs) > _FEW_RUNS else "{:,} failed"
    for place, run in enumerate(runs):
        if run.lines.failed:
            axes.annotate(
                text.format(run.lines.failed),
                (place, run.lines.total),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                color=INK,
                fontsize=9,
            )


def _name_nights(axes: Axes, runs: Sequence[RunSummary], canvas: Canvas) -> None:
    every = math.ceil(len(runs) / canvas.ticks)
    places = range(len(runs) - 1, -1, -every)
    axes.set_xticks(places, [_night(runs[place].began) for place in places])


def _night(began: str | None) -> str:
    moment = parse_time(began or "")
    return "?" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%b %d\n%H:%M}"
