"""The bar on a terminal: two lines that are drawn anew at every tick, below the log."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, NamedTuple, Self

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment
from rich.text import Text

from worker.core.clock import Clock
from worker.core.errors import ExitCode
from worker.core.events import (
    Event,
    OutageBegan,
    OutageEnded,
    PauseReason,
    ProbeFailed,
    RunFinished,
    Snapshot,
    StopRequested,
    Ticked,
)
from worker.core.outcomes import Outcome
from worker.core.text import duration, rate
from worker.observers.estimate import Estimate, ids_left, moment_in
from worker.observers.stream import guard

_SEPARATOR = " · "
_SHORTEST_BAR = 10
_LONGEST_BAR = 60
_PAUSE_REASON: Final = {
    PauseReason.OUTAGE: "API down",
    PauseReason.THROTTLED: "throttled",
    PauseReason.SHARED: "Redis down",
    PauseReason.QUIET: "quiet hours",
    PauseReason.HELD: "by `control`",
}


def can_show(console: Console) -> bool:
    """Whether the console is a terminal that can move its cursor."""
    return console.is_terminal and not console.is_dumb_terminal


class Part(NamedTuple):
    """A piece of a line; where room is short those of the highest rank go first."""

    rank: int
    text: str
    style: str = ""


class View(NamedTuple):
    """What the bar shows; nothing but values."""

    snapshot: Snapshot
    eta_s: float | None = None
    patient_until: datetime | None = None
    stop: StopRequested | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        # A column less: a line that fills the terminal wraps on some of them.
        width = options.max_width - 1
        return iter(draw(self, width, ascii_only=options.ascii_only))


class ProgressBar:
    """Shows a run on `console`, which must be the one the log writes to, and removes itself.

    A context manager and an observer. It has no thread: each `Ticked` draws it. On a console that
    is no terminal, or a dumb one, it shows nothing. A bar that cannot be drawn goes away quietly.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._stream = guard(console)
        self._clock = clock
        self._estimate = Estimate()
        self._view: View | None = None
        self._patient_until: datetime | None = None
        self._stop: StopRequested | None = None
        self._live: Live | None = None
        self._console = console
        self._reflow = _Reflow(console)
        if can_show(console):
            self._live = Live(
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._console.push_render_hook(self._reflow)
            self._live.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar and show the cursor again; a second time changes nothing."""
        live, self._live = self._live, None
        if live is not None:
            # Stopping draws a last time, and that must not fail again where drawing has failed.
            live.update("")
            live.stop()
            self._console.pop_render_hook()

    def notice(self, event: Event) -> None:
        try:
            self._notice(event)
        except Exception:  # noqa: BLE001 - whatever hinders drawing, the run goes on
            self.close()

    def _notice(self, event: Event) -> None:
        match event:
            case Ticked():
                self._show(event.snapshot, self._estimate.update(event.snapshot))
            case OutageBegan() | ProbeFailed():
                self._patient_until = moment_in(event.patience_s, self._clock)
            case OutageEnded():
                self._patient_until = None
            case StopRequested():
                self._stop = event
                # Whoever pressed Ctrl-C must see at once that it was heard.
                if self._view is not None:
                    self._show(self._view.snapshot, None)
            case RunFinished():
                self.close()

    def _show(self, snapshot: Snapshot, eta_s: float | None) -> None:
        if self._live is not None:
            self._view = View(snapshot, eta_s, self._patient_until, self._stop)
            # On a terminal that is held nobody sees the frames that pile up.
            self._live.update(self._reflow.noting(self._view), refresh=not self._stream.is_behind)


class _Reflow(RenderHook):
    """Takes away what is left of the bar where its terminal has become narrower.

    Terminals break the lines that they show when their width changes: what were two lines are more
    then, and the bar goes up by two only.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lengths: list[int] = []

    def noting(self, view: View) -> _Noted:
        """The view, whose lines' lengths are kept when it is drawn."""
        return _Noted(view, self._lengths)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Called before anything is shown; the bar itself is taken away by then."""
        width = self._console.width
        extra = sum(max(math.ceil(length / width), 1) - 1 for length in self._lengths)
        if not extra:
            return renderables
        self._lengths.clear()
        up = [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)] * extra
        return [Control(*up), *renderables]


# Some terminals tell of their new width a moment after they have it: what is drawn meanwhile is cut
# and not wrapped, so that no line more is there than is known of.
_NO_WRAP: Final = Segment("\x1b[?7l", None, [(ControlType.BELL,)])
_WRAP: Final = Segment("\x1b[?7h", None, [(ControlType.BELL,)])


class _Noted:
    """A view that tells how long its lines are when they are drawn."""

    def __init__(self, view: View, lengths: list[int]) -> None:
        self._view = view
        self._lengths = lengths

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = list(self._view.__rich_console__(console, options))
        self._lengths[:] = [line.cell_len for line in lines]
        yield _NO_WRAP
        yield lines[0]
        yield Text.assemble(lines[1], end="")
        yield _WRAP


# --- drawing, without a terminal ------------------------------------------------------------------


def draw(view: View, width: int, *, ascii_only: bool = False) -> list[Text]:
    """Two lines of at most `width` columns."""
    headway = fit(_headway(view), width - 1)
    lines = [_with_bar(headway, view.snapshot, width, ascii_only), _join(fit(_state(view), width))]
    for line in lines:
        line.truncate(width, overflow="crop")
        if ascii_only:
            line.plain = line.plain.replace(_SEPARATOR, " | ")
    return lines


def fit(parts: Sequence[Part], width: int) -> list[Part]:
    """The parts that together are no wider than `width`, in their order; one at least."""
    kept = list(parts)
    while len(kept) > 1 and _width(kept) > width:
        kept.remove(max(kept, key=lambda part: part.rank))
    return kept


def _width(parts: Sequence[Part]) -> int:
    return sum(len(part.text) for part in parts) + len(_SEPARATOR) * (len(parts) - 1)


def _join(parts: Sequence[Part]) -> Text:
    return Text(_SEPARATOR).join(Text(part.text, part.style) for part in parts)


def _with_bar(parts: Sequence[Part], snapshot: Snapshot, width: int, ascii_only: bool) -> Text:
    text = _join(parts)
    length = min(width - len(text) - 1, _LONGEST_BAR)
    total = _total(snapshot)
    if not total or length < _SHORTEST_BAR:
        return text
    filled = int(length * min(snapshot.tally.done / total, 1))
    # Thick against thin, so that it can be read without colours.
    thick, thin = ("#", "-") if ascii_only else ("━", "─")
    bar = Text.assemble((thick * filled, "green"), (thin * (length - filled), "dim"), " ")
    return bar.append_text(text)


def _total(snapshot: Snapshot) -> int | None:
    """How many it will be, as far as can be told: with --limit not all that the source holds."""
    left = ids_left(snapshot)
    if left is None or snapshot.total is None:
        return None
    return min(snapshot.total, snapshot.tally.done + left)


def _headway(view: View) -> list[Part]:
    snapshot = view.snapshot
    done, total = snapshot.tally.done, _total(snapshot)
    elapsed = Part(3, f"{duration(int(snapshot.elapsed_s))} so far", "dim")
    if not total:
        return [Part(0, f"{done:,} done"), elapsed]
    parts = [
        Part(0, f"{done:,} of {total:,}", "bold"),
        Part(2, f"{min(100 * done // total, 100)} %"),
    ]
    if view.eta_s is not None:
        parts.append(Part(1, _when_done(view.eta_s, snapshot)))
    return [*parts, elapsed]


def _when_done(eta_s: float, snapshot: Snapshot) -> str:
    if snapshot.rates.is_constant:
        return f"{duration(max(round(eta_s), 0))} left"
    # By a timetable a run goes on for days: when it is done says more than how long it takes.
    done = datetime.fromtimestamp(snapshot.utc_s + eta_s, UTC).astimezone()
    return f"done on {done:%A} about {done:%H:%M}"


def _state(view: View) -> list[Part]:
    snapshot, tally = view.snapshot, view.snapshot.tally
    failed = tally.outcomes[Outcome.FAILED]
    parts = [
        *_interruption(view),
        Part(4, f"processing {tally.outcomes[Outcome.PROCESSING]:,}", "green"),
        Part(5, f"not found {tally.outcomes[Outcome.NOT_FOUND]:,}", "yellow"),
        Part(3, f"failed {failed:,}", "bold red" if failed else "dim"),
        _speed(snapshot),
    ]
    if snapshot.waiting:
        parts.append(Part(7, f"waiting for a retry {snapshot.waiting:,}"))
    if snapshot.concurrency_bound is None:
        parts.append(Part(8, f"in flight {snapshot.in_flight:,}", "dim"))
    if tally.settled:
        parts.append(Part(9, f"settled before {tally.settled:,}", "dim"))
    if tally.duplicates:
        parts.append(Part(10, f"duplicates {tally.duplicates:,}", "dim"))
    return parts


def _speed(snapshot: Snapshot) -> Part:
    text = f"{rate(snapshot.rate_now)} of {rate(snapshot.rate_allowed)} requests/s"
    if snapshot.concurrency_bound is None:
        return Part(6, text)
    # That can be mended, and so it stays where the sessions that were not found have to go.
    return Part(5, f"{text}, bound by {snapshot.concurrency_bound:,} in flight", "yellow")


def _interruption(view: View) -> list[Part]:
    """Why nothing new is sent, and what happens next."""
    if view.stop is not None or view.snapshot.draining:
        return _stopping(view)
    pause = view.snapshot.pause
    if pause is None:
        return []
    next_try = f"again in {duration(round(pause.seconds_left))}"
    parts = [
        Part(0, f"paused: {_PAUSE_REASON[pause.reason]}", "bold yellow"),
        Part(1, next_try if pause.seconds_left > 0 else "trying now", "yellow"),
    ]
    if view.patient_until is not None:
        until = view.patient_until.astimezone().strftime("%H:%M")
        parts.append(Part(2, f"gives up at {until}", "yellow"))
    return parts


def _stopping(view: View) -> list[Part]:
    text = f"stopping: {view.snapshot.in_flight:,} in flight"
    by_signal = view.stop is not None and view.stop.exit_code in {
        ExitCode.INTERRUPTED,
        ExitCode.TERMINATED,
    }
    if by_signal:
        text += ", Ctrl-C again stops at once"
    return [Part(0, text, "bold yellow")]
