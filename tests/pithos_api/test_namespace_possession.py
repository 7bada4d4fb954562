"""Who possesses which block, and what a collection must keep."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import Engine, select

from archipelago import EMPTY_MAP, Maps
from blockstore import ZERO_ID, Store
from pithos_api.database.engine import PARAMETERS_MAX, reading
from pithos_api.database.tables import possessions
from pithos_api.namespace.errors import NoSuchContainer
from pithos_api.namespace.namespace import Namespace
from pithos_api.namespace.possession import RECORD_BATCH
from pithos_api.namespace.records import NewObject
from pithos_api.namespace.upload import Upload, UploadResult

ALICE, BOB = "a" * 32, "b" * 32
BLOCK_SIZE = 65536


def upload(store: Store, data: bytes) -> UploadResult:
    sink = Upload(store, Maps(store.blocks, store.info.block_size), store.info.hash_name)
    sink.write(data)
    return sink.finish()


def blocks_of(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count * BLOCK_SIZE)


def put(namespace: Namespace, account: str, name: str, result: UploadResult) -> None:
    namespace.put_container(account, "c", {}, {})
    new = NewObject(result.size, result.root, result.merkle_hash, result.md5, "x/y")
    namespace.put_object(account, "c", name, new)


def test_who_sent_a_block_possesses_it(namespace: Namespace, memory_store: Store) -> None:
    ids = upload(memory_store, blocks_of(1, 3)).block_ids
    assert namespace.missing(ALICE, ids) == ids
    namespace.record_possession(ALICE, ids[:2])
    assert namespace.missing(ALICE, ids) == ids[2:]
    namespace.record_possession(ALICE, ids * 2)
    assert namespace.missing(ALICE, ids) == []


def test_a_digest_tells_nothing_about_others(namespace: Namespace, memory_store: Store) -> None:
    ids = upload(memory_store, blocks_of(1, 2)).block_ids
    namespace.record_possession(ALICE, ids)
    unknown = bytes(range(32))
    assert namespace.missing(BOB, [*ids, unknown]) == [*ids, unknown]


def test_missing_is_in_order_and_each_once(namespace: Namespace, memory_store: Store) -> None:
    ids = upload(memory_store, blocks_of(2, 4)).block_ids
    namespace.record_possession(ALICE, [ids[1]])
    asked = [ids[3], ids[1], ZERO_ID, ids[0], ids[3], ids[1], ids[2]]
    assert namespace.missing(ALICE, asked) == [ids[3], ids[0], ids[2]]


def test_a_possessed_block_that_the_store_lost_is_missing(
    namespace: Namespace, memory_store: Store
) -> None:
    ids = upload(memory_store, blocks_of(3, 2)).block_ids
    namespace.record_possession(ALICE, ids)
    memory_store.blocks.discard([ids[0]])
    assert namespace.missing(ALICE, ids) == [ids[0]]


def test_more_than_fits_one_query(namespace: Namespace) -> None:
    dice = random.Random(4)
    ids = [dice.randbytes(32) for _ in range(2 * PARAMETERS_MAX + 5)]
    assert namespace.missing(ALICE, ids) == ids


def test_nothing(namespace: Namespace) -> None:
    namespace.record_possession(ALICE, [])
    namespace.record_possession(ALICE, [ZERO_ID])
    assert namespace.missing(ALICE, []) == []
    assert namespace.missing(ALICE, [ZERO_ID]) == []


def test_possession_comes_with_the_object_or_not_at_all(
    namespace: Namespace, memory_store: Store
) -> None:
    result = upload(memory_store, blocks_of(8, 3) + bytes(BLOCK_SIZE))
    new = NewObject(result.size, result.root, None, None, "x/y", block_ids=result.block_ids)
    with pytest.raises(NoSuchContainer):
        namespace.put_object(ALICE, "c", "o", new)
    assert namespace.missing(ALICE, result.block_ids) == result.block_ids[:3]
    namespace.put_container(ALICE, "c", {}, {})
    namespace.put_object(ALICE, "c", "o", new)
    assert namespace.missing(ALICE, result.block_ids) == []


def test_possession_of_more_than_one_transaction(
    namespace: Namespace, memory_store: Store, engine: Engine
) -> None:
    dice = random.Random(9)
    ids = [dice.randbytes(32) for _ in range(RECORD_BATCH + 3)]
    namespace.put_container(ALICE, "c", {}, {})
    new = NewObject(0, EMPTY_MAP, None, None, "x/y", block_ids=ids)
    namespace.put_object(ALICE, "c", "o", new)
    with reading(engine) as connection:
        found = connection.execute(select(possessions.c.block)).scalars().all()
    assert set(found) == set(ids)


def test_a_copy_into_another_account_gives_possession(
    namespace: Namespace, memory_store: Store
) -> None:
    result = upload(memory_store, blocks_of(5, 3))
    put(namespace, ALICE, "o", result)
    assert namespace.missing(BOB, result.block_ids) == result.block_ids
    namespace.put_container(BOB, "c", {}, {})
    namespace.copy_object(namespace.object(ALICE, "c", "o"), BOB, "c", "o")
    assert namespace.missing(BOB, result.block_ids) == []


def test_roots_are_those_of_all_objects(namespace: Namespace, memory_store: Store) -> None:
    results = [upload(memory_store, blocks_of(seed, 2)) for seed in (6, 7)]
    assert list(namespace.roots()) == []
    put(namespace, ALICE, "one", results[0])
    put(namespace, ALICE, "two", results[1])
    put(namespace, BOB, "one", results[0])
    namespace.put_object(BOB, "c", "nothing", NewObject(0, EMPTY_MAP, None, None, "x/y"))
    roots = list(namespace.roots())
    assert set(roots) == {results[0].root, results[1].root, EMPTY_MAP}
    assert len(roots) == 3


def test_roots_over_pages(
    namespace: Namespace, memory_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pithos_api.namespace.namespace.ROOTS_PAGE", 2)
    results = [upload(memory_store, blocks_of(seed, 1)) for seed in range(10, 15)]
    for number, result in enumerate(results):
        put(namespace, ALICE, f"o{number}", result)
    assert set(namespace.roots()) == {result.root for result in results}
