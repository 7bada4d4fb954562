"""The store in memory: handles on one state."""

import uuid

import pytest

from blockstore.errors import BlockCorrupt, NotFound, StoreUnavailable, StoreUsageError
from blockstore.interface import HeadChange
from blockstore.memory import create_memory, open_memory


@pytest.fixture
def name():
    name = uuid.uuid4().hex
    create_memory(name, "blake3", 65536)
    return name


def test_one_name_is_one_state(name):
    one, other = open_memory(name), open_memory(name)
    one.heads.update([HeadChange("a", 0, b"1")])
    assert other.heads.get("a").value == b"1"
    assert one.url == f"memory:{name}"
    assert open_memory(name).info == one.info


def test_other_names_are_other_stores(name):
    other_name = uuid.uuid4().hex
    assert create_memory(other_name, "blake3", 65536) != open_memory(name).info
    open_memory(name).heads.update([HeadChange("a", 0, b"1")])
    assert open_memory(other_name).heads.get("a") is None


def test_staged_blocks_belong_to_the_handle(name):
    one, other = open_memory(name), open_memory(name)
    (block_id,) = one.blocks.put_many(b"content")
    with pytest.raises(NotFound):
        other.blocks.get(block_id)
    other.blocks.commit()
    assert other.blocks.contains_many([block_id]) == [False]
    one.blocks.commit()
    assert other.blocks.get(block_id) == b"content"


def test_a_closed_handle_is_of_no_use(name):
    store = open_memory(name)
    store.close()
    for act in (
        lambda: store.blocks.put_many(b"x"),
        lambda: store.heads.list(),
        lambda: store.extents.list(),
        lambda: store.leases.holder("a"),
    ):
        with pytest.raises(StoreUsageError):
            act()


def test_absent():
    with pytest.raises(StoreUnavailable):
        open_memory("never made")


def test_damage_is_found(name):
    store = open_memory(name)
    (block_id,) = store.blocks.put_many(b"content")
    store.blocks.commit()
    store.blocks._state.blocks[block_id].content = b"Content"
    with pytest.raises(BlockCorrupt):
        store.blocks.verify(block_id)
    store.blocks._state.blocks[block_id].content = b"longer content"
    with pytest.raises(BlockCorrupt):
        store.blocks.put_many(b"content")
