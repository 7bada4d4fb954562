"""An open volume: ranges, threads, live snapshots."""

from __future__ import annotations

import errno
import random
import sys
import threading

import pytest

from archipelago import Catalog, ExtentKind, InvalidArgument
from archipelago.lifecycle import FROZEN_LAYERS_MAX

SIZE = 400_384


@pytest.fixture
def catalog(store):
    catalog = Catalog(store)
    catalog.create("v", SIZE)
    return catalog


@pytest.mark.parametrize(
    ("offset", "length"), [(-1, 1), (0, SIZE + 1), (SIZE, 1), (SIZE + 1, 0), (2**70, 1), (5, -1)]
)
def test_ranges_outside_are_refused(catalog, offset, length):
    with catalog.open("v") as volume:
        for attempt in (
            lambda: volume.read(offset, length),
            lambda: volume.zero(offset, length),
            lambda: volume.discard(offset, length),
            lambda: volume.extents(offset, length),
        ):
            with pytest.raises(InvalidArgument, match=r"are not inside v"):
                attempt()
        if length >= 0:
            with pytest.raises(InvalidArgument, match=r"are not inside v"):
                volume.write(offset, bytes(length))
        assert volume.read(0, SIZE) == bytes(SIZE)


def test_nothing_at_all_is_fine_anywhere_inside(catalog):
    with catalog.open("v") as volume:
        for offset in (0, 1, SIZE):
            volume.write(offset, b"")
            volume.zero(offset, 0)
            assert volume.read(offset, 0) == b""
            assert volume.extents(offset, 0) == []


def test_a_closed_volume_refuses_everything(catalog):
    volume = catalog.open("v")
    volume.close()
    volume.close()
    volume.refresh()
    for attempt in (
        lambda: volume.read(0, 1),
        lambda: volume.write(0, b"x"),
        volume.flush,
        lambda: volume.extents(0, 1),
        lambda: volume.snapshot("s"),
        lambda: volume.clone("c"),
        lambda: volume.resize(512, shrink=True),
    ):
        with pytest.raises(InvalidArgument, match="closed"):
            attempt()


def test_any_buffer_can_be_written(catalog):
    with catalog.open("v") as volume:
        volume.write(3, bytearray(b"one"))
        volume.write(4096, memoryview(bytes(8192)).cast("I"))
        volume.write(10_000, memoryview(b"-two-")[1:4])
        assert volume.read(3, 3) == b"one"
        assert volume.read(10_000, 3) == b"two"


def test_discarding_nothing_leaves_no_trace(catalog):
    with catalog.open("v") as volume:
        volume.discard(0, SIZE)
        volume.zero(100, 5000)
        assert [extent.kind for extent in volume.extents(0, SIZE)] == [ExtentKind.HOLE]
        volume.write(8192, b"x" * 4096)
        volume.discard(8192, 4000)
        volume.discard(8192 + 4000, 96)
        assert all(extent.kind is not ExtentKind.DATA for extent in volume.extents(0, SIZE))


def test_writers_of_parts_of_one_page_do_not_undo_each_other(catalog):
    """Threads own interleaved pieces of the same pages, smaller and larger than a page."""
    rounds, pieces, length = 40, 8, 600
    errors = []
    start = threading.Barrier(pieces)

    def work(volume, number):
        chance = random.Random(number)
        mine = range(number * length, 24_000 - length, pieces * length)
        start.wait()
        for turn in range(1, rounds + 1):
            for offset in mine:
                data = bytes([number * 16 + turn % 16]) * length
                if chance.random() < 0.2:
                    volume.zero(offset, length)
                volume.write(offset, data)
                if volume.read(offset, length) != data:
                    errors.append((number, turn, offset))
        volume.flush()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    with catalog.open("v") as volume:
        threads = [threading.Thread(target=work, args=(volume, n)) for n in range(pieces)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
        assert errors == []
        for number in range(pieces):
            for offset in range(number * length, 24_000 - length, pieces * length):
                expected = bytes([number * 16 + rounds % 16]) * length
                assert volume.read(offset, length) == expected


def test_snapshots_under_load_hold_one_moment(catalog):
    """A writer stamps the pages in order with growing numbers: any moment is a staircase."""
    pages = 20
    stop, progress = threading.Event(), threading.Event()
    stamped = []

    def stamp(volume):
        number = 0
        while not stop.is_set():
            number += 1
            for page in range(pages):
                volume.write(page * 4096, number.to_bytes(4) * 1024)
            stamped.append(number)
            progress.set()

    with catalog.open("v") as volume:
        writer = threading.Thread(target=stamp, args=(volume,))
        writer.start()
        acknowledged = []
        for index in range(12):
            progress.clear()
            assert progress.wait(20)
            before = len(stamped)
            volume.snapshot(f"s{index}")
            acknowledged.append(before)
            if index % 3 == 2:
                catalog.seal_pending()
            volume.clone(f"c{index}")
        stop.set()
        writer.join()
    catalog.seal_pending()
    for index, least in enumerate(acknowledged):
        with catalog.open(f"v@s{index}", read_only=True) as snapshot:
            found = [int.from_bytes(snapshot.read(page * 4096, 4)) for page in range(pages)]
        assert sorted(found, reverse=True) == found
        assert found[0] - found[-1] <= 1
        assert found[-1] >= least


def test_many_snapshots_do_not_pile_up_layers(catalog):
    with catalog.open("v") as volume:
        for index in range(FROZEN_LAYERS_MAX + 5):
            volume.write(index * 4096, b"%d" % index)
            volume.snapshot(f"s{index}")
            assert volume.clone(f"c{index}").frozen <= FROZEN_LAYERS_MAX
        assert catalog.info("v").frozen <= FROZEN_LAYERS_MAX
    for index in range(FROZEN_LAYERS_MAX + 5):
        catalog.snapshot(f"v@t{index}")
        with catalog.open("v") as volume:
            volume.write(0, b"%d" % index)
    assert catalog.info("v").frozen <= FROZEN_LAYERS_MAX


def test_an_idle_volume_takes_snapshots_without_new_layers(catalog):
    with catalog.open("v") as volume:
        volume.write(0, b"x")
        for index in range(5):
            volume.snapshot(f"s{index}")
    assert len(catalog.store.extents.list()) == 2


def test_another_catalog_seals_below_an_open_snapshot_and_volume(catalog):
    with catalog.open("v") as volume:
        volume.write(0, b"one")
        volume.snapshot("s")
        volume.write(70_000, b"two")
        with catalog.open("v@s", read_only=True) as snapshot:
            Catalog(catalog.store).seal("v")
            assert snapshot.read(0, 3) == b"one"
            assert volume.read(70_000, 3) == b"two"
            assert catalog.seal_pending() == 0
            assert snapshot.read(0, 3) == b"one"
            volume.snapshot("t")
            volume.resize(2 * SIZE)
        assert volume.read(0, 3) == b"one"
    assert catalog.info("v").size == 2 * SIZE


def test_a_reader_elsewhere_outlives_sealing_and_collection(catalog):
    with catalog.open("v") as volume:
        volume.write(0, b"a" * 65536)
    catalog.snapshot("v@s")
    catalog.seal_pending()
    with catalog.open("v") as volume:
        volume.write(4096, b"b")
    catalog.snapshot("v@t")
    before = catalog.info("v@t").root
    other = Catalog(catalog.store)
    with catalog.open("v@t", read_only=True) as snapshot, catalog.open("v") as volume:
        other.delete("v@s")
        other.seal("v@t")
        catalog.store.blocks.discard([before.block_id])
        assert snapshot.read(4095, 3) == b"aba"
        volume.write(9000, b"c")
        assert volume.read(8999, 3) == b"aca"


def test_a_snapshot_deleted_elsewhere_is_read_to_the_end(catalog):
    with catalog.open("v") as volume:
        volume.write(0, b"a")
    catalog.snapshot("v@s")
    with catalog.open("v@s", read_only=True) as snapshot:
        Catalog(catalog.store).delete("v@s")
        assert catalog.seal_pending() == 1
        assert snapshot.read(0, 2) == b"a\0"
    assert catalog.sweep_layers(age_s=0) == 0


class FlushFails:
    """A layer whose medium fails at flush."""

    def __init__(self, layer):
        self.layer = layer
        self.failing = False

    def __getattr__(self, name):
        return getattr(self.layer, name)

    def flush(self):
        if self.failing:
            raise OSError(errno.EIO, "the medium failed")
        self.layer.flush()


class ExtentsThatFail:
    def __init__(self, extents):
        self.extents = extents
        self.opened = []

    def __getattr__(self, name):
        return getattr(self.extents, name)

    def open(self, layer_id, *, writable):
        self.opened.append(FlushFails(self.extents.open(layer_id, writable=writable)))
        return self.opened[-1]


def test_after_a_failed_flush_nothing_is_acknowledged(catalog, monkeypatch):
    extents = ExtentsThatFail(catalog.store.extents)
    monkeypatch.setattr(catalog.store, "extents", extents)
    volume = catalog.open("v")
    volume.write(0, b"x")
    for layer in extents.opened:
        layer.failing = True
    with pytest.raises(OSError, match="medium failed"):
        volume.snapshot("s")
    for layer in extents.opened:
        layer.failing = False
    for attempt in (
        volume.flush,
        lambda: volume.read(0, 1),
        lambda: volume.write(0, b"y"),
        lambda: volume.snapshot("s"),
        lambda: volume.resize(2 * SIZE),
    ):
        with pytest.raises(OSError, match="must be reopened"):
            attempt()
    volume.close()
    assert catalog.snapshots("v") == []
    with catalog.open("v") as again:
        again.write(0, b"z")
        again.snapshot("s")
    assert catalog.sweep_layers(age_s=0) == 0
