"""When many more are refused than before."""

from __future__ import annotations

from random import Random

from worker.pacing.cusum import Cusum


def heard(answers: str, usual: float = 0.02) -> Cusum:
    """`x` is a refusal, `.` any other answer."""
    change = Cusum()
    for answer in answers:
        change.refused(usual) if answer == "x" else change.answered()
    return change


def test_every_other_one_refused_is_a_change() -> None:
    change = heard("....x.x.x")
    assert change.is_certain
    assert change.counts == (5, 3)
    assert 0.4 < change.share < 0.6


def test_isolated_refusals_are_none() -> None:
    change = heard("x" + "." * 20 + "x" + "." * 20 + "x")
    assert not change.is_certain
    assert change.counts == (1, 1)


def test_where_many_were_refused_before_it_takes_more() -> None:
    assert heard("xxx").is_certain
    assert not heard("xxx", usual=0.06).is_certain
    assert heard("xxxxx", usual=0.06).is_certain


def test_it_hardly_ever_takes_chance_for_a_change() -> None:
    random, change, alarms = Random(7), Cusum(), 0
    for _ in range(20_000):
        change.refused(0.06) if random.random() < 0.05 else change.answered()
        if change.is_certain:
            alarms += 1
            change.reset()
    assert alarms <= 4


def test_after_a_reset_nothing_is_known() -> None:
    change = heard("xxxx")
    change.reset()
    assert change.is_idle
    assert change.share == 0.0
