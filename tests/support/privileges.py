"""Root held to the permissions of files, as every other user is."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_VERSION_3: Final = 0x20080522
_DAC_OVERRIDE: Final = 1 << 1
_DAC_READ_SEARCH: Final = 1 << 2
_THIS_THREAD: Final = 0


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    """Two of these in a row hold the sets of capabilities, 32 bits each."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def permissions_hold() -> Iterator[None]:
    """Within it this thread may do with its own files what their modes say, and no more.

    Source: capabilities(7), capset(2).
    """
    if os.geteuid() != 0:
        yield
        return
    before = _capabilities()
    held = _capabilities()
    held[0].effective &= ~(_DAC_OVERRIDE | _DAC_READ_SEARCH)
    _set_capabilities(held)
    try:
        yield
    finally:
        _set_capabilities(before)


def _capabilities() -> ctypes.Array[_Data]:
    data = (_Data * 2)()
    _call("capget", data)
    return data


def _set_capabilities(data: ctypes.Array[_Data]) -> None:
    _call("capset", data)


def _call(name: str, data: ctypes.Array[_Data]) -> None:
    header = _Header(_VERSION_3, _THIS_THREAD)
    if getattr(ctypes.CDLL(None, use_errno=True), name)(ctypes.byref(header), data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
