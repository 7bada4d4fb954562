"""Cutting a map at a size in bytes.

Everything above relies on this: a map has nothing beyond the size of what it belongs to, so that
growing needs no work and gives zeros.
"""

from __future__ import annotations

from archipelago.map import Maps
from archipelago.map_format import MapRoot
from blockstore import Store


def fit_root(store: Store, maps: Maps, root: MapRoot, size: int) -> MapRoot:
    """The map without any byte at or beyond `size`; durable on return."""
    block_size = maps.block_size
    tail = size % block_size
    fitted = maps.truncate(root, -(-size // block_size))
    if tail:
        last = size // block_size
        block_id = maps.lookup(fitted, last)
        block = store.blocks.get(block_id)
        if len(block) > tail:
            [new_id] = store.blocks.put_many(block[:tail])
            fitted = maps.update(fitted, {last: new_id})
    if fitted != root:
        store.blocks.commit()
    return fitted
