"""The bytes of a `files:` store, as pure functions: see blockstore/FORMAT.md, which has the tables.

Everything is little-endian. Decoders return None for bytes that are not a whole record; what that
means (a torn tail, damage) is for the caller to say. Only the store's own superblock raises.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from blockstore.block_id import HASH_NAMES
from blockstore.errors import Corrupt, StoreUnavailable
from blockstore.interface import BlockKind, StoreInfo
from native import digest

FORMAT_VERSION = 1

PAGE = 4096
"""Segments begin and end, and payloads begin, at multiples of this."""

PAYLOAD_ALIGNMENT = 64
"""Blocks begin at multiples of this; also the unit of the offsets in tables."""

SEGMENT_PAYLOAD_SIZE_MAX = 4 * 2**20
"""Bytes of blocks in one segment, gaps included: one block of the largest size."""

SEGMENT_ENTRIES_MAX = 1023
"""Blocks of one segment, so that header and table take at most 64 KiB."""

CODEC_RAW = 0

FLAG_BAD = 1
"""Index only: the stored bytes failed their check."""

STORE_MAGIC = b"ARPSTORE"
PACK_MAGIC = b"ARPPACK\x01"
SEGMENT_MAGIC = b"ARPSEG\x00\x01"

_STORE = struct.Struct("<8sII16sI16sQ60x")
_PACK = struct.Struct("<8sII16sQ16x")
_SEGMENT = struct.Struct("<8sIIQQQQQ8x")
_SEGMENT_CHECKSUM = struct.Struct("<Q")
_SEGMENT_CHECKSUM_OFFSET = 48
_ENTRY = struct.Struct("<32sIIIBBHQ8x")
_LOCATION = struct.Struct("<IIIIQIBBH")
_PACK_STATE = struct.Struct("<QQQ")
_TOTALS = struct.Struct("<QQQQ")
_CHECKSUM = struct.Struct("<Q")

STORE_SIZE = 128
PACK_HEADER_SIZE = 64
SEGMENT_HEADER_SIZE = 64
ENTRY_SIZE = 64
LOCATION_SIZE = 32

if (
    _STORE.size + 8 != STORE_SIZE
    or _PACK.size + 8 != PACK_HEADER_SIZE
    or _SEGMENT.size != SEGMENT_HEADER_SIZE
    or _ENTRY.size != ENTRY_SIZE
    or _LOCATION.size != LOCATION_SIZE
    or SEGMENT_HEADER_SIZE + SEGMENT_ENTRIES_MAX * ENTRY_SIZE != 64 * 1024
):
    raise AssertionError("a record has not the size that FORMAT.md gives")


@dataclass(frozen=True, slots=True)
class PackHeader:
    """The first 64 bytes of a pack file."""

    store_id: str
    pack_id: int
    created: int


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first 64 bytes of a segment."""

    entry_count: int
    payload_size: int
    """Bytes after the page-aligned table, a multiple of PAGE."""
    sequence: int
    """0 for the first segment of a pack."""
    previous_checksum: int
    """That of the segment before, or of the pack header."""
    durable_length: int
    """Bytes of the pack that were known to be durable when this was written."""
    checksum: int = 0
    """XXH3-64 of header (this field 0) and table; filled in by `encode_segment_front`."""

    @property
    def front_size(self) -> int:
        """Bytes of header and table with the gap after them."""
        return front_size(self.entry_count)

    @property
    def size(self) -> int:
        """Bytes of the whole segment."""
        return self.front_size + self.payload_size


@dataclass(frozen=True, slots=True)
class Entry:
    """One block of a segment, as its table has it."""

    block_id: bytes
    offset: int
    """From the beginning of the pack, a multiple of PAYLOAD_ALIGNMENT."""
    stored_length: int
    length: int
    codec: int
    kind: BlockKind
    checksum: int
    """XXH3-64 of the stored bytes."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where the index says that a block is."""

    pack_id: int
    offset: int
    stored_length: int
    length: int
    checksum: int
    touched_hours: int
    """Hours since 1970."""
    codec: int
    kind: BlockKind
    flags: int = 0

    @property
    def bad(self) -> bool:
        """It failed its check: not readable, and no target of deduplication."""
        return bool(self.flags & FLAG_BAD)


@dataclass(frozen=True, slots=True)
class PackState:
    """What the index says of a pack: how far it is committed, and what the next segment needs."""

    committed_length: int
    next_sequence: int
    last_checksum: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the blocks of the index."""

    count: int = 0
    map_count: int = 0
    content_bytes: int = 0
    map_bytes: int = 0

    def plus(self, kind: BlockKind, length: int, sign: int = 1) -> Totals:
        """With one block more, or one less."""
        maps = sign if kind is BlockKind.MAP else 0
        return Totals(
            self.count + sign,
            self.map_count + maps,
            self.content_bytes + sign * length,
            self.map_bytes + maps * length,
        )


def round_up(size: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-size // unit) * unit


def front_size(entry_count: int) -> int:
    """Bytes of a segment's header and table, up to the page where its payload begins."""
    return round_up(SEGMENT_HEADER_SIZE + entry_count * ENTRY_SIZE, PAGE)


def encode_store(info: StoreInfo) -> bytes:
    """DIR/store."""
    body = _STORE.pack(
        STORE_MAGIC,
        info.format_version,
        STORE_SIZE,
        bytes.fromhex(info.store_id),
        info.block_size,
        info.hash_name.encode(),
        info.created,
    )
    return body + _CHECKSUM.pack(digest.checksum(body))


def decode_store(data: bytes, where: str) -> StoreInfo:
    """StoreUnavailable when it is no store or a newer one, Corrupt when it is a damaged one."""
    if data[:8] != STORE_MAGIC or len(data) < 12:
        raise StoreUnavailable(f"{where} is not a store")
    version = int.from_bytes(data[8:12], "little")
    if version > FORMAT_VERSION:
        raise StoreUnavailable(
            f"{where} has format version {version}; this program knows up to {FORMAT_VERSION}"
        )
    if len(data) != STORE_SIZE or not _has_checksum(data):
        raise Corrupt("the store's superblock", where, "its checksum does not match")
    _, version, _, store_id, block_size, name, created = _STORE.unpack_from(data)
    hash_name = name.rstrip(b"\0").decode("ascii", "replace")
    if hash_name not in HASH_NAMES:
        raise StoreUnavailable(f"{where} uses the hash {hash_name!r}, unknown to this program")
    return StoreInfo(store_id.hex(), version, hash_name, block_size, created)


def encode_pack_header(header: PackHeader) -> bytes:
    """The first PACK_HEADER_SIZE bytes of a pack; NULs follow up to PAGE."""
    body = _PACK.pack(
        PACK_MAGIC, FORMAT_VERSION, header.pack_id, bytes.fromhex(header.store_id), header.created
    )
    return body + _CHECKSUM.pack(digest.checksum(body))


def decode_pack_header(data: bytes) -> PackHeader | None:
    """None when the bytes are not those of a pack header of a known version."""
    if len(data) < PACK_HEADER_SIZE or data[:8] != PACK_MAGIC:
        return None
    data = data[:PACK_HEADER_SIZE]
    _, version, pack_id, store_id, created = _PACK.unpack_from(data)
    if version > FORMAT_VERSION or not _has_checksum(data):
        return None
    return PackHeader(store_id.hex(), pack_id, created)


def pack_header_checksum(header: PackHeader) -> int:
    """What the first segment has as `previous_checksum`."""
    return int.from_bytes(encode_pack_header(header)[-8:], "little")


def encode_segment_front(header: SegmentHeader, entries: list[Entry]) -> tuple[bytes, int]:
    """Header and table, padded to a page; and their checksum."""
    table = b"".join(map(encode_entry, entries))
    blank = _encode_segment_header(header, len(table), 0)
    checksum = digest.checksum(blank + table)
    front = _encode_segment_header(header, len(table), checksum) + table
    return front.ljust(header.front_size, b"\0"), checksum


def _encode_segment_header(header: SegmentHeader, table_size: int, checksum: int) -> bytes:
    return _SEGMENT.pack(
        SEGMENT_MAGIC,
        header.entry_count,
        table_size,
        header.payload_size,
        header.sequence,
        header.previous_checksum,
        header.durable_length,
        checksum,
    )


def decode_segment_header(data: bytes) -> SegmentHeader | None:
    """The header by itself: its checksum is checked with the table, by `decode_segment_table`."""
    if len(data) < SEGMENT_HEADER_SIZE or data[:8] != SEGMENT_MAGIC:
        return None
    _, count, table_size, payload_size, *rest = _SEGMENT.unpack_from(data)
    if table_size != count * ENTRY_SIZE or not 0 < count <= SEGMENT_ENTRIES_MAX:
        return None
    if payload_size % PAGE or not 0 < payload_size <= SEGMENT_PAYLOAD_SIZE_MAX:
        return None
    return SegmentHeader(count, payload_size, *rest)


def decode_segment_table(header: SegmentHeader, front: bytes) -> list[Entry] | None:
    """The entries, from header.front_size bytes that begin with the header."""
    end = SEGMENT_HEADER_SIZE + header.entry_count * ENTRY_SIZE
    if len(front) != header.front_size or any(front[end:]):
        return None
    checked = bytearray(front[:end])
    _SEGMENT_CHECKSUM.pack_into(checked, _SEGMENT_CHECKSUM_OFFSET, 0)
    if digest.checksum(checked) != header.checksum:
        return None
    entries = []
    for offset in range(SEGMENT_HEADER_SIZE, end, ENTRY_SIZE):
        entry = decode_entry(front[offset : offset + ENTRY_SIZE])
        if entry is None:
            return None
        entries.append(entry)
    return entries


def encode_entry(entry: Entry) -> bytes:
    """One row of a segment's table."""
    return _ENTRY.pack(
        entry.block_id,
        entry.offset // PAYLOAD_ALIGNMENT,
        entry.stored_length,
        entry.length,
        entry.codec,
        entry.kind,
        0,
        entry.checksum,
    )


def decode_entry(data: bytes) -> Entry | None:
    """None when it says what no version wrote."""
    block_id, units, stored_length, length, codec, kind, flags, checksum = _ENTRY.unpack(data)
    if codec != CODEC_RAW or kind not in tuple(BlockKind) or flags or stored_length != length:
        return None
    if not 0 < length <= SEGMENT_PAYLOAD_SIZE_MAX:
        return None
    offset = units * PAYLOAD_ALIGNMENT
    return Entry(block_id, offset, stored_length, length, codec, BlockKind(kind), checksum)


def encode_location(location: Location) -> bytes:
    """A value of the table `blocks`."""
    return _LOCATION.pack(
        location.pack_id,
        location.offset // PAYLOAD_ALIGNMENT,
        location.stored_length,
        location.length,
        location.checksum,
        location.touched_hours,
        location.codec,
        location.kind,
        location.flags,
    )


def decode_location(data: bytes) -> Location | None:
    """None when it is not a location that this version wrote."""
    if len(data) != LOCATION_SIZE:
        return None
    pack_id, units, stored, length, checksum, hours, codec, kind, flags = _LOCATION.unpack(data)
    if codec != CODEC_RAW or kind not in tuple(BlockKind) or stored != length:
        return None
    if not 0 < length <= SEGMENT_PAYLOAD_SIZE_MAX:
        return None
    offset = units * PAYLOAD_ALIGNMENT
    return Location(pack_id, offset, stored, length, checksum, hours, codec, BlockKind(kind), flags)


def encode_pack_id(pack_id: int) -> bytes:
    """A key of the table `packs`: big-endian, so that they are in order."""
    return pack_id.to_bytes(4, "big")


def encode_pack_state(state: PackState) -> bytes:
    """A value of the table `packs`."""
    body = _PACK_STATE.pack(state.committed_length, state.next_sequence, state.last_checksum)
    return body + _CHECKSUM.pack(digest.checksum(body))


def decode_pack_state(data: bytes) -> PackState | None:
    """None when it is not one."""
    if len(data) != _PACK_STATE.size + _CHECKSUM.size or not _has_checksum(data):
        return None
    return PackState(*_PACK_STATE.unpack_from(data))


def encode_totals(totals: Totals) -> bytes:
    """The value of `totals` in the table `meta`."""
    return _TOTALS.pack(totals.count, totals.map_count, totals.content_bytes, totals.map_bytes)


def decode_totals(data: bytes | None) -> Totals | None:
    """Zeros where there are none yet; None when it is damaged."""
    if data is None:
        return Totals()
    return Totals(*_TOTALS.unpack(data)) if len(data) == _TOTALS.size else None


def _has_checksum(data: bytes) -> bool:
    return digest.checksum(data[:-8]) == int.from_bytes(data[-8:], "little")
