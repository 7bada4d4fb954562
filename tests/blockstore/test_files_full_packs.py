"""A pack that fills up while it is being flushed."""

import fcntl
import os
import threading

from files_stores import noise

from blockstore.files import pack as pack_module


def test_what_came_during_a_flush_into_a_pack_that_filled_up_is_flushed_too(stores, monkeypatch):
    """Every byte that the index names was written before the last flush of its pack."""
    monkeypatch.setattr(pack_module, "PACK_SIZE_MAX", 10 * 2**20)
    stores.create()
    blocks = stores.open().blocks
    durable = {}
    real = os.fdatasync
    first = threading.Event()

    def fdatasync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        size = os.fstat(descriptor).st_size
        if not first.is_set():
            first.set()
            other = threading.Thread(target=blocks.put_many, args=(later,))
            other.start()
            other.join()
        real(descriptor)
        durable[path] = size

    later = b"".join(noise(seed) for seed in range(10, 250))  # more than the pack has room for
    blocks.put_many(noise(1))
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    blocks.commit()
    blocks.commit()
    assert len(stores.packs()) > 1
    for seed in [1, *range(10, 250)]:
        path, offset = stores.find(noise(seed))
        assert offset < durable[str(path)]


def test_a_leftover_removed_by_another_process_is_not_locked(stores, monkeypatch):
    """Its path may be that of a new pack by then, which must not be taken for the leftover."""
    stores.create()
    packs = pack_module.PackDirectory(stores.directory / "packs", "0" * 32)
    path = packs.pack_path(1)
    path.parent.mkdir()
    path.touch()
    real = fcntl.flock

    def flock(descriptor, operation):
        path.unlink()
        path.write_bytes(b"a new pack")
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert packs.lock(1) is None
    assert path.read_bytes() == b"a new pack"
