"""The tables `blocks`, `packs` and the totals, inside a transaction of the caller's."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from blockstore.errors import Corrupt
from blockstore.files.record import (
    FLAG_BAD,
    Entry,
    Location,
    PackState,
    Totals,
    decode_location,
    decode_pack_state,
    decode_totals,
    encode_location,
    encode_pack_id,
    encode_pack_state,
    encode_totals,
)

if TYPE_CHECKING:
    from lmdb import Transaction

    from blockstore.files.index import Index

_TOTALS_KEY = b"totals"


def hours_now() -> int:
    """Hours since 1970: the grain at which a block's last use is kept."""
    return int(time.time()) // 3600


def find_block(index: Index, transaction: Transaction[bytes], block_id: bytes) -> Location | None:
    """Where the block is, or None. Corrupt when the index is not readable there."""
    value = transaction.get(block_id, db=index.blocks)
    if value is None:
        return None
    location = decode_location(value)
    if location is None:
        raise Corrupt("the index", str(index.path), f"its entry of {block_id.hex()} is not one")
    return location


def find_pack(index: Index, transaction: Transaction[bytes], pack_id: int) -> PackState | None:
    """How far the pack is committed, or None when it never was."""
    value = transaction.get(encode_pack_id(pack_id), db=index.packs)
    if value is None:
        return None
    state = decode_pack_state(value)
    if state is None:
        raise Corrupt("the index", str(index.path), f"its entry of pack {pack_id:08x} is not one")
    return state


def put_pack(index: Index, transaction: Transaction[bytes], pack_id: int, state: PackState) -> None:
    """Note how far the pack is committed."""
    transaction.put(encode_pack_id(pack_id), encode_pack_state(state), db=index.packs)


def find_totals(index: Index, transaction: Transaction[bytes]) -> Totals:
    """The sums over all blocks."""
    totals = decode_totals(transaction.get(_TOTALS_KEY, db=index.meta))
    if totals is None:
        raise Corrupt("the index", str(index.path), "its totals are not readable")
    return totals


def add_blocks(
    index: Index, transaction: Transaction[bytes], pack_id: int, entries: Iterable[Entry]
) -> None:
    """Enter blocks of one pack. One that is there stays where it is, unless it was damaged."""
    totals = find_totals(index, transaction)
    hours = hours_now()
    for entry in sorted(entries, key=_block_id):
        found = find_block(index, transaction, entry.block_id)
        if found is not None:
            if not found.bad:
                continue
            totals = totals.plus(found.kind, found.length, -1)
        totals = totals.plus(entry.kind, entry.length)
        location = Location(
            pack_id,
            entry.offset,
            entry.stored_length,
            entry.length,
            entry.checksum,
            hours,
            entry.codec,
            entry.kind,
        )
        transaction.put(entry.block_id, encode_location(location), db=index.blocks)
    transaction.put(_TOTALS_KEY, encode_totals(totals), db=index.meta)


def touch_blocks(
    index: Index, transaction: Transaction[bytes], block_ids: Iterable[bytes]
) -> set[bytes]:
    """Note the time on each that is there and readable; return those that are not."""
    hours = hours_now()
    missing = set()
    for block_id in block_ids:
        found = find_block(index, transaction, block_id)
        if found is None or found.bad:
            missing.add(block_id)
        elif found.touched_hours < hours:
            value = encode_location(replace(found, touched_hours=hours))
            transaction.put(block_id, value, db=index.blocks)
    return missing


def mark_bad(
    index: Index, transaction: Transaction[bytes], block_id: bytes, damaged: Location
) -> None:
    """Flag the block, unless it is no longer at the place where it was found damaged."""
    found = find_block(index, transaction, block_id)
    if found is None or (found.pack_id, found.offset) != (damaged.pack_id, damaged.offset):
        return
    value = encode_location(replace(found, flags=found.flags | FLAG_BAD))
    transaction.put(block_id, value, db=index.blocks)


def remove_blocks(
    index: Index, transaction: Transaction[bytes], block_ids: Iterable[bytes]
) -> list[Location]:
    """Forget blocks; return where those that were there are."""
    totals = find_totals(index, transaction)
    removed = []
    for block_id in set(block_ids):
        found = find_block(index, transaction, block_id)
        if found is None:
            continue
        transaction.delete(block_id, db=index.blocks)
        totals = totals.plus(found.kind, found.length, -1)
        removed.append(found)
    transaction.put(_TOTALS_KEY, encode_totals(totals), db=index.meta)
    return removed


def _block_id(entry: Entry) -> bytes:
    return entry.block_id
