"""Walking a pack by its own tables, without the index."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockstore.files.record import (
    PAGE,
    SEGMENT_HEADER_SIZE,
    Entry,
    PackState,
    SegmentHeader,
    decode_segment_header,
    decode_segment_table,
    pack_header_checksum,
)
from native import digest

if TYPE_CHECKING:
    from blockstore.files.pack import PackDirectory


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment whose header and table are whole."""

    offset: int
    header: SegmentHeader
    entries: list[Entry]

    @property
    def end(self) -> int:
        """Offset of what follows."""
        return self.offset + self.header.size

    @property
    def state_after(self) -> PackState:
        """Of a pack that ends with this segment."""
        return PackState(self.end, self.header.sequence + 1, self.header.checksum)


def first_state(packs: PackDirectory, pack_id: int) -> PackState:
    """Of a pack that has only its header. Corrupt when it has not even that."""
    return PackState(PAGE, 0, pack_header_checksum(packs.header(pack_id)))


def has_header(packs: PackDirectory, pack_id: int) -> bool:
    """False when the header is damaged; Corrupt when the pack is another store's."""
    return packs.read_header(pack_id) is not None


def scan_chain(packs: PackDirectory, pack_id: int, state: PackState) -> Iterator[Segment]:
    """The segments that follow `state` without a gap, each the successor of the one before."""
    while True:
        segment = read_segment(packs, pack_id, state.committed_length)
        if segment is None or segment.header.sequence != state.next_sequence:
            return
        if segment.header.previous_checksum != state.last_checksum:
            return
        yield segment
        state = segment.state_after


def scan_over_damage(
    packs: PackDirectory, pack_id: int, hash_name: str
) -> Iterator[tuple[Segment, bool]]:
    """All segments that can be found, and whether a damaged part lies before each.

    What looks like a segment behind damage may be the content of a block, made so by a tenant.
    Only blocks that have the digest they are entered with count there: those are what they claim,
    wherever they come from.
    """
    size = os.stat(packs.pack_path(pack_id)).st_size
    whatever_comes_first = PackState(0, -1, 0)
    has_first = has_header(packs, pack_id)
    state = first_state(packs, pack_id) if has_first else whatever_comes_first
    while state.committed_length < size:
        for segment in scan_chain(packs, pack_id, state):
            yield segment, False
            state = segment.state_after
        found = _next_segment(packs, pack_id, state, hash_name)
        if found is None:
            return
        yield found, True
        state = found.state_after


def read_segment(packs: PackDirectory, pack_id: int, offset: int) -> Segment | None:
    """The segment at `offset`, or None where there is no whole header and table."""
    front = bytearray(PAGE)
    if packs.read_into(pack_id, offset, memoryview(front)) != PAGE:
        return None
    header = decode_segment_header(bytes(front[:SEGMENT_HEADER_SIZE]))
    if header is None:
        return None
    if header.front_size > PAGE:
        front = bytearray(header.front_size)
        if packs.read_into(pack_id, offset, memoryview(front)) != len(front):
            return None
    entries = decode_segment_table(header, bytes(front))
    if entries is None:
        return None
    start, end = offset + header.front_size, offset + header.size
    if any(not start <= entry.offset <= end - entry.stored_length for entry in entries):
        return None
    return Segment(offset, header, entries)


def is_payload_whole(
    packs: PackDirectory, pack_id: int, segment: Segment, hash_name: str | None = None
) -> bool:
    """Whether all blocks of the segment have their checksum (and digest) on the medium itself."""
    start = segment.offset + segment.header.front_size
    payload = packs.read_from_medium(pack_id, start, segment.header.payload_size)
    if len(payload) != segment.header.payload_size:
        return False
    for entry in segment.entries:
        stored = memoryview(payload)[entry.offset - start :][: entry.stored_length]
        if digest.checksum(stored) != entry.checksum:
            return False
        if hash_name is not None and digest.digest(stored, hash_name) != entry.block_id:
            return False
    return True


def _next_segment(
    packs: PackDirectory, pack_id: int, state: PackState, hash_name: str
) -> Segment | None:
    size = os.stat(packs.pack_path(pack_id)).st_size
    for offset in range(state.committed_length + PAGE, size, PAGE):
        segment = read_segment(packs, pack_id, offset)
        if (
            segment is not None
            and segment.header.sequence > state.next_sequence
            and is_payload_whole(packs, pack_id, segment, hash_name)
        ):
            return segment
    return None
