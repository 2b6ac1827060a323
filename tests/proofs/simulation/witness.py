"""What the requests of one run met: what its pace, its patience and its exit code are held to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from worker.api.verdict import Foreign, Refused, Reply, Throttled, Transient, judge_check

_NEVER: Final = float("inf")


class Sent(msgspec.Struct):
    """A request that was given its permit, and when it left: never, where nothing connected. Until
    one of the two is known it `is_waiting`."""

    at: float
    method: str
    id: str
    left_at: float | None = None
    is_waiting: bool = True


@dataclass
class Witness:
    """`silent_since`: since when nothing was answered, not even with 429; `throttled_since`: since
    when nothing but 429 was, if anything, and when the first that was had its permit
    (`throttled_from`). The longest of each, and the longest wait that a server asked for.
    `longest_unserved_s`: from an answer that was none of these to a 429, the longest.

    `most_at_once`: how many completions were under way at a time.
    `refusals`: the statuses of answers that refuse the key; `is_refused`: a completion had one."""

    sent: list[Sent] = field(default_factory=list)
    refusals: set[int] = field(default_factory=set)
    is_refused: bool = False
    foreign_at_first: int = 0
    answers: int = 0
    silent_since: float = _NEVER
    throttled_since: float = _NEVER
    throttled_from: float = _NEVER
    longest_silence_s: float = 0.0
    longest_throttle_s: float = 0.0
    longest_unserved_s: float = 0.0
    longest_wait_s: float = 0.0
    replied_at: float = 0.0
    most_at_once: int = 0
    _at_once: int = 0
    _served_at: float = _NEVER

    @contextmanager
    def completing(self) -> Iterator[None]:
        """Within, a completion is under way."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            self._at_once -= 1

    def on_reply(self, reply: Reply, now: float, sent: Sent, *, is_page: bool = False) -> None:
        """Take note of what `sent` brought. A page of the list proves the address only where it is
        one; of what was throttled later an answer says nothing."""
        verdict = judge_check(reply)
        self.replied_at = now
        self.measure(now)
        if isinstance(verdict, Transient | Throttled):
            self.longest_wait_s = max(self.longest_wait_s, verdict.retry_after_s or 0.0)
        if isinstance(verdict, Transient | Foreign):
            self.foreign_at_first += isinstance(verdict, Foreign) and not self.answers
            self.silent_since = min(self.silent_since, now)
            return
        self.answers += not is_page or not isinstance(verdict, Throttled)
        self.silent_since = _NEVER
        if isinstance(verdict, Throttled):
            if self.throttled_since == _NEVER:
                self.throttled_since, self.throttled_from = now, sent.at
            self.longest_unserved_s = max(self.longest_unserved_s, now - self._served_at)
        else:
            self._served_at = now
            if sent.at >= self.throttled_from:
                self.throttled_since = self.throttled_from = _NEVER
        if isinstance(verdict, Refused) and verdict.http_status is not None:
            self.refusals.add(verdict.http_status)
            self.is_refused = self.is_refused or sent.method == "POST"

    def measure(self, now: float) -> None:
        """Take note of how long what lasts has lasted."""
        self.longest_silence_s = max(self.longest_silence_s, now - self.silent_since)
        self.longest_throttle_s = max(self.longest_throttle_s, now - self.throttled_since)
