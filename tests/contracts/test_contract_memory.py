"""The contract suites over the store in memory."""

import uuid

import pytest
from blocks_contract import BlocksContract
from extents_contract import ExtentsContract
from heads_contract import HeadsContract
from leases_contract import LeasesContract
from store_contract import BLOCK, StoreContract, StoreFactory

from blockstore.memory import create_memory, open_memory


class MemoryFactory(StoreFactory):
    def __init__(self):
        super().__init__()
        self._name = uuid.uuid4().hex

    def create(self, hash_name="blake3", block_size=BLOCK):
        return create_memory(self._name, hash_name, block_size)

    def open_one(self, read_only):
        return open_memory(self._name, read_only)


@pytest.fixture
def store_factory():
    factory = MemoryFactory()
    yield factory
    factory.close_all()


class TestMemoryBlocks(BlocksContract):
    pass


class TestMemoryHeads(HeadsContract):
    pass


class TestMemoryExtents(ExtentsContract):
    pass


class TestMemoryLeases(LeasesContract):
    pass


class TestMemoryStore(StoreContract):
    pass
