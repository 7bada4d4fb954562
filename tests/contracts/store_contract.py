"""What every `interface.Store` does, and what the contract suites ask of a test.

`store_factory`: a fixture with `create(hash_name=, block_size=) -> StoreInfo`, `open(read_only=)
-> Store` (all are closed at the end) and `close_all()`.
"""

import threading

import pytest

from blockstore.block_id import ZERO_ID
from blockstore.errors import StoreError, StoreUnavailable, StoreUsageError
from blockstore.interface import HeadChange

BLOCK = 64 * 1024


class StoreFactory:
    """Base of the factories: keeps what was opened, to close it."""

    def __init__(self):
        self._opened = []

    def create(self, hash_name="blake3", block_size=BLOCK):
        raise AssertionError("a factory makes its own stores")

    def open_one(self, read_only):
        raise AssertionError("a factory opens its own stores")

    def open(self, read_only=False):
        store = self.open_one(read_only)
        self._opened.append(store)
        return store

    def layer(self, extents, layer_id, writable):
        layer = extents.open(layer_id, writable=writable)
        self._opened.append(layer)
        return layer

    def close_all(self):
        while self._opened:
            self._opened.pop().close()


class StoreContract:
    def test_info(self, store_factory):
        info = store_factory.create(hash_name="sha256", block_size=2 * BLOCK)
        store = store_factory.open()
        assert store.info == info
        assert (info.hash_name, info.block_size, info.format_version) == ("sha256", 2 * BLOCK, 1)
        assert len(bytes.fromhex(info.store_id)) == 16
        assert info.created > 1_600_000_000
        assert not store.read_only

    def test_create_twice(self, store_factory):
        store_factory.create()
        with pytest.raises(StoreError):
            store_factory.create()

    def test_open_of_nothing(self, store_factory):
        with pytest.raises(StoreUnavailable):
            store_factory.open()

    @pytest.mark.parametrize("block_size", [0, 4096, 65537, 96 * 1024, 8 * 2**20])
    def test_block_sizes_that_cannot_be(self, store_factory, block_size):
        with pytest.raises(StoreUsageError):
            store_factory.create(block_size=block_size)

    def test_hash_that_cannot_be(self, store_factory):
        with pytest.raises(StoreUsageError):
            store_factory.create(hash_name="md5")

    def test_close_twice(self, store_factory):
        store_factory.create()
        store = store_factory.open()
        store.close()
        store.close()
        assert store_factory.open().info == store.info

    def test_read_only(self, store_factory):
        store_factory.create()
        writer = store_factory.open()
        (block_id,) = writer.blocks.put_many(b"content")
        writer.blocks.commit()
        (version,) = writer.heads.update([HeadChange("a", 0, b"1")])
        writer.extents.create("a1", 4096)
        writer.leases.acquire("volume", "writer")
        reader = store_factory.open(read_only=True)
        assert reader.read_only
        assert reader.blocks.get(block_id) == b"content"
        assert reader.blocks.contains_many([block_id, ZERO_ID]) == [True, True]
        assert reader.heads.get("a").version == version
        assert reader.leases.holder("volume") == "writer"
        assert reader.extents.list() == ["a1"]
        reader.extents.open("a1", writable=False).close()
        for act in (
            lambda: reader.blocks.put_many(b"more"),
            lambda: reader.blocks.discard([block_id]),
            lambda: reader.heads.update([HeadChange("a", version, b"2")]),
            lambda: reader.extents.create("b2", 4096),
            lambda: reader.extents.open("a1", writable=True),
            lambda: reader.extents.fork("a1", "b2"),
            lambda: reader.extents.delete("a1"),
            lambda: reader.leases.acquire("other", "reader"),
        ):
            with pytest.raises(StoreUnavailable):
                act()
        assert writer.heads.get("a").value == b"1"
        assert writer.blocks.contains_many([block_id]) == [True]

    def test_all_parts_from_many_threads(self, store_factory):
        store_factory.create()
        store = store_factory.open()
        failures = []

        def work(worker):
            try:
                for step in range(5):
                    name = f"{worker}-{step}"
                    lease = store.leases.acquire(name, name)
                    (block_id,) = store.blocks.put_many(name.encode())
                    store.blocks.commit()
                    store.extents.create(name, 4096)
                    store.leases.check(lease)
                    store.heads.update([HeadChange(name, 0, block_id)])
                    store.leases.release(lease)
            except BaseException as failure:  # noqa: BLE001 - reported by the main thread
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        heads = store.heads.list()
        assert len(heads) == len(store.extents.list()) == 20
        for head in heads:
            assert store.blocks.get(head.value) == head.name.encode()
