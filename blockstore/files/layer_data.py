"""The bytes of a layer: sparse files at the volume's own offsets.

No file system holds files of any size (ext4: 16 TiB), so the space is cut into files of 1 TiB,
`data.0000` and on, each made at the first write to it.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from blockstore.errors import Corrupt
from blockstore.files.durable_writes import read_at, sync_directory, write_at
from blockstore.files.space import punch_hole, reserve, zero_range

FILE_SIZE = 2**40
"""Bytes of a layer that one file holds."""

_NUL_PIECE = bytes(2**20)
_COPY_SIZE = 8 * 2**20
_NO_RANGE_COPY = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


class LayerData:
    """The data files of one layer. Offsets are those of the layer. OSErrors pass through."""

    def __init__(self, directory: Path, layer_id: str, *, writable: bool) -> None:
        self._directory = directory
        self._layer_id = layer_id
        self._writable = writable
        self._lock = threading.Lock()
        self._files: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._entries_dirty = False
        try:
            # All of them now: an open reader goes on after the layer was deleted.
            for name in os.listdir(directory):
                stem, _, number = name.partition(".")
                if stem == "data" and number.isdecimal():
                    self._files[int(number)] = self._open_file(int(number), 0)
        except BaseException:
            self.close()
            raise
        if writable:
            # A former writer that was killed may have left here what is read but not yet durable.
            self._dirty.update(self._files)
            self._entries_dirty = True

    def close(self) -> None:
        """Close all files. Idempotent."""
        while self._files:
            os.close(self._files.popitem()[1])

    def read_into(self, offset: int, out: memoryview) -> list[tuple[int, int]]:
        """Fill `out`, with NULs where there is nothing; return (offset, length) of those."""
        missing = []
        for number, start, part in _cut(offset, out):
            descriptor = self._files.get(number)
            filled = 0
            while descriptor is not None and filled < len(part):
                count = os.preadv(descriptor, [part[filled:]], start + filled)
                if not count:
                    break
                filled += count
            if filled < len(part):
                part[filled:] = bytes(len(part) - filled)
                missing.append((number * FILE_SIZE + start + filled, len(part) - filled))
        return missing

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of it."""
        for number, start, part in _cut(offset, data):
            write_at(self._file(number), part, start)
            self._mark(number)

    def reserve(self, offset: int, length: int) -> None:
        """Set space aside, so that writing there cannot fail for lack of it."""
        for number, start, count in _cut_length(offset, length):
            reserve(self._file(number), start, count)
            self._mark(number)

    def allocate(self, offset: int, length: int) -> None:
        """Make it NULs with space behind them."""
        for number, start, count in _cut_length(offset, length):
            descriptor = self._file(number)
            if not zero_range(descriptor, start, count):
                for at in range(start, start + count, len(_NUL_PIECE)):
                    write_at(descriptor, _NUL_PIECE[: start + count - at], at)
            self._mark(number)

    def punch(self, offset: int, length: int) -> None:
        """Give the space back."""
        for number, start, count in _cut_length(offset, length):
            if number in self._files:
                punch_hole(self._files[number], start, count)
                self._mark(number)

    def truncate(self, size: int) -> None:
        """Give back everything from `size` on."""
        with self._lock:
            for number in sorted(self._files):
                length = max(0, size - number * FILE_SIZE)
                descriptor = self._files[number]
                if length < os.fstat(descriptor).st_size:
                    os.ftruncate(descriptor, length)
                    self._dirty.add(number)

    def take_dirty(self) -> tuple[set[int], bool]:
        """What `sync` has to sync for the writes so far; it counts as clean from now on."""
        with self._lock:
            dirty, self._dirty = self._dirty, set()
            entries_dirty, self._entries_dirty = self._entries_dirty, False
        return dirty, entries_dirty

    def sync(self, dirty: tuple[set[int], bool]) -> None:
        """Make durable what `take_dirty` gave."""
        numbers, entries_dirty = dirty
        for number in sorted(numbers):
            os.fdatasync(self._files[number])
        if entries_dirty:
            sync_directory(self._directory)

    def copy_to(self, target: LayerData, offset: int, length: int) -> None:
        """Copy a range that must be there, sharing space where the file system can. Corrupt."""
        for number, start, count in _cut_length(offset, length):
            source = self._files.get(number)
            if source is None or os.fstat(source).st_size < start + count:
                where = str(self._directory / _file_name(number))
                raise Corrupt(f"layer {self._layer_id}", where, "its data is cut off")
            _copy(source, target._file(number), start, count)
            target._mark(number)

    def _file(self, number: int) -> int:
        with self._lock:
            if number not in self._files:
                self._files[number] = self._open_file(number, os.O_CREAT)
                self._entries_dirty = True
            return self._files[number]

    def _mark(self, number: int) -> None:
        # Only after the change: a sync that took the mark before it would not cover it.
        with self._lock:
            self._dirty.add(number)

    def _open_file(self, number: int, flags: int) -> int:
        flags |= (os.O_RDWR if self._writable else os.O_RDONLY) | os.O_CLOEXEC
        return os.open(self._directory / _file_name(number), flags, 0o600)


def _file_name(number: int) -> str:
    return f"data.{number:04}"


def _cut_length(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """(file number, offset in it, length) of the parts of a range."""
    end = offset + length
    while offset < end:
        number, start = divmod(offset, FILE_SIZE)
        count = min(FILE_SIZE - start, end - offset)
        yield number, start, count
        offset += count


def _cut(offset: int, data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    at = 0
    for number, start, count in _cut_length(offset, len(data)):
        yield number, start, data[at : at + count]
        at += count


def _copy(source: int, target: int, offset: int, length: int) -> None:
    end = offset + length
    try:
        while offset < end:
            copied = os.copy_file_range(source, target, end - offset, offset, offset)
            if not copied:
                break
            offset += copied
    except OSError as error:
        if error.errno not in _NO_RANGE_COPY:
            raise
    while offset < end:
        piece = read_at(source, min(_COPY_SIZE, end - offset), offset)
        if not piece:
            raise OSError(errno.EIO, "a file became shorter while it was copied")
        write_at(target, piece, offset)
        offset += len(piece)
