"""Reading blocks: every read is checked against the checksum of the stored bytes, and the first
in a process against the block's id as well.

A block that fails is read once more, past the page cache. When it fails again it is flagged in the
index, so that it is no target of deduplication and the next put of the same content heals it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

from blockstore.block_id import ID_SIZE
from blockstore.errors import BlockCorrupt, NotFound, StoreError, StoreUsageError
from blockstore.files.block_index import find_block, mark_bad
from native import digest

if TYPE_CHECKING:
    from blockstore.files.index import Index
    from blockstore.files.pack import PackDirectory
    from blockstore.files.record import Location

CACHE_BYTES_MAX = 32 * 2**20
"""Of verified contents kept in memory, per open store."""

VERIFIED_IDS_MAX = 2**18
"""Ids remembered as verified; when there are more, all are forgotten."""

Result = TypeVar("Result")


class _Damaged(Exception):
    """What was read at a place is not the block."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class BlockReader:
    """Committed blocks by id. Thread-safe."""

    def __init__(self, index: Index, packs: PackDirectory, hash_name: str) -> None:
        self._index = index
        self._packs = packs
        self._hash_name = hash_name
        self._cache = _ContentCache()
        self._verified: set[bytes] = set()

    def read(self, block_id: bytes) -> bytes:
        """The content, verified. NotFound, BlockCorrupt."""
        content = self._cache.get(block_id)
        if content is None:
            content = self._settle(block_id, self._read_whole)
            self._cache.put(block_id, content)
        return content

    def read_into(self, block_id: bytes, offset: int, out: memoryview) -> None:
        """Fill `out` from `offset` of the block on, with NULs behind its end."""

        def read_directly(block_id: bytes, location: Location) -> bool:
            if len(out) < location.length:
                return False
            self._read_at(block_id, location, out[: location.length])
            _clear(out[location.length :])
            return True

        # A whole block makes no detour through memory of our own.
        if offset == 0 and block_id not in self._cache and self._settle(block_id, read_directly):
            return
        content = self.read(block_id)
        part = memoryview(content)[offset : offset + len(out)]
        out[: len(part)] = part
        _clear(out[len(part) :])

    def verify(self, block_id: bytes) -> None:
        """Read from the medium, past every cache, and check. NotFound, BlockCorrupt."""
        self._settle(block_id, self._read_medium)

    def forget(self, block_ids: list[bytes]) -> None:
        """Drop blocks from the caches."""
        for block_id in block_ids:
            self._cache.drop(block_id)
            self._verified.discard(block_id)

    def where(self, location: Location) -> str:
        """Pack file and offset, for messages."""
        return f"{self._packs.pack_path(location.pack_id)}:{location.offset}"

    def _read_whole(self, block_id: bytes, location: Location) -> bytes:
        memory = bytearray(location.stored_length)
        self._read_at(block_id, location, memoryview(memory))
        return bytes(memory)

    def _read_at(self, block_id: bytes, location: Location, out: memoryview) -> None:
        """Fill `out` with the whole block at `location`, verified; _Damaged."""
        if not self._is_read(block_id, location, out):
            self._read_again(block_id, location, out)
        if len(self._verified) >= VERIFIED_IDS_MAX:
            self._verified = set()
        self._verified.add(block_id)

    def _settle(self, block_id: bytes, read: Callable[[bytes, Location], Result]) -> Result:
        """Look up and read. Damage counts only at a place where the index still has the block."""
        location = self._find(block_id)
        while True:
            try:
                return read(block_id, location)
            except _Damaged as damaged:
                now = self._find(block_id)
                if now == location:
                    self._condemn(block_id, location, damaged.why)
                location = now

    def _find(self, block_id: bytes) -> Location:
        check_id(block_id)
        with self._index.read() as transaction:
            location = find_block(self._index, transaction, block_id)
        if location is None:
            raise NotFound("block", block_id.hex())
        if location.bad:
            raise BlockCorrupt(block_id, self.where(location), "found damaged before")
        return location

    def _is_read(self, block_id: bytes, location: Location, out: memoryview) -> bool:
        count = self._packs.read_into(location.pack_id, location.offset, out)
        if count != len(out) or digest.checksum(out) != location.checksum:
            return False
        if block_id in self._verified:
            return True
        return digest.digest(out, self._hash_name) == block_id

    def _read_again(self, block_id: bytes, location: Location, out: memoryview) -> None:
        _clear(out)
        out[:] = self._read_medium(block_id, location)

    def _read_medium(self, block_id: bytes, location: Location) -> bytes:
        stored = self._packs.read_from_medium(
            location.pack_id, location.offset, location.stored_length
        )
        why = self._damage(block_id, location, stored)
        if why is not None:
            raise _Damaged(why)
        return stored

    def _damage(self, block_id: bytes, location: Location, stored: bytes) -> str | None:
        if len(stored) != location.stored_length:
            return f"{len(stored)} bytes of {location.stored_length} are there"
        if digest.checksum(stored) != location.checksum:
            return "the checksum of its bytes does not match"
        if digest.digest(stored, self._hash_name) != block_id:
            return "its bytes have another digest"
        return None

    def _condemn(self, block_id: bytes, location: Location, why: str) -> NoReturn:
        self.forget([block_id])
        if not self._index.read_only:
            try:
                self._index.transact(
                    lambda transaction: mark_bad(self._index, transaction, block_id, location)
                )
            except StoreError as error:
                why += f"; and it could not be noted: {error}"
        raise BlockCorrupt(block_id, self.where(location), why)


class _ContentCache:
    """Verified contents, the least recently used given up first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contents: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0

    def __contains__(self, block_id: bytes) -> bool:
        with self._lock:
            return block_id in self._contents

    def get(self, block_id: bytes) -> bytes | None:
        with self._lock:
            content = self._contents.get(block_id)
            if content is not None:
                self._contents.move_to_end(block_id)
            return content

    def put(self, block_id: bytes, content: bytes) -> None:
        with self._lock:
            if block_id not in self._contents:
                self._contents[block_id] = content
                self._size += len(content)
            while self._size > CACHE_BYTES_MAX:
                _, dropped = self._contents.popitem(last=False)
                self._size -= len(dropped)

    def drop(self, block_id: bytes) -> None:
        with self._lock:
            dropped = self._contents.pop(block_id, b"")
            self._size -= len(dropped)


def check_id(block_id: bytes) -> None:
    """StoreUsageError unless it has the size of an id."""
    if len(block_id) != ID_SIZE:
        raise StoreUsageError(f"a block id has {ID_SIZE} bytes, not {len(block_id)}")


def _clear(out: memoryview) -> None:
    if len(out):
        out[:] = bytes(len(out))
