"""The contract suites over a store in a directory."""

import pytest
from blocks_contract import BlocksContract
from extents_contract import ExtentsContract
from heads_contract import HeadsContract
from leases_contract import LeasesContract
from store_contract import BLOCK, StoreContract, StoreFactory

from blockstore.open import create_store, open_store
from blockstore.options import StoreOptions


class FilesFactory(StoreFactory):
    def __init__(self, directory):
        super().__init__()
        self._url = f"files:{directory}"

    def create(self, hash_name="blake3", block_size=BLOCK):
        return create_store(self._url, StoreOptions(hash_name=hash_name, block_size=block_size))

    def open_one(self, read_only):
        return open_store(self._url, read_only)


@pytest.fixture
def store_factory(tmp_path):
    factory = FilesFactory(tmp_path / "store")
    yield factory
    factory.close_all()


class TestFilesBlocks(BlocksContract):
    pass


class TestFilesHeads(HeadsContract):
    pass


class TestFilesExtents(ExtentsContract):
    pass


class TestFilesLeases(LeasesContract):
    pass


class TestFilesStore(StoreContract):
    pass
