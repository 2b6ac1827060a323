"""What all plots have in common: two canvases, looks that need no colour, legends and ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from worker.core.outcomes import Outcome
from worker.core.text import count, duration
from worker.report.svg import FAILED, INK, MUTED, NOT_FOUND, PROCESSING, svg_of

LOOKS: Final = (
    (Outcome.PROCESSING, "processing", PROCESSING, ""),
    (Outcome.NOT_FOUND, "not found", NOT_FOUND, "////"),
    (Outcome.FAILED, "failed", FAILED, "xxxx"),
)
"""Outcome, label, colour and hatch: who sees no colour sees the hatch."""

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": MUTED,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


class Canvas(NamedTuple):
    """A screen to draw for. `width` is in inches of 72 units, scaled to the screen's width;
    `label_share` is the share of the width that a label takes."""

    name: str
    width: float
    bins: int
    ticks: int
    label_share: float

    @property
    def is_wide(self) -> bool:
        return self.name == "wide"


_LEGEND_HEIGHT: Final = 20.0
_TICK_STEPS: Final = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8))
_FEWEST_TICKS: Final = 3
_MOST_TICKS: Final = 7
_CANVASES: Final = (Canvas("wide", 10.5, 240, 9, 0.07), Canvas("narrow", 4.4, 100, 4, 0.17))


def draw(salt: str, figure_for: Callable[[Canvas], Figure]) -> str:
    """The figure as SVG for each canvas; `salt` keeps the ids of a page's plots apart."""
    parts = []
    for canvas in _CANVASES:
        with _own_style(f"{salt}-{canvas.name}"):
            parts.append(svg_of(figure_for(canvas), f"plot {canvas.name}"))
    return "".join(parts)


@contextmanager
def _own_style(salt: str) -> Iterator[None]:
    """Whatever the user's matplotlibrc says, the same input gives the same page."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": salt})
        yield


def put_heading(axes: Axes, text: str, canvas: Canvas) -> None:
    """The title, and what it needs of a legend: beside it, or below where it is narrow."""
    labels = axes.get_legend_handles_labels()[1]
    axes.set_title(text, pad=None if canvas.is_wide or not labels else _LEGEND_HEIGHT)
    if not labels:
        return
    axes.legend(
        loc="lower right" if canvas.is_wide else "lower left",
        bbox_to_anchor=(1.0 if canvas.is_wide else 0.0, 0.97),
        ncols=len(labels),
        borderaxespad=0.2,
        columnspacing=1.2,
        handletextpad=0.5,
    )


def set_count_ticks(axes: Axes) -> None:
    """Whole numbers on the axis of ordinates."""
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(round(value))))


def set_duration_ticks(axis: Axis, low_ms: float, high_ms: float) -> None:
    """Durations on a logarithmic axis that reaches from `low_ms` to `high_ms`."""
    axis.set_major_locator(FixedLocator(duration_ticks(low_ms, high_ms)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _duration(value)))
    axis.set_minor_locator(NullLocator())


def duration_ticks(low_ms: float, high_ms: float) -> list[float]:
    """Three to seven round values within the limits, as even as can be on a logarithmic axis."""
    decades = range(math.floor(math.log10(low_ms)), math.ceil(math.log10(high_ms)) + 1)
    for steps in _TICK_STEPS:
        values = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [value for value in values if low_ms <= value <= high_ms]
        if len(ticks) >= _FEWEST_TICKS:
            return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
    even = MaxNLocator(_FEWEST_TICKS).tick_values(low_ms, high_ms)
    return [float(value) for value in even if low_ms <= value <= high_ms]


def _duration(value_ms: float) -> str:
    return f"{value_ms:.3g}ms" if value_ms < 1000 else duration(value_ms / 1000)
