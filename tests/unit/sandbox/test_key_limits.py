"""How many requests a key may send, and what the others are answered."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sandbox_caller import (
    ONE,
    STARTED,
    FrozenClock,
    serving,
)
from worker.sandbox.config import SandboxConfig
from worker.sandbox.key_limits import Bucket, KeyLimits, SlidingCount


@pytest.mark.parametrize(("key", "allowed"), [("live_a", 10), ("test_a", 5)])
async def test_above_the_limit_of_the_keys_kind_requests_are_throttled(
    key: str, allowed: int
) -> None:
    clock = FrozenClock()
    async with serving(SandboxConfig(sessions=STARTED), clock) as caller:
        statuses = [(await caller.check(ONE, key)).status for _ in range(allowed + 2)]
        assert statuses == [200] * allowed + [429] * 2
        assert (await caller.check(ONE, f"{key}b")).status == 200
        clock.time_s += 1 / allowed
        assert (await caller.check(ONE, key)).status == 200
        reply = await caller.check(ONE, key)
        assert (reply.status, reply.json["type"]) == (429, "rate_limit_exceeded")
        assert "Retry-After" not in reply.headers
        stats = caller.sandbox.stats()
        assert (stats["accepted"], stats["throttled"]) == (allowed + 2, 3)
        assert stats["max_accepted_per_s"] == allowed + 1


@pytest.mark.parametrize("text", ["7", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_retry_after_is_sent_as_it_was_given(text: str) -> None:
    config = SandboxConfig(sessions=STARTED, limit=1, burst=1, retry_after=text)
    async with serving(config, FrozenClock()) as caller:
        await caller.check(ONE)
        assert (await caller.check(ONE)).headers["Retry-After"] == text


async def test_retry_after_can_be_a_date_ahead() -> None:
    clock = FrozenClock()
    config = SandboxConfig(limit=1, burst=1, retry_after="date+90")
    async with serving(config, clock) as caller:
        await caller.check(ONE)
        date = parsedate_to_datetime((await caller.check(ONE)).headers["Retry-After"])
        assert 85 < (date - clock.utc()).total_seconds() <= 90


@given(
    gaps=st.lists(st.floats(0, 0.5), max_size=60), rate=st.floats(1, 50), burst=st.integers(1, 20)
)
def test_a_bucket_never_lets_more_pass_than_its_burst_and_its_rate(
    gaps: list[float], rate: float, burst: int
) -> None:
    bucket, now, admitted = Bucket(rate, burst), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.admit(now):
            admitted.append(now)
    for first, start in enumerate(admitted):
        for last, end in enumerate(admitted[first:], start=first):
            assert last - first + 1 <= burst + (end - start) * rate + 1e-3


@pytest.mark.parametrize("rate", [3.0, 10.0, 500.0])
def test_a_bucket_without_burst_lets_an_even_stream_at_its_rate_pass(rate: float) -> None:
    bucket = Bucket(rate, burst=1)
    assert all(bucket.admit(1e6 + number / rate) for number in range(5000))
    assert not bucket.admit(1e6 + 4999.5 / rate)


def test_a_limit_of_zero_is_none() -> None:
    limits = KeyLimits(limit=0)
    assert all(limits.admit("live_a", 1.0) for _ in range(1000))
    assert limits.most_accepted_per_s == 1000


@given(st.lists(st.integers(0, 300), min_size=1, max_size=80))
def test_the_sliding_count_is_the_most_that_any_second_saw(sixty_fourths: list[int]) -> None:
    times = sorted(number / 64 for number in sixty_fourths)
    count = SlidingCount()
    for time in times:
        count.add(time)
    assert count.most == max(sum(end - 1 < time <= end for time in times) for end in times)
