"""Leases between processes: the kernel tells who is alive."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from blockstore.errors import Corrupt, LeaseHeld, LeaseLost, StoreFull, StoreUnavailable
from blockstore.files.index import create_index, open_index
from blockstore.files.leases import EPOCH_KEY, FilesLeases

STORE_ID = "5a" * 16
ROOT = Path(__file__).parents[2]

CHILD = """
import os
import signal
import sys
from pathlib import Path
from blockstore.errors import LeaseHeld, LeaseLost
from blockstore.files.index import open_index
from blockstore.files.leases import FilesLeases

index = open_index(Path(sys.argv[1]) / "index", sys.argv[2], read_only=False)
leases = FilesLeases(index, Path(sys.argv[1]) / "leases.lock")
for line in sys.stdin:
    try:
        if line == "check\\n":
            leases.check(lease)
            answer = "good"
        elif line == "fork\\n":
            answer = str(os.fork())
            if answer == "0":
                for descriptor in (0, 1, 2):
                    os.close(descriptor)
                signal.pause()
        else:
            lease = leases.acquire("volume", "child", seize=line == "seize\\n")
            answer = f"epoch {lease.epoch} {lease.seized}"
    except LeaseHeld as error:
        answer = f"held {error.holder}"
    except LeaseLost:
        answer = "lost"
    print(answer, flush=True)
"""


class Child:
    def __init__(self, directory):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(directory), STORE_ID],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def child(tmp_path, index):
    child = Child(tmp_path)
    yield child
    child.kill()


@pytest.fixture
def index(tmp_path):
    create_index(tmp_path / "index", STORE_ID)
    index = open_index(tmp_path / "index", STORE_ID, read_only=False)
    yield index
    index.close()


@pytest.fixture
def leases(tmp_path, index):
    leases = FilesLeases(index, tmp_path / "leases.lock")
    yield leases
    leases.close()


def test_a_living_process_keeps_its_lease(leases, child):
    assert child.ask("acquire").startswith("epoch")
    assert leases.holder("volume") == "child"
    with pytest.raises(LeaseHeld) as caught:
        leases.acquire("volume", "me")
    assert caught.value.holder == "child"


def test_a_killed_process_loses_it(leases, child):
    epoch = int(child.ask("acquire").split()[1])
    child.kill()
    assert leases.holder("volume") is None
    lease = leases.acquire("volume", "me")
    assert not lease.seized
    assert lease.epoch > epoch


def test_a_forked_child_does_not_keep_it_alive(leases, child):
    child.ask("acquire")
    orphan = int(child.ask("fork"))
    child.kill()
    try:
        assert leases.holder("volume") is None
        os.kill(orphan, 0)
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_seized_from_a_living_process(leases, child):
    child.ask("acquire")
    lease = leases.acquire("volume", "me", seize=True)
    assert lease.seized
    assert child.ask("check") == "lost"
    assert child.ask("acquire") == "held me"
    child.kill()
    leases.check(lease)
    assert leases.holder("volume") == "me"


def test_seized_by_another_process(leases, child):
    lease = leases.acquire("volume", "me")
    assert child.ask("acquire") == "held me"
    assert child.ask("seize").endswith("True")
    with pytest.raises(LeaseLost):
        leases.check(lease)
    leases.release(lease)
    assert leases.holder("volume") == "child"
    assert child.ask("check") == "good"


def test_released_between_processes(leases, child):
    lease = leases.acquire("volume", "me")
    leases.release(lease)
    assert child.ask("acquire").endswith("False")


def test_the_releasing_of_one_leaves_neighbours_locked(leases, index, tmp_path):
    held = [leases.acquire(f"v{number}", "me") for number in range(5)]
    leases.release(held[2])
    other = FilesLeases(index, tmp_path / "leases.lock")
    holders = [other.holder(f"v{number}") for number in range(5)]
    assert holders == ["me", "me", None, "me", "me"]
    other.close()


def test_epochs_grow_when_the_index_is_lost(leases, tmp_path):
    before = leases.acquire("volume", "me")
    create_index(tmp_path / "index2", STORE_ID)
    index = open_index(tmp_path / "index2", STORE_ID, read_only=False)
    fresh = FilesLeases(index, tmp_path / "leases.lock")
    with pytest.raises(LeaseLost):
        fresh.check(before)
    assert fresh.acquire("volume", "me").epoch > before.epoch
    fresh.close()
    index.close()


def test_epochs_grow_when_the_clock_goes_back(leases, index):
    ahead = 2**62
    with index.write() as transaction:
        transaction.put(EPOCH_KEY, ahead.to_bytes(8, "little"), db=index.meta)
    assert leases.acquire("volume", "me").epoch == ahead + 1


def test_a_damaged_record(leases, index):
    leases.acquire("volume", "me")
    with index.write() as transaction:
        packed = bytearray(transaction.get(b"volume", db=index.leases))
        packed[0] ^= 1
        transaction.put(b"volume", bytes(packed), db=index.leases)
    for act in (leases.holder, lambda name: leases.acquire(name, "me")):
        with pytest.raises(Corrupt, match="volume"):
            act("volume")


def test_closed(leases):
    leases.acquire("volume", "me")
    leases.close()
    assert leases.holder("volume") is None
    with pytest.raises(StoreUnavailable):
        leases.acquire("volume", "me")


def test_read_only(leases, tmp_path, index):
    lease = leases.acquire("volume", "me")
    reader_index = open_index(tmp_path / "index", STORE_ID, read_only=True)
    reader = FilesLeases(reader_index, tmp_path / "leases.lock")
    assert reader.holder("volume") == "me"
    reader.check(lease)
    with pytest.raises(StoreUnavailable):
        reader.acquire("other", "me")
    reader.close()
    reader_index.close()


def test_threads_take_turns(leases):
    owners, failures = [], []

    def work(worker):
        try:
            for _ in range(10):
                while True:
                    try:
                        lease = leases.acquire("volume", f"w{worker}")
                        break
                    except LeaseHeld:
                        threading.Event().wait(0.001)
                owners.append(worker)
                assert owners[-1] == worker
                leases.check(lease)
                assert owners.pop() == worker
                leases.release(lease)
        except BaseException as failure:  # noqa: BLE001 - reported by the main thread
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert owners == []


class FullIndex:
    """An index for which there is no room when a transaction commits."""

    def __init__(self, index):
        self._index = index

    def __getattr__(self, name):
        return getattr(self._index, name)

    def transact(self, change):
        with self._index.write() as transaction:
            change(transaction)
            raise StoreFull("full")


def test_released_on_a_full_disk(leases, index, tmp_path):
    lease = leases.acquire("volume", "me")
    other = FilesLeases(index, tmp_path / "leases.lock")
    leases._index = FullIndex(index)
    with pytest.raises(StoreFull):
        leases.release(lease)
    assert leases.holder("volume") is None
    assert not other.acquire("volume", "you").seized
    other.close()


def test_an_acquisition_that_failed_leaves_no_lock(leases, index, tmp_path):
    with index.write() as transaction:
        transaction.put(EPOCH_KEY, (2**60).to_bytes(8, "little"), db=index.meta)
    leases._index = FullIndex(index)
    with pytest.raises(StoreFull):
        leases.acquire("volume", "me")
    other = FilesLeases(index, tmp_path / "leases.lock")
    assert other.acquire("volume", "you").epoch == 2**60 + 1
    other.close()
