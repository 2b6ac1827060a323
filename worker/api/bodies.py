"""Bodies of answers, read no further than what they are needed for."""

from __future__ import annotations

from typing import Any, Final

import aiohttp
import msgspec

MAX_BODY_BYTES: Final = 64 * 1024
"""No answer of this API but a session is longer, whatever a stranger sends."""

MAX_SESSION_BYTES: Final = 16 * 1024 * 1024
"""A session holds its tasks, checks and policies too; nothing says how long it may be."""


class _SessionBody(msgspec.Struct, omit_defaults=True):
    id: Any = None
    status: Any = None


_decode: Final = msgspec.json.Decoder(_SessionBody).decode


async def read_on(response: aiohttp.ClientResponse, begun: bytes, most: int) -> bytes:
    """The body that began with `begun`, in at most `MAX_BODY_BYTES`.

    Up to `most` bytes are read. Of a longer JSON object `id` and `status` are left, of anything
    else the beginning.
    """
    content = await read_all(response, begun, most)
    return content if len(content) <= MAX_BODY_BYTES else _shortened(content)


async def read_all(response: aiohttp.ClientResponse, begun: bytes, most: int) -> bytes:
    """The body that began with `begun`, as it is: its first `most` bytes, if there are more."""
    content = bytearray(begun)
    while not response.content.at_eof() and len(content) < most:
        content += await response.content.read(min(most - len(content), MAX_BODY_BYTES))
    if not response.content.at_eof():
        response.close()
    return bytes(content)


def _shortened(content: bytes) -> bytes:
    try:
        short = msgspec.json.encode(_decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        short = content[:MAX_BODY_BYTES]
    return short[:MAX_BODY_BYTES]
