"""Damaged packs and indexes: never wrong bytes, always a name for what is damaged."""

import os

import pytest
from files_stores import BLOCK, contents, flip, noise

from blockstore import ZERO_ID, BlockCorrupt, Corrupt, open_store, rebuild_index


@pytest.fixture
def blocks(stores):
    stores.create()
    return stores.open().blocks


def put(blocks, *seeds):
    ids = blocks.put_many(b"".join(noise(seed) for seed in seeds))
    blocks.commit()
    return ids


READS = {
    "get": lambda blocks, block_id: blocks.get(block_id),
    "get_into": lambda blocks, block_id: blocks.get_into(block_id, 0, memoryview(bytearray(BLOCK))),
    "part": lambda blocks, block_id: blocks.get_into(block_id, 9, memoryview(bytearray(9))),
    "verify": lambda blocks, block_id: blocks.verify(block_id),
}


@pytest.mark.parametrize("how", READS)
def test_flipped_byte_is_named_and_others_are_served(stores, blocks, how):
    bad, good = put(blocks, 1, 2)
    pack, offset = stores.find(noise(1))
    flip(pack, offset + 1000)
    with pytest.raises(BlockCorrupt, match=f"{pack}:{offset}") as caught:
        READS[how](blocks, bad)
    assert caught.value.block_id == bad
    assert caught.value.where == f"{pack}:{offset}"
    assert blocks.get(good) == noise(2)
    assert blocks.contains_many([bad, good, ZERO_ID]) == [False, True, True]
    assert blocks.touch([bad, good]) == [False, True]


@pytest.mark.parametrize("position", [0, 1, BLOCK // 2, BLOCK - 1])
def test_any_flipped_byte_of_a_block_is_seen(stores, blocks, position):
    (bad,) = put(blocks, 1)
    pack, offset = stores.find(noise(1))
    flip(pack, offset + position, 0x01)
    with pytest.raises(BlockCorrupt):
        blocks.get(bad)


def test_damaged_block_never_leaves_bytes_in_the_buffer(stores, blocks):
    (bad,) = put(blocks, 1)
    pack, offset = stores.find(noise(1))
    flip(pack, offset)
    out = bytearray(BLOCK)
    with pytest.raises(BlockCorrupt):
        blocks.get_into(bad, 0, memoryview(out))
    assert not any(out)


def test_damage_is_remembered_by_the_next_process_and_healed_by_a_put(stores, blocks):
    bad, good = put(blocks, 1, 2)
    pack, offset = stores.find(noise(1))
    flip(pack, offset)
    with pytest.raises(BlockCorrupt):
        blocks.get(bad)
    stores.close_all()
    blocks = stores.open().blocks
    with pytest.raises(BlockCorrupt, match="before"):
        blocks.get(bad)
    assert blocks.put_many(noise(1)) == [bad]
    assert blocks.get(bad) == noise(1)
    blocks.commit()
    assert blocks.contains_many([bad]) == [True]
    assert blocks.get(bad) == noise(1)
    assert blocks.get(good) == noise(2)
    assert blocks.stats().count == 2
    assert blocks.stats().content_bytes == 2 * BLOCK


def test_damage_found_by_a_read_only_store(stores, blocks):
    bad, good = put(blocks, 1, 2)
    pack, offset = stores.find(noise(1))
    stores.close_all()
    flip(pack, offset)
    blocks = stores.open(read_only=True).blocks
    for _ in range(2):
        with pytest.raises(BlockCorrupt):
            blocks.get(bad)
    assert blocks.get(good) == noise(2)


def test_truncated_pack(stores, blocks):
    ids = put(blocks, 1, 2, 3)
    stores.close_all()
    pack, offset = stores.find(noise(2))
    os.truncate(pack, offset + 100)
    blocks = stores.open().blocks
    assert blocks.get(ids[0]) == noise(1)
    for block_id in ids[1:]:
        with pytest.raises(BlockCorrupt, match=str(pack)):
            blocks.get(block_id)
    assert blocks.put_many(noise(2) + noise(3)) == ids[1:]
    blocks.commit()
    assert list(contents(blocks).values()) == [
        noise(seed) for _, seed in sorted(zip(ids, (1, 2, 3), strict=True))
    ]
    assert len(stores.packs()) == 2  # nothing is appended to a pack that has lost bytes


def test_absent_pack(stores, blocks):
    (block_id,) = put(blocks, 1)
    stores.close_all()
    stores.packs()[0].unlink()
    blocks = stores.open().blocks
    with pytest.raises(BlockCorrupt):
        blocks.get(block_id)
    put(blocks, 1)
    assert blocks.get(block_id) == noise(1)


def test_foreign_file_among_the_packs_is_left_alone(stores, blocks):
    put(blocks, 1)
    stores.close_all()
    strangers = [stores.directory / "packs" / name for name in ("note", "000000/note", "000000/f")]
    for stranger in strangers:
        stranger.write_bytes(b"something")
    assert len(contents(stores.open().blocks)) == 1
    stores.close_all()
    rebuild_index(stores.url)
    assert len(contents(stores.open().blocks)) == 1
    assert all(stranger.read_bytes() == b"something" for stranger in strangers)


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "absent", "no directory"])
def test_damaged_index_is_named_and_can_be_rebuilt(stores, blocks, damage):
    put(blocks, *range(5))
    before = contents(blocks)
    stores.close_all()
    data_file = stores.directory / "index" / "data.mdb"
    if damage == "garbage":
        data_file.write_bytes(os.urandom(data_file.stat().st_size))
    elif damage == "empty":
        data_file.write_bytes(b"")
    elif damage == "cut":
        os.truncate(data_file, 8192)
    elif damage == "absent":
        data_file.unlink()
    else:
        (stores.directory / "index" / "lock.mdb").unlink()
        data_file.unlink()
        data_file.parent.rmdir()
    with pytest.raises(Corrupt, match="index"):
        open_store(stores.url)
    report = rebuild_index(stores.url)
    assert (report.block_count, report.damaged) == (5, ())
    blocks = stores.open().blocks
    assert contents(blocks) == before
    assert blocks.stats().count == 5


def test_index_of_another_store(stores, blocks, tmp_path):
    other = type(stores)(tmp_path / "other")
    other.create()
    stores.close_all()
    (stores.directory / "index" / "data.mdb").write_bytes(
        (other.directory / "index" / "data.mdb").read_bytes()
    )
    with pytest.raises(Corrupt, match="belongs to"):
        open_store(stores.url)


def test_hit_on_a_block_of_another_length_is_refused(stores, blocks):
    (block_id,) = put(blocks, 1)
    data = (stores.directory / "index" / "data.mdb").read_bytes()
    stores.close_all()
    at = data.rfind(block_id) + 32 + 8  # stored length and length, each four bytes
    assert data[at : at + 8] == BLOCK.to_bytes(4, "little") * 2
    for found in [n for n in range(len(data)) if data.startswith(block_id, n)]:
        wrong = (100).to_bytes(4, "little") * 2
        data = data[: found + 40] + wrong + data[found + 48 :]
    (stores.directory / "index" / "data.mdb").write_bytes(data)
    blocks = stores.open().blocks
    with pytest.raises(BlockCorrupt, match="100 bytes"):
        blocks.put_many(noise(1))
