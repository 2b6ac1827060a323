"""What a run is composed of, made from its settings."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from worker.api.verdict import Reply
from worker.app.until import seconds_until
from worker.core.clock import Clock
from worker.core.events import Event
from worker.core.tally import Tally
from worker.pacing.pacer import MakePacer, Pacer
from worker.pacing.pacer_rules import PacerRules
from worker.reading.reader import Reader, ReadingClient
from worker.reading.statuses import StatusReader
from worker.reading.walk import PAGE_SIZE
from worker.runner import Limits, MaxFailures, Policy
from worker.settings import ApiKey, Settings, resolve_rate


def make_pacer(
    settings: Settings,
    key: ApiKey,
    clock: Clock,
    notify: Callable[[Event], None],
    make: MakePacer = Pacer,
    *,
    first_probe: int | None,
) -> Pacer:
    """The pacer of a run with these settings; of what kind `make` decides."""
    rates, rules = resolve_rate(settings.pace.rate, key.kind), pacer_rules_of(settings)
    return make(rates, rules, clock=clock, notify=notify, first_probe=first_probe)


def pacer_rules_of(settings: Settings) -> PacerRules:
    """What settings tell a pacer besides its rates."""
    return PacerRules(
        outage_after=settings.stop.outage_after,
        backoff_initial_s=settings.retry.backoff_initial,
        backoff_max_s=settings.retry.backoff_max,
        throttle_initial_s=settings.retry.throttle_initial,
        throttle_max_s=settings.retry.throttle_max,
        patience_s=settings.stop.patience,
        valid_s=settings.api.connect_timeout,
    )


def policy_of(settings: Settings) -> Policy:
    """How often and how late these settings have an id tried again."""
    retry = settings.retry
    return Policy(
        max_attempts=retry.max_attempts,
        backoff_initial_s=retry.backoff_initial,
        backoff_max_s=retry.backoff_max,
        throttle_initial_s=retry.throttle_initial,
        throttle_max_s=retry.throttle_max,
        patience_s=settings.stop.patience,
        settle_s=retry.settle,
        on_ambiguous=retry.on_ambiguous,
        check_first=retry.check_first,
        check_valid_s=retry.check_valid,
        check_ahead=retry.check_ahead,
    )


def statuses_of(
    settings: Settings,
    client: ReadingClient,
    pacer: Pacer,
    clock: Clock,
    tally: Tally,
    tell: Callable[[str], None],
    *,
    random: Random | None = None,
    page_size: int = PAGE_SIZE,
) -> StatusReader | None:
    """What reads sessions before they are completed, by pages of the list; None where nothing is
    to be read."""
    if not settings.retry.check_first:
        return None

    def on_reply(reply: Reply, latency_ms: float) -> None:
        tally.count_request(reply.label, latency_ms, is_check=True)
        tally.throttled += reply.label == "429"

    reader = Reader(client, pacer, clock, settings.retry, random or Random(), on_reply)
    return StatusReader(reader, clock, tell, page_size)


def limits_of(settings: Settings, clock: Clock, *, tick_s: float) -> Limits:
    """What these settings bound; a time of day, or a duration, becomes a deadline on `clock`."""
    stop = settings.stop
    seconds, name = _deadline(settings, clock)
    return Limits(
        concurrency=settings.pace.most_in_flight,
        auto_concurrency=settings.pace.concurrency == "auto",
        window=settings.pace.window,
        limit=stop.limit,
        deadline=None if seconds is None else clock.now() + seconds,
        deadline_name=name,
        tick_s=tick_s,
        suspicious_after=stop.suspicious_after,
        max_failures=MaxFailures.parse(stop.max_failures),
    )


def _deadline(settings: Settings, clock: Clock) -> tuple[float | None, str]:
    """In how many seconds no more ids are taken, and by which option; None where that is open."""
    stop = settings.stop
    ends = []
    if stop.max_duration is not None:
        ends.append((stop.max_duration, "--max-duration"))
    if stop.until is not None:
        now = clock.utc().astimezone()
        ends.append((seconds_until(stop.until.hour, stop.until.minute, now), "--until"))
    return min(ends, default=(None, ""))
