"""How long it is till a time of day, by the local clock."""

from __future__ import annotations

from datetime import datetime, timedelta


def seconds_until(hour: int, minute: int, now: datetime) -> float:
    """Seconds from `now`, in local time, till the clock next shows the time: today or tomorrow.

    Where clocks change: of a time that comes twice, whichever comes next; one that is passed over
    comes when it would have come without the change. Never negative.
    """
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0, tzinfo=None)
    moments = [*_moments_of(today), *_moments_of(today + timedelta(days=1))]
    return min(moment - now.timestamp() for moment in moments if moment > now.timestamp())


def _moments_of(local: datetime) -> tuple[float, float]:
    """When the local clock shows `local`, first and last, in seconds since the epoch.

    Source: PEP 495. Where the time is passed over, its second reading lies before the first.
    """
    first, second = (local.replace(fold=fold).timestamp() for fold in (0, 1))
    return first, max(first, second)
