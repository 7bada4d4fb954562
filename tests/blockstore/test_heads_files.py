"""Heads between their log and the index: crashes at each step, damage, rebuilding, compaction."""

import os
import shutil
import threading
from contextlib import contextmanager

import pytest

from blockstore.errors import Corrupt, StoreFull, StoreUnavailable
from blockstore.files import heads as heads_module
from blockstore.files.environment import MapFull
from blockstore.files.heads import (
    create_heads_log,
    open_heads,
    rebuild_heads,
    renew_heads_log,
)
from blockstore.files.index import create_index, open_index
from blockstore.interface import HeadChange

STORE_ID = "5a" * 16


class Place:
    """An index and a log, and heads over them."""

    def __init__(self, directory):
        self.index_path = directory / "index"
        self.log_path = directory / "heads.log"
        self._opened = []
        create_index(self.index_path, STORE_ID)

    def index(self, read_only=False):
        index = open_index(self.index_path, STORE_ID, read_only=read_only)
        self._opened.append(index)
        return index

    def heads(self, index=None):
        heads = open_heads(index or self.index(), self.log_path)
        self._opened.append(heads)
        return heads

    def fresh_index(self):
        """An empty index, as rebuild-index begins with."""
        self.close()
        self.index_path = self.index_path.with_name(self.index_path.name + "2")
        create_index(self.index_path, STORE_ID)
        return self.index()

    def close(self):
        while self._opened:
            self._opened.pop().close()


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    yield place
    place.close()


def put(heads, name, value):
    head = heads.get(name)
    return heads.update([HeadChange(name, head.version if head else 0, value)])[0]


def contents(heads):
    return [(head.name, head.version, head.value) for head in heads.list()]


def test_a_damaged_head_is_named_among_the_others(place):
    index = place.index()
    heads = place.heads(index)
    for name in ("a", "b", "c"):
        put(heads, name, name.encode())

    def damage(transaction):
        packed = transaction.get(b"b", db=index.heads)
        transaction.put(b"b", packed[:-1] + b"x", db=index.heads)

    index.transact(damage)
    with pytest.raises(Corrupt, match="'b'"):
        heads.list()
    assert heads.names() == ["a", "b", "c"]
    assert heads.get("c").value == b"c"


def test_rebuilt_from_the_log(place):
    heads = place.heads()
    for step in range(5):
        put(heads, "a", b"%d" % step)
        put(heads, f"n{step}", b"x" * step)
    heads.update([HeadChange("n1", heads.get("n1").version, None)])
    before = contents(heads)
    index = place.fresh_index()
    assert rebuild_heads(index, place.log_path) == len(before) == 5
    again = place.heads(index)
    assert contents(again) == before
    assert put(again, "n1", b"new") > max(version for _, version, _ in before)


def test_an_index_made_anew_catches_up_by_itself(place):
    put(place.heads(), "a", b"1")
    assert place.heads(place.fresh_index()).get("a").value == b"1"


def test_rebuilding_twice_gives_the_same(place):
    heads = place.heads()
    put(heads, "a", b"1")
    before = contents(heads)
    index = place.index()
    assert rebuild_heads(index, place.log_path) == 1
    assert rebuild_heads(index, place.log_path) == 1
    assert contents(heads) == before
    put(heads, "a", b"2")
    assert contents(place.heads())[0][2] == b"2"


def test_what_the_log_has_more_is_applied(place):
    """A writer that died between the log and the index."""
    heads = place.heads()
    put(heads, "a", b"1")
    put(heads, "b", b"1")
    long_log = place.log_path.read_bytes()
    place.close()
    index = place.fresh_index()
    size_before_b = len(long_log) - 32 - 16 - 2
    place.log_path.write_bytes(long_log[:size_before_b])
    heads = place.heads(index)
    assert [name for name, _, _ in contents(heads)] == ["a"]
    place.log_path.write_bytes(long_log)
    assert heads.get("b") is None
    put(heads, "c", b"1")
    assert heads.get("b").value == b"1"
    versions = [version for _, version, _ in contents(heads)]
    assert versions == sorted(set(versions))
    before = contents(heads)
    index = place.fresh_index()
    rebuild_heads(index, place.log_path)
    assert contents(place.heads(index)) == before


def test_a_torn_tail_is_cut_before_the_next_record(place):
    heads = place.heads()
    put(heads, "a", b"1")
    with place.log_path.open("ab") as file:
        file.write(b"HREC\x01\x00\x00")
    put(heads, "b", b"1")
    before = contents(heads)
    index = place.fresh_index()
    assert rebuild_heads(index, place.log_path) == 2
    assert contents(place.heads(index)) == before


def test_a_lost_log_is_written_anew_from_the_index(place):
    heads = place.heads()
    put(heads, "a", b"1")
    before = contents(heads)
    place.log_path.unlink()
    version = put(heads, "b", b"1")
    assert version > before[0][1]
    before = contents(heads)
    index = place.fresh_index()
    assert rebuild_heads(index, place.log_path) == 2
    assert contents(place.heads(index)) == before


def test_a_log_that_lost_its_end_is_written_anew_from_the_index(place):
    heads = place.heads()
    put(heads, "a", b"1")
    short = place.log_path.read_bytes()
    put(heads, "b", b"2")
    before = contents(heads)
    place.close()
    place.log_path.write_bytes(short)
    assert contents(place.heads()) == before
    index = place.fresh_index()
    rebuild_heads(index, place.log_path)
    assert contents(place.heads(index)) == before


def test_a_damaged_head_is_named_and_the_others_readable(place):
    heads = place.heads()
    for name in ("a", "b", "c"):
        put(heads, name, name.encode() * 10)
    index = place.index()
    with index.write() as transaction:
        packed = bytearray(transaction.get(b"b", db=index.heads))
        packed[-1] ^= 1
        transaction.put(b"b", bytes(packed), db=index.heads)
    with pytest.raises(Corrupt, match="'b'"):
        heads.get("b")
    with pytest.raises(Corrupt, match="'b'"):
        heads.update([HeadChange("a", heads.get("a").version, b""), HeadChange("b", 2, b"")])
    assert (heads.get("a").value, heads.get("c").value) == (b"a" * 10, b"c" * 10)
    put(heads, "a", b"still written")
    assert rebuild_heads(index, place.log_path) == 3
    assert heads.get("b").value == b"b" * 10
    assert heads.get("a").value == b"still written"


def test_a_value_under_another_name_is_damage(place):
    heads = place.heads()
    put(heads, "a", b"1")
    put(heads, "b", b"2")
    index = place.index()
    with index.write() as transaction:
        transaction.put(b"b", transaction.get(b"a", db=index.heads), db=index.heads)
    with pytest.raises(Corrupt, match="'b'"):
        heads.get("b")


def test_rebuilding_from_a_damaged_log(place):
    heads = place.heads()
    offsets = []
    for name in ("a", "b", "c"):
        offsets.append(place.log_path.stat().st_size)
        put(heads, name, name.encode() * 100)
    before = contents(heads)
    damaged = bytearray(place.log_path.read_bytes())
    damaged[offsets[1] + 60] ^= 1
    place.log_path.write_bytes(damaged)
    index = place.index()
    with pytest.raises(Corrupt, match=f"{place.log_path.name}:{offsets[1]}"):
        rebuild_heads(index, place.log_path)
    assert contents(heads) == before
    index = place.fresh_index()
    assert rebuild_heads(index, place.log_path, salvage=True) == 2
    heads = place.heads(index)
    assert contents(heads) == [before[0], before[2]]
    assert rebuild_heads(index, place.log_path) == 2


def test_rebuilding_without_a_log(place):
    with pytest.raises(Corrupt, match="absent"):
        rebuild_heads(place.index(), place.log_path)
    assert rebuild_heads(place.index(), place.log_path, salvage=True) == 0
    assert put(place.heads(), "a", b"1") == 1


@pytest.mark.parametrize("damaged", [b"", b"ARHEADS", bytes(48), b"x" * 48])
def test_a_log_with_a_damaged_header_is_written_anew_from_the_index(place, damaged):
    heads = place.heads()
    put(heads, "a", b"1")
    put(heads, "b", b"2")
    before = contents(heads)
    place.close()
    found = damaged + place.log_path.read_bytes()[48:]
    place.log_path.write_bytes(found)
    assert contents(place.heads()) == before
    assert place.log_path.with_name("heads.log.damaged").read_bytes() == found
    index = place.fresh_index()
    assert rebuild_heads(index, place.log_path) == 2
    assert contents(place.heads(index)) == before


def test_salvaging_a_log_with_a_damaged_header(place):
    heads = place.heads()
    put(heads, "a", b"1")
    put(heads, "b", b"2")
    before = contents(heads)
    place.log_path.write_bytes(b"x" * 48 + place.log_path.read_bytes()[48:])
    index = place.fresh_index()
    with pytest.raises(Corrupt, match="header"):
        rebuild_heads(index, place.log_path)
    assert rebuild_heads(index, place.log_path, salvage=True) == 2
    heads = place.heads(index)
    assert contents(heads) == before
    assert put(heads, "c", b"3") > before[-1][1]


def test_a_damaged_log_is_renewed_from_a_whole_index(place):
    heads = place.heads()
    put(heads, "a", b"1" * 100)
    put(heads, "b", b"2")
    before = contents(heads)
    place.close()
    damaged = bytearray(place.log_path.read_bytes())
    damaged[48 + 60] ^= 1
    place.log_path.write_bytes(damaged)
    renew_heads_log(place.index(), place.log_path)
    index = place.fresh_index()
    assert rebuild_heads(index, place.log_path) == 2
    assert contents(place.heads(index)) == before


def test_an_index_older_than_the_log_forgets_what_was_removed(place, tmp_path):
    heads = place.heads()
    put(heads, "gone", b"1")
    put(heads, "kept", b"1")
    place.close()
    old = tmp_path / "old"
    shutil.copytree(place.index_path, old)
    heads = place.heads()
    heads.update([HeadChange("gone", heads.get("gone").version, None)])
    before = contents(heads)
    place.close()
    renew_heads_log(place.index(), place.log_path)
    place.close()
    place.index_path = old
    assert contents(place.heads()) == before


def test_what_is_applied_from_the_log_is_synced_first(place, monkeypatch):
    """The writer may have been killed between his write and his sync."""
    heads = place.heads()
    put(heads, "a", b"1")
    place.close()
    old = place.log_path.with_name("index.old")
    shutil.copytree(place.index_path, old)
    put(place.heads(), "b", b"2")
    place.close()
    place.index_path = old
    synced = []
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(fdatasync(file)))
    assert place.heads().get("b").value == b"2"
    assert len(synced) == 1


def test_a_log_made_beforehand_is_used(place):
    create_heads_log(place.log_path)
    inode = place.log_path.stat().st_ino
    put(place.heads(), "a", b"1")
    assert place.log_path.stat().st_ino == inode


def test_compaction(place, monkeypatch):
    monkeypatch.setattr(heads_module, "COMPACT_SIZE_MIN", 20_000)
    one, other = place.heads(), place.heads()
    put(one, "kept", b"kept")
    sizes = []
    for step in range(60):
        put(one if step % 3 else other, "a", b"%4d" % step * 300)
        sizes.append(place.log_path.stat().st_size)
    assert max(sizes) < 25_000
    assert sizes != sorted(sizes)
    assert one.get("a").value == b"  59" * 300
    before = contents(other)
    index = place.fresh_index()
    assert rebuild_heads(index, place.log_path) == 2
    assert contents(place.heads(index)) == before


def test_a_compaction_that_the_index_never_heard_of(place, monkeypatch):
    """Killed between the new log's rename and the commit."""
    monkeypatch.setattr(heads_module, "COMPACT_SIZE_MIN", 5_000)
    heads = place.heads()
    put(heads, "gone", b"x")
    heads.update([HeadChange("gone", heads.get("gone").version, None)])
    index = place.index()
    while True:
        with index.read() as transaction:
            old = transaction.get(heads_module.POSITION_KEY, db=index.meta)
        put(heads, "a", b"value" * 300)
        with index.write() as transaction:
            new = transaction.get(heads_module.POSITION_KEY, db=index.meta)
            if new[:8] != old[:8]:
                transaction.put(heads_module.POSITION_KEY, old, db=index.meta)
                break
    before = contents(heads)
    again = place.heads(index)
    assert contents(again) == before
    assert put(again, "gone", b"y") > before[0][1]


class FailingIndex:
    """An index whose next commits fail; `meanwhile` runs after each failure."""

    def __init__(self, index):
        self._index = index
        self.error = None
        self.failures = 0
        self.meanwhile = lambda: None

    def __getattr__(self, name):
        return getattr(self._index, name)

    @contextmanager
    def write(self):
        if not self.failures:
            with self._index.write() as transaction:
                yield transaction
            return
        self.failures -= 1
        try:
            with self._index.write() as transaction:
                yield transaction
                raise self.error
        except type(self.error):
            self.meanwhile()
            raise


def test_closing_waits_for_an_update(place):
    """Else the number of the log's descriptor may be another file's when the update writes."""
    index = FailingIndex(place.index())
    heads = place.heads(index)
    put(heads, "a", b"1")
    log = heads._log
    closer = threading.Thread(target=heads.close)
    begun = index.write

    @contextmanager
    def write():
        with begun() as transaction:
            if not closer.ident:
                closer.start()
                closer.join(0.2)
            assert log._descriptor >= 0
            yield transaction

    index.write = write
    put(heads, "a", b"2")
    closer.join()
    assert log._descriptor == -1
    assert heads.get("a").value == b"2"


@pytest.mark.parametrize("error", [StoreFull("full"), OSError(5, "the disk is gone")])
def test_a_failed_commit_leaves_nothing(place, error):
    index = FailingIndex(place.index())
    heads = place.heads(index)
    put(heads, "a", b"1")
    before, log = contents(heads), place.log_path.read_bytes()
    index.error, index.failures = error, 1
    with pytest.raises(type(error)):
        put(heads, "a", b"2")
    assert place.log_path.read_bytes() == log
    assert contents(heads) == before
    put(heads, "a", b"3")
    before = contents(heads)
    fresh = place.fresh_index()
    rebuild_heads(fresh, place.log_path)
    assert contents(place.heads(fresh)) == before


def test_an_update_that_outgrows_the_index_is_tried_again(place):
    index = FailingIndex(place.index())
    heads = place.heads(index)
    index.error, index.failures = MapFull("outgrown"), 1
    put(heads, "a", b"1")
    assert (index.failures, heads.get("a").value) == (0, b"1")
    index = place.fresh_index()
    assert rebuild_heads(index, place.log_path) == 1


def test_a_failed_commit_that_another_writer_completed(place):
    index = FailingIndex(place.index())
    heads, other = place.heads(index), place.heads()
    put(heads, "a", b"1")
    index.error, index.failures = StoreFull("full"), 1
    index.meanwhile = lambda: put(other, "b", b"1")
    version = put(heads, "a", b"2")
    assert (heads.get("a").version, heads.get("a").value) == (version, b"2")
    assert other.get("b").value == b"1"
    before = contents(heads)
    fresh = place.fresh_index()
    assert rebuild_heads(fresh, place.log_path) == 2
    assert contents(place.heads(fresh)) == before


def test_read_only(place):
    put(place.heads(), "a", b"1")
    place.close()
    heads = place.heads(place.index(read_only=True))
    assert heads.get("a").value == b"1"
    with pytest.raises(StoreUnavailable):
        put(heads, "a", b"2")
