"""The writing side: blocks wait in a segment buffer and in packs until a commit indexes them.

Order of a commit: segment written, pack fdatasync'ed, index committed, answer. Callers of `commit`
queue; the first in the queue flushes for all whose puts were there when it began (group commit).

What fails keeps what it can. Without room, the buffer and the pending table stay as they are: the
callers fail, and the next commit tries again. After a failed fdatasync the pack is never written
or synced again: the callers fail, and what it held uncommitted is read back, checked, and written
to another pack. When that is impossible too, blocks that somebody relies on are lost, and this
process refuses all further puts and commits.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockstore.errors import NotFound, StoreError, StoreFull, StoreUnavailable
from blockstore.files.block_index import add_blocks, put_pack, touch_blocks
from blockstore.files.pack import NO_ROOM
from blockstore.files.segment import SegmentBuffer
from native import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdb import Transaction

    from blockstore.files.index import Index
    from blockstore.files.pack import PackDirectory, PackWriter
    from blockstore.files.record import Entry, PackState
    from blockstore.files.recovery import PackChoice
    from blockstore.interface import BlockKind

PENDING_MAX = 2**16
"""Blocks put and not committed, hits included; more are committed early: that does no harm."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block to be stored: its bytes, and what was found out about them."""

    block_id: bytes
    content: memoryview
    kind: BlockKind
    checksum: int


@dataclass(frozen=True, slots=True)
class _Written:
    """An uncommitted block in a pack."""

    pack_id: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one commit makes durable."""

    ticket: int
    states: list[tuple[PackWriter, PackState]]
    blocks: dict[bytes, _Written]
    touched: set[bytes]


class Ingest:
    """Uncommitted blocks of this process. Thread-safe."""

    def __init__(self, index: Index, packs: PackDirectory, choice: PackChoice) -> None:
        self._index = index
        self._packs = packs
        self._choice = choice
        self._lock = threading.Lock()
        self._commit_lock = threading.Lock()
        self._buffer: SegmentBuffer | None = None
        self._writer: PackWriter | None = None
        self._full_writers: list[PackWriter] = []
        self._failed: list[PackWriter] = []
        """Packs whose flush failed, with uncommitted blocks that are to go to another one."""
        self._abandoned: list[PackWriter] = []
        """Kept open for their locks, so that nobody writes to them as long as we live."""
        self._in_buffer: dict[bytes, tuple[int, int]] = {}
        self._written: dict[bytes, _Written] = {}
        self._touched: set[bytes] = set()
        self._ticket = 0
        self._committed_ticket = 0
        self._missed: tuple[int, str] | None = None
        """If a block touched by the last flush was gone: the ticket before it, and its name."""
        self._lost: Exception | None = None
        self._closed = False
        self._process_id = os.getpid()

    def add(self, candidates: Sequence[Candidate], touched: Sequence[bytes]) -> None:
        """Take the blocks that are not pending already, and note the use of indexed ones.

        StoreFull; OSError of the device. Of a call that failed nothing stays, as far as nobody
        else can have relied on it.
        """
        if not candidates and not touched:
            return
        with self._lock:
            waiting = len(self._written) + len(self._in_buffer) + len(self._touched)
        if waiting > PENDING_MAX:
            self.commit()  # first, so that nothing piles up while commits fail
        with self._lock:
            self._check_usable()
            self._ticket += 1
            self._touched.update(touched)
            if candidates:
                self._add_all(candidates)

    def pending(self, block_id: bytes) -> bytes | None:
        """The content of an uncommitted block, or None when there is none of that id."""
        with self._lock:
            position = self._in_buffer.get(block_id)
            if position is not None and self._buffer is not None:
                return self._buffer.read(*position)
            written = self._written.get(block_id)
        if written is None:
            return None
        try:
            return self._read_back(written)
        except StoreUnavailable:
            with self._lock:
                if self._written.get(block_id) is written:
                    raise
        return self.pending(block_id)  # it was moved or taken back meanwhile

    def is_pending(self, block_id: bytes) -> bool:
        """Whether the block waits for a commit."""
        with self._lock:
            return self._is_pending(block_id)

    def commit(self) -> None:
        """Return when all that was put before the call is durable and indexed."""
        with self._lock:
            self._check_usable()
            ticket = self._ticket
        with self._commit_lock:
            if self._committed_ticket < ticket:
                self._flush()
            elif self._missed and self._missed[0] < ticket:
                # Another caller's flush covered this one, and not all of it was there any more.
                raise NotFound("block", self._missed[1])

    def close(self) -> None:
        """Drop what is not committed."""
        with self._commit_lock, self._lock:
            if self._closed:
                return
            self._closed = True
            for writer in self._writers():
                if self._is_ours():
                    writer.cut()
                writer.close()
            for writer in self._failed + self._abandoned:
                writer.close()
            self._failed = []
            self._abandoned = []
            self._in_buffer = {}
            self._written = {}
            self._full_writers = []
            self._writer = None
            if self._buffer is not None:
                self._buffer.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if not self._is_ours():
            raise StoreUnavailable("the store was opened before a fork; open it again")
        if self._lost is not None:
            raise StoreUnavailable(
                f"uncommitted blocks were lost, open the store again: {self._lost}"
            )

    def _is_ours(self) -> bool:
        # After a fork, the packs are still the parent's.
        return os.getpid() == self._process_id

    def _is_pending(self, block_id: bytes) -> bool:
        return block_id in self._in_buffer or block_id in self._written

    def _add_all(self, candidates: Sequence[Candidate]) -> None:
        kept = len(self._in_buffer)
        writer = self._writer_for(0)
        state = writer.state
        try:
            for candidate in candidates:
                if not self._is_pending(candidate.block_id):
                    self._add(candidate)
                if kept and self._writer and self._writer.state != state:
                    # A segment with blocks of others was written: that one stays.
                    kept, writer, state = 0, self._writer, self._writer.state
        except BaseException:
            if writer is self._writer:
                self._take_back(kept, writer, state)
            raise

    def _take_back(self, kept: int, writer: PackWriter, state: PackState) -> None:
        if self._buffer is not None:
            for block in self._buffer.blocks[kept:]:
                del self._in_buffer[block.block_id]
            self._buffer.keep(kept)
        if writer.state != state:
            writer.go_back(state)
            self._written = {
                block_id: written
                for block_id, written in self._written.items()
                if written.pack_id != writer.pack_id
                or written.entry.offset < state.committed_length
            }

    def _add(self, candidate: Candidate) -> None:
        if self._buffer is None:
            self._buffer = SegmentBuffer()
        if not self._buffer.fits(len(candidate.content)):
            self._write_buffer()
        position = self._buffer.add(
            candidate.content, candidate.block_id, candidate.kind, candidate.checksum
        )
        self._in_buffer[candidate.block_id] = (position, len(candidate.content))

    def _write_buffer(self) -> None:
        """Move the buffer's blocks into a pack. On error they stay in the buffer."""
        if self._buffer is None or not self._buffer.blocks:
            return
        writer = self._writer_for(self._buffer.size)
        for entry in writer.append(self._buffer):
            self._written[entry.block_id] = _Written(writer.pack_id, entry)
        self._in_buffer = {}
        self._buffer.keep(0)

    def _writer_for(self, size: int) -> PackWriter:
        if self._writer is not None and not self._writer.has_room(size):
            self._full_writers.append(self._writer)
            self._writer = None
        if self._writer is None:
            self._writer = self._choice.take(size)
        return self._writer

    def _writers(self) -> list[PackWriter]:
        return [*self._full_writers, *([self._writer] if self._writer else [])]

    def _flush(self) -> None:
        with self._lock:
            self._check_usable()
            self._rescue()
            self._write_buffer()
            batch = _Batch(
                self._ticket,
                [(writer, writer.state) for writer in self._writers()],
                dict(self._written),
                set(self._touched),
            )
        for writer, state in batch.states:
            self._sync(writer, state)
        missing = self._index.transact(lambda transaction: self._record(transaction, batch))
        before = self._committed_ticket
        self._forget(batch)
        self._missed = None
        if missing:
            name = f"{min(missing).hex()}, removed while it was put again"
            self._missed = (before, name)
            raise NotFound("block", name)

    def _record(self, transaction: Transaction[bytes], batch: _Batch) -> set[bytes]:
        by_pack: dict[int, list[Entry]] = {}
        for written in batch.blocks.values():
            by_pack.setdefault(written.pack_id, []).append(written.entry)
        for pack_id, entries in by_pack.items():
            add_blocks(self._index, transaction, pack_id, entries)
        for writer, state in batch.states:
            put_pack(self._index, transaction, writer.pack_id, state)
        return touch_blocks(self._index, transaction, batch.touched)

    def _forget(self, batch: _Batch) -> None:
        with self._lock:
            for block_id in batch.blocks:
                self._written.pop(block_id, None)
            self._touched -= batch.touched
            self._committed_ticket = batch.ticket
            # One that was written to since the batch was taken has blocks for the next.
            done = {
                writer
                for writer, state in batch.states
                if writer in self._full_writers and writer.state == state
            }
            self._full_writers = [w for w in self._full_writers if w not in done]
        for writer in done:
            writer.close()

    def _sync(self, writer: PackWriter, state: PackState) -> None:
        try:
            writer.sync(state)
        except OSError as error:
            with self._lock:
                self._abandon(writer, error)
            if error.errno in NO_ROOM:
                raise StoreFull(f"no room for blocks in {writer.path}: {error.strerror}") from error
            raise

    def _abandon(self, writer: PackWriter, error: OSError) -> None:
        """Never use the pack again; bring what it held uncommitted into another one."""
        if writer is self._writer:
            self._writer = None
        self._full_writers = [w for w in self._full_writers if w is not writer]
        self._failed.append(writer)
        try:
            self._rescue()
        except StoreFull:
            pass  # the next commit goes on with it
        except (OSError, StoreError) as failure:
            raise error from failure

    def _rescue(self) -> None:
        """Bring uncommitted blocks out of the packs whose flush failed.

        StoreFull leaves the rest for the next time; with any other error they are lost.
        """
        try:
            while self._failed:
                writer = self._failed[-1]
                for written in [w for w in self._written.values() if w.pack_id == writer.pack_id]:
                    self._move(written)
                self._abandoned.append(self._failed.pop())
                writer.cut()
        except StoreFull:
            raise
        except (OSError, StoreError) as failure:
            self._lost = failure
            raise

    def _move(self, written: _Written) -> None:
        entry = written.entry
        content = memoryview(self._read_back(written))
        self._add(Candidate(entry.block_id, content, entry.kind, entry.checksum))
        # `_add` may have written the buffer, but never the block itself.
        del self._written[entry.block_id]

    def _read_back(self, written: _Written) -> bytes:
        entry = written.entry
        memory = bytearray(entry.stored_length)
        count = self._packs.read_into(written.pack_id, entry.offset, memoryview(memory))
        if count != len(memory) or digest.checksum(memory) != entry.checksum:
            where = f"{self._packs.pack_path(written.pack_id)}:{entry.offset}"
            raise StoreUnavailable(f"uncommitted block {entry.block_id.hex()} lost at {where}")
        return bytes(memory)
