"""One store, several threads and processes at once."""

import errno
import os
import random
import subprocess
import sys
import threading

import pytest
from files_stores import BLOCK, contents, noise

from blockstore import NotFound, StoreFull, StoreUnavailable

PUTTER = """
import random, sys
from blockstore import open_store

store = open_store(sys.argv[1])
store.blocks.put_many(random.Random(int(sys.argv[2])).randbytes(100_000))
store.blocks.commit()
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    store.blocks.put_many(random.Random(number).randbytes(100_000))
    store.blocks.commit()
    print(number, flush=True)
store.close()
"""


def pieces_of(number):
    data = random.Random(number).randbytes(100_000)
    return [data[:BLOCK].rstrip(b"\0"), data[BLOCK:].rstrip(b"\0")]


def test_two_processes_write_at_once(stores):
    stores.create()
    reader = stores.open(read_only=True)
    ranges = [(0, 30), (15, 45)]  # half of it the same
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", PUTTER, stores.url, str(first), str(end)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first, end in ranges
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        with writer:
            writer.stdout.read()
        assert writer.returncode == 0
    expected = {piece for number in range(45) for piece in pieces_of(number)}
    assert set(contents(reader.blocks).values()) == expected
    assert reader.blocks.stats().count == len(expected)
    assert len(stores.packs()) == 2


def test_threads_share_flushes(stores, monkeypatch):
    """Callers that wait while one flush runs are all answered by the next one."""
    stores.create()
    blocks = stores.open().blocks
    count = 16
    flushes = 0
    first_runs, all_wait = threading.Event(), threading.Event()
    real = os.fdatasync

    def counted(descriptor):
        nonlocal flushes
        flushes += 1
        first_runs.set()
        assert all_wait.wait(20)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    put = threading.Barrier(count + 1)

    def work(number):
        if number:
            assert first_runs.wait(20)
        blocks.put_many(noise(number, 1000))
        if number:
            put.wait(20)
        blocks.commit()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count + 1)]
    for thread in threads:
        thread.start()
    put.wait(20)
    all_wait.set()
    for thread in threads:
        thread.join()
    assert len(contents(blocks)) == count + 1
    assert flushes <= 3


def test_store_opened_twice_in_one_process(stores):
    stores.create()
    first, second = stores.open(), stores.open()
    (a,) = first.blocks.put_many(noise(1))
    (b,) = second.blocks.put_many(noise(2))
    first.blocks.commit()
    second.blocks.commit()
    assert first.blocks.get(b) == noise(2)
    first.close()
    assert second.blocks.get(a) == noise(1)
    third = stores.open(read_only=True)
    assert third.blocks.get(a) == noise(1)


def test_read_only_first_then_writable(stores):
    stores.create()
    reader = stores.open(read_only=True)
    writer = stores.open()
    (block_id,) = writer.blocks.put_many(noise(1))
    writer.blocks.commit()
    assert reader.blocks.get(block_id) == noise(1)
    with pytest.raises(StoreUnavailable):
        reader.blocks.put_many(noise(2))


def test_same_new_block_from_two_stores_is_one_block(stores):
    stores.create()
    first, second = stores.open(), stores.open()
    assert first.blocks.put_many(noise(1)) == second.blocks.put_many(noise(1))
    first.blocks.commit()
    second.blocks.commit()
    assert len(contents(first.blocks)) == first.blocks.stats().count == 1


def test_child_of_a_fork_opens_its_own_and_leaves_the_parents_alone(stores):
    stores.create()
    store = stores.open()
    store.blocks.put_many(noise(0))
    store.blocks.commit()
    ids = store.blocks.put_many(b"".join(noise(seed) for seed in range(1, 100)))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            try:
                store.blocks.put_many(noise(500))
            except StoreUnavailable:
                status = 2
            store.close()
            own = stores.open()
            own.blocks.put_many(noise(501))
            own.blocks.commit()
            own.close()
        except BaseException:  # noqa: BLE001 - the parent sees the status
            status = 3
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    store.blocks.commit()
    for seed, block_id in enumerate(ids, 1):
        assert store.blocks.get(block_id) == noise(seed)
    assert len(contents(store.blocks)) == 101


def test_block_discarded_between_put_and_commit_is_not_acknowledged(stores):
    stores.create()
    first, second = stores.open(), stores.open()
    (block_id,) = first.blocks.put_many(noise(1))
    first.blocks.commit()
    first.blocks.put_many(noise(1))
    second.blocks.discard([block_id])
    with pytest.raises(Exception, match=block_id.hex()):
        first.blocks.commit()
    first.blocks.put_many(noise(1))
    first.blocks.commit()
    assert second.blocks.get(block_id) == noise(1)


def test_all_who_share_a_flush_learn_of_a_discarded_block(stores):
    stores.create()
    first, second = stores.open(), stores.open()
    (block_id,) = first.blocks.put_many(noise(1))
    first.blocks.commit()
    first.blocks.put_many(noise(1))
    second.blocks.discard([block_id])
    for _ in range(2):  # the second answer is that of a caller whose put the first one's covered
        with pytest.raises(NotFound, match=block_id.hex()):
            first.blocks.commit()
    first.blocks.put_many(noise(1))
    first.blocks.commit()
    first.blocks.commit()


def test_many_puts_without_a_commit_are_bounded(stores, monkeypatch):
    monkeypatch.setattr("blockstore.files.ingest.PENDING_MAX", 50)
    stores.create()
    blocks = stores.open().blocks
    for seed in range(120):
        blocks.put_many(noise(seed, 50))
    assert len(list(blocks.scan())) >= 100


def test_nothing_piles_up_while_commits_fail(stores, monkeypatch):
    monkeypatch.setattr("blockstore.files.ingest.PENDING_MAX", 50)
    stores.create()
    blocks = stores.open().blocks
    blocks.put_many(b"".join(noise(seed) for seed in range(60)))

    def fail(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdatasync", fail)
    refused = 0
    for seed in range(100, 110):
        try:
            blocks.put_many(noise(seed))
        except StoreFull:
            refused += 1
    assert refused == 10
    monkeypatch.undo()
    blocks.commit()
    assert len(list(blocks.scan())) == 60


def test_block_that_is_committed_during_the_question_is_there(stores):
    stores.create()
    blocks = stores.open().blocks

    class Ids(list):
        def __iter__(self):
            if len(walks) == 1:
                blocks.commit()
            walks.append(1)
            return super().__iter__()

    for ask in (blocks.contains_many, blocks.touch):
        walks = []
        ids = Ids(blocks.put_many(noise(len(list(blocks.scan())))))
        assert ask(ids) == [True]
        assert len(walks) > 1
