"""Blocks of a `files:` store: what is pending in this process over what is committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from blockstore.block_id import ID_SIZE, ZERO_ID
from blockstore.errors import BlockCorrupt, Corrupt, NotFound, StoreUnavailable, StoreUsageError
from blockstore.files.block_index import (
    find_block,
    find_totals,
    hours_now,
    remove_blocks,
    touch_blocks,
)
from blockstore.files.block_reader import BlockReader, check_id
from blockstore.files.ingest import Candidate, Ingest
from blockstore.files.record import decode_location
from blockstore.files.recovery import PackChoice
from blockstore.interface import BlockKind, BlockRecord, BlockStats
from native import digest

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]  # Python 3.12

    from blockstore.files.index import Index
    from blockstore.files.pack import PackDirectory
    from blockstore.files.record import Location
    from blockstore.interface import StoreInfo
else:
    Buffer = object

SCAN_BATCH = 1000
"""Blocks read in one transaction of a scan."""

PUT_BATCH_BYTES = 16 * 2**20
"""Of one put, hashed and looked up at one time."""


class FilesBlocks:
    """`interface.Blocks` over packs and index."""

    def __init__(
        self, info: StoreInfo, index: Index, packs: PackDirectory, *, read_only: bool
    ) -> None:
        self._info = info
        self._index = index
        self._packs = packs
        self._read_only = read_only
        self._reader = BlockReader(index, packs, info.hash_name)
        self._ingest = Ingest(index, packs, PackChoice(index, packs))

    def put_many(self, data: Buffer, kind: BlockKind = BlockKind.DATA) -> list[bytes]:
        """See `interface.Blocks`."""
        self._check_writable()
        ids: list[bytes] = []
        with memoryview(data) as whole, whole.cast("B") as view:
            for start in range(0, len(view), PUT_BATCH_BYTES):
                with view[start : start + PUT_BATCH_BYTES] as part:
                    ids += self._put_part(part, kind)
        return ids

    def commit(self) -> None:
        """See `interface.Blocks`."""
        if not self._read_only:
            self._ingest.commit()

    def get(self, block_id: bytes) -> bytes:
        """See `interface.Blocks`."""
        check_id(block_id)
        if block_id == ZERO_ID:
            return b""
        content = self._ingest.pending(block_id)
        return self._reader.read(block_id) if content is None else content

    def get_into(self, block_id: bytes, offset: int, out: memoryview) -> None:
        """See `interface.Blocks`."""
        check_id(block_id)
        if offset < 0:
            raise StoreUsageError(f"a block has no offset {offset}")
        with out.cast("B") as target:
            content = b"" if block_id == ZERO_ID else self._ingest.pending(block_id)
            if content is None:
                self._reader.read_into(block_id, offset, target)
                return
            part = content[offset : offset + len(target)]
            target[: len(part)] = part
            target[len(part) :] = bytes(len(target) - len(part))

    def contains_many(self, block_ids: Sequence[bytes]) -> list[bool]:
        """See `interface.Blocks`."""
        return self._look(block_ids)[0]

    def touch(self, block_ids: Sequence[bytes]) -> list[bool]:
        """See `interface.Blocks`."""
        self._check_writable()
        here, found = self._look(block_ids)
        hours = hours_now()
        stale = sorted(
            block_id
            for block_id, location in found.items()
            if not location.bad and location.touched_hours < hours
        )
        if not stale:
            return here
        missing = self._index.transact(
            lambda transaction: touch_blocks(self._index, transaction, stale)
        )
        return [
            is_here and block_id not in missing
            for block_id, is_here in zip(block_ids, here, strict=True)
        ]

    def discard(self, block_ids: Sequence[bytes]) -> int:
        """See `interface.Blocks`. The space in the packs is not given back yet."""
        self._check_writable()
        for block_id in block_ids:
            check_id(block_id)
        removed = self._index.transact(
            lambda transaction: remove_blocks(self._index, transaction, block_ids)
        )
        self._reader.forget(list(block_ids))
        return len(removed)

    def scan(self, after: bytes = b"") -> Iterator[BlockRecord]:
        """See `interface.Blocks`."""
        while True:
            batch = self._scan_batch(after)
            yield from batch
            if len(batch) < SCAN_BATCH:
                return
            after = batch[-1].block_id

    def verify(self, block_id: bytes) -> None:
        """See `interface.Blocks`."""
        check_id(block_id)
        if block_id == ZERO_ID:
            return
        try:
            self._reader.verify(block_id)
        except NotFound:
            if self._ingest.pending(block_id) is None:
                raise

    def stats(self) -> BlockStats:
        """See `interface.Blocks`."""
        with self._index.read() as transaction:
            totals = find_totals(self._index, transaction)
        return BlockStats(
            totals.count,
            totals.map_count,
            totals.content_bytes,
            totals.map_bytes,
            self._packs.disk_bytes(),
        )

    def close(self) -> None:
        """Drop what is not committed, let go of packs."""
        self._ingest.close()
        self._packs.close()

    def _put_part(self, part: memoryview, kind: BlockKind) -> list[bytes]:
        size = self._info.block_size
        digests, lengths, checksums = digest.scan_blocks(part, size, self._info.hash_name)
        ids = [digests[at : at + ID_SIZE] for at in range(0, len(digests), ID_SIZE)]
        found = self._locate(set(ids) - {ZERO_ID})
        fresh: list[Candidate] = []
        hits: list[bytes] = []
        for number, (block_id, length) in enumerate(zip(ids, lengths, strict=True)):
            location = found.get(block_id)
            if length == 0:
                continue
            if location is None or location.bad:
                start = number * size
                content = part[start : start + length]
                fresh.append(Candidate(block_id, content, kind, checksums[number]))
            else:
                self._check_hit(block_id, length, location)
                hits.append(block_id)
        self._reader.forget([candidate.block_id for candidate in fresh])
        self._ingest.add(fresh, hits)
        return ids

    def _check_hit(self, block_id: bytes, length: int, location: Location) -> None:
        if location.length != length:
            why = f"the index has {location.length} bytes for content of {length}"
            raise BlockCorrupt(block_id, self._reader.where(location), why)

    def _locate(self, block_ids: Sequence[bytes] | set[bytes]) -> dict[bytes, Location]:
        """Index entries of those that have one. One short transaction."""
        found = {}
        for block_id in block_ids:
            check_id(block_id)
        with self._index.read() as transaction:
            for block_id in block_ids:
                location = find_block(self._index, transaction, block_id)
                if location is not None:
                    found[block_id] = location
        return found

    def _look(self, block_ids: Sequence[bytes]) -> tuple[list[bool], dict[bytes, Location]]:
        """Which of them can be read here, and the index entries."""
        # In this order, since a commit of another thread moves blocks from the first to the second.
        pending = [
            block_id == ZERO_ID or self._ingest.is_pending(block_id) for block_id in block_ids
        ]
        found = self._locate([block_id for block_id in block_ids if block_id != ZERO_ID])
        here = [
            is_pending or (block_id in found and not found[block_id].bad)
            for block_id, is_pending in zip(block_ids, pending, strict=True)
        ]
        return here, found

    def _scan_batch(self, after: bytes) -> list[BlockRecord]:
        records: list[BlockRecord] = []
        with self._index.read() as transaction:
            self._index.check_table(transaction, "blocks")
            with transaction.cursor(db=self._index.blocks) as cursor:
                present = cursor.set_range(after)
                if present and cursor.key() == after:
                    present = cursor.next()
                while present and len(records) < SCAN_BATCH:
                    records.append(self._block_record(cursor.key(), cursor.value()))
                    present = cursor.next()
        return records

    def _block_record(self, block_id: bytes, value: bytes) -> BlockRecord:
        location = decode_location(value)
        if location is None:
            why = f"its entry of {block_id.hex()} is not one"
            raise Corrupt("the index", str(self._index.path), why)
        return BlockRecord(
            block_id,
            location.length,
            location.stored_length,
            location.kind,
            location.touched_hours * 3600,
        )

    def _check_writable(self) -> None:
        if self._read_only:
            raise StoreUnavailable(f"the store of {self._packs.path} is open read-only")
