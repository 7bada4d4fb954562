"""A stream of bytes on its way into the store: cut, hashed, put, and committed at the end.

Memory is one batch, whatever the size of the object, and 32 bytes of id for each block. Abandoning
an upload names nothing; blocks that it has put already are found by collection.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from archipelago import MapRoot, Maps
from blockstore import Store
from pithos_api.namespace.hashmap import MerkleTree

BATCH_SIZE = 4 * 2**20
"""Bytes gathered before they are put; a multiple of every block size."""


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What was uploaded. All blocks and map pages are durable."""

    size: int
    root: MapRoot
    merkle_hash: str
    md5: str
    block_ids: list[bytes]
    """In order; `ZERO_ID` where a block is NULs."""


class Upload:
    """Write in any portions, then `finish` once. For one thread at a time."""

    def __init__(self, store: Store, maps: Maps, hash_name: str) -> None:
        self._blocks = store.blocks
        self._maps = maps
        self._batch = bytearray(BATCH_SIZE)
        self._filled = 0
        self._size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._merkle = MerkleTree(hash_name)
        self._ids: list[bytes] = []

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. StoreFull and other errors of the store; the upload is dead then."""
        view = memoryview(data)
        self._md5.update(view)
        self._size += len(view)
        while len(view):
            taken = min(len(view), BATCH_SIZE - self._filled)
            self._batch[self._filled : self._filled + taken] = view[:taken]
            self._filled += taken
            view = view[taken:]
            if self._filled == BATCH_SIZE:
                self._put_batch()

    def finish(self) -> UploadResult:
        """Make everything durable and return what it is."""
        if self._filled:
            self._put_batch()
        root = self._maps.build(self._ids)
        self._blocks.commit()
        return UploadResult(
            size=self._size,
            root=root,
            merkle_hash=self._merkle.top().hex(),
            md5=self._md5.hexdigest(),
            block_ids=self._ids,
        )

    def _put_batch(self) -> None:
        with memoryview(self._batch) as batch:
            ids = self._blocks.put_many(batch[: self._filled])
        for block_id in ids:
            self._merkle.add(block_id)
        self._ids += ids
        self._filled = 0
