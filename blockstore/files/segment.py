"""A segment being filled: a reused, page-aligned buffer that is written with one call.

The payload begins at a fixed place in the buffer; header and table are put right before it when
their size is known, so nothing is moved.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockstore.files.record import (
    CODEC_RAW,
    PAGE,
    PAYLOAD_ALIGNMENT,
    SEGMENT_ENTRIES_MAX,
    SEGMENT_PAYLOAD_SIZE_MAX,
    Entry,
    SegmentHeader,
    encode_segment_front,
    front_size,
    round_up,
)

if TYPE_CHECKING:
    from blockstore.interface import BlockKind

_FRONT_SIZE_MAX = front_size(SEGMENT_ENTRIES_MAX)


@dataclass(frozen=True, slots=True)
class Buffered:
    """A block in the buffer, at `position` from the beginning of the payload."""

    block_id: bytes
    position: int
    length: int
    kind: BlockKind
    checksum: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a pack a segment is to go."""

    offset: int
    sequence: int
    previous_checksum: int
    durable_length: int


class SegmentBuffer:
    """Blocks for one segment. Not thread-safe: its owner locks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _FRONT_SIZE_MAX + SEGMENT_PAYLOAD_SIZE_MAX)
        with suppress(OSError):  # a kernel without huge pages
            self._memory.madvise(mmap.MADV_HUGEPAGE)
        self._view = memoryview(self._memory)
        self._payload = self._view[_FRONT_SIZE_MAX:]
        self._end = 0
        self.blocks: list[Buffered] = []

    def fits(self, length: int) -> bool:
        """Whether a block of `length` bytes can be added."""
        return (
            len(self.blocks) < SEGMENT_ENTRIES_MAX
            and self._end + length <= SEGMENT_PAYLOAD_SIZE_MAX
        )

    def add(self, block: memoryview, block_id: bytes, kind: BlockKind, checksum: int) -> int:
        """Copy the block in; return its position. It must fit."""
        position = self._end
        end = position + len(block)
        self._payload[position:end] = block
        self._end = round_up(end, PAYLOAD_ALIGNMENT)
        self._payload[end : self._end] = bytes(self._end - end)
        self.blocks.append(Buffered(block_id, position, len(block), kind, checksum))
        return position

    def read(self, position: int, length: int) -> bytes:
        """A copy of buffered bytes."""
        return bytes(self._payload[position : position + length])

    @property
    def size(self) -> int:
        """Bytes of the segment on disk as it is now."""
        return front_size(len(self.blocks)) + round_up(self._end, PAGE)

    def seal(self, place: Place) -> tuple[memoryview, list[Entry], int]:
        """The bytes to write at `place`, their table, and their checksum. Repeatable."""
        front = front_size(len(self.blocks))
        payload_size = round_up(self._end, PAGE)
        entries = [
            Entry(
                block.block_id,
                place.offset + front + block.position,
                block.length,
                block.length,
                CODEC_RAW,
                block.kind,
                block.checksum,
            )
            for block in self.blocks
        ]
        header = SegmentHeader(
            len(entries),
            payload_size,
            place.sequence,
            place.previous_checksum,
            place.durable_length,
        )
        encoded, checksum = encode_segment_front(header, entries)
        start = _FRONT_SIZE_MAX - front
        self._view[start:_FRONT_SIZE_MAX] = encoded
        self._payload[self._end : payload_size] = bytes(payload_size - self._end)
        return self._view[start : _FRONT_SIZE_MAX + payload_size], entries, checksum

    def keep(self, count: int) -> None:
        """Forget all but the first `count` blocks."""
        self.blocks = self.blocks[:count]
        last = self.blocks[-1] if self.blocks else None
        self._end = round_up(last.position + last.length, PAYLOAD_ALIGNMENT) if last else 0

    def close(self) -> None:
        """Give the memory back."""
        with suppress(BufferError):  # the traceback of a failed write still refers to it
            self._payload.release()
            self._view.release()
            self._memory.close()
