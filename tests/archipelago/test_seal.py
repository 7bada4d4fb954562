"""Merging layers into maps, against bytes."""

from __future__ import annotations

import random

import pytest
from archipelago_stores import new_memory_store
from hypothesis import given, settings
from hypothesis import strategies as st

from archipelago import EMPTY_MAP, Catalog, Content, Maps, SealingStopped
from archipelago.seal import merge_layer
from blockstore import BlockKind, NotFound, StoreFull

PAGES = 16 * 4 + 5
"""Four blocks of 64 KiB and a bit."""

runs = st.lists(
    st.tuples(st.integers(0, PAGES - 1), st.integers(1, 40), st.sampled_from("dzn")), max_size=8
)
block_runs = st.lists(
    st.tuples(st.integers(0, 3).map(lambda b: b * 16), st.just(16), st.sampled_from("dz")),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.booleans(), min_size=5, max_size=5), st.one_of(runs, block_runs))
def test_a_merged_layer_reads_as_the_layer_over_the_map(present, changes):
    store = new_memory_store()
    maps = Maps(store.blocks, 65536)
    chance = random.Random(1)
    base = bytearray(PAGES * 4096)
    for index, there in enumerate(present):
        if there:
            end = min(len(base), (index + 1) * 65536)
            base[index * 65536 : end] = chance.randbytes(end - index * 65536)
    root = maps.build(store.blocks.put_many(base))
    store.extents.create("layer", len(base))
    layer = store.extents.open("layer", writable=True)
    expected = bytearray(base)
    for page, count, how in changes:
        start, end = page * 4096, min(PAGES, page + count) * 4096
        if how == "z":
            layer.zero(start, end - start)
        else:
            layer.write(start, chance.randbytes(end - start) if how == "d" else bytes(end - start))
        expected[start:end] = bytes(end - start)
        if how != "z":
            layer.read_into(start, memoryview(expected)[start:end])
    merged = merge_layer(store, maps, layer, root)
    assert Content(maps, store.blocks, merged, len(base)).read(0, len(base)) == expected
    assert merged == maps.build(store.blocks.put_many(expected))
    if not any(expected):
        assert merged == EMPTY_MAP
    store.close()


class BlocksThatFail:
    """The blocks of a store, until the n-th call."""

    def __init__(self, blocks, calls):
        self.blocks = blocks
        self.calls = calls

    def __getattr__(self, name):
        def call(*arguments):
            self.calls -= 1
            if self.calls < 0:
                raise StoreFull("no room")
            return getattr(self.blocks, name)(*arguments)

        return call


class StoreThatFails:
    def __init__(self, store, calls):
        self.blocks = BlocksThatFail(store.blocks, calls)
        self.heads, self.extents, self.leases = store.heads, store.extents, store.leases
        self.info = store.info


@pytest.mark.parametrize("calls", range(0, 14, 2))
def test_a_sealing_that_fails_anywhere_changes_nothing_and_is_done_again(store, calls):
    catalog = Catalog(store)
    catalog.create("v", 300_032)
    expected = b"first" + bytes(200_000 - 5) + b"later" + bytes(100_032 - 5)
    with catalog.open("v") as volume:
        volume.write(0, b"first")
        volume.snapshot("s")
        volume.write(200_000, b"later")
        volume.snapshot("t")
    try:
        Catalog(StoreThatFails(store, calls)).seal("v")
    except StoreFull:
        assert catalog.info("v").frozen >= 1
    for _ in range(2):
        with catalog.open("v", read_only=True) as volume:
            assert volume.read(0, volume.size) == expected
        catalog.seal_pending()
        assert catalog.info("v").frozen == 0
    assert catalog.sealed_root("v@t")[0] == catalog.info("v").root


def test_a_stopped_merge_can_be_done_later(store):
    maps = Maps(store.blocks, store.info.block_size)
    size = 20 * 2**20
    store.extents.create("big", size)
    layer = store.extents.open("big", writable=True)
    content = random.Random(9).randbytes(size)
    layer.write(0, content)
    answers = iter([False, True])
    with pytest.raises(SealingStopped):
        merge_layer(store, maps, layer, EMPTY_MAP, lambda: next(answers))
    assert next(answers, None) is None
    root = merge_layer(store, maps, layer, EMPTY_MAP)
    layer.close()
    assert Content(maps, store.blocks, root, size).read(0, size) == content


def test_one_sealing_serves_all_who_share_the_layers(store):
    catalog = Catalog(store)
    catalog.create("v", 100_352)
    with catalog.open("v") as volume:
        for number in range(3):
            volume.write(number * 10_000, b"x%d" % number)
            volume.snapshot(f"s{number}")
            catalog.clone(f"v@s{number}", f"c{number}")
        assert len(store.extents.list()) == 4
        catalog.seal("c0")
        assert [catalog.info(name).frozen for name in ("v", "v@s0", "c0", "c1", "c2")] == [
            *(2, 0, 0),
            *(1, 2),
        ]
        catalog.seal("c2")
        assert len(store.extents.list()) == 1
        assert volume.read(20_000, 2) == b"x2"
    assert catalog.info("c2").root == catalog.info("v").root


def test_a_missing_layer_is_named_and_others_are_sealed(store):
    catalog = Catalog(store)
    for name in ("a", "b"):
        catalog.create(name, 4096)
        with catalog.open(name) as volume:
            volume.write(0, name.encode())
        catalog.snapshot(f"{name}@s")
    [layer_id] = [
        head.name.removeprefix("layer/")
        for head in store.heads.list("layer/")
        if b"volume/" + catalog.info("a").id.encode() in head.value
    ]
    store.extents.delete(layer_id)
    with pytest.raises(NotFound, match=layer_id):
        catalog.seal("a")
    with pytest.raises(NotFound, match=layer_id):
        catalog.seal_pending()
    with pytest.raises(NotFound, match=layer_id):
        catalog.open("a", read_only=True)
    assert catalog.info("b").frozen == 0
    assert [info.name for info in catalog.list()] == ["a", "b"]


def test_sealed_pages_count_as_map_pages(store):
    catalog = Catalog(store)
    catalog.create("v", 10 * 65536)
    with catalog.open("v") as volume:
        volume.write(0, b"x" * 65536 * 3)
    catalog.snapshot("v@s")
    catalog.seal("v@s")
    kinds = [record.kind for record in store.blocks.scan()]
    assert sorted(kinds) == [BlockKind.DATA, BlockKind.MAP]


@pytest.mark.parametrize("turn", range(8))
def test_all_pending_layers_are_sealed_in_whatever_order_they_are_found(store, turn):
    catalog = Catalog(store)
    catalog.create("v", 8192)
    catalog.snapshot("v@empty")
    for name in ("s", "t"):
        with catalog.open("v") as volume:
            volume.write(0, name.encode())
        catalog.snapshot(f"v@{name}")
    catalog.clone("v@t", "c")
    catalog.rollback("v@empty")
    assert catalog.seal_pending() == 2
    assert catalog.info("c").frozen == 0
    assert store.extents.list() == []
