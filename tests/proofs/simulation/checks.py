"""The README's promises, each held against the truth after every run and every night."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tests.proofs.simulation.listing import LIST
from worker.core.events import OutcomesRecorded
from worker.core.outcomes import Outcome, Record
from worker.core.target import Target

if TYPE_CHECKING:
    from tests.proofs.simulation.api import Session
    from tests.proofs.simulation.disk import SimulatedDisk
    from tests.proofs.simulation.loop import SimulatedLoop
    from tests.proofs.simulation.run import Facts, World
    from tests.proofs.simulation.scenario import Scenario

_INSTANT_S: Final = 0.002
_STEPS_AT_MOST: Final = 2_000
_STEPS_FOR_A_REQUEST: Final = 250
_STEPS_FOR_A_SECOND: Final = 2.0
_LOOKS_FOR_A_SECOND: Final = 21.0
"""Where the number in flight may grow by mere waiting, who waits looks for it ten times."""

_MANY_ATTEMPTS: Final = 5
_decode: Final = msgspec.json.Decoder(Record).decode


class Violation(AssertionError):  # noqa: N818 - the field's word
    """A promise that was not kept."""


def expect(holds: object, what: str) -> None:
    """Raise Violation unless `holds`."""
    if not holds:
        raise Violation(what)


def records_in(log: bytes) -> dict[str, Record]:
    """The last record of each id; zeros and torn lines of power cuts are passed over."""
    last = {}
    for line in log.replace(b"\0", b"\n").split(b"\n"):
        try:
            record = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        last[record.id] = record
    return last


def counted_is_durable(event: OutcomesRecorded, durable: bytes) -> None:
    """What counts would survive a power cut."""
    for record in event.records:
        wanted = (b'"id":"%s"' % record.id.encode(), b'"run":"%s"' % record.run.encode())
        found = any(all(part in line for part in wanted) for line in durable.split(b"\n"))
        expect(found, f"{record.id} was counted before it was on disk")


def after_a_run(facts: Facts, loop: SimulatedLoop) -> None:
    """The rate, what was told to stop at, patience, and that the loop was not kept busy."""
    _never_above_the_rate(facts)
    _never_too_many_at_once(facts)
    _kept_to_limits(facts)
    _kept_to_patience(facts)
    _was_not_busy(facts, loop)
    if facts.finished is not None:
        expect(not loop.errors, f"errors that nobody waited for: {loop.errors}")
        expect(facts.finished.tally.balanced, "the sum does not add up")


def outages_cost_no_session(name: str, world: World, log: Path) -> None:
    """In a run that ended by itself no id has failed to which nothing happened but to all."""
    scenario = world.scenario
    if scenario.max_attempts < _MANY_ATTEMPTS or scenario.on_ambiguous != "check":
        return
    untroubled = {plan.id for plan in scenario.sessions if not plan.treatments}
    for record in records_in(world.platter.durable(log)).values():
        session = world.api.sessions[record.id]
        is_open = session.status in ("started", "processing") and session.excuse is None
        is_failure = record.run == name and record.outcome is Outcome.FAILED
        if is_failure and is_open and record.id in untroubled:
            raise Violation(f"{record.id} has failed for an outage: {record.error}")


def after_the_ledger(disk: SimulatedDisk, loop: SimulatedLoop, may_leave_journal: bool) -> None:
    """Nothing is left behind by a run that ended by itself."""
    expect(not loop.unfinished_tasks(), f"tasks at the end: {loop.unfinished_tasks()}")
    expect(all(file.closed for file in disk.opened), "files that were not closed")
    if not may_leave_journal:
        names = {path.name for path in disk.platter.names}
        left = {name for name in names if name.endswith((".inflight", ".tmp"))}
        expect(not left, f"left behind: {left}")


def after_the_night(last: Facts, world: World, log: Path) -> None:
    """Nothing lost, nothing twice, and the right outcome for every id."""
    if last.finished is None or not last.is_over:
        raise Violation(f"no undisturbed run came to its end: {last.finished}")
    records = records_in(world.platter.durable(log))
    is_resent = world.scenario.on_ambiguous == "resend"
    for session in world.api.sessions.values():
        is_excused = is_resent or session.excuse is not None
        many = f"{session.id} was triggered {session.triggers} times"
        expect(session.triggers <= 1 or is_excused, many)
        record = records.get(session.id)
        if record is None:
            raise Violation(f"{session.id} has no outcome: {last.finished}")
        wanted = outcomes_of(session, last.key, world.scenario)
        told = f"{session.id} is {session.status}, and its outcome {record.outcome}: {record.error}"
        expect(record.outcome in wanted, told)
        target = Target.parse(record.target or "")
        expect(target is not None, f"the record of {session.id} names no target")


def outcomes_of(session: Session, key: int, scenario: Scenario) -> set[Outcome]:
    if session.status == "missing" or (session.is_of_second_key and key == 0):
        return {Outcome.NOT_FOUND}
    if session.status not in ("complete", "processing"):
        return {Outcome.FAILED}
    # What somebody else completed, or may be sent again, may be told as a conflict.
    may_be_resent = session.excuse is not None or scenario.on_ambiguous == "resend"
    if scenario.conflicts and (may_be_resent or not session.triggers):
        return {Outcome.PROCESSING, Outcome.FAILED}
    return {Outcome.PROCESSING}


def _never_above_the_rate(facts: Facts) -> None:
    rate = facts.settings.pace.rate
    assert isinstance(rate, float)
    most = max(1, int(rate))
    began = sorted(sent.at for sent in facts.witness.sent)
    left = sorted(sent.left_at for sent in facts.witness.sent if sent.left_at is not None)
    for times, what in ((began, "began"), (left, "left")):
        for first, beyond in zip(times, times[most:], strict=False):
            took = beyond - first
            told = f"{most + 1} requests {what} in {took:.4f} s at {first:.4f} s"
            expect(took >= most / rate - 1e-6, told)


def _never_too_many_at_once(facts: Facts) -> None:
    concurrency, most = facts.settings.pace.concurrency, facts.witness.most_at_once
    if isinstance(concurrency, int):
        expect(most <= concurrency, f"{most} completions at once; concurrency is {concurrency}")


def _kept_to_limits(facts: Facts) -> None:
    limits, sent = facts.limits, facts.witness.sent
    if limits is None:
        expect(not sent, "a run that never began has sent something")
        return
    ids = {one.id for one in sent} - {LIST}
    expect(limits.limit is None or len(ids) <= limits.limit, "more ids were sent than --limit says")
    for end, what in ((limits.deadline, "the deadline"), (facts.signalled_at, "a signal")):
        late = [
            one
            for one in sent
            if end is not None and max(one.at, one.left_at or one.at) > end + _INSTANT_S
        ]
        expect(not late, f"sent after {what} at {end}: {late}")


def _kept_to_patience(facts: Facts) -> None:
    """The last probe goes when patience ends, and may take its whole time; where one request alone
    has failed by then, another may leave while the second one is under way. An outage that comes
    amid nothing but 429 has a patience of its own."""
    api, patience_s = facts.settings.api, facts.settings.stop.patience
    probe_s = api.timeout + api.connect_timeout + 1.0
    silence_s, throttle_s = facts.witness.longest_silence_s, facts.witness.longest_throttle_s
    told = f"waited {silence_s:.0f} s, {throttle_s:.0f} s; patience is {patience_s:.0f} s"
    expect(silence_s <= patience_s + 2 * probe_s, told)
    expect(throttle_s <= 2 * (patience_s + probe_s), told)


def _was_not_busy(facts: Facts, loop: SimulatedLoop) -> None:
    requests = _STEPS_FOR_A_REQUEST * len(facts.witness.sent)
    is_auto = facts.settings.pace.concurrency == "auto"
    for_a_second = _LOOKS_FOR_A_SECOND if is_auto else _STEPS_FOR_A_SECOND
    seconds = for_a_second * (facts.ended_at - facts.began_at)
    expect(loop.steps <= _STEPS_AT_MOST + requests + seconds, f"{loop.steps} steps")
