"""What results logs say, in numbers: the same for the terminal, the page and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from worker.core.explanations import explain_error
from worker.core.outcomes import Outcome, Record
from worker.core.tally import Histogram
from worker.report.aggregation import Aggregator, LogTrace
from worker.report.state import State, States
from worker.report.timeline import Bin, RunTrace, Standstill, format_time

NO_TYPE = "(no type)"


class Counts(msgspec.Struct, frozen=True):
    """Ids or lines by outcome; `total` is the sum of the others."""

    total: int
    processing: int
    not_found: int
    failed: int


class Percentiles(msgspec.Struct, frozen=True):
    """Of the last request's time in milliseconds, within 3.2 %; None where nothing was sent."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None


class Example(msgspec.Struct, frozen=True):
    """A line that carries an error; foreign text, not safe for a terminal as it is."""

    id: str
    message: str
    http_status: int | None
    at: str


class ErrorSummary(msgspec.Struct, frozen=True):
    """An error type. `ids` have it as their latest outcome, `lines` ever had it."""

    type: str
    outcome: Outcome
    ids: int
    lines: int
    meaning: str
    what_to_do: str
    example: Example | None


class PauseSummary(msgspec.Struct, frozen=True):
    """A stretch in which nothing was recorded; `retried`: retries went on meanwhile."""

    began: str | None
    ended: str | None
    seconds: float
    retried: bool


class RunSummary(msgspec.Struct, frozen=True):
    """One run. Requests are attempts to complete; checks are lines that a GET settled."""

    run: str
    log: str
    began: str | None
    ended: str | None
    seconds: float
    lines: Counts
    errors: dict[str, int]
    requests: int
    checks: int
    attempts: dict[int, int]
    lines_per_s: float | None
    best_minute_requests_per_s: float | None
    latency_ms: Percentiles
    pauses: list[PauseSummary]
    paused_s: float


class LogSummary(msgspec.Struct, frozen=True):
    """One log, or all of them together. `bad_lines` are no records."""

    name: str
    ids: Counts
    lines: int
    bad_lines: int
    runs: int
    began: str | None
    ended: str | None


class Report(msgspec.Struct, frozen=True):
    """Everything that is shown; as JSON, its keys are stable."""

    logs: list[LogSummary]
    total: LogSummary
    runs: list[RunSummary]
    errors: list[ErrorSummary]
    requests: int
    checks: int
    attempts: dict[int, int]
    latency_ms: Percentiles
    targets: dict[str, int]

    @property
    def target_rows(self) -> list[tuple[str, int]]:
        """Lines by where they were sent, if not all were sent to one place with one key."""
        return list(self.targets.items()) if len(self.targets) > 1 else []

    @property
    def log_rows(self) -> list[LogSummary]:
        """Each log, and where there are several their total."""
        return self.logs if len(self.logs) == 1 else [*self.logs, self.total]


def summarise(aggregator: Aggregator) -> Report:
    """The numbers of all that a aggregator has read."""
    total = aggregator.total()
    return Report(
        logs=[_summarise_log(log, aggregator.states) for log in aggregator.logs],
        total=_summarise_total(aggregator, total),
        runs=[_summarise_run(run, aggregator.states) for run in aggregator.runs_by_time()],
        errors=_summarise_errors(aggregator, total),
        requests=total.requests,
        checks=sum(run.checks for run in aggregator.runs),
        attempts=_in_order(sum((run.attempts for run in aggregator.runs), Counter())),
        latency_ms=_percentiles(total.latency_ms),
        targets=dict(aggregator.targets.most_common()),
    )


def _counts(numbers: Counter[int], states: States) -> Counts:
    outcomes = states.count_by(numbers, lambda state: state.outcome)
    return Counts(
        total=outcomes.total(),
        processing=outcomes[Outcome.PROCESSING],
        not_found=outcomes[Outcome.NOT_FOUND],
        failed=outcomes[Outcome.FAILED],
    )


def _summarise_run(run: RunTrace, states: States) -> RunSummary:
    total = run.total()
    pauses = run.pauses()
    seconds = run.duration_s
    return RunSummary(
        run=run.run,
        log=run.log,
        began=format_time(run.began),
        ended=format_time(run.ended),
        seconds=round(seconds, 1),
        lines=_counts(total.states, states),
        errors=dict(states.count_by(total.states, _error_type).most_common()),
        requests=total.requests,
        checks=run.checks,
        attempts=_in_order(run.attempts),
        lines_per_s=round(total.lines / seconds, 2) if seconds > 0 else None,
        best_minute_requests_per_s=_rounded(run.best_minute_per_s()),
        latency_ms=_percentiles(total.latency_ms),
        pauses=[_summarise_pause(pause) for pause in pauses],
        paused_s=round(sum(pause.seconds for pause in pauses), 1),
    )


def _summarise_pause(pause: Standstill) -> PauseSummary:
    return PauseSummary(
        format_time(pause.began), format_time(pause.ended), round(pause.seconds, 1), pause.retried
    )


def _summarise_log(log: LogTrace, states: States) -> LogSummary:
    return LogSummary(
        name=log.name,
        ids=_counts(log.latest, states),
        lines=sum(run.attempts.total() for run in log.runs),
        bad_lines=log.bad_lines,
        runs=len(log.runs),
        began=format_time(_first(run.began for run in log.runs)),
        ended=format_time(_last(run.ended for run in log.runs)),
    )


def _summarise_total(aggregator: Aggregator, total: Bin) -> LogSummary:
    return LogSummary(
        name="total",
        ids=_counts(aggregator.latest.counts(), aggregator.states),
        lines=total.lines,
        bad_lines=sum(log.bad_lines for log in aggregator.logs),
        runs=len(aggregator.runs),
        began=format_time(_first(run.began for run in aggregator.runs)),
        ended=format_time(_last(run.ended for run in aggregator.runs)),
    )


def _error_type(state: State) -> str | None:
    """None for what is no error; failed is one also where the line does not say which."""
    if state.error_type is None and state.outcome is not Outcome.FAILED:
        return None
    return state.error_type or NO_TYPE


def _summarise_errors(aggregator: Aggregator, total: Bin) -> list[ErrorSummary]:
    """Error types: those that most ids have failed with first, those of not_found last."""
    states = aggregator.states
    now = states.count_by(aggregator.latest.counts(), _error_type)
    ever = states.count_by(total.states, _error_type)
    outcomes = _outcomes_by_type(states)
    summaries = []

    def place(kind: str) -> tuple[bool, int, int, str]:
        return (outcomes[kind] is Outcome.NOT_FOUND, -now[kind], -ever[kind], kind)

    for kind in sorted(ever, key=place):
        meaning, what_to_do = explain_error(kind)
        example = aggregator.example(kind)
        summaries.append(
            ErrorSummary(
                type=kind,
                outcome=outcomes[kind],
                ids=now[kind],
                lines=ever[kind],
                meaning=meaning,
                what_to_do=what_to_do,
                example=None if example is None else _summarise_example(example),
            )
        )
    return summaries


def _outcomes_by_type(states: Iterable[State]) -> dict[str, Outcome]:
    """What each error type led to: failed, where it led to several outcomes."""
    outcomes: dict[str, Outcome] = {}
    for state in states:
        kind = _error_type(state)
        if kind is not None and outcomes.get(kind) is not Outcome.FAILED:
            outcomes[kind] = state.outcome
    return outcomes


def _summarise_example(record: Record) -> Example:
    message = "" if record.error is None else record.error.message
    return Example(record.id, message, record.http_status, record.at)


def _percentiles(histogram: Histogram) -> Percentiles:
    return Percentiles(*(_rounded(histogram.percentile(p)) for p in (50, 90, 95, 99, 100)))


def _rounded(value: float | None) -> float | None:
    """Three significant digits: no more is known."""
    return None if value is None else float(f"{value:.3g}")


def _in_order(counts: Counter[int]) -> dict[int, int]:
    return dict(sorted(counts.items()))


def _first(moments: Iterable[float | None]) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _last(moments: Iterable[float | None]) -> float | None:
    return max((moment for moment in moments if moment is not None), default=None)
