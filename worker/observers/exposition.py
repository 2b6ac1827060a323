"""A run in Prometheus's text format. Imported where metrics are asked for: it is an extra."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from worker.core.errors import ExitCode
from worker.core.outcomes import Outcome
from worker.core.tally import Histogram, Tally

PREFIX = "complete_sessions"

_LAST_SUCCESS = f"{PREFIX}_last_success_timestamp_seconds"
_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class RunState(msgspec.Struct):
    """A run at one moment; `*_at` in seconds since the epoch, None where there is no value yet."""

    started_at: float
    tally: Tally = msgspec.field(default_factory=Tally)
    duration_s: float = 0.0
    ids_left: int | None = None
    in_flight: int = 0
    rate_allowed: float | None = None
    exit_code: ExitCode | None = None
    ended_at: float | None = None
    last_success_at: float | None = None


def exposition(state: RunState) -> bytes:
    """How a run stands, in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_RunCollector(state))
    return generate_latest(registry)


def last_success_in(text: str) -> float | None:
    """The time of the last success that a former file tells of; None where it tells of none."""
    try:
        families = list(text_string_to_metric_families(text))
    except (ValueError, KeyError, IndexError):
        return None
    samples = (sample for family in families for sample in family.samples)
    return next((sample.value for sample in samples if sample.name == _LAST_SUCCESS), None)


class _RunCollector(Collector):
    def __init__(self, state: RunState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        return metrics_of(self._state)


def metrics_of(state: RunState) -> Iterator[Metric]:
    """The metrics with their values of now."""
    yield from _counters(state.tally)
    yield _duration_histogram(state.tally.latency_ms)
    yield from _gauges(state)


def _counters(tally: Tally) -> Iterator[Metric]:
    # Counters of one run, as any process's are counters of that process: they begin at 0, which is
    # written at the start, and Prometheus takes the step down for the restart that it is.
    outcomes = _counter("outcomes", "Ids with an outcome, on disk.", ["outcome"])
    for outcome in Outcome:
        outcomes.add_metric([outcome.value], tally.outcomes[outcome])
    requests = _counter("requests", "Requests, by HTTP status or by what came instead.", ["status"])
    for status, count in sorted(tally.requests.items()):
        requests.add_metric([status], count)
    yield outcomes
    yield requests
    for name, value, help_text in (
        ("retries", tally.retries, "Requests that were scheduled anew."),
        ("checks", tally.checks, "Requests that read a session."),
        ("throttled", tally.throttled, "Requests answered 429."),
        ("paused_seconds", tally.paused_s, "Time in which nothing new was sent."),
    ):
        counter = _counter(name, help_text, [])
        counter.add_metric([], value)
        yield counter


def _counter(name: str, help_text: str, labels: list[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}_{name}", help_text, labels=labels)


def _duration_histogram(latency_ms: Histogram) -> HistogramMetricFamily:
    buckets = [(str(bound), float(latency_ms.at_most(bound * 1000))) for bound in _BUCKETS_S]
    buckets.append(("+Inf", float(latency_ms.total)))
    return HistogramMetricFamily(
        f"{PREFIX}_request_duration_seconds",
        "Time from sending a request to its answer.",
        buckets=buckets,
        sum_value=latency_ms.sum / 1000,
    )


def _gauges(state: RunState) -> Iterator[Metric]:
    for name, value, help_text in (
        ("rate_limit_requests_per_second", state.rate_allowed, "What the pacer allows now."),
        ("in_flight_requests", state.in_flight, "Requests without an answer yet."),
        ("ids_left", state.ids_left, "Lines of input without an outcome."),
        ("run_duration_seconds", state.duration_s, "How long the run has taken."),
        ("run_start_timestamp_seconds", state.started_at, "When the run began."),
        ("run_end_timestamp_seconds", state.ended_at, "When the run ended."),
        ("last_success_timestamp_seconds", state.last_success_at, "When a run last ended with 0."),
        ("exit_code", state.exit_code, "The run's exit code, once it has ended."),
    ):
        # What is not known is left out: 0 would be a claim.
        if value is not None:
            yield GaugeMetricFamily(f"{PREFIX}_{name}", help_text, value=value)
