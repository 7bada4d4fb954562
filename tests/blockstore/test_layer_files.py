"""Layers in the file system: what is beyond the contract of any layer."""

import errno
import os
import shutil
import subprocess
import threading

import pytest

from blockstore.errors import Corrupt, StoreFull, StoreUsageError
from blockstore.files import layer as layer_module
from blockstore.files import layer_data, layer_states
from blockstore.files.extents import FilesExtents
from blockstore.interface import PAGE_SIZE, PageState, Run

P = PAGE_SIZE
INHERIT, DATA, ZERO = PageState.INHERIT, PageState.DATA, PageState.ZERO


def page(number):
    return number.to_bytes(8, "little") * (P // 8)


def read(layer, offset, length=P):
    out = bytearray(length)
    layer.read_into(offset, memoryview(out))
    return bytes(out)


@pytest.fixture
def extents(tmp_path):
    return FilesExtents(tmp_path, read_only=False)


@pytest.fixture
def layer(extents):
    extents.create("ab12", 1000 * P)
    layer = extents.open("ab12", writable=True)
    yield layer
    layer.close()


def data_file(tmp_path, number=0):
    return tmp_path / "ab" / "ab12" / f"data.{number:04}"


def test_zero_gives_space_back(layer, tmp_path):
    layer.write(0, b"x" * 500 * P)
    layer.flush()
    before = data_file(tmp_path).stat().st_blocks
    layer.zero(0, 499 * P)
    layer.flush()
    assert data_file(tmp_path).stat().st_blocks < before / 10
    assert read(layer, 499 * P) == b"x" * P


def test_allocate_takes_space(layer, tmp_path):
    layer.allocate(0, 200 * P)
    layer.flush()
    assert data_file(tmp_path).stat().st_blocks * 512 >= 200 * P


def test_shrinking_gives_space_back(layer, tmp_path):
    layer.write(0, b"x" * 500 * P)
    layer.resize(P)
    assert data_file(tmp_path).stat().st_size == P


def test_data_is_cut_into_files(layer, extents, tmp_path, monkeypatch):
    monkeypatch.setattr(layer_data, "FILE_SIZE", 10 * P)
    data = b"".join(page(number) for number in range(25))
    layer.write(8 * P, data)
    layer.zero(18 * P, 4 * P)
    layer.write(55 * P, page(99))
    layer.flush()
    names = sorted(path.name for path in data_file(tmp_path).parent.iterdir())
    assert names == ["data.0000", "data.0001", "data.0002", "data.0003", "data.0005", "states"]
    again = extents.open("ab12", writable=False)
    assert read(again, 8 * P, 10 * P) == data[: 10 * P]
    assert read(again, 22 * P, 11 * P) == data[14 * P :]
    assert read(again, 55 * P) == page(99)
    again.close()
    extents.fork("ab12", "copy")
    copy = extents.open("copy", writable=False)
    assert read(copy, 8 * P, 10 * P) == data[: 10 * P]
    assert copy.runs(0, 1000 * P) == layer.runs(0, 1000 * P)
    copy.close()
    layer.resize(15 * P)
    assert data_file(tmp_path, 5).stat().st_size == 0
    assert data_file(tmp_path, 1).stat().st_size == 5 * P


def test_lost_data_is_an_error_and_not_nuls(layer, extents, tmp_path):
    layer.write(0, page(1) * 10)
    layer.flush()
    os.truncate(data_file(tmp_path), 5 * P)
    reader = extents.open("ab12", writable=False)
    assert read(reader, 4 * P) == page(1)
    with pytest.raises(Corrupt, match="ab12"):
        read(reader, 4 * P, 2 * P)
    with pytest.raises(Corrupt, match="ab12"):
        extents.fork("ab12", "copy")
    assert extents.list() == ["ab12"]
    reader.close()
    data_file(tmp_path).unlink()
    reader = extents.open("ab12", writable=False)
    with pytest.raises(Corrupt, match="ab12"):
        read(reader, 0)
    assert read(reader, 20 * P) == bytes(P)
    reader.close()


def test_lost_states_are_an_error(layer, extents, tmp_path):
    (data_file(tmp_path).parent / "states").unlink()
    for writable in (False, True):
        with pytest.raises(Corrupt, match="ab12"):
            extents.open("ab12", writable=writable)


def test_unflushed_changes_of_state_are_not_durable(layer, extents):
    layer.write(0, page(1))
    layer.flush()
    layer.write(P, page(2))
    layer.zero(0, P)
    reader = extents.open("ab12", writable=False)
    assert reader.runs(0, 3 * P) == [Run(0, P, DATA), Run(P, 2 * P, INHERIT)]
    reader.close()


def test_a_flush_that_failed_is_final(layer, extents, monkeypatch):
    layer.write(0, page(1))
    layer.flush()
    layer.write(P, page(2))

    def failing(descriptor):
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(OSError, match="gone"):
        layer.flush()
    monkeypatch.undo()
    for act in (layer.flush, lambda: layer.write(0, page(3)), lambda: layer.zero(0, P)):
        with pytest.raises(OSError, match="opened anew"):
            act()
    assert read(layer, 0) == page(1)
    layer.close()
    again = extents.open("ab12", writable=True)
    assert again.runs(0, 2 * P) == [Run(0, P, DATA), Run(P, P, INHERIT)]
    again.write(P, page(4))
    again.flush()
    again.close()


def test_an_interrupted_flush_is_final_too(layer, monkeypatch):
    layer.write(0, page(1))

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fdatasync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        layer.flush()
    monkeypatch.undo()
    with pytest.raises(OSError, match="opened anew"):
        layer.flush()


def test_every_waiting_caller_sees_the_failure(layer, monkeypatch):
    layer.write(0, page(1))
    entered, proceed, outcomes = threading.Event(), threading.Event(), []

    def failing(descriptor):
        entered.set()
        proceed.wait(30)
        raise OSError(errno.EIO, "the disk is gone")

    def flush():
        try:
            layer.flush()
            outcomes.append("answered")
        except OSError:
            outcomes.append("failed")

    monkeypatch.setattr(os, "fdatasync", failing)
    threads = [threading.Thread(target=flush) for _ in range(4)]
    threads[0].start()
    assert entered.wait(30)
    for thread in threads[1:]:
        thread.start()
    proceed.set()
    for thread in threads:
        thread.join()
    assert outcomes == ["failed"] * 4


def test_waiting_callers_share_one_flush(layer, monkeypatch):
    layer.write(0, page(1))
    layer.flush()
    entered, proceed, calls = threading.Event(), threading.Event(), []
    fdatasync = os.fdatasync

    def slow(descriptor):
        calls.append(descriptor)
        entered.set()
        assert proceed.wait(30)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    layer.write(0, page(2))
    threads = [threading.Thread(target=layer.flush) for _ in range(6)]
    threads[0].start()
    assert entered.wait(30)
    layer.write(0, page(3))
    for thread in threads[1:]:
        thread.start()
    while layer._users < len(threads):
        threading.Event().wait(0.001)
    proceed.set()
    for thread in threads:
        thread.join()
    assert 2 <= len(calls) <= 3


def test_a_flush_of_known_pages_is_one_sync(layer, monkeypatch):
    layer.write(0, page(1))
    layer.flush()
    calls = []
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: calls.append(fdatasync(descriptor)))
    layer.write(0, page(2))
    layer.flush()
    assert len(calls) == 1
    layer.flush()
    assert len(calls) == 1
    layer.write(P, page(2))
    layer.flush()
    assert len(calls) == 3


def test_a_flush_covers_what_a_former_writer_left(layer, extents, tmp_path, monkeypatch):
    """What a killed server wrote is read after it, so the next flush must make it durable."""
    layer.write(0, page(1))
    layer.flush()
    layer.write(0, page(2))
    layer.close()
    synced = []
    fdatasync = os.fdatasync

    def note(descriptor):
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", note)
    again = extents.open("ab12", writable=True)
    assert read(again, 0) == page(2)
    again.flush()
    again.close()
    assert sorted(synced) == ["data.0000", "states"]


def test_unflushed_changes_are_bounded(layer, extents, monkeypatch):
    monkeypatch.setattr(layer_module, "PENDING_SIZE_MAX", 160)
    for step in range(25):
        layer.write(2 * step * P, page(step))
    reader = extents.open("ab12", writable=False)
    assert reader.stored_bytes() == 22 * P
    reader.close()


def test_the_log_is_compacted(layer, extents, tmp_path, monkeypatch):
    monkeypatch.setattr(layer_states, "COMPACT_SIZE_MIN", 2000)
    layer._log._compact_above = 2000
    for step in range(300):
        layer.zero(0, P)
        layer.write(P, page(step))
        layer.write(0, page(step))
        layer.flush()
    assert (data_file(tmp_path).parent / "states").stat().st_size < 5000
    again = extents.open("ab12", writable=True)
    assert again.runs(0, 3 * P) == [Run(0, 2 * P, DATA), Run(2 * P, P, INHERIT)]
    again.close()


def test_close_waits_for_what_runs(layer, monkeypatch):
    entered, proceed = threading.Event(), threading.Event()
    fdatasync = os.fdatasync

    def slow(descriptor):
        entered.set()
        assert proceed.wait(30)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    layer.write(0, page(1))
    flusher = threading.Thread(target=layer.flush)
    flusher.start()
    assert entered.wait(30)
    closer = threading.Thread(target=layer.close)
    closer.start()
    while not layer._closed:
        threading.Event().wait(0.001)
    with pytest.raises(StoreUsageError):
        layer.write(0, page(2))
    assert closer.is_alive()
    proceed.set()
    flusher.join()
    closer.join()


def test_a_store_opened_while_a_layer_is_begun(extents, tmp_path, monkeypatch):
    """Between the making of a directory and its locking it looks like a leftover."""
    opened = []
    mkdir = os.mkdir

    def and_open(path, mode=0o777):
        mkdir(path, mode)
        if len(opened) < 2:
            opened.append(FilesExtents(extents._directory, read_only=False))

    monkeypatch.setattr(os, "mkdir", and_open)
    extents.create("cd34", 4 * P)
    assert len(opened) == 2
    extents.open("cd34", writable=True).close()
    assert not [name for name in os.listdir(extents._directory) if name.startswith(".")]


def test_what_a_crash_left_is_removed(extents, tmp_path):
    (tmp_path / ".new-1234").mkdir()
    (tmp_path / ".new-1234" / "data.0000").write_bytes(b"x")
    (tmp_path / ".old-1234").mkdir()
    extents.create("ab12", P)
    assert extents.list() == ["ab12"]
    FilesExtents(tmp_path, read_only=True)
    assert (tmp_path / ".new-1234").exists()
    FilesExtents(tmp_path, read_only=False)
    assert sorted(os.listdir(tmp_path)) == ["ab"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root and mount(8)")
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mount is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place):
    with (place / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(P))
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017


def test_full_disk_while_writing(small_disk):
    extents = FilesExtents(small_disk, read_only=False)
    extents.create("ab12", 1000 * P)
    layer = extents.open("ab12", writable=True)
    layer.write(10 * P, page(1) * 4)
    layer.flush()
    fill(small_disk)
    with pytest.raises(StoreFull):
        layer.write(20 * P, page(2))
    with pytest.raises(StoreFull):
        layer.write(12 * P, page(2) * 4)
    with pytest.raises(StoreFull):
        layer.allocate(12 * P, 4 * P)
    with pytest.raises(StoreFull):
        extents.create("full", P)
    assert layer.runs(0, 30 * P) == [
        Run(0, 10 * P, INHERIT),
        Run(10 * P, 4 * P, DATA),
        Run(14 * P, 16 * P, INHERIT),
    ]
    assert read(layer, 10 * P, 4 * P) == page(1) * 4
    layer.write(10 * P, page(3))
    layer.flush()
    os.unlink(small_disk / "ballast")
    layer.write(20 * P, page(2))
    layer.flush()
    layer.close()
    again = extents.open("ab12", writable=False)
    assert (read(again, 10 * P), read(again, 20 * P)) == (page(3), page(2))
    assert extents.list() == ["ab12"]
    again.close()


def test_full_disk_while_flushing_states(small_disk):
    extents = FilesExtents(small_disk, read_only=False)
    extents.create("ab12", 10_000 * P)
    layer = extents.open("ab12", writable=True)
    layer.write(0, page(1))
    layer.flush()
    fill(small_disk)
    for step in range(1000):
        layer.zero((2 * step + 10) * P, P)
    with pytest.raises(StoreFull):
        layer.flush()
    with pytest.raises(StoreFull):
        layer.flush()
    with pytest.raises(StoreFull):
        layer.resize(20_000 * P)
    assert layer.size == 10_000 * P
    reader = extents.open("ab12", writable=False)
    assert reader.runs(0, 10_000 * P) == [Run(0, P, DATA), Run(P, 9_999 * P, INHERIT)]
    reader.close()
    os.unlink(small_disk / "ballast")
    layer.flush()
    layer.close()
    reader = extents.open("ab12", writable=False)
    zeroed = [run for run in reader.runs(0, 10_000 * P) if run.state is ZERO]
    assert len(zeroed) == 1000
    reader.close()
