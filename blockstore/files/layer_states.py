"""The durable states of a layer's pages: a log of changes.

    header | frame | frame | ...

A frame holds the changes of one flush and is appended after the data it speaks of was synced.
Sequence numbers run without gaps. When the log is mostly dead it is replaced by one that states
the present. Every 16 bytes of a frame have a byte that is not NUL, so that a sector that was never
written is told from damage. Bytes: FORMAT.md, "Layers".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blockstore.errors import Corrupt, StoreUnavailable
from blockstore.files.durable_writes import (
    no_room_is_store_full,
    note_length,
    noted_length,
    read_at,
    sync_directory,
    write_at,
)
from blockstore.files.torn_tail import has_unwritten_sector
from blockstore.interface import PAGE_SIZE, PageState
from blockstore.page_states import PageStates
from native.digest import checksum

FORMAT_VERSION = 1

COMPACT_SIZE_MIN = 2**20
"""Bytes below which a log is left as it is."""

COMPACT_RATIO = 4
"""The log is rewritten when it is this many times its compact form."""

FRAME_ENTRIES_MAX = 65536
"""1 MiB; more changes take several frames."""

RESIZE = 255
"""State byte of an entry that says: the layer has `first` pages now, forget those beyond."""

STATES_NAME = "states"

_MAGIC = b"ARLAYER\x01"
_FRAME_MAGIC = b"LFRM"
_HEADER = struct.Struct("<8sIIQQ64sQQ")  # magic format page_size size base_sequence id 1 checksum
_FRAME = struct.Struct("<4sIQQQ")  # magic entries sequence entries_checksum checksum
_ENTRY = struct.Struct("<QQ")  # first page, count << 8 | state
_CHECKSUM_SIZE = 8

ENTRY_SIZE = _ENTRY.size
HEADER_SIZE = _HEADER.size
assert HEADER_SIZE % 16 == 0
assert _FRAME.size == 32


@dataclass(slots=True)
class LoadedStates:
    """What a log of states amounts to."""

    size: int
    """Bytes of the layer."""
    states: PageStates
    sequence: int
    """Of the last frame."""
    end: int
    """Where the next frame goes."""


def pack_entry(first: int, count: int, state: int) -> bytes:
    """One change: `count` pages (at least 1) from `first` on."""
    return _ENTRY.pack(first, count << 8 | state)


def pack_resize(size: int) -> bytes:
    """The change of a layer's size to so many bytes."""
    return pack_entry(size // PAGE_SIZE, 0, RESIZE)


def clip_entries(entries: bytes | bytearray, size: int) -> bytearray:
    """Packed entries without what they say of pages beyond `size` bytes."""
    page_count = size // PAGE_SIZE
    clipped = bytearray()
    for first, packed in _ENTRY.iter_unpack(entries):
        count = min(packed >> 8, page_count - first)
        if count > 0:
            clipped += pack_entry(first, count, packed & 0xFF)
    return clipped


def encode_header(layer_id: str, size: int, base_sequence: int) -> bytes:
    """The first bytes of a log whose frames begin after `base_sequence`."""
    name = layer_id.encode("ascii")
    packed = _HEADER.pack(_MAGIC, FORMAT_VERSION, PAGE_SIZE, size, base_sequence, name, 1, 0)
    packed = packed[:-_CHECKSUM_SIZE]
    return packed + checksum(packed).to_bytes(_CHECKSUM_SIZE, "little")


def encode_frames(sequence: int, entries: bytes | bytearray) -> Iterator[bytes]:
    """The frames after `sequence` that hold these packed entries."""
    step = FRAME_ENTRIES_MAX * ENTRY_SIZE
    for at in range(0, len(entries), step):
        sequence += 1
        yield _encode_frame(sequence, bytes(entries[at : at + step]))


def load_states(path: Path, layer_id: str) -> LoadedStates:
    """Read and replay the log. A tail cut off by a crash is left out; Corrupt for other damage."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        noted = noted_length(descriptor)  # before the bytes, since the writer may be adding some
        data = read_at(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)
    size, sequence = _decode_header(data, path, layer_id)
    loaded = LoadedStates(size, PageStates(), sequence, HEADER_SIZE)
    while loaded.end < len(data):
        frame_end = _frame_end(data, loaded.end, loaded.sequence + 1)
        if frame_end is None:
            _check_torn(data, loaded, path, layer_id)
            break
        _replay_frame(loaded, data[loaded.end + _FRAME.size : frame_end], path, layer_id)
        loaded.sequence += 1
        loaded.end = frame_end
    if loaded.end < noted:
        why = f"its states end here, not at {noted}"
        raise Corrupt(f"layer {layer_id}", f"{path}:{loaded.end}", why)
    return loaded


class StatesLog:
    """The log of one layer, open for appending by its one writer."""

    def __init__(self, path: Path, layer_id: str) -> None:
        """FileNotFoundError; Corrupt. `loaded` is what it says; a torn tail is cut off."""
        self.path = path
        self._layer_id = layer_id
        self.loaded = load_states(path, layer_id)
        self._end = self.loaded.end
        self._sequence = self.loaded.sequence
        self._compact_above = COMPACT_SIZE_MIN
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.fstat(self._descriptor).st_size > self._end:
                os.ftruncate(self._descriptor, self._end)
            # A writer that was killed may not have come to it, and a flush without changes of
            # state would not make up for that.
            os.fdatasync(self._descriptor)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def is_long(self) -> bool:
        """Whether it is time to look if a compact form would be much smaller."""
        return self._end > self._compact_above

    def is_worth_replacing(self, entries: bytes) -> bool:
        """Whether the compact form, which has these entries, is much smaller."""
        compact_size = HEADER_SIZE + len(entries)
        next_look = self._end + COMPACT_SIZE_MIN
        self._compact_above = max(next_look, COMPACT_RATIO * compact_size)
        return self._end > COMPACT_RATIO * compact_size

    def append(self, entries: bytes | bytearray) -> None:
        """Add the changes, durably. StoreFull: what was added of them may be added again."""
        # One by one, since the reader takes a torn frame with a good one behind it for damage.
        for frame in encode_frames(self._sequence, entries):
            self._append_frame(frame)

    def replace(self, size: int, entries: bytes) -> None:
        """Begin a new log that says just this, durably. StoreFull: the log is as it was."""
        end = write_states(self.path, self._layer_id, size, entries, self._sequence)
        self.close()
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self._sequence += _frame_count(entries)
        self._end = end
        self._compact_above = max(COMPACT_SIZE_MIN, COMPACT_RATIO * end)

    def _append_frame(self, frame: bytes) -> None:
        with no_room_is_store_full(f"the states of layer {self._layer_id}"):
            try:
                write_at(self._descriptor, frame, self._end)
                os.fdatasync(self._descriptor)
            except OSError:
                # Else who opens the layer next would read it from memory and take it for durable.
                os.ftruncate(self._descriptor, self._end)
                raise
        self._sequence += 1
        self._end += len(frame)
        note_length(self._descriptor, self._end)


def write_states(
    path: Path, layer_id: str, size: int, entries: bytes, base_sequence: int = 0
) -> int:
    """Make `path` a log of these packed entries, durably and at once; return its end."""
    new = path.with_name(path.name + ".new")
    frames = [encode_header(layer_id, size, base_sequence), *encode_frames(base_sequence, entries)]
    packed = b"".join(frames)
    with no_room_is_store_full(f"the states of layer {layer_id}"):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(new, flags, 0o600)
        try:
            write_at(descriptor, packed, 0)
            os.fsync(descriptor)
            note_length(descriptor, len(packed))
        except OSError:
            os.unlink(new)
            raise
        finally:
            os.close(descriptor)
        os.rename(new, path)
    sync_directory(path.parent)
    return len(packed)


def pack_states(runs: Iterable[tuple[int, int, PageState]]) -> bytes:
    """The entries that make an empty layer have these runs."""
    return b"".join(pack_entry(first, count, state) for first, count, state in runs)


def _frame_count(entries: bytes) -> int:
    return -(-len(entries) // (FRAME_ENTRIES_MAX * ENTRY_SIZE))


def _encode_frame(sequence: int, entries: bytes) -> bytes:
    count = len(entries) // ENTRY_SIZE
    start = _FRAME.pack(_FRAME_MAGIC, count, sequence, checksum(entries), 0)[:-_CHECKSUM_SIZE]
    return b"".join((start, checksum(start).to_bytes(_CHECKSUM_SIZE, "little"), entries))


def _decode_header(data: bytes, path: Path, layer_id: str) -> tuple[int, int]:
    where = f"{path}:0"
    if len(data) < HEADER_SIZE:
        raise Corrupt(f"layer {layer_id}", where, "its header is cut off")
    magic, version, page_size, size, sequence, name, _, check = _HEADER.unpack_from(data)
    if magic != _MAGIC or checksum(data[: HEADER_SIZE - _CHECKSUM_SIZE]) != check:
        raise Corrupt(f"layer {layer_id}", where, "its header fails the check")
    if version != FORMAT_VERSION or page_size != PAGE_SIZE:
        raise StoreUnavailable(f"layer {layer_id} has format {version}, not {FORMAT_VERSION}")
    if name.rstrip(b"\0") != layer_id.encode("ascii"):
        raise Corrupt(f"layer {layer_id}", where, "these are the states of another layer")
    return size, sequence


def _frame_start(data: bytes, at: int) -> tuple[int, int, int] | None:
    """(end, sequence, checksum of the entries) of the frame at `at`, if its start is whole."""
    if at + _FRAME.size > len(data):
        return None
    magic, count, sequence, entries_check, check = _FRAME.unpack_from(data, at)
    start = data[at : at + _FRAME.size - _CHECKSUM_SIZE]
    if magic != _FRAME_MAGIC or checksum(start) != check:
        return None
    return at + _FRAME.size + count * ENTRY_SIZE, sequence, entries_check


def _frame_end(data: bytes, at: int, sequence: int | None) -> int | None:
    """The end of the good frame of that number at `at`; None if there is none."""
    start = _frame_start(data, at)
    if start is None or start[0] > len(data):
        return None
    end, found, entries_check = start
    if sequence is not None and found != sequence:
        return None
    return end if checksum(data[at + _FRAME.size : end]) == entries_check else None


def _check_torn(data: bytes, loaded: LoadedStates, path: Path, layer_id: str) -> None:
    """Corrupt unless what is left is the beginning of a frame that was never acknowledged."""
    at = loaded.end
    damage = Corrupt(f"layer {layer_id}", f"{path}:{at}", "a frame of its states fails the check")
    follower = data.find(_FRAME_MAGIC, at)
    while follower >= 0:
        if _frame_end(data, follower, None) is not None:
            raise damage
        follower = data.find(_FRAME_MAGIC, follower + 1)
    start = _frame_start(data, at)
    cut_off = at + _FRAME.size > len(data) or (start is not None and start[0] > len(data))
    if not cut_off and not has_unwritten_sector(memoryview(data)[at:], at):
        raise damage


def _replay_frame(loaded: LoadedStates, entries: bytes, path: Path, layer_id: str) -> None:
    states = loaded.states
    for first, packed in _ENTRY.iter_unpack(entries):
        count, state = packed >> 8, packed & 0xFF
        if state == RESIZE:
            states.forget(first)
            loaded.size = first * PAGE_SIZE
        elif state > PageState.ZERO or (first + count) * PAGE_SIZE > loaded.size:
            where = f"{path}:{loaded.end}"
            raise Corrupt(f"layer {layer_id}", where, "an entry of its states has no meaning")
        else:
            states.set(first, count, PageState(state))
