"""Uploads: what they say they stored is what can be read."""

from __future__ import annotations

import hashlib
import random

import pytest

from archipelago import EMPTY_MAP, Content, Maps
from blockstore import ZERO_ID, Store, open_store
from pithos_api.namespace.hashmap import merkle_hash
from pithos_api.namespace.upload import BATCH_SIZE, Upload, UploadResult

BLOCK_SIZE = 65536


def maps_of(store: Store) -> Maps:
    return Maps(store.blocks, store.info.block_size)


def upload(store: Store, *pieces: bytes) -> UploadResult:
    sink = Upload(store, maps_of(store), store.info.hash_name)
    for piece in pieces:
        sink.write(piece)
    return sink.finish()


def read(store: Store, result: UploadResult) -> bytes:
    return Content(maps_of(store), store.blocks, result.root, result.size).read(0, result.size)


def test_nothing(memory_store: Store) -> None:
    result = upload(memory_store)
    assert (result.size, result.root, result.block_ids) == (0, EMPTY_MAP, [])
    assert result.md5 == hashlib.md5(b"").hexdigest()
    assert result.merkle_hash == hashlib.sha256().hexdigest()


@pytest.mark.parametrize(
    "size",
    [1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, BATCH_SIZE, BATCH_SIZE + 1, 2 * BATCH_SIZE + 7],
)
def test_sizes_around_blocks_and_batches(memory_store: Store, size: int) -> None:
    data = random.Random(size).randbytes(size)
    result = upload(memory_store, data)
    assert result.size == size
    assert read(memory_store, result) == data
    assert result.md5 == hashlib.md5(data).hexdigest()
    ids = [
        hashlib.sha256(data[start : start + BLOCK_SIZE].rstrip(b"\0")).digest()
        for start in range(0, size, BLOCK_SIZE)
    ]
    assert result.block_ids == ids
    assert result.merkle_hash == merkle_hash(ids, "sha256").hex()


def test_pieces_do_not_matter(memory_store: Store) -> None:
    dice = random.Random(1)
    data = dice.randbytes(BATCH_SIZE + 300_000)
    pieces, start = [], 0
    while start < len(data):
        end = start + dice.choice([0, 1, 4096, 65536, 100_000, 1_000_000])
        pieces.append(data[start:end])
        start = end
    assert upload(memory_store, *pieces) == upload(memory_store, data)


def test_nuls_take_no_blocks(memory_store: Store) -> None:
    result = upload(memory_store, bytes(3 * BLOCK_SIZE + 5))
    assert result.block_ids == [ZERO_ID] * 4
    assert result.root == EMPTY_MAP
    assert memory_store.blocks.stats().count == 0
    assert read(memory_store, result) == bytes(3 * BLOCK_SIZE + 5)


def test_a_finished_upload_is_seen_by_another_opener(memory_store: Store) -> None:
    result = upload(memory_store, b"content" * 50_000)
    other = open_store(memory_store.url)
    assert read(other, result) == b"content" * 50_000
    other.close()


def test_an_abandoned_upload_commits_nothing(memory_store: Store) -> None:
    sink = Upload(memory_store, maps_of(memory_store), "sha256")
    sink.write(random.Random(3).randbytes(2 * BATCH_SIZE))
    other = open_store(memory_store.url)
    assert other.blocks.stats().count == 0
    other.close()
