"""After a crash: what was acknowledged is there, what is torn is cut, the index can be rebuilt."""

import errno
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
from files_stores import BLOCK, contents, flip, noise

from blockstore import BlockKind, HeadChange, StoreUnavailable, rebuild_index
from blockstore.files.pack import PackDirectory
from blockstore.files.pack_scan import first_state, scan_chain

WRITER = """
import random, sys
from blockstore import open_store

store = open_store(sys.argv[1])
number = int(sys.argv[2])
while True:
    data = random.Random(number).randbytes(150_000)
    ids = store.blocks.put_many(data)
    if number % 3 == 0:
        store.blocks.commit()
        print(number, flush=True)
    number += 1
"""


def run_until_killed(url, first, acknowledgements):
    """The last number that a writer acknowledged before it was killed."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, url, str(first)], stdout=subprocess.PIPE, text=True
    )
    with writer:
        last = -1
        for _ in range(acknowledgements):
            last = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
    return int(rest[-1]) if rest else last


def pieces_of(number):
    data = random.Random(number).randbytes(150_000)
    return [data[start : start + BLOCK].rstrip(b"\0") for start in range(0, len(data), BLOCK)]


@pytest.mark.parametrize("round_", range(3))
def test_acknowledged_blocks_survive_kill(stores, round_):
    stores.create()
    last = run_until_killed(stores.url, 0, 1 + 7 * round_)
    found = set(contents(stores.open().blocks).values())
    for number in range(last + 1):
        assert set(pieces_of(number)) <= found
    # A second writer goes on in the same pack.
    stores.close_all()
    last_again = run_until_killed(stores.url, last + 3, 2)
    found = set(contents(stores.open().blocks).values())
    for number in [*range(last + 1), *range(last + 3, last_again + 1)]:
        assert set(pieces_of(number)) <= found
    assert len(stores.packs()) == 1


@pytest.fixture
def torn(stores):
    """A store whose index knows only the first two of five segments of its pack."""
    stores.create()
    store = stores.open()
    ids = []
    for seed in range(5):
        if seed == 2:
            stores.close_all()
            shutil.copytree(stores.directory / "index", stores.directory / "index.early")
            store = stores.open()
        ids += store.blocks.put_many(noise(seed, 5000))
        store.blocks.commit()
    stores.close_all()
    shutil.rmtree(stores.directory / "index")
    (stores.directory / "index.early").rename(stores.directory / "index")
    stores.ids = ids
    return stores


def segments_of(stores):
    pack_id = int(stores.packs()[0].name, 16)
    store_id = stores.open(read_only=True).info.store_id
    packs = PackDirectory(stores.directory / "packs", store_id)
    found = list(scan_chain(packs, pack_id, first_state(packs, pack_id)))
    packs.close()
    stores.close_all()
    return found


def test_whole_segments_behind_the_committed_length_are_indexed(torn):
    assert len(segments_of(torn)) == 5
    blocks = torn.open().blocks
    assert [blocks.get(block_id) for block_id in torn.ids] == [noise(n, 5000) for n in range(5)]
    assert blocks.stats().count == 5


@pytest.mark.parametrize("keep", [0, 1, 63, 64, 4095, 4096, 4097, 6000, 9000, 12287])
def test_torn_tail_is_cut(torn, keep):
    segments = segments_of(torn)
    pack = torn.packs()[0]
    os.truncate(pack, segments[3].offset + keep)
    blocks = torn.open().blocks
    assert blocks.contains_many(torn.ids) == [True, True, True, False, False]
    assert pack.stat().st_size == segments[3].offset
    blocks.put_many(noise(3, 5000))
    blocks.commit()
    torn.close_all()
    assert len(segments_of(torn)) == 4
    assert torn.open().blocks.get(torn.ids[3]) == noise(3, 5000)


@pytest.mark.parametrize("position", [0, 8, 20, 40, 56, 64, 100, 4096, 8000, 9095])
def test_garbled_tail_is_cut(torn, position):
    segments = segments_of(torn)
    flip(torn.packs()[0], segments[3].offset + position)
    blocks = torn.open().blocks
    assert blocks.contains_many(torn.ids) == [True, True, True, False, False]


def test_garbage_behind_the_last_segment_is_cut(torn):
    pack = torn.packs()[0]
    size = pack.stat().st_size
    with pack.open("ab") as file:
        file.write(os.urandom(10_000))
    assert torn.open().blocks.contains_many(torn.ids) == [True] * 5
    assert pack.stat().st_size == size


def test_stale_segment_of_the_same_pack_is_no_successor(torn):
    segments = segments_of(torn)
    pack = torn.packs()[0]
    data = pack.read_bytes()
    second = data[segments[1].offset : segments[1].end]
    pack.write_bytes(data[: segments[3].offset] + second)
    assert torn.open().blocks.contains_many(torn.ids) == [True, True, True, False, False]


def test_pack_of_a_copy_that_went_on_otherwise_is_not_cut(stores):
    def put(*seeds):
        for seed in seeds:
            blocks = stores.open().blocks
            blocks.put_many(noise(seed, 5000))
            blocks.commit()
            stores.close_all()

    stores.create()
    put(1)
    copy = stores.directory.parent / "copy"
    shutil.copytree(stores.directory, copy)
    put(2)
    shutil.rmtree(copy / "index")
    (stores.directory / "index").rename(copy / "index")
    put_into_copy = type(stores)(copy)
    shutil.rmtree(stores.directory / "packs")
    shutil.copytree(copy / "packs", stores.directory / "packs")
    shutil.copytree(copy / "index", stores.directory / "index")
    rebuild_index(stores.url)
    put(3, 4)  # other blocks at the same places
    shutil.copy(stores.packs()[0], put_into_copy.packs()[0])
    before = put_into_copy.packs()[0].read_bytes()
    blocks = put_into_copy.open().blocks
    blocks.put_many(noise(5))
    blocks.commit()
    put_into_copy.close_all()
    assert put_into_copy.packs()[0].read_bytes() == before
    assert len(put_into_copy.packs()) == 2


def test_read_only_opening_changes_nothing(torn):
    before = torn.packs()[0].read_bytes()
    assert torn.open(read_only=True).blocks.contains_many(torn.ids) == [True] * 2 + [False] * 3
    assert torn.packs()[0].read_bytes() == before


def test_pack_of_a_living_writer_is_left_alone(torn):
    size = torn.packs()[0].stat().st_size
    writer = torn.open()
    writer.blocks.put_many(b"".join(noise(seed) for seed in range(100, 200)))  # more than a segment
    pack = torn.packs()[0]
    assert pack.stat().st_size > size
    grown = pack.stat().st_size
    second = torn.open()
    second.blocks.put_many(noise(300))
    second.blocks.commit()
    assert pack.stat().st_size == grown
    assert len(torn.packs()) == 2
    writer.blocks.commit()
    assert second.blocks.get(writer.blocks.put_many(noise(199))[0]) == noise(199)


@pytest.mark.parametrize("size", [0, 10, 4095, 4096])
def test_pack_whose_making_was_cut_short(stores, size):
    stores.create()
    fill(stores)
    stores.close_all()
    folder = stores.directory / "packs" / "000000"
    (folder / "00000009").write_bytes(bytes(size))
    blocks = stores.open().blocks
    ids = blocks.put_many(noise(1))
    blocks.commit()
    stores.close_all()
    assert stores.open().blocks.get(ids[0]) == noise(1)


def fill(stores):
    blocks = stores.open().blocks
    for seed in range(6):
        blocks.put_many(noise(seed) + noise(seed + 100, 300))
        blocks.put_many(noise(seed + 200, 900), BlockKind.MAP)
        blocks.commit()
    blocks.put_many(b"".join(noise(seed) for seed in range(300, 400)))
    blocks.commit()
    return blocks


def records(blocks):
    return [(r.block_id, r.length, r.stored_length, r.kind) for r in blocks.scan()]


def test_rebuilt_index_is_the_same(stores):
    stores.create()
    before = records(fill(stores))
    stats = stores.open().blocks.stats()
    stores.close_all()
    report = rebuild_index(stores.url)
    assert (report.pack_count, report.block_count, report.damaged) == (1, len(before), ())
    blocks = stores.open().blocks
    assert records(blocks) == before
    assert blocks.stats() == stats
    assert all(blocks.get(block_id) for block_id, *_ in before)


def test_rebuilding_passes_over_damage_and_says_so(stores):
    stores.create()
    fill(stores)
    stores.close_all()
    segments = segments_of(stores)
    pack = stores.packs()[0]
    flip(pack, segments[2].offset + 70)
    lost = {entry.block_id for entry in segments[2].entries}
    kept = {entry.block_id for s in segments for entry in s.entries} - lost
    report = rebuild_index(stores.url)
    assert report.damaged == (f"{pack}:{segments[2].offset} to {segments[3].offset}",)
    blocks = stores.open().blocks
    assert set(contents(blocks)) == kept
    blocks.put_many(noise(2) + noise(102, 300))
    blocks.put_many(noise(202, 900), BlockKind.MAP)
    blocks.commit()
    assert set(contents(blocks)) == kept | lost


def test_rebuilding_takes_nothing_from_a_block_that_looks_like_a_segment(stores):
    """A tenant may store the bytes of a segment; its table must not name blocks."""
    stores.create()
    blocks = stores.open().blocks
    first = blocks.put_many(noise(1, 3000))
    blocks.commit()
    stores.close_all()
    (segment,) = segments_of(stores)
    forged = bytearray(stores.packs()[0].read_bytes()[segment.offset : segment.end])
    forged[4096 + 10] ^= 1  # other bytes under the old id
    blocks = stores.open().blocks
    blocks.put_many(forged)
    blocks.commit()
    third = blocks.put_many(noise(3))
    blocks.commit()
    stores.close_all()
    flip(stores.packs()[0], segments_of(stores)[1].offset)
    rebuild_index(stores.url)
    blocks = stores.open().blocks
    assert set(contents(blocks)) == {first[0], third[0]}


def test_rebuilding_leaves_out_what_is_torn_behind_the_last_sync(stores):
    stores.create()
    fill(stores)
    stores.close_all()
    last = segments_of(stores)[-1]
    flip(stores.packs()[0], last.end - 5000)
    report = rebuild_index(stores.url)
    assert report.damaged == (f"{stores.packs()[0]}:{last.offset}",)
    blocks = stores.open().blocks
    assert not any(blocks.contains_many([entry.block_id for entry in last.entries]))


def test_pack_of_another_store_is_not_taken(stores, tmp_path):
    other = type(stores)(tmp_path / "other")
    other.create()
    fill(other)
    other.close_all()
    stores.create()
    fill(stores)
    stores.close_all()
    stranger = stores.packs()[0].parent / "00000005"
    shutil.copy(other.packs()[0], stranger)
    report = rebuild_index(stores.url)
    assert len(report.damaged) == 1
    assert str(stranger) in report.damaged[0]
    stores.open().blocks.put_many(noise(999))
    assert stranger.read_bytes() == other.packs()[0].read_bytes()


def test_rebuilding_needs_the_store_for_itself(stores):
    stores.create()
    stores.open(read_only=True)
    with pytest.raises(StoreUnavailable, match="in use"):
        rebuild_index(stores.url)
    stores.close_all()
    rebuild_index(stores.url)


def test_rebuilding_again_after_it_was_interrupted(stores):
    stores.create()
    before = records(fill(stores))
    stores.close_all()
    (stores.directory / "index.new").mkdir()
    (stores.directory / "index.new" / "data.mdb").write_bytes(b"half")
    shutil.rmtree(stores.directory / "index")
    rebuild_index(stores.url)
    assert records(stores.open().blocks) == before


def test_heads_come_back_with_the_index(stores):
    stores.create()
    heads = stores.open().heads
    heads.update([HeadChange("volume", 0, b"value")])
    before = heads.get("volume")
    stores.close_all()
    shutil.rmtree(stores.directory / "index")
    assert rebuild_index(stores.url).head_count == 1
    assert stores.open().heads.get("volume") == before
    assert (stores.directory.stat().st_mode & 0o777) == 0o700


def test_rebuilding_finds_the_blocks_of_a_pack_without_its_header(stores):
    stores.create()
    blocks = stores.open().blocks
    ids = blocks.put_many(b"".join(noise(seed) for seed in range(150)))
    blocks.commit()
    stores.close_all()
    (pack,) = stores.packs()
    flip(pack, 20)
    report = rebuild_index(stores.url)
    assert report.damaged == (f"{pack}:0 to 4096",)
    blocks = stores.open().blocks
    assert [blocks.get(block_id) for block_id in ids] == [noise(seed) for seed in range(150)]
    (more,) = blocks.put_many(noise(900))
    blocks.commit()
    assert blocks.get(more) == noise(900)


def test_rebuilding_names_what_it_cannot_read_at_the_end(stores):
    stores.create()
    blocks = stores.open().blocks
    blocks.put_many(noise(1))
    blocks.commit()
    (pack,) = stores.packs()
    end = pack.stat().st_size
    blocks.put_many(noise(2))
    blocks.commit()
    stores.close_all()
    flip(pack, end + 70)
    size = pack.stat().st_size
    assert rebuild_index(stores.url).damaged == (f"{pack}:{end} to {size}",)


def test_unreadable_tail_bars_neither_opening_nor_writing(stores, torn, monkeypatch):
    real = os.preadv

    def preadv(descriptor, buffers, offset):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    blocks = stores.open().blocks
    blocks.put_many(noise(900))
    blocks.commit()
    assert len(stores.packs()) == 2
