"""Heads: in the index for reading, and in a log from which the index can be rebuilt.

An update holds the write transaction of the index, which excludes every other writer of the store.
Its batch is appended to the log and synced, then the index commits. So the log is never behind.
It is ahead where a writer died between the two: whoever writes next finds the log longer than the
index says, and applies what is there before anything else. The dead one's change then happened;
it was not answered, so both outcomes are right, but only this one agrees with a rebuilt index.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from blockstore.argument_checks import check_head_changes, head_key, name_bound
from blockstore.errors import Corrupt, HeadConflict, StoreError
from blockstore.files.environment import MapFull
from blockstore.files.heads_log import (
    HEADER_SIZE,
    HeadsLog,
    LogEntry,
    LogHeader,
    encode_record,
    entry_size,
    write_log,
)
from blockstore.files.index import MAP_FULL_RETRIES_MAX, Index
from blockstore.interface import HEAD_NAME_SIZE_MAX, Head, HeadChange
from native.digest import checksum

if TYPE_CHECKING:
    import lmdb

POSITION_KEY = b"heads_log"
"""In the table `meta` of the index: how far the log is applied."""

COMPACT_SIZE_MIN = 4 * 2**20
"""Bytes below which the log is left as it is."""

COMPACT_RATIO = 4
"""The log is rewritten when it is this many times what its living heads take."""

DAMAGED_SUFFIX = ".damaged"
"""Added to the name of a log that was replaced since its header cannot be read."""

_VALUE = struct.Struct("<QQ")  # version checksum
_POSITION = struct.Struct("<QQQQQQ")  # generation end sequence last_version live_bytes checksum
_CHECKSUM_SIZE = 8


@dataclass(frozen=True, slots=True)
class _Position:
    """What of the log the index has applied."""

    generation: int
    end: int
    sequence: int
    last_version: int
    live_bytes: int
    """What the present heads would take in a log."""


_Versions = list[int]

_START = _Position(generation=0, end=0, sequence=0, last_version=0, live_bytes=0)


@dataclass(slots=True)
class _Attempt:
    """What a transaction added to the log, to be taken back if it does not commit."""

    offset: int = 0
    sequence: int = 0
    """0 as long as nothing was added."""
    position: _Position = _START


class FilesHeads:
    """`interface.Heads` over an index and DIR/heads.log."""

    def __init__(self, index: Index, path: Path) -> None:
        self._index = index
        self._path = path
        self._lock = threading.Lock()
        """Guards the log: what closes it must not do so under a thread that writes."""
        self._log: HeadsLog | None = None
        self._compact_above = COMPACT_SIZE_MIN

    def catch_up(self) -> None:
        """Apply what the log has more than the index; begin a log where none is. Corrupt."""
        with self._lock:
            self._index.transact(self._catch_up)

    def rebuild(self, *, salvage: bool) -> int:
        """See `rebuild_heads`."""
        try:
            with self._lock:
                return self._index.transact(lambda transaction: self._rebuild(transaction, salvage))
        finally:
            self.close()

    def renew_log(self) -> None:
        """See `renew_heads_log`."""
        with self._lock:
            self._index.transact(lambda step: self._replace_log(step, self._catch_up(step)))

    def close(self) -> None:
        """Close the log. Idempotent."""
        with self._lock:
            self._close_log()

    def get(self, name: str) -> Head | None:
        key = head_key(name)
        with self._index.read() as transaction:
            packed = transaction.get(key, db=self._index.heads)
        return None if packed is None else self._unpack(key, packed)

    def update(self, changes: Sequence[HeadChange]) -> list[int]:
        keys = check_head_changes(changes)
        retries = MAP_FULL_RETRIES_MAX
        while True:
            attempt = _Attempt()
            try:
                with self._lock, self._index.write() as transaction:
                    versions = self._update(transaction, keys, changes, attempt)
                break
            except (StoreError, OSError) as error:
                if self._take_back(attempt):
                    break
                if not isinstance(error, MapFull) or not retries:
                    raise
                retries -= 1
        self._compact_if_due(attempt.position)
        return versions

    def list(self, prefix: str = "", after: str = "", limit: int | None = None) -> list[Head]:
        with self._index.read() as transaction:
            selected = self._select(transaction, prefix, after, limit)
            return [self._unpack(key, packed) for key, packed in selected]

    def names(self, prefix: str = "", after: str = "", limit: int | None = None) -> Sequence[str]:
        with self._index.read() as transaction:
            selected = self._select(transaction, prefix, after, limit)
            return [key.decode(errors="replace") for key, _ in selected]

    def _select(
        self, transaction: lmdb.Transaction[bytes], prefix: str, after: str, limit: int | None
    ) -> Iterator[tuple[bytes, bytes]]:
        prefix_key, after_key = name_bound(prefix), name_bound(after)
        count = 0
        for key, packed in self._pairs(transaction, max(prefix_key, after_key)):
            if not key.startswith(prefix_key) or count == limit:
                break
            if key > after_key:
                count += 1
                yield key, packed

    def _update(
        self,
        transaction: lmdb.Transaction[bytes],
        keys: Sequence[bytes],
        changes: Sequence[HeadChange],
        attempt: _Attempt,
    ) -> _Versions:
        position = self._catch_up(transaction)
        for key, change in zip(keys, changes, strict=True):
            found = self._version(transaction, key)
            if found != change.expected_version:
                raise HeadConflict(change.name, change.expected_version, found)
        if not changes:
            return []
        entries = _new_entries(keys, changes, position.last_version)
        record = encode_record(position.sequence + 1, entries)
        applied = replace(
            self._apply(transaction, position, entries),
            end=position.end + len(record),
            sequence=position.sequence + 1,
        )
        _save(transaction, self._index, applied)
        assert self._log is not None
        self._log.append(record, position.end)
        attempt.offset, attempt.sequence, attempt.position = (
            position.end,
            applied.sequence,
            applied,
        )
        return [0 if entry.value is None else entry.version for entry in entries]

    def _take_back(self, attempt: _Attempt) -> bool:
        """Cut off what the failed attempt added. True: another writer has applied it already."""
        if not attempt.sequence:
            return False
        with self._lock, self._index.write() as transaction:
            position = _load(transaction, self._index)
            if position is not None and position.sequence >= attempt.sequence:
                return True
            if self._log is not None:
                self._log.cut(attempt.offset)
        return False

    def _catch_up(self, transaction: lmdb.Transaction[bytes]) -> _Position:
        """Apply what the log has more than the index; return where both stand."""
        position = _load(transaction, self._index)
        size = self._log.size_if_current() if self._log is not None else None
        if size is None:
            self._reopen_log(spare=position is not None)
            size = self._log.size_if_current() if self._log is not None else None
        if self._log is None or size is None:
            return self._replace_log(transaction, position or _START)
        header = self._log.header
        if position is not None and position.generation == header.generation:
            if position.end == size:
                self._log.note_applied(size)
                return position
            start = position
        else:
            start = _beginning(header)
            if position is not None and position.sequence < header.base_sequence:
                # Heads may have been removed before this log was begun: it says what there is.
                transaction.drop(self._index.heads, delete=False)
                position = replace(position, live_bytes=0)
        reached = self._replay(transaction, self._log, start, position)
        if position is not None and (reached.end > size or reached.sequence < position.sequence):
            # The log has lost what the index still knows.
            return self._replace_log(transaction, position)
        if reached.end < size:
            self._log.cut(reached.end)
        if reached.sequence > start.sequence:
            self._log.sync()  # who wrote it may have died before; the index is not to be ahead
        _save(transaction, self._index, reached)
        return reached

    def _rebuild(self, transaction: lmdb.Transaction[bytes], salvage: bool) -> int:
        self._reopen_log(salvage=salvage)
        transaction.drop(self._index.heads, delete=False)
        if self._log is None:
            if not salvage:
                raise Corrupt("the heads log", str(self._path), "absent")
            self._replace_log(transaction, _START)
            return 0
        start = _beginning(self._log.header)
        reached = self._replay(transaction, self._log, start, None, salvage=salvage)
        if salvage:
            self._replace_log(transaction, reached)
        else:
            self._log.cut(reached.end)
            _save(transaction, self._index, reached)
        return int(transaction.stat(self._index.heads)["entries"])

    def _replay(
        self,
        transaction: lmdb.Transaction[bytes],
        log: HeadsLog,
        start: _Position,
        position: _Position | None,
        *,
        salvage: bool = False,
    ) -> _Position:
        """The position after all records from `start` on; those up to `position` are not redone."""
        applied = 0 if position is None else position.sequence
        reached = replace(start, live_bytes=position.live_bytes if position else 0)
        if position is not None:
            last_version = max(start.last_version, position.last_version)
            reached = replace(reached, last_version=last_version)
        for record in log.records(start.end, start.sequence, salvage=salvage):
            if record.sequence > applied:
                reached = self._apply(transaction, reached, record.entries)
            reached = replace(reached, end=record.end, sequence=record.sequence)
        return reached

    def _apply(
        self,
        transaction: lmdb.Transaction[bytes],
        position: _Position,
        entries: Sequence[LogEntry],
    ) -> _Position:
        table = self._index.heads
        live_bytes, last_version = position.live_bytes, position.last_version
        for entry in entries:
            before = transaction.get(entry.key, db=table)
            if before is not None:
                live_bytes -= entry_size(entry.key, before) - _VALUE.size
            if entry.value is None:
                transaction.delete(entry.key, db=table)
            else:
                transaction.put(entry.key, _pack(entry), db=table)
                live_bytes += entry_size(entry.key, entry.value)
            last_version = max(last_version, entry.version)
        return replace(position, live_bytes=live_bytes, last_version=last_version)

    def _compact_if_due(self, position: _Position) -> None:
        due = max(self._compact_above, COMPACT_RATIO * position.live_bytes)
        if position.end <= due:
            return
        try:
            with self._lock, self._index.write() as transaction:
                self._replace_log(transaction, self._catch_up(transaction))
            self._compact_above = COMPACT_SIZE_MIN
        except (StoreError, OSError):
            # The update has been answered for; a long log only takes room.
            self._compact_above = position.end + COMPACT_SIZE_MIN

    def _replace_log(self, transaction: lmdb.Transaction[bytes], position: _Position) -> _Position:
        """Begin a new log with the heads that the index has."""
        generation = int.from_bytes(os.urandom(8), "little") or 1
        header = LogHeader(generation, position.sequence, position.last_version)
        heads = (self._entry(key, packed) for key, packed in self._pairs(transaction))
        end, sequence = write_log(self._path, header, heads)
        self._reopen_log()
        moved = replace(position, generation=generation, end=end, sequence=sequence)
        _save(transaction, self._index, moved)
        return moved

    def _reopen_log(self, *, spare: bool = False, salvage: bool = False) -> None:
        """`spare`: the index has all that was acknowledged, so a log without a good header counts
        as absent; it is kept under another name."""
        self._close_log()
        try:
            self._log = HeadsLog(self._path, writable=True, salvage=salvage)
        except FileNotFoundError:
            self._log = None
        except Corrupt:
            if not spare:
                raise
            os.rename(self._path, self._path.with_name(self._path.name + DAMAGED_SUFFIX))

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _pairs(
        self, transaction: lmdb.Transaction[bytes], first: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        self._index.check_table(transaction, "heads")
        with transaction.cursor(db=self._index.heads) as cursor:
            found = cursor.set_range(first[:HEAD_NAME_SIZE_MAX]) if first else cursor.first()
            while found:
                yield cursor.item()
                found = cursor.next()

    def _version(self, transaction: lmdb.Transaction[bytes], key: bytes) -> int:
        packed = transaction.get(key, db=self._index.heads)
        return 0 if packed is None else self._unpack(key, packed).version

    def _entry(self, key: bytes, packed: bytes) -> LogEntry:
        head = self._unpack(key, packed)
        return LogEntry(key, head.version, head.value)

    def _unpack(self, key: bytes, packed: bytes) -> Head:
        name = key.decode(errors="replace")
        if len(packed) < _VALUE.size:
            raise Corrupt(f"head {name!r}", str(self._index.path), "its record is cut off")
        version, check = _VALUE.unpack_from(packed)
        value = packed[_VALUE.size :]
        if _value_checksum(key, version, value) != check:
            raise Corrupt(f"head {name!r}", str(self._index.path), "its record fails the check")
        return Head(name, version, value)


def open_heads(index: Index, path: Path) -> FilesHeads:
    """The heads of a store, caught up with their log unless the index is read-only. Corrupt."""
    heads = FilesHeads(index, path)
    if not index.read_only:
        try:
            heads.catch_up()
        except BaseException:
            heads.close()
            raise
    return heads


def create_heads_log(path: Path) -> None:
    """The log of a store without heads; durable."""
    generation = int.from_bytes(os.urandom(8), "little") or 1
    write_log(path, LogHeader(generation, 0, 0), ())


def rebuild_heads(index: Index, path: Path, *, salvage: bool = False) -> int:
    """Make the heads of the index anew from the log; return how many there are.

    Corrupt when the log is absent or damaged; nothing has changed then. With `salvage` what is
    damaged is passed over, which may bring older values back, and the log is written anew; an
    absent one counts as empty.
    """
    return FilesHeads(index, path).rebuild(salvage=salvage)


def renew_heads_log(index: Index, path: Path) -> None:
    """Write a log that is damaged where the index has applied it anew from the index. Corrupt."""
    heads = FilesHeads(index, path)
    try:
        heads.renew_log()
    finally:
        heads.close()


def _new_entries(
    keys: Sequence[bytes], changes: Sequence[HeadChange], last_version: int
) -> list[LogEntry]:
    entries = []
    for key, change in zip(keys, changes, strict=True):
        if change.value is None:
            entries.append(LogEntry(key, last_version, None))
        else:
            last_version += 1
            entries.append(LogEntry(key, last_version, bytes(change.value)))
    return entries


def _beginning(header: LogHeader) -> _Position:
    return _Position(header.generation, HEADER_SIZE, header.base_sequence, header.last_version, 0)


def _pack(entry: LogEntry) -> bytes:
    value = entry.value or b""
    return _VALUE.pack(entry.version, _value_checksum(entry.key, entry.version, value)) + value


def _value_checksum(key: bytes, version: int, value: bytes) -> int:
    return checksum(b"".join((version.to_bytes(8, "little"), key, b"\0", value)))


def _load(transaction: lmdb.Transaction[bytes], index: Index) -> _Position | None:
    packed = transaction.get(POSITION_KEY, db=index.meta)
    if packed is None:
        return None
    if len(packed) != _POSITION.size:
        raise Corrupt("the position in the heads log", str(index.path), "of a wrong size")
    *numbers, check = _POSITION.unpack(packed)
    if checksum(packed[:-_CHECKSUM_SIZE]) != check:
        raise Corrupt("the position in the heads log", str(index.path), "fails the check")
    return _Position(*numbers)


def _save(transaction: lmdb.Transaction[bytes], index: Index, position: _Position) -> None:
    numbers = (
        position.generation,
        position.end,
        position.sequence,
        position.last_version,
        position.live_bytes,
    )
    packed = _POSITION.pack(*numbers, 0)[:-_CHECKSUM_SIZE]
    check = checksum(packed).to_bytes(_CHECKSUM_SIZE, "little")
    transaction.put(POSITION_KEY, packed + check, db=index.meta)
