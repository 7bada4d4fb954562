"""What every `interface.Blocks` does. `store_factory`: see store_contract.py."""

import hashlib
import random
import threading

import blake3
import pytest

from blockstore.block_id import ZERO_ID
from blockstore.errors import NotFound
from blockstore.interface import BlockKind

BLOCK = 64 * 1024
ABSENT = bytes(range(32))


def noise(seed, size=BLOCK):
    return random.Random(seed).randbytes(size - 1) + b"\x01"


class BlocksContract:
    @pytest.fixture
    def blocks(self, store_factory):
        store_factory.create()
        return store_factory.open().blocks

    def test_id_is_the_digest_of_the_content(self, blocks):
        data = noise(1)
        assert blocks.put_many(data) == [blake3.blake3(data).digest()]

    def test_other_hash(self, store_factory):
        store_factory.create(hash_name="sha256")
        data = noise(2)
        blocks = store_factory.open().blocks
        assert blocks.put_many(data) == [hashlib.sha256(data).digest()]
        assert blocks.get(blocks.put_many(data)[0]) == data

    def test_put_many_cuts_at_the_block_size(self, blocks):
        pieces = [noise(1), noise(2), noise(3, 100)]
        ids = blocks.put_many(b"".join(pieces))
        assert [blocks.get(block_id) for block_id in ids] == pieces

    def test_put_nothing(self, blocks):
        assert blocks.put_many(b"") == []

    def test_trailing_nuls_are_no_part_of_the_content(self, blocks):
        short = blocks.put_many(b"abc")
        assert blocks.put_many(b"abc" + bytes(1000)) == short
        assert blocks.put_many(b"abc" + bytes(BLOCK - 3)) == short
        assert blocks.get(short[0]) == b"abc"

    def test_leading_and_inner_nuls_are(self, blocks):
        (block_id,) = blocks.put_many(b"\0\0a\0b\0")
        assert blocks.get(block_id) == b"\0\0a\0b"

    def test_zero_block(self, blocks):
        assert blocks.put_many(bytes(BLOCK + 1)) == [ZERO_ID, ZERO_ID]
        blocks.commit()
        assert blocks.get(ZERO_ID) == b""
        assert blocks.contains_many([ZERO_ID]) == [True]
        out = bytearray(b"x" * 10)
        blocks.get_into(ZERO_ID, 5, memoryview(out))
        assert out == bytes(10)
        blocks.verify(ZERO_ID)
        assert list(blocks.scan()) == []

    @pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
    def test_any_buffer_and_no_reference_kept(self, blocks, wrap):
        data = bytearray(noise(4))
        expected = bytes(data)
        view = wrap(data)
        (block_id,) = blocks.put_many(view)
        data[:100] = bytes(100)
        blocks.commit()
        assert blocks.get(block_id) == expected

    def test_buffer_of_wider_items(self, blocks):
        data = noise(5, 800)
        (block_id,) = blocks.put_many(memoryview(data).cast("Q"))
        assert blocks.get(block_id) == data

    def test_put_is_visible_here_before_commit(self, blocks):
        (block_id,) = blocks.put_many(noise(6))
        assert blocks.get(block_id) == noise(6)
        assert blocks.contains_many([block_id]) == [True]

    def test_uncommitted_is_dropped_by_close(self, store_factory):
        store_factory.create()
        store = store_factory.open()
        (kept,) = store.blocks.put_many(noise(7))
        store.blocks.commit()
        (dropped,) = store.blocks.put_many(noise(8))
        store.close()
        blocks = store_factory.open().blocks
        assert blocks.contains_many([kept, dropped]) == [True, False]
        assert blocks.get(kept) == noise(7)
        with pytest.raises(NotFound):
            blocks.get(dropped)
        assert blocks.put_many(noise(8)) == [dropped]
        blocks.commit()
        assert blocks.get(dropped) == noise(8)

    def test_committed_is_visible_to_an_open_store(self, store_factory):
        store_factory.create()
        writer, reader = store_factory.open(), store_factory.open()
        (block_id,) = writer.blocks.put_many(noise(9))
        writer.blocks.commit()
        assert reader.blocks.contains_many([block_id]) == [True]
        assert reader.blocks.get(block_id) == noise(9)
        reader.blocks.verify(block_id)

    def test_commit_of_nothing(self, blocks):
        blocks.commit()
        blocks.commit()
        assert list(blocks.scan()) == []

    def test_put_again_stores_nothing_more(self, blocks):
        ids = blocks.put_many(noise(1) + noise(2))
        blocks.commit()
        before = blocks.stats()
        assert blocks.put_many(noise(1) + noise(2)) == ids
        assert blocks.put_many(noise(1) + noise(1)) == [ids[0]] * 2
        blocks.commit()
        assert (blocks.stats().count, blocks.stats().content_bytes) == (2, 2 * BLOCK)
        assert blocks.stats().disk_bytes == before.disk_bytes

    def test_absent(self, blocks):
        for act in (blocks.get, blocks.verify):
            with pytest.raises(NotFound):
                act(ABSENT)
        with pytest.raises(NotFound):
            blocks.get_into(ABSENT, 0, memoryview(bytearray(1)))
        assert blocks.contains_many([ABSENT]) == [False]

    def test_get_into(self, blocks):
        data = noise(3, 5000)
        (block_id,) = blocks.put_many(data)
        blocks.commit()
        padded = data + bytes(BLOCK)
        for offset, length in ((0, 1), (0, 5000), (17, 100), (4999, 3), (6000, 10), (4000, 9000)):
            out = bytearray(b"\xff" * length)
            blocks.get_into(block_id, offset, memoryview(out))
            assert out == padded[offset : offset + length]
        blocks.get_into(block_id, 10, memoryview(bytearray()))

    def test_contains_many_in_order(self, blocks):
        a, b = blocks.put_many(noise(1) + noise(2))
        blocks.commit()
        assert blocks.contains_many([b, ABSENT, ZERO_ID, a]) == [True, False, True, True]
        assert blocks.contains_many([]) == []

    def test_touch_answers_as_contains(self, blocks):
        (block_id,) = blocks.put_many(noise(1))
        blocks.commit()
        assert blocks.touch([ABSENT, block_id, ZERO_ID]) == [False, True, True]

    def test_touched_is_a_time_at_the_grain_of_an_hour(self, blocks):
        blocks.put_many(noise(1))
        blocks.commit()
        (record,) = blocks.scan()
        assert record.touched > 1_600_000_000
        assert record.touched % 3600 == 0

    def test_discard(self, blocks):
        ids = blocks.put_many(noise(1) + noise(2))
        blocks.commit()
        assert blocks.discard([ids[0], ABSENT]) == 1
        assert blocks.contains_many(ids) == [False, True]
        with pytest.raises(NotFound):
            blocks.get(ids[0])
        assert blocks.discard([ids[0]]) == 0
        assert blocks.put_many(noise(1)) == [ids[0]]
        blocks.commit()
        assert blocks.get(ids[0]) == noise(1)

    def test_scan_is_ordered_and_starts_after(self, blocks):
        ids = sorted(blocks.put_many(b"".join(noise(seed) for seed in range(20))))
        blocks.commit()
        assert [record.block_id for record in blocks.scan()] == ids
        assert [record.block_id for record in blocks.scan(ids[4])] == ids[5:]
        assert list(blocks.scan(ids[-1])) == []
        assert [record.block_id for record in blocks.scan(ids[4][:-1])] == ids[4:]

    def test_scan_records(self, blocks):
        (data,) = blocks.put_many(noise(1, 700) + bytes(99))
        (page,) = blocks.put_many(noise(2, 300), BlockKind.MAP)
        blocks.commit()
        records = {record.block_id: record for record in blocks.scan()}
        assert (records[data].length, records[data].kind) == (700, BlockKind.DATA)
        assert (records[page].length, records[page].kind) == (300, BlockKind.MAP)
        assert records[data].stored_length > 0

    def test_scan_lets_others_write_meanwhile(self, blocks):
        blocks.put_many(b"".join(noise(seed) for seed in range(5)))
        blocks.commit()
        seen = []
        for record in blocks.scan():
            seen.append(record.block_id)
            blocks.discard([record.block_id])
            blocks.put_many(noise(1000 + len(seen), 50))
            blocks.commit()
            if len(seen) > 30:
                break
        assert len(set(seen)) == len(seen) >= 5

    def test_stats(self, blocks):
        assert (blocks.stats().count, blocks.stats().content_bytes) == (0, 0)
        blocks.put_many(noise(1, 1000))
        blocks.put_many(noise(2, 500), BlockKind.MAP)
        blocks.commit()
        stats = blocks.stats()
        assert (stats.count, stats.map_count) == (2, 1)
        assert (stats.content_bytes, stats.map_bytes) == (1500, 500)
        assert stats.disk_bytes > 0

    def test_kind_is_no_part_of_the_identity(self, blocks):
        ids = blocks.put_many(noise(1), BlockKind.MAP)
        assert blocks.put_many(noise(1), BlockKind.DATA) == ids
        blocks.commit()
        assert [record.kind for record in blocks.scan()] == [BlockKind.MAP]

    def test_verify_of_a_good_block(self, blocks):
        (block_id,) = blocks.put_many(noise(1))
        blocks.commit()
        blocks.verify(block_id)

    def test_group_of_threads(self, store_factory):
        store_factory.create()
        store = store_factory.open()
        failures, acknowledged = [], {}
        start = threading.Barrier(6)

        def work(worker):
            try:
                start.wait()
                for step in range(8):
                    data = noise(worker * 100 + step, 3000) + bytes(BLOCK - 3000) + noise(step, 50)
                    ids = store.blocks.put_many(data)
                    store.blocks.commit()
                    acknowledged[ids[0]] = data[:3000]
                    acknowledged[ids[1]] = data[BLOCK:]
            except BaseException as failure:  # noqa: BLE001 - reported by the main thread
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        store.close()
        blocks = store_factory.open().blocks
        assert len(acknowledged) == 6 * 8 + 8
        for block_id, data in acknowledged.items():
            assert blocks.get(block_id) == data
        assert blocks.stats().count == len(acknowledged)
