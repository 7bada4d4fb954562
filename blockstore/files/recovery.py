"""Bringing packs and index together: after a crash, before a pack is reused, and from nothing.

Bytes behind a pack's committed length belong to nobody yet. Whole segments there are blocks whose
commit did not come to its end: they are indexed, which does no harm. The rest is cut off.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockstore.errors import Corrupt, StoreFull
from blockstore.files.block_index import add_blocks, find_pack, put_pack
from blockstore.files.pack import PACK_SIZE_MAX, PackWriter
from blockstore.files.pack_scan import (
    Segment,
    first_state,
    has_header,
    is_payload_whole,
    read_segment,
    scan_chain,
    scan_over_damage,
)
from blockstore.files.record import PAGE, PackState

if TYPE_CHECKING:
    from blockstore.files.index import Index
    from blockstore.files.pack import PackDirectory


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild of the index found."""

    pack_count: int
    block_count: int
    head_count: int
    damaged: tuple[str, ...]
    """Packs, or places in them, that could not be read."""


class PackChoice:
    """Finds a pack to write to: one that nobody writes to and that has room, else a new one."""

    def __init__(self, index: Index, packs: PackDirectory) -> None:
        self._index = index
        self._packs = packs

    def take(self, size: int) -> PackWriter:
        """A locked pack with room for a segment of `size` bytes."""
        for pack_id in reversed(self._packs.pack_ids()):
            writer = self._reuse(pack_id, size)
            if writer is not None:
                return writer
        return self._packs.create()

    def _reuse(self, pack_id: int, size: int) -> PackWriter | None:
        path = self._packs.pack_path(pack_id)
        if _size_of(self._packs, pack_id) + size > PACK_SIZE_MAX:
            return None
        descriptor = self._packs.lock(pack_id)
        if descriptor is None:
            return None
        try:
            state = recover_pack(self._index, self._packs, pack_id, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if state is None or state.committed_length + size > PACK_SIZE_MAX:
            os.close(descriptor)
            return None
        return PackWriter(descriptor, path, pack_id, state)


def recover_packs(index: Index, packs: PackDirectory) -> None:
    """Recover every pack that nobody writes to and that does not end where the index says."""
    for pack_id in packs.pack_ids():
        with index.read() as transaction:
            state = find_pack(index, transaction, pack_id)
        if state is not None and _size_of(packs, pack_id) <= state.committed_length:
            continue
        descriptor = packs.lock(pack_id)
        if descriptor is None:
            continue
        try:
            recover_pack(index, packs, pack_id, descriptor)
        except StoreFull:
            return  # to be done when there is room; nothing of it is needed for reading
        finally:
            os.close(descriptor)


def recover_pack(
    index: Index, packs: PackDirectory, pack_id: int, descriptor: int
) -> PackState | None:
    """Index what is whole behind the committed length, cut the rest; return where the pack ends.

    `descriptor` holds the pack's lock. None when the pack is not fit to be written to.
    """
    with index.read() as transaction:
        committed = find_pack(index, transaction, pack_id)
    size = os.fstat(descriptor).st_size
    if committed is not None and size < committed.committed_length:
        return None  # bytes are gone: their blocks say so when they are read
    if committed is None and size < PAGE:
        packs.pack_path(pack_id).unlink(missing_ok=True)
        return None
    try:
        state = committed or first_state(packs, pack_id)
    except Corrupt:
        return None
    segments = _whole_segments(packs, pack_id, state)
    if segments is None:
        return None  # a bad place behind what is committed bars neither opening nor writing
    if segments:
        state = segments[-1].state_after
    if size != state.committed_length:
        if _is_continued_by_another(packs, pack_id, state):
            return None
        os.ftruncate(descriptor, state.committed_length)
    if state != committed:
        os.fdatasync(descriptor)
        _enter(index, pack_id, segments, state)
    return state


def _whole_segments(packs: PackDirectory, pack_id: int, state: PackState) -> list[Segment] | None:
    """Those that follow `state`, up to the first torn one; None when the device fails there."""
    segments = []
    try:
        for segment in scan_chain(packs, pack_id, state):
            if not is_payload_whole(packs, pack_id, segment):
                break
            segments.append(segment)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None
    return segments


def rebuild_blocks(index: Index, packs: PackDirectory, hash_name: str) -> RebuildReport:
    """Fill the empty tables `blocks` and `packs` from the packs alone; no heads."""
    damaged: list[str] = []
    pack_ids = packs.pack_ids()
    blocks = 0
    for pack_id in pack_ids:
        try:
            blocks += _rebuild_pack(index, packs, pack_id, hash_name, damaged)
        except Corrupt as error:
            damaged.append(str(error))
    return RebuildReport(len(pack_ids), blocks, 0, tuple(damaged))


def _rebuild_pack(
    index: Index, packs: PackDirectory, pack_id: int, hash_name: str, damaged: list[str]
) -> int:
    segments: list[Segment] = []
    durable_length = 0
    if not has_header(packs, pack_id):
        damaged.append(f"{packs.pack_path(pack_id)}:0 to {PAGE}")
    for segment, after_damage in scan_over_damage(packs, pack_id, hash_name):
        start = segments[-1].end if segments else PAGE
        if after_damage and start < segment.offset:
            damaged.append(f"{packs.pack_path(pack_id)}:{start} to {segment.offset}")
        segments.append(segment)
        durable_length = max(durable_length, segment.header.durable_length)
    # Only what was written after the last sync can be torn behind a whole table.
    whole = []
    for segment in segments:
        if segment.end > durable_length and not is_payload_whole(packs, pack_id, segment):
            damaged.append(f"{packs.pack_path(pack_id)}:{segment.offset}")
            continue
        whole.append(segment)
    state = segments[-1].state_after if segments else first_state(packs, pack_id)
    size = _size_of(packs, pack_id)
    if size > state.committed_length:
        # Never acknowledged, or the last segments with a damaged table: there is no telling.
        damaged.append(f"{packs.pack_path(pack_id)}:{state.committed_length} to {size}")
    _enter(index, pack_id, whole, state)
    return sum(len(segment.entries) for segment in whole)


def _enter(index: Index, pack_id: int, segments: list[Segment], state: PackState) -> None:
    entries = [entry for segment in segments for entry in segment.entries]
    with index.write() as transaction:
        add_blocks(index, transaction, pack_id, entries)
        put_pack(index, transaction, pack_id, state)


def _is_continued_by_another(packs: PackDirectory, pack_id: int, state: PackState) -> bool:
    """Whether a segment follows that is no successor: then index and pack are not of one piece,
    as when one of them was restored from a copy, and nothing may be cut."""
    segment = read_segment(packs, pack_id, state.committed_length)
    return segment is not None and (
        segment.header.sequence != state.next_sequence
        or segment.header.previous_checksum != state.last_checksum
    )


def _size_of(packs: PackDirectory, pack_id: int) -> int:
    try:
        return packs.pack_path(pack_id).stat().st_size
    except FileNotFoundError:
        return 0
