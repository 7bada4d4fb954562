"""The bytes of map pages and roots, version 1. FORMAT.md shows the tables.

A page is a block of kind MAP: a header of 32 bytes, then up to 512 slots of one id each. Trailing
absent ids are cut by the block's own rule (a block has no trailing NULs), so a page of few entries
is small, and equal pages are one block.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from blockstore import ID_SIZE, ZERO_ID

FANOUT_BITS = 9
FANOUT = 1 << FANOUT_BITS
"""Slots of a page."""

HEIGHT_MAX = 6
"""512^6 blocks of 64 KiB: more than any size that fits 64 bits of bytes."""

MAGIC = b"AMAP"
VERSION = 1
SLOTS_ARE_BLOCK_IDS = 0
"""The only slot format so far: each slot is the id of a child page or, at level 1, of a block."""

_HEADER = struct.Struct("<4sBBBB24x")
HEADER_SIZE = _HEADER.size
PAGE_SIZE_MAX = HEADER_SIZE + FANOUT * ID_SIZE

_ROOT = struct.Struct("<B32s")

if HEADER_SIZE != 32 or _ROOT.size != 33:
    raise AssertionError("the sizes of FORMAT.md")


@dataclass(frozen=True, slots=True)
class MapRoot:
    """The name of a map. Height 0: `block_id` is the only block, at index 0. Height h: it is a page
    of level h, and the map covers indexes below 512^h."""

    height: int
    block_id: bytes

    def pack(self) -> bytes:
        """33 bytes: the height, then the id."""
        return _ROOT.pack(self.height, self.block_id)

    @classmethod
    def unpack(cls, data: bytes) -> MapRoot:
        """The inverse of `pack`; ValueError for anything else."""
        if len(data) != _ROOT.size:
            raise ValueError(f"a map root has {_ROOT.size} bytes, not {len(data)}")
        height, block_id = _ROOT.unpack(data)
        if height > HEIGHT_MAX:
            raise ValueError(f"a map root of height {height}")
        if height and block_id == ZERO_ID:
            raise ValueError("an empty map root of height > 0")
        return cls(height, block_id)


EMPTY_MAP = MapRoot(0, ZERO_ID)


def encode_page(level: int, slots: bytes | bytearray) -> bytes:
    """The page of `level` with these slots (concatenated ids)."""
    if not 1 <= level <= HEIGHT_MAX or len(slots) > FANOUT * ID_SIZE or len(slots) % ID_SIZE:
        raise ValueError(f"{len(slots)} bytes of slots at level {level}")
    return _HEADER.pack(MAGIC, VERSION, level, SLOTS_ARE_BLOCK_IDS, FANOUT_BITS) + slots


def decode_page(level: int, page: bytes) -> bytes:
    """The slots of a page: concatenated ids up to the last present one.

    ValueError, saying why, when it is not a page of that level.
    """
    if len(page) <= HEADER_SIZE:
        raise ValueError(f"{len(page)} bytes are no page")
    if len(page) > PAGE_SIZE_MAX:
        raise ValueError(f"{len(page)} bytes are more than a page has")
    magic, version, found_level, slot_format, fanout_bits = _HEADER.unpack_from(page)
    if magic != MAGIC:
        raise ValueError("it does not begin as a map page")
    if version != VERSION or slot_format != SLOTS_ARE_BLOCK_IDS or fanout_bits != FANOUT_BITS:
        raise ValueError(
            f"unknown format: version {version}, slots {slot_format}, fan-out 2^{fanout_bits}"
        )
    if found_level != level:
        raise ValueError(f"it is a page of level {found_level}, not {level}")
    if any(page[8:HEADER_SIZE]):
        raise ValueError("the reserved bytes of its header are not zero")
    slots = page[HEADER_SIZE:]
    return slots + bytes(-len(slots) % ID_SIZE)


def trim_slots(slots: bytes | bytearray) -> bytes:
    """Without trailing absent ids."""
    length = len(bytes(slots).rstrip(b"\0"))
    return bytes(slots[: length + -length % ID_SIZE])
