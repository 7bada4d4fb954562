"""The log of head changes: what the heads in the index can be rebuilt from.

    header | record | record | ...

A record is one batch of `Heads.update`, appended and synced before the index commits it. Sequence
numbers run without gaps. When most of the log is dead it is replaced by one that begins with the
present heads. Bytes: FORMAT.md, "Heads log".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blockstore.errors import Corrupt, StoreUnavailable, StoreUsageError
from blockstore.files.durable_writes import (
    no_room_is_store_full,
    note_length,
    noted_length,
    read_at,
    sync_directory,
    write_at,
)
from blockstore.files.torn_tail import has_unwritten_sector
from native.digest import checksum

FORMAT_VERSION = 1
BODY_SIZE_MAX = 2**30
"""Bytes of one batch."""

COMPACT_BODY_SIZE = 2**20
"""Bytes after which a new record is begun when the present heads are written."""

_MAGIC = b"ARHEADS\x01"
_RECORD_MAGIC = b"HREC"
# magic format 0 generation base_sequence last_version checksum
_HEADER = struct.Struct("<8sIIQQQQ")
_RECORD = struct.Struct("<4sIQQQ")  # magic entries body_size sequence checksum
_ENTRY = struct.Struct("<HHIQ")  # name_size flags value_size version
_REMOVED = 1
_CHECKSUM_SIZE = 8
_SEARCH_SIZE = 2**20

HEADER_SIZE = _HEADER.size


@dataclass(frozen=True, slots=True)
class LogHeader:
    """How a log begins."""

    generation: int
    """Random: tells one log from the one that replaced it."""
    base_sequence: int
    """Sequence number before that of the first record."""
    last_version: int
    """No head version given before this log was begun is above."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One head as the batch left it."""

    key: bytes
    version: int
    """At a removal the last version given, so that later ones are above."""
    value: bytes | None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One batch, and where in the file it ends."""

    sequence: int
    entries: tuple[LogEntry, ...]
    end: int


def entry_size(key: bytes, value: bytes) -> int:
    """Bytes that a head takes in the log."""
    return _ENTRY.size + len(key) + len(value)


def encode_header(header: LogHeader) -> bytes:
    """The first bytes of a log."""
    numbers = (FORMAT_VERSION, 0, header.generation, header.base_sequence, header.last_version)
    packed = _HEADER.pack(_MAGIC, *numbers, 0)[:-_CHECKSUM_SIZE]
    return packed + checksum(packed).to_bytes(_CHECKSUM_SIZE, "little")


def decode_header(packed: bytes, path: Path) -> LogHeader:
    """Corrupt when the check fails, StoreUnavailable when the format is newer."""
    if len(packed) < HEADER_SIZE:
        raise Corrupt("the heads log", f"{path}:0", "its header is cut off")
    magic, version, _, generation, base, last_version, check = _HEADER.unpack(packed)
    if magic != _MAGIC or checksum(packed[:-_CHECKSUM_SIZE]) != check:
        raise Corrupt("the heads log", f"{path}:0", "its header fails the check")
    if version != FORMAT_VERSION:
        raise StoreUnavailable(f"{path} has format {version}, newer than {FORMAT_VERSION}")
    return LogHeader(generation, base, last_version)


def encode_record(sequence: int, entries: Iterable[LogEntry]) -> bytes:
    """One batch. StoreUsageError when it is above BODY_SIZE_MAX."""
    body = bytearray()
    count = 0
    for entry in entries:
        value = b"" if entry.value is None else entry.value
        flags = _REMOVED if entry.value is None else 0
        body += _ENTRY.pack(len(entry.key), flags, len(value), entry.version)
        body += entry.key
        body += value
        count += 1
    if len(body) > BODY_SIZE_MAX:
        raise StoreUsageError(f"a batch of head changes has {len(body)} bytes, over the limit")
    start = _RECORD.pack(_RECORD_MAGIC, count, len(body), sequence, 0)[:-_CHECKSUM_SIZE]
    return b"".join((start, checksum(start + body).to_bytes(_CHECKSUM_SIZE, "little"), body))


class HeadsLog:
    """An open log file. Whoever appends or replaces holds the write transaction of the index."""

    def __init__(self, path: Path, *, writable: bool, salvage: bool = False) -> None:
        """FileNotFoundError when absent; Corrupt, unless `salvage` does without the header."""
        self.path = path
        flags = os.O_RDWR if writable else os.O_RDONLY
        self._descriptor = os.open(path, flags | os.O_CLOEXEC)
        try:
            self.header = self._read_header(salvage)
            self._inode = os.fstat(self._descriptor).st_ino
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def size_if_current(self) -> int | None:
        """Bytes of the file; None when the path names another one now, or none."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        return status.st_size if status.st_ino == self._inode else None

    def append(self, record: bytes, offset: int) -> None:
        """Write at `offset`, the end, and sync. On error the file is cut to its former length."""
        with no_room_is_store_full("the heads log"):
            try:
                write_at(self._descriptor, record, offset)
                os.fdatasync(self._descriptor)
            except OSError:
                self.cut(offset)
                raise

    def sync(self) -> None:
        """Make durable what others wrote and may not have come to sync."""
        os.fdatasync(self._descriptor)

    def note_applied(self, offset: int) -> None:
        """Keep with the file that the index has committed what is before `offset`."""
        note_length(self._descriptor, offset)

    def cut(self, offset: int) -> None:
        """Make the file end at `offset`."""
        os.ftruncate(self._descriptor, offset)

    def records(self, start: int, sequence: int, *, salvage: bool = False) -> Iterator[LogRecord]:
        """The records from `start` on, which follow the one numbered `sequence`.

        A tail that a crash cut off is left out. Corrupt for anything else that fails its check;
        with `salvage` that is passed over, to the next good record.
        """
        size = os.fstat(self._descriptor).st_size
        while start < size:
            record = self._record_at(start, size)
            if record is not None and self._follows(record, sequence, salvage):
                yield record
                start, sequence = record.end, record.sequence
                continue
            found = self._find_record(start, size, sequence)
            if not salvage and (found is not None or not self._is_torn(start, size)):
                raise Corrupt("the heads log", f"{self.path}:{start}", "a record fails its check")
            if found is None:
                break
            start = found
        noted = noted_length(self._descriptor)
        if start < noted and not salvage:
            raise Corrupt("the heads log", f"{self.path}:{start}", f"ends here, not at {noted}")

    def _read_header(self, salvage: bool) -> LogHeader:
        try:
            return decode_header(read_at(self._descriptor, HEADER_SIZE, 0), self.path)
        except Corrupt:
            if salvage:
                return LogHeader(generation=0, base_sequence=0, last_version=0)
            raise

    def _follows(self, record: LogRecord, sequence: int, salvage: bool) -> bool:
        return record.sequence == sequence + 1 or (salvage and record.sequence > sequence)

    def _record_at(self, offset: int, size: int) -> LogRecord | None:
        start = read_at(self._descriptor, _RECORD.size, offset)
        if len(start) < _RECORD.size:
            return None
        magic, count, body_size, sequence, check = _RECORD.unpack(start)
        end = offset + _RECORD.size + body_size
        if magic != _RECORD_MAGIC or end > size:
            return None
        body = read_at(self._descriptor, body_size, offset + _RECORD.size)
        if checksum(start[:-_CHECKSUM_SIZE] + body) != check:
            return None
        return LogRecord(sequence, tuple(_decode_entries(body, count)), end)

    def _find_record(self, offset: int, size: int, sequence: int) -> int | None:
        """The offset of the next good record with a number above `sequence`."""
        while offset < size:
            piece = read_at(self._descriptor, _SEARCH_SIZE, offset)
            at = piece.find(_RECORD_MAGIC)
            while at >= 0:
                record = self._record_at(offset + at, size)
                if record is not None and record.sequence > sequence:
                    return offset + at
                at = piece.find(_RECORD_MAGIC, at + 1)
            if len(piece) < _SEARCH_SIZE:
                return None
            offset += len(piece) - len(_RECORD_MAGIC) + 1
        return None

    def _is_torn(self, offset: int, size: int) -> bool:
        start = read_at(self._descriptor, _RECORD.size, offset)
        if len(start) < _RECORD.size:
            return True
        magic, _, body_size, _, _ = _RECORD.unpack(start)
        if magic == _RECORD_MAGIC and offset + _RECORD.size + body_size > size:
            return True
        return has_unwritten_sector(read_at(self._descriptor, size - offset, offset), offset)


def write_log(path: Path, base: LogHeader, heads: Iterable[LogEntry]) -> tuple[int, int]:
    """Replace the log at `path`, durably, by one of these heads; return its end and sequence."""
    new = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with no_room_is_store_full("the heads log"):
        descriptor = os.open(new, flags, 0o600)
        try:
            end, sequence = _write_heads(descriptor, base, heads)
            os.fsync(descriptor)
        except BaseException:
            os.unlink(new)
            raise
        finally:
            os.close(descriptor)
    os.rename(new, path)
    sync_directory(path.parent)
    return end, sequence


def _write_heads(descriptor: int, base: LogHeader, heads: Iterable[LogEntry]) -> tuple[int, int]:
    write_at(descriptor, encode_header(base), 0)
    end, sequence = HEADER_SIZE, base.base_sequence
    for batch in _batches(heads):
        sequence += 1
        record = encode_record(sequence, batch)
        write_at(descriptor, record, end)
        end += len(record)
    return end, sequence


def _batches(heads: Iterable[LogEntry]) -> Iterator[list[LogEntry]]:
    batch: list[LogEntry] = []
    size = 0
    for entry in heads:
        batch.append(entry)
        size += entry_size(entry.key, entry.value or b"")
        if size >= COMPACT_BODY_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _decode_entries(body: bytes, count: int) -> Iterator[LogEntry]:
    at = 0
    for _ in range(count):
        name_size, flags, value_size, version = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        key = body[at : at + name_size]
        at += name_size
        value = None if flags & _REMOVED else body[at : at + value_size]
        at += value_size
        yield LogEntry(key, version, value)
