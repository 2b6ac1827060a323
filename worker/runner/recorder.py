"""Outcomes on their way into the results log: what is written, and what counts once it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from worker.api.verdict import Settled
from worker.core.clock import Clock
from worker.core.events import Event, OutcomesRecorded
from worker.core.outcomes import Error, ErrorType, Item, Outcome, Record
from worker.core.tally import Tally
from worker.runner.backlog import Backlog
from worker.runner.job import Job, record_of
from worker.runner.ports import LedgerPort


class Recorder:
    """Writes outcomes of the run `run`, and counts each once its line is on disk."""

    def __init__(
        self,
        run: str,
        ledger: LedgerPort,
        backlog: Backlog,
        tally: Tally,
        clock: Clock,
        notify: Callable[[Event], None],
    ) -> None:
        self._run = run
        self._ledger = ledger
        self._backlog = backlog
        self._tally = tally
        self._clock = clock
        self._notify = notify

    def record(self, job: Job, settled: Settled, now: float) -> None:
        """Hand the outcome of a job over to the ledger."""
        at = self._clock.timestamp()
        self._ledger.append(record_of(job, settled, now=now, at=at, run=self._run))
        self._backlog.now_written()

    def record_invalid(self, item: Item) -> None:
        """Record a line of the input that can be no id."""
        self._backlog.in_hand += 1
        error = Error(ErrorType.INVALID_ID.value, item.problem or "")
        settled = Settled(Outcome.FAILED, None, None, error)
        self.record(Job.of(item), settled, self._clock.now())

    def on_durable(self, records: Sequence[Record]) -> None:
        """These lines are on disk."""
        self._tally.count(records)
        self._notify(OutcomesRecorded(records))
        self._backlog.now_durable(len(records))
