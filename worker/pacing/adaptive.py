"""The rate that the API lets through, found from the run's own requests. Time is an argument."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from worker.pacing.climb import Climb, hold_s
from worker.pacing.cusum import Cusum
from worker.pacing.responses import Responses, rate_of, step_of
from worker.pacing.sending_clock import SendingClock

# Each was found by simulation, over limiters, jitter, latencies and customers. The test beside it,
# or the scene of tests/unit/pacing/test_adaptive_scenes.py, fails where it is far from that.

# A trickle finds out that there is room again: test_however_much_is_refused_a_trickle_is_left.
_FLOOR_SHARE: Final = 0.02
_LOWEST_RATE: Final = 0.05

# Rates of the last minutes: a choice, which no answer that takes less than those outlives.
_STEPS_KEPT: Final = 64

# Smaller steps bring more refusals on the way down, larger ones leave room unused:
# test_a_stray_429_is_tolerated_and_a_second_one_costs_a_small_step.
_STEP_DOWN: Final = 0.985

# Of few requests that were nearly all refused, chance may be the cause: "5 in any second".
_DEEPEST_CUT: Final = 0.5

# The dip lets a limiter that allows bursts run half empty before the rate is tried again: "no
# burst, 100 ms", and test_where_many_are_refused_the_rate_falls_to_what_gets_through.
_DEEPEST_DIP: Final = 0.2
_DIP_BY_DISTANCE: Final = 0.6
_DIP_S: Final = 7.0

# What is refused before a dip has had its effect says nothing of the new rate:
# test_where_many_are_refused_the_rate_falls_to_what_gets_through.
_SETTLE_S: Final = 2.0

# Quick, since it is known to get through; but no jump: "1 % shed" fails where it takes long.
_RETURN_S: Final = 2.0

# test_a_volley_of_429s_is_news_once
_NEWS_S: Final = 0.25

# How far a found limit lies from what went through to what was refused: "no burst, 30 ms".
_TOWARDS_REFUSED: Final = 0.3

# A bucket that is full drains only below what it allows. Much below is lost:
# test_a_limit_that_is_halved_and_comes_back_is_found_within_half_a_minute.
_BELOW_THROUGH: Final = 0.98

# At the full rate no limit below it is known any more:
# test_beside_customers_who_come_at_random_it_still_takes_nine_tenths_of_what_they_leave.
_AT_CEILING: Final = 0.99

# More than what an API sheds must stay news:
# test_where_many_are_refused_the_rate_falls_to_what_gets_through.
_MOST_USUAL: Final = 0.06

# A second, or two gaps of a low rate: test_another_controller_goes_on_where_this_one_is.
_IDLE_S: Final = 1.0
_IDLE_GAPS: Final = 2.0


class AdaptiveRate:
    """At most `ceiling` requests a second, and less where going slower has more let through.

    It counts what is let through and refused at each rate, and tells what a 429 means:

    - *Jitter*: a few are refused. The rate goes a small step down, and the next try comes late.
    - *A lower limit*, or *customers* on the same account: suddenly many are refused. The rate falls
      to what gets through. From then on it dips after each 429, until a limiter that allows bursts
      has room again for others.
    - *Shed load*: as many are refused at clearly lower rates. The rate goes back up.

    A used-up quota, which refuses everything, is not its business: see the breaker.

    What was taken from where: the curve of the climb and its plateau from CUBIC (RFC 9438); falling
    to the rate that was delivered, tolerating a small share of losses, and learning nothing from
    times in which less was sent than allowed, from BBR (draft-ietf-ccwg-bbr); deciding by one's own
    share of refusals over a sliding time from Envoy's admission control and the client-side
    throttling of Google's SRE book; holding what was had at a lower setting against what is had now
    from Envoy's adaptive concurrency and Netflix's concurrency-limits; one rate for all requests,
    cut by a 429, from the adaptive mode of the AWS SDKs. CUSUM, which tells a change from chance,
    is Page's.

    Requests are named by the time at which they left. Rates are requests a second, times seconds of
    one clock.
    """

    def __init__(self, ceiling: float) -> None:
        self._limit(ceiling)
        self._clock = SendingClock()
        self._follow(Climb(ceiling, ceiling, 0.0, 1.0))
        self._responses = Responses()
        self._change = Cusum()
        self._is_crowded = False
        self._changes = 0
        self._began_s = -math.inf
        self._cut_s = 0.0
        self._cut_requests = 0.0
        self._steps: deque[tuple[float, int]] = deque(maxlen=_STEPS_KEPT)
        self._last_rate = -1.0
        self._heard_at = self._cut_at = self._settled_at = self._fell_at = -math.inf

    def rate(self, now: float) -> float:
        """Requests a second that may be sent now."""
        if self._began_s == -math.inf:
            return self._ceiling
        age_s = max(self._clock.seconds(now) - self._began_s, 0.0)
        return min(self._climb.rate(age_s), self._ceiling)

    @property
    def changes(self) -> int:
        """How often a 429 has changed the rate."""
        return self._changes

    def sent(self, now: float) -> None:
        """A request leaves now."""
        passed_s = self._clock.sent(now)
        rate = self.rate(now)
        self._cut_s += passed_s
        self._cut_requests += passed_s * rate
        if rate == self._last_rate:
            return
        self._last_rate = rate
        step = step_of(rate)
        if not self._steps or self._steps[-1][1] != step:
            self._steps.append((now, step))

    def answered(self, sent_at: float, now: float) -> None:
        """The request that left at `sent_at` was let through: it had any answer but 429."""
        self._change.answered()
        if not self._is_unsettled(sent_at):
            self._responses.add(self._step_at(sent_at), self._clock.seconds(now), refused=False)

    def throttled(self, sent_at: float, now: float, *, was_early: bool = False) -> bool:
        """The request that left at `sent_at` was answered 429.

        One that `was_early` on purpose met a limiter that allows bursts at its fullest: customers
        are refused next, and it says nothing of the even ones. Returns whether it is news: it left
        after the last such answer had been heard, and a quarter of a second after that one left.
        A volley is news once, and a limiter that has used up its second no more than four times.
        """
        is_news = sent_at >= self._heard_at
        if is_news:
            self._heard_at = max(now, sent_at + _NEWS_S)
        step, clock_s = self._step_at(sent_at), self._clock.seconds(now)
        if not was_early and not self._is_unsettled(sent_at):
            self._responses.add(step, clock_s, refused=True)
        if sent_at < self._fell_at:
            return is_news
        self._change.refused(self._usual(step, clock_s))
        if self._change.is_certain:
            self._fall(step, now)
        elif sent_at >= self._settled_at:
            self._adjust(step, now, was_early=was_early)
        return is_news

    def pause(self, now: float) -> None:
        """Nothing but probes is sent from now on: they teach nothing of the rate."""
        self._clock.pause(now)

    def resume(self, now: float) -> None:
        """Go on where the pause began."""
        self._clock.resume(now)

    def limit_to(self, ceiling: float, now: float) -> None:
        """From now on at most `ceiling`; what was learnt holds.

        Where it rises the rate goes from the old ceiling to the rate that was found before, if that
        is higher, and tries for more as soon as from anywhere else: what was refused at a low
        ceiling must not keep a high one down.
        """
        if ceiling > self._ceiling and self._began_s != -math.inf:
            start = self.rate(now)
            plateau = min(max(self._climb.plateau, start), ceiling)
            self._follow(Climb(start, plateau, _RETURN_S, hold_s(plateau, ceiling)))
            self._began_s = self._clock.seconds(now)
        self._limit(ceiling)

    def state(self, now: float) -> str:
        """All that another controller needs to go on from here, in about 100 to 500 characters.

        The climb (start, plateau, seconds of recovery and hold, its age), whether a limit below the
        ceiling was found, and the counts of requests by rate; no times of this machine's clock.
        Empty as long as nothing was learnt.
        """
        if self._began_s == -math.inf:
            return ""
        clock_s = self._clock.seconds(now)
        curve = " ".join(f"{value:.5g}" for value in (*self._climb, clock_s - self._began_s))
        return f"{curve} {self._is_crowded:d} {self._responses.dump(clock_s)}"

    def adopt(self, state: str, now: float) -> None:
        """Go on from what another controller's `state` told at `now`; nothing else is kept.

        What is not a state, as of another version of the program, changes nothing.
        """
        try:
            *curve, age_s, is_crowded = map(float, state.split()[:6])
            climb = Climb(*curve)
            responses = Responses.load(state.split()[6:], self._clock.seconds(now))
        except (ValueError, TypeError):
            return
        if not (climb.is_possible and math.isfinite(age_s)):
            return
        self._responses = responses
        self._is_crowded = bool(is_crowded)
        self._begin(climb, now, settle_s=_SETTLE_S if climb.start < climb.plateau else 0.0)
        self._began_s -= age_s
        self._fell_at = now

    def _limit(self, ceiling: float) -> None:
        self._ceiling = ceiling
        self._floor = min(ceiling, max(_LOWEST_RATE, ceiling * _FLOOR_SHARE))

    def _follow(self, climb: Climb) -> None:
        self._climb = climb
        self._clock.longest_gap_s = max(_IDLE_S, _IDLE_GAPS / climb.plateau)

    def _step_at(self, sent_at: float) -> int:
        for since, step in reversed(self._steps):
            if since <= sent_at:
                return step
        return self._steps[0][1] if self._steps else step_of(self._ceiling)

    def _is_unsettled(self, sent_at: float) -> bool:
        return self._cut_at < sent_at < self._settled_at

    def _usual(self, step: int, clock_s: float) -> float:
        """The share that was refused before at about this rate, and a little more."""
        sent, refused = self._responses.from_step(step, clock_s)
        return min(0.01 + 1.5 * refused / (sent + 20.0), _MOST_USUAL)

    def _fall(self, step: int, now: float) -> None:
        """Many are refused: go to the rate that gets through."""
        self._is_crowded = True
        through = max(1.0 - self._change.share, _DEEPEST_CUT)
        self._cut_to(self.rate(now) * through * _STEP_DOWN, now)
        sent, refused = self._change.counts
        above = step_of(self._climb.plateau)
        self._responses.replace(step, self._clock.seconds(now), sent, refused, above=above)
        self._fell_at = now
        self._change.reset()

    def _adjust(self, step: int, now: float, *, was_early: bool) -> None:
        """One was refused, and perhaps a few before: back up, a little slower, or as it was."""
        clock_s = self._clock.seconds(now)
        higher = self._responses.returning(step, clock_s)
        if higher is not None:
            self._return_to(rate_of(higher), now)
        elif was_early or self._responses.is_too_fast(step, clock_s):
            self._step_down(now, was_early=was_early)

    def _step_down(self, now: float, *, was_early: bool) -> None:
        """A few are refused: go a little slower, and where a limit was found, as that allows."""
        refused = self.rate(now)
        if refused >= self._ceiling * _AT_CEILING:
            self._is_crowded = False
        plateau = refused * _STEP_DOWN
        if self._is_crowded:
            plateau = min(plateau, self._allowed_below(refused, was_early=was_early))
        self._cut_to(plateau, now)

    def _allowed_below(self, refused: float, *, was_early: bool) -> float:
        """What a limiter allows that refused this rate.

        One that allows bursts refuses late, at too high a rate: it allows what went through since
        the last cut, dip and climb together. Another allows nearly what it refused.
        """
        through = refused
        if self._cut_s > 1.0:
            through = min(self._cut_requests / self._cut_s, refused)
        if was_early:
            return through * _BELOW_THROUGH
        return through + (refused - through) * _TOWARDS_REFUSED

    def _cut_to(self, plateau: float, now: float) -> None:
        plateau = max(plateau, self._floor)
        dip = 0.0
        if self._is_crowded:
            dip = min((self._ceiling / plateau - 1.0) * _DIP_BY_DISTANCE, _DEEPEST_DIP)
        start = max(plateau * (1.0 - dip), self._floor)
        recovery_s = _DIP_S * dip / _DEEPEST_DIP
        climb = Climb(start, plateau, recovery_s, hold_s(plateau, self._ceiling))
        self._begin(climb, now, settle_s=_SETTLE_S if dip > 0.0 else 0.0)

    def _return_to(self, rate: float, now: float) -> None:
        plateau = min(rate, self._ceiling)
        self._begin(Climb(self.rate(now), plateau, _RETURN_S, hold_s(plateau, self._ceiling)), now)
        self._change.reset()

    def _begin(self, climb: Climb, now: float, *, settle_s: float = 0.0) -> None:
        self._changes += 1
        self._follow(climb)
        self._began_s = self._clock.seconds(now)
        self._cut_at = now
        self._settled_at = now + settle_s
        self._cut_s = self._cut_requests = 0.0
