"""The README's promises, each held against the truth after every run and every night."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tests.proofs.simulation.api import Api
from tests.proofs.simulation.disk import Platter, SimulatedDisk
from tests.proofs.simulation.loop import SimulatedLoop
from worker.core.errors import ExitCode
from worker.core.events import OutcomesRecorded, RunFinished
from worker.core.outcomes import Outcome, Record

if TYPE_CHECKING:
    from tests.proofs.simulation.night import Run

_EXPECTED: Final = {
    "started": Outcome.PROCESSING,
    "complete": Outcome.PROCESSING,
    "processing": Outcome.PROCESSING,
    "missing": Outcome.NOT_FOUND,
}
_SLACK_S: Final = 5.0
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
    for line in log.split(b"\n"):
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


def after_a_run(run: Run, loop: SimulatedLoop, platter: Platter, log: Path) -> None:
    """The rate, the sum, the exit code and its sentence, and that an end came in time."""
    del platter, log
    _never_above_the_rate(run)
    finished = run.finished
    if finished is None:
        return
    expect(not loop.errors, f"errors that nobody waited for: {loop.errors}")
    expect(finished.tally.balanced, "the sum does not add up")
    code = finished.exit_code
    possible = {
        ExitCode.OK: True,
        ExitCode.SOME_FAILED: finished.tally.outcomes[Outcome.FAILED] > 0,
        ExitCode.REFUSED: run.may_be_misdirected,
        ExitCode.UNAVAILABLE: True,
        ExitCode.STOPPED: run.plan.limit is not None or run.plan.max_duration_s is not None,
        ExitCode.INPUT_UNREADABLE: run.source_failed,
        ExitCode.LOG_UNWRITABLE: run.disk_failed,
        ExitCode.TERMINATED: run.signalled,
    }
    expect(possible.get(code, False), f"exit code {code} without its cause: {finished.reason}")
    expect(code in (0, 1) or finished.reason, f"exit code {code} without a sentence")
    if code is ExitCode.OK:
        tally = finished.tally
        expect(not tally.not_attempted, "exit code 0 with ids that were not attempted")
        expect(not tally.outcomes[Outcome.FAILED], "exit code 0 with failed ids")


def after_the_ledger(run: Run, disk: SimulatedDisk, loop: SimulatedLoop) -> None:
    """Nothing is left behind by a run that ended by itself."""
    expect(not loop.unfinished_tasks(), f"tasks at the end: {loop.unfinished_tasks()}")
    expect(all(file.closed for file in disk.opened), "files that were not closed")
    settled = run.finished is not None and run.finished.exit_code in (0, 1)
    names = {path.name for path in disk.platter.names}
    if settled and not run.disk_failed:
        left = {name for name in names if name.endswith((".inflight", ".tmp"))}
        expect(not left, f"left behind: {left}")


def after_the_night(finished: RunFinished | None, platter: Platter, log: Path, api: Api) -> None:
    """Nothing lost, nothing twice, and the right outcome for every id."""
    expect(finished is not None, "no undisturbed run came to its end")
    records = records_in(platter.durable(log))
    for session in api.sessions.values():
        expect(session.triggers <= 1, f"{session.id} was triggered {session.triggers} times")
        record = records.get(session.id)
        if record is None:
            raise Violation(f"{session.id} has no outcome: {finished}")
        wanted = _EXPECTED.get(session.status, Outcome.FAILED)
        told = f"{session.id} is {session.status}, and its outcome {record.outcome}: {record.error}"
        expect(record.outcome is wanted, told)


def _never_above_the_rate(run: Run) -> None:
    rate = run.settings.pace.rate
    assert isinstance(rate, float)
    most = max(1, int(rate))
    times = [at for at, _ in run.sent]
    for first, beyond in zip(times, times[most:], strict=False):
        took = beyond - first
        expect(took >= most / rate - 1e-6, f"{most + 1} requests in {took:.4f} s at {first:.4f} s")
