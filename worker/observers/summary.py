"""What a run came to, in about a dozen lines."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

from worker.core.errors import ExitCode
from worker.core.events import RunFinished
from worker.core.explanations import EXIT_CODES
from worker.core.outcomes import Outcome
from worker.core.secrets import redact
from worker.core.tally import Histogram, Tally
from worker.core.text import count, duration, rate, shorten, visible
from worker.observers.account import share_of_rate

_LABEL_WIDTH = 11
_WORTH_SAYING_S = 1.0
_NARROWEST_TEXT = 20
_LONGEST_TYPE = 40
# One line, two, and three of 80 columns: the advice is our own, and its end what to do.
_LONGEST_COUNTS = 52
_LONGEST_REASON = 130
_LONGEST_ADVICE = 200


class Line(NamedTuple):
    """A line of the summary, yet to be wrapped; `style` is that of its text on a rich console."""

    label: str
    text: str
    style: str = ""


def render(finished: RunFinished, width: int, command: str = "") -> str:
    """The summary as plain text, wrapped at `width`, without a newline at its end.

    `command` is what goes on with the run; it is named where something remains. No secret
    is left in what the API said.
    """
    rows = _rows(finished, width, command)
    return "\n".join(f"{label:<{_LABEL_WIDTH}}{text}" for label, text, _ in rows)


def styled(finished: RunFinished, width: int, command: str = "") -> Text:
    """The same, for a rich console."""
    rows = _rows(finished, width, command)
    return Text("\n").join(
        Text.assemble((f"{label:<{_LABEL_WIDTH}}", "dim"), (text, style))
        for label, text, style in rows
    )


def _rows(finished: RunFinished, width: int, command: str) -> Iterator[Line]:
    room = max(width - _LABEL_WIDTH, _NARROWEST_TEXT)
    for label, text, style in _lines(finished, command):
        safe = visible(redact(text))
        # A command that is cut in pieces cannot be pasted.
        pieces = [safe] if label == "go on with" else textwrap.wrap(safe, room)
        for number, piece in enumerate(pieces):
            yield Line("" if number else label, piece, style)


def _lines(finished: RunFinished, command: str) -> Iterator[Line]:
    tally, code = finished.tally, finished.exit_code
    yield Line("sum", _equation(finished), "" if tally.balanced else "bold red")
    yield Line("speed", _speed(finished))
    if tally.requests:
        yield Line("requests", _counts(tally.requests))
        yield Line("latency", _latency(tally.latency_ms))
    if trouble := _trouble(tally):
        yield Line("trouble", trouble)
    if tally.errors:
        yield Line("errors", _counts(tally.errors), "yellow")
    meaning = f"{code:d}: {EXIT_CODES[code].meaning}"
    yield Line("exit code", meaning, "green" if code is ExitCode.OK else "bold yellow")
    if finished.reason:
        yield Line("because", f"{shorten(redact(finished.reason), _LONGEST_REASON)}.")
    if finished.advice:
        yield Line("next", f"{shorten(redact(finished.advice), _LONGEST_ADVICE)}.")
    if command and _something_remains(finished):
        yield Line("go on with", command)


def _equation(finished: RunFinished) -> str:
    """Every line of input, and where it went; the sum is worked out anew."""
    tally = finished.tally
    terms = [
        f"{tally.outcomes[Outcome.PROCESSING]:,} processing",
        f"{tally.outcomes[Outcome.NOT_FOUND]:,} not found",
        f"{tally.outcomes[Outcome.FAILED]:,} failed",
        f"{tally.settled:,} settled before",
        f"{tally.duplicates:,} duplicates",
        f"{tally.not_attempted:,} not attempted",
    ]
    difference = tally.input - tally.done - tally.not_attempted
    sign = "!=" if difference else "="
    verdict = f"does not add up: {difference:+,}" if difference else "adds up"
    unread = "" if finished.complete_input else "; the input was not read to its end"
    return f"{tally.input:,} input {sign} {' + '.join(terms)} ({verdict}{unread})"


def _speed(finished: RunFinished) -> str:
    tally, elapsed_s = finished.tally, finished.elapsed_s
    outcomes = tally.recorded
    text = f"{count(outcomes, 'outcome')} in {duration(elapsed_s)}"
    if elapsed_s > 0:
        text += f", {rate(outcomes / elapsed_s)} a second"
    share = share_of_rate(finished)
    if share is not None:
        text += f"; {100 * share:.0f} % of {rate(finished.rate)} requests/s"
    return text


def _counts(counts: Counter[str]) -> str:
    """`1,012: 200 950, 404 38`: all of them, then the most frequent, as many as a line holds."""
    text = f"{counts.total():,}:"
    for number, (name, amount) in enumerate(counts.most_common()):
        more = f"{',' if number else ''} {shorten(redact(name), _LONGEST_TYPE)} {amount:,}"
        if number and len(text) + len(more) > _LONGEST_COUNTS:
            return f"{text}, {count(len(counts) - number, 'more kind')}"
        text += more
    return text


def _latency(latency_ms: Histogram) -> str:
    named: Sequence[tuple[str, float]] = (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100))
    values = ((name, latency_ms.percentile(percent)) for name, percent in named)
    return ", ".join(f"{name} {duration(ms / 1000)}" for name, ms in values if ms is not None)


def _trouble(tally: Tally) -> str:
    parts = (
        (tally.retries, f"{tally.retries:,} retries"),
        (tally.checks, f"{tally.checks:,} checks"),
        (tally.throttled, f"{tally.throttled:,} answered 429"),
        (tally.paused_s, f"paused {duration(tally.paused_s)}"),
        (
            tally.short_of_slots_s >= _WORTH_SAYING_S,
            f"held up {duration(tally.short_of_slots_s)} by --concurrency",
        ),
    )
    return ", ".join(text for amount, text in parts if amount)


def _something_remains(finished: RunFinished) -> bool:
    tally = finished.tally
    return bool(
        tally.not_attempted
        or tally.outcomes[Outcome.FAILED]
        or not finished.complete_input
        or not tally.balanced
    )
