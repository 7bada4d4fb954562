"""Full and failing devices: nothing acknowledged is lost, and work goes on when it can."""

import errno
import os
import random
import subprocess

import pytest
from files_stores import BLOCK, Stores, contents, noise

from blockstore import HeadChange, StoreFull, StoreUnavailable, rebuild_index


@pytest.fixture
def small(tmp_path):
    """A store on a file system of 8 MiB."""
    if os.getuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this system does not let root mount")
    stores = Stores(place / "store")
    try:
        stores.place = place
        stores.create()
        yield stores
        stores.close_all()
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill_up(blocks):
    """Put and commit until the store is full; return the acknowledged ids by seed."""
    acknowledged = {}

    def put_all():
        for seed in range(1000):
            (block_id,) = blocks.put_many(noise(seed))
            blocks.commit()
            acknowledged[seed] = block_id

    with pytest.raises(StoreFull):
        put_all()
    return acknowledged


def test_full_store_reads_on_and_goes_on_when_there_is_room(small):
    ballast = small.place / "ballast"
    ballast.write_bytes(bytes(2 * 2**20))
    store = small.open()
    acknowledged = fill_up(store.blocks)
    assert len(acknowledged) > 50
    for _ in range(3):
        with pytest.raises(StoreFull):
            store.blocks.put_many(b"".join(noise(seed) for seed in range(2000, 2200)))
    for seed, block_id in acknowledged.items():
        assert store.blocks.get(block_id) == noise(seed)
    ballast.unlink()
    (late,) = store.blocks.put_many(noise(5000))
    store.blocks.commit()
    store.heads.update([HeadChange("a", 0, b"1")])
    small.close_all()
    store = small.open()
    assert store.blocks.get(late) == noise(5000)
    assert store.heads.get("a").value == b"1"
    for seed, block_id in acknowledged.items():
        assert store.blocks.get(block_id) == noise(seed)


def test_full_store_opens_again(small):
    store = small.open()
    acknowledged = fill_up(store.blocks)
    small.close_all()
    store = small.open()
    for seed, block_id in acknowledged.items():
        assert store.blocks.get(block_id) == noise(seed)
    small.close_all()
    assert set(contents(small.open(read_only=True).blocks)) >= set(acknowledged.values())


def test_one_large_put_into_a_full_store_leaves_nothing_behind(small):
    store = small.open()
    store.blocks.put_many(noise(1))
    store.blocks.commit()
    with pytest.raises(StoreFull):
        store.blocks.put_many(random.Random(1).randbytes(15 * 2**20))
    assert small.packs()[0].stat().st_size < 3 * BLOCK
    small.close_all()
    blocks = small.open().blocks
    assert list(contents(blocks).values()) == [noise(1)]
    assert small.packs()[0].stat().st_size < 3 * BLOCK
    blocks.put_many(b"".join(noise(seed) for seed in range(40)))
    blocks.commit()


def test_no_room_to_make_a_store(small):
    with (small.place / "rest").open("wb", buffering=0) as rest:
        while rest.write(bytes(2**20)) == 2**20:
            pass
    other = Stores(small.place / "other")
    with pytest.raises(StoreFull):
        other.create()
    (small.place / "rest").unlink()
    other.create()
    other.open()
    other.close_all()


class FailingSync:
    """fdatasync of the operating system, failing when told to."""

    def __init__(self, monkeypatch):
        self._real = os.fdatasync
        self.failures = 0
        self.failed = []
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, descriptor):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        assert name not in self.failed, "a failed flush was tried again on the same file"
        if self.failures and "/packs/" in name:
            self.failures -= 1
            self.failed.append(name)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._real(descriptor)


def test_failed_flush_abandons_the_pack(stores, monkeypatch):
    stores.create()
    blocks = stores.open().blocks
    (kept,) = blocks.put_many(noise(1))
    blocks.commit()
    sync = FailingSync(monkeypatch)
    sync.failures = 1
    (failed,) = blocks.put_many(noise(2))
    with pytest.raises(OSError, match="Input/output error"):
        blocks.commit()
    abandoned = stores.packs()[0]
    size = abandoned.stat().st_size
    assert blocks.put_many(noise(2)) == [failed]
    (later,) = blocks.put_many(noise(3))
    blocks.commit()
    assert abandoned.stat().st_size == size
    assert len(stores.packs()) == 2
    stores.close_all()
    sync.failed.clear()  # another process has other descriptors
    blocks = stores.open().blocks
    assert [blocks.get(i) for i in (kept, failed, later)] == [noise(1), noise(2), noise(3)]


def test_what_others_had_put_before_a_failed_flush_is_not_lost(stores, monkeypatch):
    stores.create()
    blocks = stores.open().blocks
    sync = FailingSync(monkeypatch)
    sync.failures = 1
    ids = blocks.put_many(b"".join(noise(seed) for seed in range(150)))  # three segments
    with pytest.raises(OSError, match="Input/output error"):
        blocks.commit()
    blocks.commit()  # of a thread that knows nothing of the failure
    stores.close_all()
    sync.failed.clear()
    blocks = stores.open().blocks
    assert [blocks.get(block_id) for block_id in ids] == [noise(seed) for seed in range(150)]


def test_flush_and_rescue_fail_for_lack_of_room(stores, monkeypatch):
    """As on thin storage, that is full only when written to: with room again all goes on."""
    stores.create()
    blocks = stores.open().blocks
    ids = blocks.put_many(b"".join(noise(seed) for seed in range(150)))  # three segments
    real_sync, real_write = os.fdatasync, os.pwrite

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_from_now_on(_):
        monkeypatch.setattr(os, "pwrite", full)
        full()

    monkeypatch.setattr(os, "fdatasync", full_from_now_on)
    for _ in range(3):
        with pytest.raises(StoreFull):
            blocks.commit()
    assert [blocks.get(block_id) for block_id in ids] == [noise(seed) for seed in range(150)]
    monkeypatch.setattr(os, "fdatasync", real_sync)
    monkeypatch.setattr(os, "pwrite", real_write)
    blocks.commit()
    stores.close_all()
    blocks = stores.open().blocks
    assert [blocks.get(block_id) for block_id in ids] == [noise(seed) for seed in range(150)]


def test_lost_blocks_stop_all_further_commits(stores, monkeypatch):
    stores.create()
    blocks = stores.open().blocks
    (kept,) = blocks.put_many(noise(1))
    blocks.commit()
    sync = FailingSync(monkeypatch)
    blocks.put_many(b"".join(noise(seed) for seed in range(2, 150)))
    pack, offset = stores.find(noise(5))
    with pack.open("r+b") as file:
        file.seek(offset)
        file.write(b"lost")
    sync.failures = 1
    with pytest.raises(OSError, match="Input/output error"):
        blocks.commit()
    for act in (blocks.commit, lambda: blocks.put_many(noise(900))):
        with pytest.raises(StoreUnavailable, match="open the store again"):
            act()
    assert blocks.get(kept) == noise(1)
    stores.close_all()
    sync.failed.clear()
    blocks = stores.open().blocks
    assert list(contents(blocks)) == [kept]
    blocks.put_many(noise(5))
    blocks.commit()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("short", [0, 100, 4096, 10_000])
def test_write_that_stops_half_way_is_cut_back(stores, monkeypatch, error, short):
    stores.create()
    blocks = stores.open().blocks
    (kept,) = blocks.put_many(noise(1))
    blocks.commit()
    size = stores.packs()[0].stat().st_size
    real = os.pwrite
    written = []

    def pwrite(descriptor, data, offset):
        if short and not written:
            written.append(real(descriptor, data[:short] if short % 4096 == 0 else b"x", offset))
            return written[0]
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "pwrite", pwrite)
    (late,) = blocks.put_many(noise(2))
    with pytest.raises(StoreFull):
        blocks.commit()
    assert stores.packs()[0].stat().st_size == size
    assert blocks.get(late) == noise(2)
    monkeypatch.setattr(os, "pwrite", real)
    blocks.commit()
    stores.close_all()
    blocks = stores.open().blocks
    assert (blocks.get(kept), blocks.get(late)) == (noise(1), noise(2))
    stores.close_all()
    assert rebuild_index(stores.url).damaged == ()


def test_device_error_on_read_is_no_damage(stores, monkeypatch):
    stores.create()
    blocks = stores.open().blocks
    (block_id,) = blocks.put_many(noise(1))
    blocks.commit()

    def failing(descriptor, buffers, offset):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", failing)
        with pytest.raises(OSError, match="Input/output error"):
            blocks.get(block_id)
    assert blocks.contains_many([block_id]) == [True]
    assert blocks.get(block_id) == noise(1)
