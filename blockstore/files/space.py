"""Giving space of a file back, and setting it aside: Linux's fallocate, which Python lacks."""

from __future__ import annotations

import ctypes
import errno
import os

_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02
_ZERO_RANGE = 0x10

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_libc.fallocate.restype = ctypes.c_int


def punch_hole(descriptor: int, offset: int, length: int) -> None:
    """Make the range read as NULs without taking space. Does nothing where unsupported."""
    _fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length)


def zero_range(descriptor: int, offset: int, length: int) -> bool:
    """Make the range NULs with space set aside. False where unsupported."""
    return _fallocate(descriptor, _ZERO_RANGE, offset, length)


def reserve(descriptor: int, offset: int, length: int) -> bool:
    """Set space aside without changing what is read. False where unsupported."""
    return _fallocate(descriptor, 0, offset, length)


def _fallocate(descriptor: int, mode: int, offset: int, length: int) -> bool:
    while _libc.fallocate(descriptor, mode, offset, length) != 0:
        number = ctypes.get_errno()
        if number in _UNSUPPORTED:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True
