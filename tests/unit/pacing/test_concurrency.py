"""How many requests `--concurrency auto` keeps in flight, before APIs of all kinds."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

import pytest

from worker.pacing.concurrency import FEWEST, AutoConcurrency
from worker.settings.model import PaceSettings

MOST = PaceSettings().most_in_flight

Answers = Callable[[int, float, int], tuple[float, bool]]
"""In how many seconds the request of a number that leaves at a time amid so many others is
answered, and whether it is at all."""


class Scene:
    """Requests at `rate` a second, as far as slots are free; answers as the API gives them."""

    def __init__(self, rate: float, answers: Answers, most: int = MOST) -> None:
        self.concurrency = AutoConcurrency(most)
        self.answered: list[float] = []
        self.most_in_flight = 0
        self.limits: list[int] = []
        self._rate = rate
        self._answers = answers
        self._ends: list[tuple[float, int, bool]] = []

    def run(self, seconds: float) -> Scene:
        step_s, due, number = 0.01, 0.0, 0
        for step in range(int(seconds / step_s)):
            now = step * step_s
            while self._ends and self._ends[0][0] <= now:
                at, ended, is_answer = heapq.heappop(self._ends)
                self.concurrency.ended(ended, at, answered=is_answer)
                self.answered += [at] * is_answer
            limit = self.concurrency.adapt(now, self._rate)
            self.limits.append(limit)
            if now >= due and len(self._ends) < limit:
                number += 1
                took_s, is_answer = self._answers(number, now, len(self._ends))
                self.concurrency.began(number, now)
                heapq.heappush(self._ends, (now + took_s, number, is_answer))
                due = max(due + 1.0 / self._rate, now)
            self.most_in_flight = max(self.most_in_flight, len(self._ends))
        return self

    def share(self, since: float, until: float) -> float:
        """Of the rate that was asked for, what was answered."""
        count = sum(since <= at < until for at in self.answered)
        return count / (until - since) / self._rate


def test_to_look_at_the_limit_changes_nothing() -> None:
    seen, unseen = (Scene(40.0, lambda *_: (3.0, True)) for _ in range(2))
    for seconds in (3.0, 6.0, 12.0):
        seen.run(seconds)
        unseen.run(seconds)
        for later_s in (0.0, 1.0, 5.0, 100.0):
            seen.concurrency.limit(seconds + later_s, 40.0)
    assert seen.limits == unseen.limits
    assert seen.limits[-1] > FEWEST


def test_a_quick_api_needs_few() -> None:
    scene = Scene(10.0, lambda *_: (0.2, True)).run(60.0)
    assert set(scene.limits) == {FEWEST}
    assert scene.share(5.0, 60.0) == pytest.approx(1.0, abs=0.02)


def test_an_api_that_takes_six_seconds_is_used_to_the_full_within_twenty() -> None:
    scene = Scene(10.0, lambda *_: (6.0, True)).run(120.0)
    assert scene.share(20.0, 120.0) >= 0.93
    assert scene.most_in_flight <= 96


@pytest.mark.parametrize(("rate", "share"), [(40.0, 0.02), (10.0, 0.1)])
def test_requests_that_hang_starve_nobody(rate: float, share: float) -> None:
    random = Random(1)

    def answers(number: int, now: float, others: int) -> tuple[float, bool]:
        del number, now, others
        return (60.0, False) if random.random() < share else (0.2, True)

    scene = Scene(rate, answers).run(300.0)
    assert scene.share(60.0, 300.0) >= 0.9 * (1 - share)


def test_an_api_that_gets_slower_the_more_it_is_given_is_not_pushed_on() -> None:
    free_at = 0.0

    def one_after_the_other(number: int, now: float, others: int) -> tuple[float, bool]:
        nonlocal free_at
        del number, others
        free_at = max(free_at, now) + 0.2
        return free_at - now, True

    scene = Scene(10.0, one_after_the_other).run(600.0)
    assert scene.most_in_flight < 130
    assert max(scene.limits[-5000:]) <= 96


def test_a_slow_api_that_works_side_by_side_gets_as_many_as_it_takes() -> None:
    scene = Scene(40.0, lambda *_: (4.0, True)).run(240.0)
    assert scene.share(120.0, 240.0) >= 0.93
    assert scene.most_in_flight <= MOST


def test_an_api_that_has_become_slower_gets_more_although_it_was_quicker_with_fewer() -> None:
    scene = Scene(40.0, lambda _, now, __: (2.0 if now < 60.0 else 4.0, True)).run(300.0)
    assert scene.share(20.0, 60.0) >= 0.93
    assert scene.share(240.0, 300.0) >= 0.93


def test_while_nothing_is_answered_at_all_no_more_than_a_few_are_risked() -> None:
    scene = Scene(40.0, lambda *_: (60.0, False)).run(50.0)
    assert scene.most_in_flight <= 64


def test_an_api_that_falls_silent_is_sent_no_more_than_a_few() -> None:
    scene = Scene(10.0, lambda _, now, __: (60.0, False) if now >= 20.0 else (0.2, True))
    scene.run(60.0)
    assert scene.most_in_flight <= FEWEST + 2


def test_no_more_than_the_most_are_in_flight() -> None:
    scene = Scene(100.0, lambda *_: (10.0, True), most=50).run(60.0)
    assert scene.most_in_flight == 50
