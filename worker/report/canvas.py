"""What all plots have in common: two canvases, looks that need no colour, legends and ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

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


def set_duration_ticks(axis: Axis) -> None:
    """Durations on a logarithmic axis of milliseconds."""
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=7))
    axis.set_major_formatter(FuncFormatter(lambda value, _: duration(value / 1000)))
    axis.set_minor_formatter(NullFormatter())
