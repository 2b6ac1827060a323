"""The permits that a run has ahead, as times of its own clock, and how late it uses them.

Decides only: whoever calls it waits, and asks Redis. Times and lengths are seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

EVEN: Final = "even"
PROBING: Final = "probe"
_LEAST_SLACK: Final = 0.005
_USUAL_SLACK: Final = 0.02
_MOST_SLACK: Final = 0.07
_SAMPLE: Final = 200
_LEARNT_AFTER: Final = 20
_DRIFT: Final = 1e-4
_BROUGHT_FORWARD: Final = 1e-3
_CALLS_TO_KNOW: Final = 3
_FAR_OFF_S: Final = 0.05
"""A first call of Redis that was held up for seconds left runs that far late for minutes, in the
simulation of several runs; three that are held up one after the other are rare, and found out."""

_NOT_LATE_BUT_IDLE_S: Final = 0.1
_LONGEST_WAY_S: Final = 1.0
"""What takes longer was waited out, and not on its way."""


class ServerClock:
    """What a server's clock shows, by this machine's own, and how long a call of it takes.

    The server looked at its clock between a call's beginning and its end: each call narrows down by
    how much the two differ (as in NTP, RFC 5905). One call alone may have been held up for long on
    one of its two ways, so that several are needed before the clock `is_known`. What is found out
    afterwards brings times forward by little at once: permits must not be crowded by it.
    """

    def __init__(self) -> None:
        self._calls = 0
        self.round_trip_s = 0.0
        self._least = -math.inf
        self._most = math.inf
        self._offset_s = 0.0
        self._seen_at = -math.inf

    @property
    def is_known(self) -> bool:
        """Whether permits may be used by it."""
        return self._calls >= _CALLS_TO_KNOW

    def observe(self, began_at: float, server_time: float, ended_at: float) -> bool:
        """The server showed `server_time` in a call that began and ended then by the own clock.

        False where what was known before was far off: times that were told by it are wrong.
        """
        took_s = ended_at - began_at
        way_s = min(took_s, _LONGEST_WAY_S)
        self.round_trip_s = max(way_s, self.round_trip_s * 0.9 + way_s * 0.1)
        since_s = ended_at - self._seen_at
        least, most = began_at - server_time, ended_at - server_time
        drift_s = since_s * _DRIFT
        self._least, self._most = max(self._least - drift_s, least), min(self._most + drift_s, most)
        was_known, is_set = self.is_known, self._least > self._most
        if is_set:
            # One of the clocks was.
            self._least, self._most, self._calls = least, most, 0
        self._calls += 1
        offset_s = (self._least + self._most) / 2
        is_far_off = is_set or self._offset_s - self._most > _FAR_OFF_S
        if was_known and not is_far_off:
            offset_s = max(offset_s, self._offset_s - since_s * _BROUGHT_FORWARD)
        self._offset_s = offset_s
        self._seen_at = ended_at
        return not (was_known and is_far_off)

    def local(self, server_time: float) -> float:
        return server_time + self._offset_s


class Lateness:
    """How late permits are used, and the slack that is worth it.

    With a slack of 2 % as many requests as the limit allows in a second take 1.02 s: none of them
    may be later than 20 ms, or one more could arrive within that second. A permit that is later is
    lost. The best slack costs least together with what is lost.
    """

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=_SAMPLE)
        self._slack = _USUAL_SLACK
        self._until_next = _LEARNT_AFTER

    def add(self, late_s: float, rate: float) -> None:
        """A permit was used, or lost, so late, at `rate` requests a second."""
        if late_s > _NOT_LATE_BUT_IDLE_S:
            return
        self._seen.append(late_s)
        self._until_next -= 1
        if self._until_next <= 0:
            self._until_next = _LEARNT_AFTER
            self._slack = best_slack(sorted(self._seen), rate)

    @property
    def slack(self) -> float:
        """The part of a second by which a second's requests should take longer."""
        return self._slack


def best_slack(late: list[float], rate: float) -> float:
    """The slack that loses least, for lateness as in `late`, in order.

    Where gaps are long it is no less than what keeps two requests from coming closer to each other
    than a limiter without bursts allows.
    """
    usual_s = late[len(late) * 9 // 10]
    least = min(max(usual_s * rate, _LEAST_SLACK), _USUAL_SLACK)
    worth = [least, *(one for one in late if least < one <= _MOST_SLACK)]
    return min(worth, key=lambda slack: slack + 1.0 - bisect_right(late, slack) / len(late))


class Reservation(msgspec.Struct, frozen=True):
    """A permit for a request that leaves `at`, or at most `tolerance_s` later.

    `kind` is "even", or why it is so soon after the one before it: "early" or "probe".
    """

    at: float
    tolerance_s: float
    kind: str = EVEN


class Reservations:
    """The permits of a run that are not used yet, in order."""

    def __init__(self) -> None:
        self.lateness = Lateness()
        self._ahead: deque[Reservation] = deque()
        self._ends_at = -math.inf

    def drop(self) -> None:
        """Those that are not used yet are for wrong times."""
        self._ahead.clear()
        self._ends_at = -math.inf

    def add(self, times: Sequence[float], tolerance_s: float, kinds: Sequence[str] = ()) -> None:
        """Permits were given for these times, all even where `kinds` are not told."""
        for at, kind in zip(times, kinds or [EVEN] * len(times), strict=True):
            self._ahead.append(Reservation(at, tolerance_s, kind))
        if times:
            self._ends_at = times[-1]

    def next_at(self, now: float, rate: float) -> float | None:
        """When the next permit may be used; None where there is none. Those that are too late for
        it are lost."""
        while self._ahead and now > self._ahead[0].at + self._ahead[0].tolerance_s:
            self.lateness.add(now - self._ahead.popleft().at, rate)
        return self._ahead[0].at if self._ahead else None

    def use(self, now: float, rate: float) -> Reservation:
        """Take the next permit: a request leaves now."""
        used = self._ahead.popleft()
        self.lateness.add(now - used.at, rate)
        return used

    def give_back(self, unused: Reservation) -> None:
        """No request left after all: the next one may, unless it is too late by then."""
        self._ahead.appendleft(unused)

    def ahead_s(self, now: float) -> float:
        """For how long from now on there are permits; less than 0 where there are none."""
        return self._ends_at - now
