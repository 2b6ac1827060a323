"""Only time in which requests are sent passes."""

from __future__ import annotations

from worker.pacing.sending_clock import SendingClock


def sent(*times: float) -> SendingClock:
    clock = SendingClock()
    for at in times:
        clock.sent(at)
    return clock


def test_time_passes_between_requests_that_follow_each_other() -> None:
    clock = sent(10.0, 10.5)
    began_s = clock.seconds(10.5)
    assert clock.sent(11.25) == 0.75
    assert clock.seconds(11.5) - began_s == 1.0


def test_of_a_long_silence_only_the_longest_gap_counts() -> None:
    clock = sent(10.0)
    began_s = clock.seconds(10.0)
    assert clock.seconds(500.0) - began_s == 1.0
    assert clock.sent(500.0) == 1.0
    assert clock.seconds(500.5) - began_s == 1.5


def test_a_pause_does_not_count_nor_does_what_is_sent_meanwhile() -> None:
    clock = sent(10.0)
    clock.pause(10.25)
    paused_s = clock.seconds(10.25)
    assert clock.sent(10.5) == 0.0
    assert clock.seconds(99.0) == paused_s
    clock.resume(100.0)
    assert clock.seconds(100.5) - paused_s == 0.5
