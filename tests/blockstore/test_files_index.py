"""The LMDB environment of a store: growth, sharing, and what its errors are called."""

import os
import subprocess
import sys
import threading

import pytest

from blockstore import Corrupt, StoreFull, StoreUnavailable
from blockstore.files import environment
from blockstore.files.index import create_index, open_index

STORE_ID = "00" * 16


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "index"
    create_index(place, STORE_ID)
    return place


@pytest.fixture
def index(path):
    opened = open_index(path, STORE_ID, read_only=False)
    yield opened
    opened.close()


@pytest.fixture
def small_map(monkeypatch):
    monkeypatch.setattr(environment, "MAP_SIZE_INITIAL", 2**20)


def write(index, key, value):
    with index.write() as transaction:
        transaction.put(key, value, db=index.heads)


def read(index, key):
    with index.read() as transaction:
        return transaction.get(key, db=index.heads)


def test_a_transaction_that_raises_leaves_nothing(index):
    def put_and_fail():
        with index.write() as transaction:
            transaction.put(b"a", b"1", db=index.heads)
            raise KeyError

    with pytest.raises(KeyError):
        put_and_fail()
    assert read(index, b"a") is None


def test_many_transactions_outgrow_the_map(small_map, index):
    for number in range(64):
        write(index, number.to_bytes(4, "big"), os.urandom(100_000))
    assert len(read(index, bytes(4))) == 100_000


def test_one_transaction_outgrows_the_map(small_map, index):
    def fill(transaction):
        for number in range(64):
            transaction.put(number.to_bytes(4, "big"), os.urandom(100_000), db=index.heads)

    index.transact(fill)
    assert len(read(index, bytes(4))) == 100_000


def test_map_full_without_a_retry_is_store_full_and_passes(small_map, index):
    def fill():
        with index.write() as transaction:
            for number in range(12):
                transaction.put(number.to_bytes(4, "big"), os.urandom(100_000), db=index.heads)

    with pytest.raises(StoreFull, match="address space"):
        fill()
    fill()


GROW = """
import os, sys
from pathlib import Path
from blockstore.files import environment
from blockstore.files.index import open_index
environment.MAP_SIZE_INITIAL = 2**20
index = open_index(Path(sys.argv[1]), sys.argv[2], read_only=False)
for number in range(64):
    with index.write() as transaction:
        transaction.put(number.to_bytes(4, "big"), os.urandom(100_000), db=index.heads)
index.close()
"""


@pytest.mark.parametrize("first", ["read", "write"])
def test_growth_by_another_process_is_adopted(small_map, index, first):
    write(index, b"a", b"1")
    arguments = [sys.executable, "-c", GROW, str(index.path), STORE_ID]
    subprocess.run(arguments, check=True)
    if first == "write":
        write(index, b"b", b"2")
    assert len(read(index, bytes(4))) == 100_000
    write(index, b"c", b"3")
    assert read(index, b"c") == b"3"


def test_growth_waits_for_readers_of_other_threads(small_map, index):
    write(index, b"a", b"1")
    inside, leave, seen = threading.Event(), threading.Event(), []

    def reader():
        with index.read() as transaction:
            inside.set()
            assert leave.wait(20)
            seen.append(transaction.get(b"a", db=index.heads))

    def writer():
        for number in range(20):
            write(index, number.to_bytes(4, "big"), os.urandom(100_000))

    reading = threading.Thread(target=reader)
    reading.start()
    assert inside.wait(20)
    writing = threading.Thread(target=writer)
    writing.start()
    leave.set()
    reading.join()
    writing.join()
    assert seen == [b"1"]
    assert len(read(index, (19).to_bytes(4, "big"))) == 100_000


def test_transactions_of_a_thread_do_not_nest(index):
    with index.read(), pytest.raises(RuntimeError, match="nest"), index.write():
        pass
    write(index, b"a", b"1")


def test_read_only_handle_refuses_to_write(path, index):
    reader = open_index(path, STORE_ID, read_only=True)
    with pytest.raises(StoreUnavailable, match="read-only"), reader.write():
        pass
    reader.close()


def test_closed_handle_says_so(path, index):
    other = open_index(path, STORE_ID, read_only=False)
    other.close()
    other.close()
    with pytest.raises(StoreUnavailable, match="closed"), other.read():
        pass
    write(index, b"a", b"1")


def test_other_store(path):
    with pytest.raises(Corrupt, match="belongs"):
        open_index(path, "11" * 16, read_only=False)


def test_file_shorter_than_its_pages(path):
    data_file = path / "data.mdb"
    os.truncate(data_file, data_file.stat().st_size - 4096)
    with pytest.raises(Corrupt, match="bytes of"):
        open_index(path, STORE_ID, read_only=True)


def test_lock_file_is_allocated_whole(path, index):
    status = (path / "lock.mdb").stat()
    assert status.st_blocks * 512 >= status.st_size >= environment.READERS_MAX * 64


def test_killed_writer_does_not_block_the_next(path, index):
    script = GROW.replace("index.close()", "") + (
        "with index.write() as transaction:\n"
        "    transaction.put(b'half', b'done', db=index.heads)\n"
        "    print('in', flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    arguments = [sys.executable, "-c", script, str(path), STORE_ID]
    writer = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with writer:
        assert writer.stdout.readline() == b"in\n"
        writer.kill()
    write(index, b"a", b"1")
    assert read(index, b"half") is None


@pytest.mark.parametrize("writing", [False, True])
def test_fork_ends_no_transaction_of_the_parent(path, index, writing):
    """The child closes what it inherits, which must not touch slots and locks that are in use."""
    inside, leave, left = threading.Event(), threading.Event(), threading.Event()

    def stay():
        with index.write() if writing else index.read():
            inside.set()
            assert leave.wait(20)
            left.set()

    thread = threading.Thread(target=stay)
    thread.start()
    assert inside.wait(20)
    threading.Timer(0.1, leave.set).start()
    child = os.fork()
    if child == 0:
        status = 2
        try:
            with index.read():
                status = 3
        except StoreUnavailable:
            index.close()
            own = open_index(path, STORE_ID, read_only=False)
            write(own, b"of the child", b"1")
            own.close()
            status = 0 if left.is_set() else 4
        finally:
            os._exit(status)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read(index, b"of the child") == b"1"


def test_fork_within_a_transaction(index):
    with index.write() as transaction:
        transaction.put(b"key", b"value", db=index.heads)
        child = os.fork()
        if child == 0:
            index.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read(index, b"key") == b"value"
