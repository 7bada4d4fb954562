"""The bytes of a map, read-only."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

from archipelago.errors import InvalidArgument
from archipelago.extent import Extent, ExtentKind, merge_extents
from archipelago.map import Maps
from archipelago.map_format import MapRoot
from blockstore import ZERO_ID, Blocks

BLOCK_CACHE_SIZE_MAX = 4 * 2**20
"""Bytes of blocks that a `Content` keeps for readers of small consecutive pieces."""

STREAM_CHUNK_SIZE = 2**20
"""Bytes of each piece of `Content.stream`."""


class Content:
    """`size` bytes under a map root. Thread-safe.

    Bytes of absent blocks are NULs. Errors: InvalidArgument outside of `size`; MapCorrupt; those
    of `Blocks` (NotFound, BlockCorrupt) pass through: never are bytes made up.
    """

    def __init__(self, maps: Maps, blocks: Blocks, root: MapRoot, size: int) -> None:
        self.root = root
        self.size = size
        self._maps = maps
        self._blocks = blocks
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._last_end = 0

    def read(self, offset: int, length: int) -> bytes:
        """The `length` bytes at `offset`."""
        self._check_range(offset, length)
        out = bytearray(length)
        self.read_into(offset, memoryview(out))
        return bytes(out)

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` with the bytes at `offset`."""
        length = len(out)
        self._check_range(offset, length)
        if not length:
            return
        block_size = self._maps.block_size
        first = offset // block_size
        count = (offset + length - 1) // block_size - first + 1
        sequential = offset == self._last_end
        self._last_end = offset + length
        done = 0
        for block_id in self._maps.lookup_range(self.root, first, count):
            start = (offset + done) % block_size
            piece = out[done : done + block_size - start]
            self._read_block(block_id, start, piece, sequential)
            done += len(piece)

    def runs(self, offset: int, length: int) -> list[Extent]:
        """What the range consists of, data or hole, at the grain of blocks."""
        self._check_range(offset, length)
        return list(merge_extents(self._runs(offset, length)))

    def stream(
        self, offset: int = 0, length: int | None = None, chunk: int = STREAM_CHUNK_SIZE
    ) -> Iterator[bytes]:
        """The bytes from `offset` on in pieces of `chunk` bytes, the last one shorter."""
        length = self.size - offset if length is None else length
        self._check_range(offset, length)
        if chunk <= 0:
            raise InvalidArgument(f"pieces of {chunk} bytes")
        end = offset + length
        for start in range(offset, end, chunk):
            yield self.read(start, min(chunk, end - start))

    def _runs(self, offset: int, length: int) -> Iterator[Extent]:
        if not length:
            return
        block_size = self._maps.block_size
        first, end = offset // block_size, offset + length
        count = (end - 1) // block_size - first + 1
        for index, blocks, present in self._maps.presence(self.root, first, count):
            start = max(offset, index * block_size)
            stop = min(end, (index + blocks) * block_size)
            yield Extent(start, stop - start, ExtentKind.DATA if present else ExtentKind.HOLE)

    def _read_block(self, block_id: bytes, start: int, out: memoryview, sequential: bool) -> None:
        if block_id == ZERO_ID:
            out[:] = bytes(len(out))
            return
        if len(out) == self._maps.block_size:
            self._blocks.get_into(block_id, 0, out)
            return
        block = self._cached(block_id)
        if block is None and sequential:
            # Somebody reads on in small pieces: the next ones will want this block again.
            block = self._blocks.get(block_id)
            self._remember(block_id, block)
        if block is None:
            self._blocks.get_into(block_id, start, out)
            return
        piece = block[start : start + len(out)]
        out[: len(piece)] = piece
        out[len(piece) :] = bytes(len(out) - len(piece))

    def _cached(self, block_id: bytes) -> bytes | None:
        with self._cache_lock:
            return self._cache.get(block_id)

    def _remember(self, block_id: bytes, block: bytes) -> None:
        blocks_max = max(1, BLOCK_CACHE_SIZE_MAX // self._maps.block_size)
        with self._cache_lock:
            self._cache[block_id] = block
            while len(self._cache) > blocks_max:
                self._cache.popitem(last=False)

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InvalidArgument(
                f"{length} bytes at {offset} are not inside the {self.size} bytes of the content"
            )
