"""Maps against dicts."""

from __future__ import annotations

import hashlib

import pytest
from archipelago_stores import new_memory_store
from hypothesis import given, settings
from hypothesis import strategies as st

from archipelago.errors import InvalidArgument, MapCorrupt
from archipelago.map import Maps
from archipelago.map_format import EMPTY_MAP, HEIGHT_MAX, MapRoot, encode_page
from blockstore.block_id import ZERO_ID
from blockstore.interface import BlockKind

BLOCK_SIZE = 64 * 2**10


def block_id(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8)).digest() if number else ZERO_ID


def new_maps() -> Maps:
    return Maps(new_memory_store().blocks, BLOCK_SIZE)


indexes = st.one_of(
    st.integers(0, 3),
    st.integers(500, 1030),
    st.sampled_from([512**2 - 1, 512**2, 512**2 + 513, 512**3 - 1, 512**3, 512**4 + 7]),
)
changes = st.dictionaries(indexes, st.integers(0, 3).map(block_id), max_size=12)


@settings(max_examples=120, deadline=None)
@given(st.lists(changes, max_size=5), st.one_of(st.none(), indexes))
def test_equal_contents_have_equal_roots(batches, cut):
    maps = new_maps()
    oracle: dict[int, bytes] = {}
    root = EMPTY_MAP
    for batch in batches:
        root = maps.update(root, batch)
        oracle.update(batch)
    if cut is not None:
        root = maps.truncate(root, cut)
        oracle = {index: value for index, value in oracle.items() if index < cut}
    present = {index: value for index, value in oracle.items() if value != ZERO_ID}
    assert list(maps.iterate(root)) == sorted(present.items())
    assert maps.update(EMPTY_MAP, present) == root
    one_by_one = EMPTY_MAP
    for index in sorted(present, reverse=True):
        one_by_one = maps.update(one_by_one, {index: present[index]})
    assert one_by_one == root
    for index in [*present, 0, 511, 512, 512**2, 512**5]:
        assert maps.lookup(root, index) == present.get(index, ZERO_ID)


@settings(max_examples=120, deadline=None)
@given(changes, changes)
def test_diff_is_the_difference_of_the_dicts(before, after):
    maps = new_maps()
    a, b = maps.update(EMPTY_MAP, before), maps.update(EMPTY_MAP, after)
    expected = [
        (index, before.get(index, ZERO_ID), after.get(index, ZERO_ID))
        for index in sorted(before.keys() | after.keys())
        if before.get(index, ZERO_ID) != after.get(index, ZERO_ID)
    ]
    assert list(maps.diff(a, b)) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 511, 512, 513, 1024, 1025, 512 * 513])
def test_build_gives_what_update_gives(count):
    maps = new_maps()
    ids = [block_id(index % 7) for index in range(count)]
    root = maps.build(iter(ids))
    assert root == maps.update(EMPTY_MAP, dict(enumerate(ids)))
    assert maps.lookup_range(root, 0, count + 3) == [*ids, ZERO_ID, ZERO_ID, ZERO_ID]


def test_build_of_zeros_is_the_empty_map():
    assert new_maps().build([ZERO_ID] * 2000) == EMPTY_MAP


@settings(max_examples=60, deadline=None)
@given(changes, indexes, st.integers(0, 2000))
def test_ranges_and_presence(content, first, count):
    maps = new_maps()
    root = maps.update(EMPTY_MAP, content)
    ids = maps.lookup_range(root, first, count)
    assert ids == [content.get(first + step, ZERO_ID) for step in range(count)]
    spread = []
    for index, run, present in maps.presence(root, first, count):
        assert index == first + len(spread)
        spread.extend([present] * run)
    assert spread == [value != ZERO_ID for value in ids]


def test_iterate_from_the_middle():
    maps = new_maps()
    content = {index: block_id(1) for index in (0, 511, 512, 700, 512**2)}
    root = maps.update(EMPTY_MAP, content)
    assert [index for index, _ in maps.iterate(root, 512)] == [512, 700, 512**2]
    assert list(maps.iterate(root, 512**3)) == []


class CountingBlocks:
    """Counts the pages that are read from a store's blocks."""

    def __init__(self, blocks):
        self.blocks = blocks
        self.reads = 0

    def get(self, block_id):
        self.reads += 1
        return self.blocks.get(block_id)

    def put_many(self, data, kind):
        return self.blocks.put_many(data, kind)


def test_diff_and_walk_read_only_what_differs():
    blocks = CountingBlocks(new_memory_store().blocks)
    maps = Maps(blocks, BLOCK_SIZE)
    a = maps.update(EMPTY_MAP, {index: block_id(index + 1) for index in range(512 * 20)})
    b = maps.update(a, {5000: block_id(1)})
    fresh = Maps(blocks, BLOCK_SIZE)
    assert len(list(fresh.diff(a, b))) == 1
    assert blocks.reads == 4
    visited: set[bytes] = set()
    assert sum(level == 0 for level, _ in maps.walk(a, visited)) == 512 * 20
    assert len(list(maps.walk(b, visited))) == 2 + 512
    assert list(maps.walk(b, visited)) == []


def test_an_empty_map_of_any_reach_answers_at_once():
    maps = new_maps()
    assert list(maps.presence(EMPTY_MAP, 0, 2**30)) in (
        [(0, 1, False), (1, 2**30 - 1, False)],
        [(0, 2**30, False)],
    )
    root = maps.update(EMPTY_MAP, {2**30: block_id(1)})
    assert len(list(maps.presence(root, 0, 2**30))) < 2000
    assert list(maps.walk(EMPTY_MAP, set())) == []


def test_an_index_outside_of_any_map_is_refused():
    maps = new_maps()
    for index in (-1, 512**HEIGHT_MAX):
        with pytest.raises(InvalidArgument):
            maps.update(EMPTY_MAP, {index: block_id(1)})


def test_a_block_that_is_no_page_is_named():
    store = new_memory_store()
    maps = Maps(store.blocks, BLOCK_SIZE)
    page = encode_page(1, block_id(1) * 2)
    for bad, why in [
        (b"x" * 64, "does not begin"),
        (b"AMAP", "no page"),
        (page + bytes(17000) + b"x", "more than a page"),
        (page[:4] + b"\2" + page[5:], "version 2"),
        (page[:6] + b"\1" + page[7:], "slots 1"),
        (page[:9] + b"\1" + page[10:], "reserved"),
        (encode_page(2, block_id(1)), "level 2"),
    ]:
        [bad_id] = store.blocks.put_many(bad, BlockKind.MAP)
        with pytest.raises(MapCorrupt, match=why) as caught:
            maps.lookup(MapRoot(1, bad_id), 3)
        assert bad_id.hex() in str(caught.value)


def test_a_missing_page_is_named_with_its_place():
    maps = new_maps()
    good = maps.update(EMPTY_MAP, {513: block_id(1), 3: block_id(2)})
    missing = block_id(99)
    root = MapRoot(2, maps._put_page(2, maps._slots(2, good.block_id, ())[:32] + missing))
    assert maps.lookup(root, 3) == block_id(2)
    with pytest.raises(MapCorrupt) as caught:
        maps.lookup(root, 513)
    assert caught.value.page_id == missing
    assert caught.value.path == (1,)


def test_a_page_is_not_taken_for_one_of_another_level():
    maps = new_maps()
    root = maps.update(EMPTY_MAP, {0: block_id(1), 1: block_id(2)})
    with pytest.raises(MapCorrupt, match="level 1, not 2"):
        maps.lookup(MapRoot(2, root.block_id), 0)


@given(st.integers(0, HEIGHT_MAX), st.binary(min_size=32, max_size=32))
def test_roots_survive_packing(height, name):
    root = MapRoot(height, name if any(name) else block_id(1))
    assert MapRoot.unpack(root.pack()) == root


@pytest.mark.parametrize("bad", [b"", bytes(32), bytes(34), b"\x07" + b"x" * 32, b"\1" + bytes(32)])
def test_bad_roots_are_refused(bad):
    with pytest.raises(ValueError, match="map root"):
        MapRoot.unpack(bad)
