"""Tables of figures: what they hold, and how they read on a terminal and in a document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.bench.figures import spread


@dataclass(frozen=True)
class Column:
    """`title` names the unit; `places` are decimals; a `percent` is held as a share of 1."""

    key: str
    title: str
    places: int = 0
    percent: bool = False

    def show(self, value: float) -> str:
        if not math.isfinite(value):
            return "never"
        shown = f"{value * 100 if self.percent else value:,.{self.places}f}"
        return f"{shown} %" if self.percent else shown

    def show_spread(self, figures: Sequence[float]) -> str:
        middle, low, high = map(self.show, spread(figures))
        return middle if low == high else f"{middle} ({low} to {high})"


@dataclass
class Row:
    """A contender's figures, one for each round; `skipped` and `failed` say why there are none."""

    name: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    skipped: str = ""
    failed: str = ""

    @property
    def absent(self) -> str:
        if self.skipped:
            return f"skipped: {self.skipped}"
        return f"failed: {self.failed}" if self.failed else ""

    @property
    def is_measured(self) -> bool:
        return bool(self.figures) and not self.absent

    def add(self, **figures: float) -> None:
        for key, value in figures.items():
            self.figures.setdefault(key, []).append(value)

    def add_all(self, key: str, values: Sequence[float]) -> None:
        self.figures.setdefault(key, []).extend(values)

    def median(self, key: str) -> float:
        """NaN where nothing was measured."""
        values = None if self.absent else self.figures.get(key)
        return spread(values).median if values else math.nan


@dataclass(frozen=True)
class Target:
    """What the program promises of one of its own figures, held against the median."""

    row: str
    key: str
    sense: Literal["<=", "<", ">="]
    bound: float

    def met_by(self, value: float) -> bool:
        if self.sense == ">=":
            return value >= self.bound
        return value < self.bound if self.sense == "<" else value <= self.bound


@dataclass
class Table:
    name: str
    title: str
    columns: Sequence[Column]
    rows: list[Row]
    targets: Sequence[Target] = ()
    plotted: str = ""
    is_logarithmic: bool = False
    timelines: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Of some rows, what was accepted and refused in each second."""

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def column(self, key: str) -> Column:
        return next(column for column in self.columns if column.key == key)

    def raw(self) -> dict[str, Any]:
        """For JSON; what never came about is null."""
        return {
            "title": self.title,
            "rows": {row.name: row.absent or _finite(row.figures) for row in self.rows},
            "targets": [
                {
                    "row": target.row,
                    "figure": target.key,
                    "target": f"{target.sense} {target.bound:g}",
                    "met": judged(self, target),
                }
                for target in self.targets
            ],
        }


def judged(table: Table, target: Target) -> bool | None:
    """Whether a target is met; None where its figure was not measured."""
    value = table.row(target.row).median(target.key)
    return None if math.isnan(value) else target.met_by(value)


def render(table: Table) -> str:
    """The table in Markdown, with its title above and its targets below."""
    head = ["", *(column.title for column in table.columns)]
    lines = [head, *(_cells(row, table.columns) for row in table.rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    shown = [_line(line, widths) for line in lines]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    targets = [_say_target(table, target) for target in table.targets]
    return "\n".join([f"{table.name}: {table.title}", "", *shown, *[""][: len(targets)], *targets])


def _cells(row: Row, columns: Sequence[Column]) -> list[str]:
    if row.absent:
        return [row.name, row.absent, *[""] * (len(columns) - 1)]
    return [row.name, *(_cell(row, column) for column in columns)]


def _cell(row: Row, column: Column) -> str:
    figures = row.figures.get(column.key)
    return column.show_spread(figures) if figures else "-"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "| " + " | ".join(padded) + " |"


def _say_target(table: Table, target: Target) -> str:
    column = table.column(target.key)
    met = judged(table, target)
    verdict = {True: "met", False: "NOT MET", None: "not measured"}[met]
    value = "" if met is None else f": {column.show(table.row(target.row).median(target.key))}"
    bound = column.show(target.bound)
    return f"- {verdict}: {target.row}, {column.title} {target.sense} {bound}{value}"


def _finite(figures: dict[str, list[float]]) -> dict[str, list[float | None]]:
    return {
        key: [value if math.isfinite(value) else None for value in values]
        for key, values in figures.items()
    }
