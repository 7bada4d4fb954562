"""The one table from errors of a device to error numbers of the wire."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from archipelago import ArchipelagoError, VolumeReadOnly
from blockstore import StoreError, StoreFull
from volumes.nbd.wire import Errno

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RequestRefused(Exception):
    """A request that is not carried out, and the error the client is given for it."""

    def __init__(self, number: Errno, reason: str) -> None:
        super().__init__(reason)
        self.number = number


@dataclass(frozen=True, slots=True)
class Fault:
    """What the client is told of a failed request."""

    number: Errno
    message: str


DEVICE_ERRORS = (ArchipelagoError, StoreError, OSError, MemoryError, RequestRefused)
"""What a device may raise; anything else is a defect of this server."""


def fault_of(error: BaseException) -> Fault:
    """The fault for what a device raised. Defects are EIO as well: the request was not done."""
    if isinstance(error, RequestRefused):
        return Fault(error.number, str(error))
    if isinstance(error, StoreFull) or (isinstance(error, OSError) and error.errno in _NO_SPACE):
        return Fault(Errno.ENOSPC, str(error))
    if isinstance(error, VolumeReadOnly):
        return Fault(Errno.EPERM, str(error))
    if isinstance(error, MemoryError):
        return Fault(Errno.ENOMEM, "the server is out of memory")
    return Fault(Errno.EIO, str(error) or type(error).__name__)
