"""Making and opening stores: what there can be, and what is refused by name."""

import os
import shutil
import subprocess

import pytest
from files_stores import BLOCK, contents, noise

from blockstore import (
    Corrupt,
    StoreOptions,
    StoreUnavailable,
    StoreUsageError,
    create_store,
    open_store,
    rebuild_index,
)


@pytest.mark.parametrize("hash_name", ["blake3", "sha256"])
@pytest.mark.parametrize("block_size", [2**16, 2**17, 2**18, 2**19, 2**20, 2**21, 2**22])
def test_every_block_size_and_hash(stores, block_size, hash_name):
    info = stores.create(block_size=block_size, hash_name=hash_name)
    blocks = stores.open().blocks
    assert stores.open().info == info
    data = noise(1, 2 * block_size + 17)
    ids = blocks.put_many(data)
    blocks.commit()
    assert len(ids) == 3
    stores.close_all()
    blocks = stores.open().blocks
    assert b"".join(blocks.get(block_id) for block_id in ids) == data
    stores.close_all()
    rebuild_index(stores.url)
    assert sorted(contents(stores.open().blocks)) == sorted(ids)


@pytest.mark.parametrize("block_size", [0, -65536, 1, 2**15, 2**16 + 1, 3 * 2**16, 2**23])
def test_block_sizes_that_cannot_be(block_size):
    with pytest.raises(StoreUsageError, match="block size"):
        StoreOptions(block_size=block_size)


def test_hash_that_cannot_be():
    with pytest.raises(StoreUsageError, match="md5"):
        StoreOptions(hash_name="md5")


@pytest.mark.parametrize(
    "url", ["", "files", "files:", "files:relative", "memory:", "s3:/a", "/a", "files:/a\0b"]
)
def test_urls_that_mean_nothing(url):
    with pytest.raises(StoreUsageError):
        open_store(url)
    with pytest.raises(StoreUsageError):
        create_store(url)


def test_absent_directory(stores):
    with pytest.raises(StoreUnavailable, match="no store"):
        stores.open()
    with pytest.raises(StoreUnavailable, match="no store"):
        rebuild_index(stores.url)


def test_directory_that_is_no_store(stores):
    stores.directory.mkdir()
    with pytest.raises(StoreUnavailable, match="no store"):
        stores.open()
    (stores.directory / "store").write_bytes(b"hello")
    with pytest.raises(StoreUnavailable, match="not a store"):
        stores.open()


def test_file_instead_of_a_directory(stores):
    stores.directory.write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        stores.open()
    with pytest.raises(StoreUnavailable):
        stores.create()


def test_parent_is_absent(stores):
    stores.directory = stores.directory / "deeper"
    stores.url = f"files:{stores.directory}"
    with pytest.raises(StoreUnavailable):
        stores.create()


def test_newer_format(stores):
    stores.create()
    path = stores.directory / "store"
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    with pytest.raises(StoreUnavailable, match="format version 2"):
        stores.open()


def test_damaged_superblock(stores):
    stores.create()
    path = stores.directory / "store"
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="superblock"):
        stores.open()


def test_directory_in_use_by_something_else(stores):
    stores.directory.mkdir()
    (stores.directory / "thesis.txt").write_text("all of it")
    with pytest.raises(StoreUsageError, match=r"thesis\.txt"):
        stores.create()
    assert (stores.directory / "thesis.txt").read_text() == "all of it"


def test_second_creation(stores):
    stores.create()
    with pytest.raises(StoreUsageError, match="already"):
        stores.create()


def test_creation_that_was_cut_short_is_done_again(stores):
    stores.create()
    (stores.directory / "store").unlink()
    with pytest.raises(StoreUnavailable):
        stores.open()
    stores.create()
    assert list(stores.open().blocks.scan()) == []


def test_fresh_file_system(stores):
    (stores.directory / "lost+found").mkdir(parents=True)
    stores.create()
    assert list(stores.open().blocks.scan()) == []


def test_store_of_one_block_is_small(stores):
    stores.create()
    blocks = stores.open().blocks
    blocks.put_many(noise(1))
    blocks.commit()
    used = subprocess.run(
        ["du", "-s", "-B1", str(stores.directory)], check=True, capture_output=True, text=True
    )
    assert int(used.stdout.split()[0]) < 10 * BLOCK


def test_short_lived_processes_share_a_pack(stores):
    stores.create()
    for seed in range(10):
        blocks = stores.open().blocks
        blocks.put_many(noise(seed, 100))
        blocks.commit()
        stores.close_all()
    assert len(stores.packs()) == 1
    assert len(contents(stores.open().blocks)) == 10


def test_reading_only_makes_no_pack(stores):
    stores.create()
    stores.open().blocks.commit()
    assert stores.packs() == []


@pytest.fixture
def read_only_store(stores, tmp_path):
    if os.getuid() != 0:
        pytest.skip("mounting a read-only file system needs root")
    stores.create()
    store = stores.open()
    stores.ids = store.blocks.put_many(noise(1))
    store.blocks.commit()
    stores.close_all()
    path = str(stores.directory)
    if subprocess.run(["mount", "--bind", path, path], capture_output=True).returncode:
        pytest.skip("this system does not let root mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        yield stores
        stores.close_all()
    finally:
        subprocess.run(["umount", path], check=True)


def test_read_only_file_system(read_only_store):
    with pytest.raises(StoreUnavailable, match="not writable"):
        read_only_store.open()
    store = read_only_store.open(read_only=True)
    assert store.blocks.get(read_only_store.ids[0]) == noise(1)
    store.blocks.verify(read_only_store.ids[0])
    with pytest.raises(StoreUnavailable):
        store.blocks.put_many(noise(2))
    with pytest.raises(StoreUnavailable):
        rebuild_index(read_only_store.url)


def test_moved_store(stores, tmp_path):
    stores.create()
    blocks = stores.open().blocks
    ids = blocks.put_many(noise(1))
    blocks.commit()
    stores.close_all()
    target = tmp_path / "elsewhere"
    shutil.move(stores.directory, target)
    moved = type(stores)(target)
    assert moved.open().blocks.get(ids[0]) == noise(1)
    moved.close_all()


def test_closed_store_says_so(stores):
    stores.create()
    blocks = stores.open().blocks
    (block_id,) = blocks.put_many(noise(1))
    blocks.commit()
    stores.close_all()
    for act in (
        lambda: blocks.put_many(noise(2)),
        lambda: blocks.get(block_id),
        blocks.commit,
        lambda: list(blocks.scan()),
    ):
        with pytest.raises(StoreUnavailable, match="closed"):
            act()
