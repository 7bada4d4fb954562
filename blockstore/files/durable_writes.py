"""Writing so that all of it is there, or an error says what is not."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from blockstore.errors import StoreFull

LENGTH_ATTRIBUTE = "user.archipelago.length"
"""Extended attribute of an append-only file: u64, so many bytes were durable."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def no_room_is_store_full(what: str) -> Iterator[None]:
    """In the block, an OSError for lack of room becomes StoreFull; every other one passes."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFull(f"no room for {what}: {error.strerror}") from error
        raise


def write_at(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data`; what a short write left over is tried again, to get its error."""
    view = memoryview(data)
    while len(view):
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """Up to `length` bytes; fewer only at the end of the file."""
    parts = []
    while length:
        part = os.pread(descriptor, length, offset)
        if not part:
            break
        parts.append(part)
        length -= len(part)
        offset += len(part)
    return b"".join(parts)


def note_length(descriptor: int, length: int) -> None:
    """Keep with the file that so many bytes of it are durable: a file that is shorter was cut.

    Costs no sync, so the note may be older than the last one. Where attributes are not to be had,
    there is none.
    """
    with suppress(OSError):
        os.setxattr(descriptor, LENGTH_ATTRIBUTE, length.to_bytes(8, "little"))


def noted_length(descriptor: int) -> int:
    """What `note_length` kept last; 0 where nothing is."""
    try:
        return int.from_bytes(os.getxattr(descriptor, LENGTH_ATTRIBUTE)[:8], "little")
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return 0
        raise


def sync_directory(path: Path) -> None:
    """Make the entries of the directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
