"""Mutants of the pace: gaps, breakers, backoff."""

from __future__ import annotations

from typing import Final

from tests.proofs.mutants.mutant import Mutant

_BREAKER: Final = "worker/core/breaker.py"
_OUTAGES: Final = "worker/pacing/outages.py"
_PACER: Final = "worker/pacing/pacer.py"
_SPACING: Final = "worker/pacing/spacing.py"
_BACKOFF: Final = "worker/pacing/backoff.py"
_ADAPTIVE: Final = "worker/pacing/adaptive.py"
_TESTS: Final = ("tests/unit/pacing",)
_RATE_TESTS: Final = tuple(
    f"tests/unit/pacing/test_{name}.py" for name in ("sending_clock", "adaptive", "adaptive_scenes")
)
_THROUGH: Final = "the rate goes to what gets through, whatever a 429 means"
_RATE: Final = "never above the rate in any second"
_PROBES: Final = "while the API is away nothing but probes is sent, one at a time and ever rarer"
_PATIENCE: Final = "an outage or nothing but 429 for longer than --patience ends with 4"

PACING: Final = (
    Mutant(
        "requests go on while a probe is under way",
        _PROBES,
        _OUTAGES,
        "                case HalfOpen():\n                    return math.inf\n",
        "                case HalfOpen():\n                    pass\n",
        _TESTS,
    ),
    Mutant(
        "a probe that was not sent holds everybody up",
        "a run ends: a probe that was never sent holds nobody up",
        _BREAKER,
        "    return state.resting if isinstance(state, HalfOpen) and is_probe else state\n",
        "    return state\n",
        _TESTS,
    ),
    Mutant(
        "probes do not become rarer",
        _PROBES,
        _BREAKER,
        "    pause_s = min(resting.pause_s * 2.0, rules.maximum_s)\n",
        "    pause_s = resting.pause_s\n",
        _TESTS,
    ),
    Mutant(
        "a breaker never opens",
        _PROBES,
        _BREAKER,
        "    if row.failures >= rules.trips_after:\n        return True\n",
        "",
        _TESTS,
    ),
    Mutant(
        "an answer to a request of before closes a breaker",
        "what left before the trouble began says nothing of it",
        _BREAKER,
        "    return state if row is None or number < row.first else NEW\n",
        "    return state if row is None else NEW\n",
        _TESTS,
    ),
    Mutant(
        "patience begins anew with each failure",
        _PATIENCE,
        _BREAKER,
        "    return Row(row.failures + 1, row.first, row.deadline, not_before)\n",
        "    return Row(row.failures + 1, row.first, now + rules.patience_s, not_before)\n",
        _TESTS,
    ),
    Mutant(
        "what a server asks to wait is not heeded by the breaker",
        "a pause is never shorter than what the server asked for",
        _BREAKER,
        "    reopens_at = max(min(open.reopens_at, row.deadline), row.not_before)\n",
        "    reopens_at = min(open.reopens_at, row.deadline)\n",
        _TESTS,
    ),
    Mutant(
        "a 429 leaves an outage open",
        "any answer ends an outage",
        _OUTAGES,
        "        self._down.on_answer(now)\n        if is_news:\n",
        "        if is_news:\n",
        _TESTS,
    ),
    Mutant(
        "retries of many ids wake together",
        "what was throttled together does not come back together",
        _BACKOFF,
        "    return delay * random.uniform(1.0, 1.0 + _THROTTLE_JITTER)\n",
        "    return delay\n",
        _TESTS,
    ),
    Mutant(
        "retries come back ever sooner",
        "backoff grows with each failure",
        _BACKOFF,
        "    return min(maximum, initial * 2.0 ** min(max(times, 0), _MOST_DOUBLINGS))\n",
        "    return initial\n",
        _TESTS,
    ),
    Mutant(
        "requests leave without a gap",
        _RATE,
        _SPACING,
        "        margin = 1.0 if self._bursts.is_tolerated else _MARGIN\n"
        "        return self._last + gap_s * margin * self._bursts.stretch\n",
        "        return self._last\n",
        _TESTS,
    ),
    Mutant(
        "what waited for its connection leaves at once",
        _RATE,
        "worker/pacing/departure_queue.py",
        "            due = self._departures.next_at(gap_s)\n            if due > now:\n",
        "            due = now\n            if due > now:\n",
        _TESTS,
    ),
    Mutant(
        "lateness of any length is made up",
        "no burst after a pause",
        _SPACING,
        "due if now - due <= LATENESS_MADE_UP_S else now",
        "due",
        _TESTS,
    ),
    Mutant(
        "half a second of lateness is made up",
        "no burst after a pause",
        _SPACING,
        "LATENESS_MADE_UP_S: Final = 0.05",
        "LATENESS_MADE_UP_S: Final = 0.5",
        _TESTS,
    ),
    Mutant(
        "a 429 does not slow the run down",
        "a 429 slows the whole run down",
        "worker/pacing/adaptive.py",
        "            self._fall(step, now)\n",
        "            pass\n",
        _TESTS,
    ),
    Mutant(
        "each 429 of a volley is news",
        "a volley of 429 counts once",
        "worker/pacing/adaptive.py",
        "        is_news = sent_at >= self._heard_at\n",
        "        is_news = True\n",
        _TESTS,
    ),
    Mutant(
        "each 429 of a volley slows the run down",
        "a volley of 429 counts once",
        _ADAPTIVE,
        "        if sent_at < self._fell_at:\n            return is_news\n",
        "",
        _RATE_TESTS,
    ),
    Mutant(
        "a few refused slow nothing down",
        _THROUGH,
        _ADAPTIVE,
        "        elif was_early or self._responses.is_too_fast(step, clock_s):\n",
        "        elif was_early:\n",
        _RATE_TESTS,
    ),
    Mutant(
        "shed load slows the run down for good",
        _THROUGH,
        _ADAPTIVE,
        "        if higher is not None:\n",
        "        if False:\n",
        _RATE_TESTS,
    ),
    Mutant(
        "what was refused is never forgotten",
        _THROUGH,
        "worker/pacing/responses.py",
        "_HALF_LIFE_S: Final = 40.0",
        "_HALF_LIFE_S: Final = 4e9",
        _RATE_TESTS,
    ),
    Mutant(
        "a limit without an end is tried for",
        _THROUGH,
        "worker/pacing/climb.py",
        "    return min(max(for_requests_s, _SHORTEST_HOLD_S) * stretch, _LONGEST_HOLD_S)\n",
        "    return 1.0\n",
        _RATE_TESTS,
    ),
    Mutant(
        "nothing is left to customers",
        "customers on the same account come first",
        _ADAPTIVE,
        "_DIP_BY_DISTANCE: Final = 0.6",
        "_DIP_BY_DISTANCE: Final = 0.0",
        _RATE_TESTS,
    ),
    Mutant(
        "the rate comes back while nothing is sent",
        "no burst after a pause",
        "worker/pacing/sending_clock.py",
        "        return self._seconds + min(now - self._at, self.longest_gap_s)\n",
        "        return self._seconds + max(now - self._at, 0.0)\n",
        _RATE_TESTS,
    ),
    Mutant(
        "several that wait for a permit are served at once",
        _RATE,
        _PACER,
        "        async with self._turn:\n            return await self._next_permit()\n",
        "        return await self._next_permit()\n",
        _TESTS,
    ),
    Mutant(
        "what was learnt while a permit was waited for is not heeded",
        _PROBES,
        _PACER,
        "            if known == self._news or self._may_leave(now):\n",
        "            if True:\n",
        _TESTS,
    ),
    Mutant(
        "what had its permit leaves in a pause that began meanwhile",
        _PROBES,
        _PACER,
        "        return not self._outages.is_open or self._outages.is_probe(permit.number)\n",
        "        return True\n",
        _TESTS,
    ),
    Mutant(
        "a permit is good for ever",
        "what was read long ago, or is leased no more, is not sent",
        _PACER,
        "        is_old = self._clock.now() > permit.latest\n",
        "        is_old = False\n",
        _TESTS,
    ),
    Mutant(
        "a permit of before stop is used after it",
        "nothing is sent after the signal to stop",
        _PACER,
        "        if self._stopped or self._ceiling.is_quiet or is_old:\n",
        "        if self._ceiling.is_quiet or is_old:\n",
        _TESTS,
    ),
)
