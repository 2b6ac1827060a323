"""Reads results logs once, in bounded memory, and keeps what reports are made of.

For each id its latest state is kept (about 90 bytes), for each run its bins over time; records
are not, but for the newest that carry an error.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from worker.core.outcomes import Outcome, Record
from worker.core.packed_ids import pack_id
from worker.report.state import Latest, States
from worker.report.timeline import Bin, RunTrace

MAX_LISTED: Final = 5_000
DETAILED_RUNS: Final = 6
OTHER_TARGETS: Final = "(others)"
_MAX_EXAMPLES = 4
_MAX_TARGETS = 50


class Listed(NamedTuple):
    """An id whose latest outcome is failed, or not_found."""

    log: str
    record: Record


class _Shelf:
    """The newest lines of one log that did not complete their session, with their state's number.

    `listed` holds those of ids that are failed or not_found, as far as this log knows.
    """

    def __init__(self) -> None:
        self.listed = {outcome: _Newest() for outcome in (Outcome.FAILED, Outcome.NOT_FOUND)}
        self.examples: dict[str, deque[tuple[bytes, int, Record]]] = {}

    def put(self, key: bytes, number: int, record: Record) -> None:
        for outcome, newest in self.listed.items():
            if outcome is record.outcome:
                newest.put(key, number, record)
            else:
                newest.records.pop(key, None)

    def put_example(self, key: bytes, number: int, error_type: str | None, record: Record) -> None:
        examples = self.examples.setdefault(error_type or "", deque(maxlen=_MAX_EXAMPLES))
        examples.append((key, number, record))


class _Newest:
    """The newest records, each with its state's number; at most MAX_LISTED."""

    def __init__(self) -> None:
        self.records: OrderedDict[bytes, tuple[int, Record]] = OrderedDict()

    def put(self, key: bytes, number: int, record: Record) -> None:
        self.records.pop(key, None)
        self.records[key] = (number, record)
        if len(self.records) > MAX_LISTED:
            self.records.popitem(last=False)


class LogTrace:
    """What was read from one log; the caller may count lines that are no records."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs: list[RunTrace] = []
        self.detailed: list[RunTrace] = []
        self.latest: Counter[int] = Counter()
        self.shelf = _Shelf()
        self.bad_lines = 0


class Aggregator:
    """Reads logs one after the other and adds them up.

    Of an id in several logs, the state counts that the run which began last gave it.
    """

    def __init__(self) -> None:
        self.logs: list[LogTrace] = []
        self.runs: list[RunTrace] = []
        self._detailed: list[RunTrace] = []
        self.states = States()
        self.latest = Latest()
        self.targets: Counter[str] = Counter()

    def read(self, name: str, records: Iterable[Record]) -> LogTrace:
        """Take in a log's records, in their order."""
        log = LogTrace(name)
        latest = Latest()
        self._read_into(log, latest, records)
        log.latest = latest.counts()
        self._merge(latest)
        self.logs.append(log)
        # Not sooner: a run's beginning is known when all of its log has been read.
        self._detailed += log.detailed
        _keep_detail_of_newest(self._detailed)
        return log

    def _read_into(self, log: LogTrace, latest: Latest, records: Iterable[Record]) -> None:
        runs: dict[str, RunTrace] = {}
        states = self.states
        for record in records:
            run = runs.get(record.run)
            if run is None:
                run = runs[record.run] = self._begin_run(log, record.run)
            number = states.number(run.number, record)
            key = pack_id(record.id)
            latest.states[key] = number
            run.add(record, number)
            self._count_target(record.target)
            log.shelf.put(key, number, record)
            if record.error is not None:
                log.shelf.put_example(key, number, states[number].error_type, record)

    def _count_target(self, target: str | None) -> None:
        """Count a line by where it was sent, if it says so; many targets in one."""
        if target is None:
            return
        is_kept = target in self.targets or len(self.targets) < _MAX_TARGETS
        self.targets[target if is_kept else OTHER_TARGETS] += 1

    def _begin_run(self, log: LogTrace, name: str) -> RunTrace:
        _keep_detail_of_newest(log.detailed)
        run = RunTrace(log.name, name, len(self.runs))
        self.runs.append(run)
        log.runs.append(run)
        log.detailed.append(run)
        return run

    def _merge(self, latest: Latest) -> None:
        if not self.logs:
            self.latest = latest
            return
        began = [_beginning(run) for run in self.runs]
        self.latest.merge(latest, [began[state.run] for state in self.states])

    def total(self) -> Bin:
        """All lines of all runs in one."""
        total = Bin()
        for run in self.runs:
            total.pour_in(run.total())
        return total

    def runs_by_time(self) -> list[RunTrace]:
        """The runs of all logs, the one that began last at the end."""
        return sorted(self.runs, key=_beginning)

    def listed(self, outcome: Outcome) -> list[Listed]:
        """Ids that are failed or not_found, the newest first; at most MAX_LISTED of each log."""
        found = [
            Listed(log.name, record)
            for log in self.logs
            for key, (number, record) in log.shelf.listed[outcome].records.items()
            if self._is_latest(key, number)
        ]
        return sorted(found, key=lambda listed: listed.record.at, reverse=True)

    def example(self, error_type: str) -> Record | None:
        """A line with this error, of an id that still has it where one is known."""
        found = [
            (key, number, record)
            for log in self.logs
            for key, number, record in reversed(log.shelf.examples.get(error_type, ()))
        ]
        current = [record for key, number, record in found if self._is_latest(key, number)]
        return next(iter(current or [record for _, _, record in found]), None)

    def _is_latest(self, key: bytes, number: int) -> bool:
        return self.latest.states.get(key) == number


def _keep_detail_of_newest(runs: list[RunTrace]) -> None:
    """Leave those that began last in the list; the others forget their detail."""
    runs.sort(key=_beginning)
    for run in runs[:-DETAILED_RUNS]:
        run.forget_detail()
    del runs[:-DETAILED_RUNS]


def _beginning(run: RunTrace) -> float:
    return float("-inf") if run.began is None else run.began
