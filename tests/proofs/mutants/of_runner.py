"""Mutants of the runner: what is sent, what is decided, and how a run ends."""

from __future__ import annotations

from typing import Final

from tests.proofs.mutants.mutant import Mutant

_JOB: Final = "worker/runner/job.py"
_STEPS: Final = "worker/runner/steps.py"
_BACKLOG: Final = "worker/runner/backlog.py"
_DISPATCHER: Final = "worker/runner/dispatcher.py"
_FAILURES: Final = "worker/runner/failures.py"
_INTAKE: Final = "worker/runner/intake.py"
_REQUESTS: Final = "worker/runner/requests.py"
_RUNNER: Final = "worker/runner/runner.py"
_LOOK_AHEAD: Final = "worker/runner/look_ahead.py"
_CAUSES: Final = "worker/runner/causes.py"
_TESTS: Final = ("tests/unit/runner",)
_WEATHER: Final = ("tests/unit/runner", "tests/system/test_weather.py")
_ENDINGS: Final = ("tests/unit/runner", "tests/system/test_endings.py")
_READ_FIRST: Final = "a session that may have been completed is read before it is sent again"
_SETTLE: Final = "nothing is done twice by a backend that acts within retry.settle"
_OUTAGE: Final = "an outage costs time, not sessions"
_PATIENCE: Final = "an outage or nothing but 429 for longer than --patience ends with 4"
_DEADLINE: Final = "nothing new is taken after --max-duration or --until, and 5 says so"

RUNNER: Final = (
    Mutant(
        "ids are sent before the journal has them",
        "an id is in the journal, on disk, before its first request leaves",
        _INTAKE,
        "            await self._ledger.enter([job.id for job in jobs])\n",
        "            pass\n",
        _TESTS,
    ),
    Mutant(
        "in-flight requests are ignored at the end",
        "the journal stays where a request may still be under way",
        _RUNNER,
        "in_good_order = not self._requests.in_flight and not self._ending.defects",
        "in_good_order = not self._ending.defects",
        _TESTS,
    ),
    Mutant(
        "a defect lets the journal go",
        "after a defect the next run reads all that might have been sent",
        _RUNNER,
        "in_good_order = not self._requests.in_flight and not self._ending.defects",
        "in_good_order = not self._requests.in_flight",
        _TESTS,
    ),
    Mutant(
        "what waits for a retry is not recorded at an early end",
        _READ_FIRST,
        _RUNNER,
        "            if self._is_to_be_recorded(job):\n",
        "            if False:\n",
        _ENDINGS,
    ),
    Mutant(
        "what an outage kept is recorded as failed",
        _OUTAGE,
        _RUNNER,
        "        return job.attempts > 0 and job.last_reached and not is_outage\n",
        "        return job.attempts > 0\n",
        _ENDINGS,
    ),
    Mutant(
        "lines that were never taken are not counted",
        "every line of the input is accounted for",
        _RUNNER,
        "        if not ending.is_aborted:\n",
        "        if ending.is_aborted:\n",
        _ENDINGS,
    ),
    Mutant(
        "the deadline ends nothing",
        _DEADLINE,
        _RUNNER,
        "        if not await self._clock.wait(self._over, self._limits.deadline):\n",
        "        if False:\n",
        _ENDINGS,
    ),
    Mutant(
        "a deadline ends runs that have settled everything with 5",
        _DEADLINE,
        _RUNNER,
        "        if self._is_all_settled():\n",
        "        if False:\n",
        _ENDINGS,
    ),
    Mutant(
        "a deadline that kept ids back ends with 0",
        _DEADLINE,
        _RUNNER,
        "        is_rest = self.tally.not_attempted or self._given_up\n",
        "        is_rest = False\n",
        _ENDINGS,
    ),
    Mutant(
        "retries that cannot come before the deadline are waited for",
        "a delay that reaches past the deadline is not waited for",
        _DISPATCHER,
        "        if deadline is not None and deadline < due < math.inf"
        " and self._backlog.only_retries_left:\n",
        "        if False:\n",
        _ENDINGS,
    ),
    Mutant(
        "a job that another run has taken over is sent",
        "no two runs send one id",
        _DISPATCHER,
        "            if self._ledger.owns(job.id):\n",
        "            if True:\n",
        ("tests/unit/runner", "tests/unit/cluster/test_queue.py"),
    ),
    Mutant(
        "a permit that is not used is not given back",
        "a run ends: a probe that was never sent holds nobody up",
        _DISPATCHER,
        "        self._pacer.release(permit)\n",
        "",
        _TESTS,
    ),
    Mutant(
        "the slot of an answered request stays taken",
        "a run ends",
        _DISPATCHER,
        "            await self._ending.guard(self._requests.send(job, permit))\n"
        "        finally:\n            self._slots.release()\n",
        "            await self._ending.guard(self._requests.send(job, permit))\n"
        "        finally:\n            pass\n",
        _TESTS,
    ),
    Mutant(
        "a far Retry-After of everything that is left is waited for",
        _PATIENCE,
        _DISPATCHER,
        "        if now + patience_s < due < math.inf and self._backlog.only_told_to_wait:\n",
        "        if False:\n",
        _TESTS,
    ),
    Mutant(
        "a limit ends with 0",
        "5 says that ids remain",
        _DISPATCHER,
        "        if intake.limit_reached or not intake.ended:\n",
        "        if False:\n",
        _ENDINGS,
    ),
    Mutant(
        "a source that broke off ends with 0",
        "66 says that the source was read in part only",
        _DISPATCHER,
        "        if intake.failure is not None:\n",
        "        if False:\n",
        _ENDINGS,
    ),
    Mutant(
        "more ids are taken than --limit says",
        "--limit attempts so many ids at most",
        _INTAKE,
        "        return self._limit is not None and self.admitted >= self._limit\n",
        "        return self._limit is not None and self.admitted > self._limit\n",
        _TESTS,
    ),
    Mutant(
        "what a dead run has sent is sent again at once",
        _SETTLE,
        _BACKLOG,
        "settled_at=since + self._settle_s)",
        "settled_at=since)",
        _TESTS,
    ),
    Mutant(
        "a full window of ids that wait hides that nothing else can go",
        _PATIENCE,
        _BACKLOG,
        "        is_closed = self.intake.ended or not self._room_for_more()\n",
        "        is_closed = self.intake.ended\n",
        _TESTS,
    ),
    Mutant(
        "what was ambiguous is not read",
        _READ_FIRST,
        _STEPS,
        "        was_ambiguous=True,\n        unresolved=True,\n        check_next=True,\n",
        "        was_ambiguous=True,\n        unresolved=True,\n        check_next=False,\n",
        _TESTS,
    ),
    Mutant(
        "what something else answered in the API's place is sent again unread",
        _READ_FIRST,
        _STEPS,
        "    is_ambiguous = isinstance(verdict, Foreign) or verdict.ambiguous\n",
        "    is_ambiguous = isinstance(verdict, Transient) and verdict.ambiguous\n",
        ("tests/unit/runner", "tests/system/test_answers.py"),
    ),
    Mutant(
        "a session is sent again at once while its backend may still act",
        _SETTLE,
        _STEPS,
        "        settled_at=job.settled_at if is_final else job.posted_at + policy.settle_s,\n",
        "        settled_at=job.settled_at if is_final else job.posted_at,\n",
        _TESTS,
    ),
    Mutant(
        "a session is sent at the end of retry.settle without another look",
        _SETTLE,
        _STEPS,
        "    if read.permit.at < read.settled_at:\n",
        "    if False:\n",
        _TESTS,
    ),
    Mutant(
        "a rejection after an ambiguous completion is taken for the outcome",
        '"already completed" is no failure of what was completed',
        _STEPS,
        "    if not job.check_next and job.was_ambiguous:\n",
        "    if False:\n",
        _TESTS,
    ),
    Mutant(
        "a read that is rejected settles what may have been completed",
        "what nobody could tell is recorded as ambiguous",
        _STEPS,
        "    if job.unresolved and verdict.session_status is None"
        " and verdict.outcome is Outcome.FAILED:\n",
        "    if False:\n",
        _TESTS,
    ),
    Mutant(
        "what is given up while in doubt is recorded as plainly failed",
        "what nobody could tell is recorded as ambiguous",
        _STEPS,
        "    if job.unresolved:\n        error = _ambiguous(error)\n",
        "",
        _TESTS,
    ),
    Mutant(
        "a 429 for one id is tried for ever",
        _PATIENCE,
        _STEPS,
        "    if now - since > policy.patience_s:\n        return give_up(after)\n",
        "",
        _TESTS,
    ),
    Mutant(
        "Retry-After of a 429 is not obeyed",
        "a throttled id waits for Retry-After",
        _STEPS,
        "        delay_s = max(verdict.retry_after_s, _backoff(job.throttles, policy, random))\n",
        "        delay_s = _backoff(job.throttles, policy, random)\n",
        _TESTS,
    ),
    Mutant(
        "Retry-After of a 503 is not obeyed",
        "an id waits as long as the server asks",
        _STEPS,
        "    delay_s = max(_backoff(max(failures, 1), policy, random), asked_s or 0.0)\n",
        "    delay_s = _backoff(max(failures, 1), policy, random)\n",
        _WEATHER,
    ),
    Mutant(
        "attempts are not counted",
        "an id is given up after --max-attempts",
        _STEPS,
        "    failures = answers.own(job.check_failures if job.check_next else job.failures)\n",
        "    failures = 0\n",
        _TESTS,
    ),
    Mutant(
        "failures of an outage are charged to ids",
        _OUTAGE,
        _FAILURES,
        "        if self._pacer.outage_open:\n            self.answers.begin_outage()\n",
        "",
        _WEATHER,
    ),
    Mutant(
        "any failure is pardoned",
        "an API that never answers some requests does not keep a run going for ever",
        _FAILURES,
        "        if self._pacer.outage_open:\n            self.answers.begin_outage()\n",
        "        self.answers.begin_outage()\n",
        _WEATHER,
    ),
    Mutant(
        "an id pays for each failure while nothing at all is answered",
        _OUTAGE,
        _JOB,
        "        if moment in self.failures or moment in self.check_failures:\n"
        "            return self\n",
        "",
        _WEATHER,
    ),
    Mutant(
        "pardons have no end",
        "an API that never answers some requests does not keep a run going for ever",
        "worker/runner/answers.py",
        "        return len(failures) - min(pardoned, self._pardons)\n",
        "        return len(failures) - pardoned\n",
        _TESTS,
    ),
    Mutant(
        "answers of proxies at the start are an outage",
        "five answers of something else at the start end the run with 3",
        _FAILURES,
        "        return causes.wrong_address(verdict, self._foreign_at_first)\n",
        "        return None\n",
        ("tests/unit/runner", "tests/system/test_answers.py"),
    ),
    Mutant(
        "answers of proxies in mid-run end it with 3",
        "an answer of something else in mid-run is an outage",
        _FAILURES,
        "        self._foreign_at_first = None\n",
        "",
        _WEATHER,
    ),
    Mutant(
        "nothing but 429 keeps a run going for ever",
        _PATIENCE,
        _FAILURES,
        "        return counted, causes.throttled_out()"
        " if waited_s >= self._pacer.patience_s else None\n",
        "        return counted, None\n",
        _WEATHER,
    ),
    Mutant(
        "patience with 429 goes on when others are let through",
        _PATIENCE,
        _FAILURES,
        "        waited_s = now - max(job.throttled_since, self._let_through_at)\n",
        "        waited_s = now - job.throttled_since\n",
        _TESTS,
    ),
    Mutant(
        "a refused key does not end the run",
        "401, 402 and 403 end the run with 3",
        _FAILURES,
        "        return job, causes.refusal(verdict) if isinstance(verdict, Refused) else None\n",
        "        return job, None\n",
        ("tests/unit/runner", "tests/system/test_answers.py"),
    ),
    Mutant(
        "the last probe goes after patience has ended",
        _PATIENCE,
        _REQUESTS,
        "        return min(due, last_at) if now < last_at else due\n",
        "        return due\n",
        _WEATHER,
    ),
    Mutant(
        "a wait of the program's own may be longer than patience",
        _PATIENCE,
        _REQUESTS,
        "due, last_at = min(due, now + self._pacer.patience_s), self",
        "last_at = self",
        _TESTS,
    ),
    Mutant(
        "all outcomes alike end nothing",
        "twenty outcomes alike at the start end the run with 3",
        _REQUESTS,
        "        if cause is not None:\n            self._ending.stop(cause)\n\n    def _follow",
        "        del cause\n\n    def _follow",
        _ENDINGS,
    ),
    Mutant(
        "the least urgent cause is the exit code",
        "of several causes the first in the README's order is the exit code",
        _CAUSES,
        "    return min(codes, key=EXIT_PRECEDENCE.index)\n",
        "    return max(codes, key=EXIT_PRECEDENCE.index)\n",
        _ENDINGS,
    ),
    Mutant(
        "a sum that does not add up goes unsaid",
        "the program checks its own sum",
        _CAUSES,
        "    if not tally.balanced or (tally.not_attempted and not causes):\n",
        "    if False:\n",
        _ENDINGS,
    ),
    Mutant(
        "requests that a second signal cut off go unsaid",
        "the reason says what was cut off",
        _CAUSES,
        "    if cause is None or not cut_off:\n",
        "    if True:\n",
        ("tests/unit/runner", "tests/system/test_signals.py"),
    ),
    Mutant(
        "one request sent twice by a signal is two signals",
        "signals that come together are one request",
        "worker/app/process/signals.py",
        "        if loop.time() - heeded_at < _ONE_REQUEST_S:\n            return\n",
        "",
        ("tests/system/test_signals.py",),
    ),
    Mutant(
        "what may have been sent is looked up in a list, which may lag",
        "a session that may have been completed is read by itself before it is sent again",
        _LOOK_AHEAD,
        "            if job.unresolved:\n                self._ready.append(job)\n"
        "            else:\n                self._unknown[job.id] = job\n",
        "            self._unknown[job.id] = job\n",
        _TESTS,
    ),
    Mutant(
        "what is ahead at the end of a run is forgotten",
        "every line of the input is accounted for",
        _LOOK_AHEAD,
        "        count = len(self)\n",
        "        count = 0\n",
        _TESTS,
    ),
    Mutant(
        "a status is never too old",
        "with check_first a status is at most check_valid old when its session is completed",
        _JOB,
        "if self.check_next or now > self.valid_until:",
        "if self.check_next:",
        _TESTS,
    ),
)
