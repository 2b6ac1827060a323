"""The mutants: what is replaced by what, and the promise that breaks by it."""

from __future__ import annotations

from typing import Final, NamedTuple


class Mutant(NamedTuple):
    """`tests` are tried where the simulation notices nothing."""

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: str


_FILES: Final = "worker/ledger/files.py"
_JOURNAL: Final = "worker/ledger/journal.py"
_RESULTS: Final = "worker/ledger/results.py"
_LEDGER: Final = "worker/ledger/ledger.py"
_MEMORY: Final = "worker/ledger/memory.py"
_RUNNER: Final = "worker/runner/runner.py"
_DISPATCHER: Final = "worker/runner/dispatcher.py"
_FAILURES: Final = "worker/runner/failures.py"
_JOB: Final = "worker/runner/job.py"
_LOOK_AHEAD: Final = "worker/runner/look_ahead.py"
_VERDICT: Final = "worker/api/verdict.py"
_SPACING: Final = "worker/pacing/spacing.py"
_OF_LEDGER: Final = "tests/unit/ledger"
_OF_RUNNER: Final = "tests/unit/runner"
_OF_PACING: Final = "tests/unit/pacing"

MUTANTS: Final = (
    Mutant(
        "appends are not synced",
        "an outcome counts once it is on disk; an id is in the journal before it is sent",
        _FILES,
        "            write_all(self._file, data)\n            self._file.sync_data()\n",
        "            write_all(self._file, data)\n",
        _OF_LEDGER,
    ),
    Mutant(
        "a new journal is not synced",
        "ids in doubt survive the change from one journal to the next",
        _JOURNAL,
        "        file.sync()\n",
        "",
        _OF_LEDGER,
    ),
    Mutant(
        "the name of a new journal is not synced",
        "the journal is found after a power cut",
        _JOURNAL,
        "                self._disk.sync_directory(self._path.parent)\n            except",
        "            except",
        _OF_LEDGER,
    ),
    Mutant(
        "a dead run's lines are not synced before they settle ids",
        "what leaves the journal is on disk in the log",
        _RESULTS,
        "            refuse_foreign(self._file, self.path)\n            self._file.sync()\n",
        "            refuse_foreign(self._file, self.path)\n",
        _OF_LEDGER,
    ),
    Mutant(
        "ids are sent before the journal has them",
        "an id is in the journal, on disk, before its first request leaves",
        "worker/runner/intake.py",
        "            await self._ledger.enter([job.id for job in jobs])\n",
        "            pass\n",
        _OF_RUNNER,
    ),
    Mutant(
        "outcomes count before they are written",
        "an outcome counts once its line is on disk",
        _LEDGER,
        '        try:\n            await self._in_writer(self._write, b"".join(lines))\n',
        "        try:\n            self._on_durable(records)\n"
        '            await self._in_writer(self._write, b"".join(lines))\n',
        _OF_LEDGER,
    ),
    Mutant(
        "the journal of a dead run is forgotten",
        "an id that may have been sent is read before it is sent again",
        _MEMORY,
        "        if flags & (_PENDING | _AMBIGUOUS):\n",
        "        if flags & _AMBIGUOUS:\n",
        _OF_LEDGER,
    ),
    Mutant(
        "an id recorded as ambiguous is sent unread",
        "an id that may have been sent is read before it is sent again",
        _MEMORY,
        "        if flags & (_PENDING | _AMBIGUOUS):\n",
        "        if flags & _PENDING:\n",
        _OF_LEDGER,
    ),
    Mutant(
        "in-flight requests are ignored at the end",
        "the journal stays where a request may still be under way",
        _RUNNER,
        "in_good_order = not self._requests.in_flight and not self._ending.defects",
        "in_good_order = not self._ending.defects",
        _OF_RUNNER,
    ),
    Mutant(
        "a request that has ended keeps its slot",
        "a run ends: whatever is due is sent",
        _DISPATCHER,
        "        finally:\n            self._slots.release()\n",
        "        finally:\n            pass\n",
        _OF_RUNNER,
    ),
    Mutant(
        "an id that another run has taken over is sent",
        "no two runs send one id",
        _DISPATCHER,
        "            if self._ledger.owns(job.id):\n",
        "            if self._ledger.owns(job.id) or job.id:\n",
        _OF_RUNNER,
    ),
    Mutant(
        "a 503 counts as not acted upon",
        "a session that may have been completed is read before it is sent again",
        _VERDICT,
        "return Transient(error, True, status, retry_after_s, is_final=is_own)",
        "return Transient(error, False, status, retry_after_s, is_final=is_own)",
        "tests/unit/api",
    ),
    Mutant(
        "a success that makes no sense counts as not acted upon",
        "a session that may have been completed is read before it is sent again",
        _VERDICT,
        "            return Settled(Outcome.PROCESSING, reply.status, status)\n"
        "        return Transient(_unexpected(reply), ambiguous=True,",
        "            return Settled(Outcome.PROCESSING, reply.status, status)\n"
        "        return Transient(_unexpected(reply), ambiguous=False,",
        "tests/unit/api",
    ),
    Mutant(
        "what was ambiguous is not read",
        "a session that may have been completed is read before it is sent again",
        _JOB,
        "        was_ambiguous=True,\n        unresolved=True,\n        check_next=True,\n",
        "        was_ambiguous=True,\n        unresolved=True,\n",
        _OF_RUNNER,
    ),
    Mutant(
        "a 429 uses up no time of patience",
        "an outage or nothing but 429 ends with 4",
        _JOB,
        "    if now - since > policy.patience_s:\n        return give_up(after)\n",
        "",
        _OF_RUNNER,
    ),
    Mutant(
        "failures of an outage are charged to ids",
        "an outage costs time, not sessions",
        _FAILURES,
        "            self.answers.begin_outage()\n",
        "            pass\n",
        _OF_RUNNER,
    ),
    Mutant(
        "a permit that is not used is not given back",
        "a run ends: a probe that was never sent holds nobody up",
        "worker/pacing/outages.py",
        "            one.state = breaker.abandoned(one.state, number)\n",
        "            pass\n",
        _OF_PACING,
    ),
    Mutant(
        "requests leave without a gap",
        "never above the rate",
        _SPACING,
        "        margin = 1.0 if self._burst_probe.is_tolerated else _MARGIN\n"
        "        return self._last + gap_s * margin * self._burst_probe.stretch\n",
        "        return self._last\n",
        _OF_PACING,
    ),
    Mutant(
        "lateness of any length is made up",
        "no burst after a pause",
        _SPACING,
        "due if now - due <= _LATENESS_MADE_UP_S else now",
        "due",
        _OF_PACING,
    ),
    Mutant(
        "a session is sent again at once while its backend may still act",
        "nothing is done twice by a backend that acts within retry.settle",
        _JOB,
        "settled_at=job.settled_at if is_final else job.posted_at + policy.settle_s,",
        "settled_at=job.settled_at if is_final else job.posted_at,",
        _OF_RUNNER,
    ),
    Mutant(
        "an answer of a gateway counts as the API's last word",
        "nothing is done twice by a backend that acts within retry.settle",
        _VERDICT,
        "retry_after_s, is_final=is_own)",
        "retry_after_s, is_final=True)",
        "tests/unit/api",
    ),
    Mutant(
        "what may have been sent is looked up in a list, which may lag",
        "a session that may have been completed is read by itself before it is sent again",
        _LOOK_AHEAD,
        "            if job.unresolved:\n                self._ready.append(job)\n"
        "            else:\n                self._unknown[job.id] = job\n",
        "            self._unknown[job.id] = job\n",
        _OF_RUNNER,
    ),
    Mutant(
        "what is ahead at the end of a run is forgotten",
        "every line of the input is accounted for",
        _LOOK_AHEAD,
        "        count = len(self)\n",
        "        count = 0\n",
        _OF_RUNNER,
    ),
    Mutant(
        "a status is never too old",
        "with check_first a status is at most check_valid old when its session is completed",
        _JOB,
        "if self.check_next or now > self.valid_until:",
        "if self.check_next:",
        _OF_RUNNER,
    ),
)
