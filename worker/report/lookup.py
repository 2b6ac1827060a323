"""What became of every id, packed so tightly that a page of a million of them opens from a mail.

Ids of 24 hexadecimal digits are sorted and written in columns, all first bytes before all second
bytes: neighbours then resemble each other, and deflate (RFC 1950) makes little of them.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from worker.core.packed_ids import unpack_id
from worker.report.aggregation import Aggregator
from worker.report.timeline import format_time

MAX_LOOKED_UP: Final = 1_000_000
_ID_BYTES: Final = 12
_MOST_STATES: Final = 1 << 16


class Lookup(NamedTuple):
    """What the page's script unpacks; texts are base64 of deflated bytes.

    `hexadecimal` holds 12 columns of ids and 2 of their states' numbers, the low byte first;
    `others` is JSON: a list of ids and a list of their states' numbers. `tables` says what the
    numbers mean: states as `[outcome, run, error type]`, runs as `[name, beginning, log]`.
    """

    hexadecimal: str
    others: str
    tables: dict[str, list[list[object]]]


def lookup_of(aggregator: Aggregator, labels: dict[str, str]) -> Lookup | None:
    """All ids with their latest states; None where there are too many for a page.

    Args:
        labels: what each log is called on the page, by its name.
    """
    latest = aggregator.latest.states
    if not 0 < len(latest) <= MAX_LOOKED_UP or len(list(aggregator.states)) > _MOST_STATES:
        return None
    packed = sorted(key for key in latest if len(key) == _ID_BYTES)
    others = [key for key in latest if len(key) != _ID_BYTES]
    return Lookup(
        hexadecimal=_deflated(_columns(packed, [latest[key] for key in packed])),
        others=_deflated(
            json.dumps([list(map(unpack_id, others)), [latest[key] for key in others]]).encode()
        ),
        tables={
            "states": [[state.outcome, state.run, state.error_type] for state in aggregator.states],
            "runs": [[run.run, format_time(run.began), labels[run.log]] for run in aggregator.runs],
        },
    )


def _columns(packed: Sequence[bytes], states: Sequence[int]) -> bytes:
    ids = b"".join(packed)
    columns = [ids[place::_ID_BYTES] for place in range(_ID_BYTES)]
    low = bytes(number & 0xFF for number in states)
    high = bytes(number >> 8 for number in states)
    return b"".join((*columns, low, high))


def _deflated(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()
