"""A run over time: outcomes, requests and latency, and where nothing was recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worker.core.durations import DAY_S
from worker.core.text import duration, rate
from worker.report.canvas import (
    LOOKS,
    Canvas,
    draw,
    put_heading,
    set_count_ticks,
    set_duration_ticks,
)
from worker.report.state import States
from worker.report.svg import ACCENT, INK, MUTED, PAPER
from worker.report.timeline import Bin, RunTrace, format_time

_STEPS_S: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800),
    *(3_600 * hours for hours in (1, 2, 3, 6, 12)),
    *(DAY_S * days for days in (1, 2, 5, 10, 30, 100, 365, 1_000, 10_000, 100_000, 1_000_000)),
)
_HEADROOM = 1.15
_FEWEST_BINS = 3


def draw_run(run: RunTrace, states: States, allowed_per_s: float | None, salt: str) -> str | None:
    """Outcomes, requests and latency over time with the pauses; None for too short a run."""
    if len(run.bins) < _FEWEST_BINS:
        return None
    return draw(salt, lambda canvas: _run_figure(run, states, allowed_per_s, canvas))


class _Series(NamedTuple):
    """A run's bins without holes, each `width_s` long; `edges` are in seconds since the epoch, one
    more than bins."""

    width_s: int
    bins: Sequence[Bin]
    edges: Sequence[int]


def _series(run: RunTrace, at_most: int) -> _Series:
    width_s, bins = run.binned(at_most)
    first, last = min(bins), max(bins)
    return _Series(
        width_s,
        [bins.get(index) or Bin() for index in range(first, last + 1)],
        [index * width_s for index in range(first, last + 2)],
    )


def _run_figure(
    run: RunTrace, states: States, allowed_per_s: float | None, canvas: Canvas
) -> Figure:
    series = _series(run, canvas.bins)
    figure = Figure(figsize=(canvas.width, 6.4), layout="constrained")
    outcomes, requests, latency = figure.subplots(3, 1, sharex=True, height_ratios=(5, 4, 4))
    _plot_outcomes(outcomes, series, states)
    put_heading(outcomes, f"Outcomes recorded in each {duration(series.width_s)}", canvas)
    _plot_requests(requests, series, _reference(run, allowed_per_s))
    put_heading(requests, "Requests a second", canvas)
    _plot_latency(latency, series)
    put_heading(latency, "Time of the last request", canvas)
    for axes in (outcomes, requests, latency):
        axes.grid(axis="y")
        _mark_pauses(axes, run)
    _name_pauses(outcomes, run, (series.edges[-1] - series.edges[0]) * canvas.label_share)
    _set_time_axis(latency, series.edges, canvas)
    return figure


def _plot_outcomes(axes: Axes, series: _Series, states: States) -> None:
    counts = [states.count_by(part.states, lambda state: state.outcome) for part in series.bins]
    base = [0] * len(counts)
    for outcome, label, colour, hatch in LOOKS:
        top = [lower + counted[outcome] for lower, counted in zip(base, counts, strict=True)]
        if top != base:
            axes.stairs(
                top,
                series.edges,
                baseline=base,
                fill=True,
                facecolor=colour,
                hatch=hatch or None,
                edgecolor=PAPER,
                linewidth=0,
                label=label,
            )
        base = top
    axes.set_ylim(0, max(base) * _HEADROOM)
    set_count_ticks(axes)


def _reference(run: RunTrace, allowed_per_s: float | None) -> tuple[str, float] | None:
    """What the rate is to be compared with. A log does not hold the rate that was allowed."""
    if allowed_per_s is not None:
        return f"allowed: {rate(allowed_per_s)}", allowed_per_s
    best_per_s = run.best_minute_per_s()
    return (f"best minute: {rate(best_per_s)}", best_per_s) if best_per_s else None


def _plot_requests(axes: Axes, series: _Series, reference: tuple[str, float] | None) -> None:
    per_s = [part.requests / series.width_s for part in series.bins]
    axes.stairs(per_s, series.edges, color=ACCENT, linewidth=1.2)
    highest = max(per_s)
    if reference is not None:
        label, value = reference
        axes.axhline(value, color=INK, linewidth=1, linestyle=(0, (5, 3)), label=label)
        highest = max(highest, value)
    axes.set_ylim(0, (highest or 1) * _HEADROOM)


def _plot_latency(axes: Axes, series: _Series) -> None:
    middles = [(left + right) / 2 for left, right in pairwise(series.edges)]
    seen: list[float] = []
    for percent, style, width in ((99, ":", 1.6), (90, "--", 1.2), (50, "-", 1.6)):
        values = [part.latency_ms.percentile(percent) for part in series.bins]
        seen += [value for value in values if value is not None]
        if not seen:
            return
        numbers = [float("nan") if value is None else value for value in values]
        label = f"p{percent}"
        axes.plot(middles, numbers, color=ACCENT, linestyle=style, linewidth=width, label=label)
        for place in _alone(values):
            axes.plot(middles[place], numbers[place], color=ACCENT, marker="o", markersize=3.5)
    low_ms, high_ms = min(seen) / _HEADROOM, max(seen) * _HEADROOM
    axes.set_yscale("log")
    axes.set_ylim(low_ms, high_ms)
    set_duration_ticks(axes.yaxis, low_ms, high_ms)


def _alone(values: Sequence[float | None]) -> list[int]:
    """The places of values with none on either side: no line leads to them."""
    around = [None, *values, None]
    return [
        place
        for place, (left, own, right) in enumerate(zip(around, values, around[2:], strict=False))
        if own is not None and left is None and right is None
    ]


def _mark_pauses(axes: Axes, run: RunTrace) -> None:
    for pause in run.pauses():
        axes.axvspan(
            pause.began,
            pause.ended,
            facecolor=MUTED,
            alpha=0.22,
            linewidth=0,
            zorder=0.5,
        )


def _name_pauses(axes: Axes, run: RunTrace, room: float) -> None:
    """Write the lengths of the pauses that last at least `room` seconds."""
    for pause in run.pauses():
        began, ended = pause.began, pause.ended
        if ended - began < room:
            continue
        axes.annotate(
            f"{'waited' if pause.retried else 'idle'}\n{duration(pause.seconds)}",
            ((began + ended) / 2, 0.5),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="center",
            color=INK,
            fontsize=9,
        )


def _set_time_axis(axes: Axes, edges: Sequence[float], canvas: Canvas) -> None:
    first, last = edges[0], edges[-1]
    step = next((s for s in _STEPS_S if (last - first) / s <= canvas.ticks), _STEPS_S[-1])
    ticks = range(math.ceil(first / step) * step, math.floor(last) + 1, step)
    shown = slice(11, 19) if step < 60 else slice(11, 16) if step < DAY_S else slice(10)
    axes.set_xticks(ticks, [_time(tick)[shown] for tick in ticks])
    axes.set_xlim(first, last)
    axes.set_xlabel(f"UTC, from {_time(first)[:16].replace('T', ' ')}", color=MUTED)


def _time(moment: float) -> str:
    return format_time(moment) or ""
