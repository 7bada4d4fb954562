"""What every `interface.Extents` and `interface.Layer` does."""

import random
import threading

import pytest

from blockstore.errors import NotFound, StoreUsageError
from blockstore.interface import PAGE_SIZE, PageState, Run

P = PAGE_SIZE
INHERIT, DATA, ZERO = PageState.INHERIT, PageState.DATA, PageState.ZERO
TIB = 2**40


def page(number):
    return number.to_bytes(8, "little") * (P // 8)


def read(layer, offset, length):
    out = bytearray(b"\xee" * length)
    layer.read_into(offset, memoryview(out))
    return bytes(out)


def shape(layer):
    """The runs of the whole layer, as (pages, state)."""
    return [(run.length // P, run.state) for run in layer.runs(0, layer.size)]


class ExtentsContract:
    @pytest.fixture
    def extents(self, store_factory):
        store_factory.create()
        return store_factory.open().extents

    @pytest.fixture
    def layer(self, extents):
        extents.create("a1", 64 * P)
        layer = extents.open("a1", writable=True)
        yield layer
        layer.close()

    def reopened(self, store_factory, layer_id="a1", writable=False):
        store_factory.close_all()
        return store_factory.layer(store_factory.open().extents, layer_id, writable)

    def test_new_layer_inherits_everything(self, layer):
        assert (layer.layer_id, layer.size) == ("a1", 64 * P)
        assert layer.runs(0, 64 * P) == [Run(0, 64 * P, INHERIT)]
        assert layer.stored_bytes() == 0

    def test_create_is_durable(self, extents, store_factory):
        extents.create("a1", 5 * P)
        assert self.reopened(store_factory).size == 5 * P

    def test_create_of_an_existing_one(self, layer, extents):
        layer.write(0, page(1))
        with pytest.raises(StoreUsageError):
            extents.create("a1", P)
        assert (layer.size, read(layer, 0, P)) == (64 * P, page(1))

    @pytest.mark.parametrize("size", [1, P - 1, P + 512, -P])
    def test_sizes_that_cannot_be(self, extents, size):
        with pytest.raises(StoreUsageError):
            extents.create("a1", size)
        assert extents.list() == []

    @pytest.mark.parametrize("layer_id", ["", "x" * 65, "../a", "a/b", "a\0", "ä", "."])
    def test_ids_that_cannot_be(self, extents, layer_id):
        with pytest.raises(StoreUsageError):
            extents.create(layer_id, P)
        with pytest.raises(StoreUsageError):
            extents.open(layer_id, writable=False)

    def test_open_of_an_absent_one(self, extents):
        with pytest.raises(NotFound):
            extents.open("nobody", writable=False)
        with pytest.raises(NotFound):
            extents.open("nobody", writable=True)
        with pytest.raises(NotFound):
            extents.fork("nobody", "other")

    def test_write_and_read(self, layer):
        layer.write(3 * P, page(3) + page(4))
        assert read(layer, 3 * P, 2 * P) == page(3) + page(4)
        assert shape(layer) == [(3, INHERIT), (2, DATA), (59, INHERIT)]
        assert layer.stored_bytes() == 2 * P

    def test_overwrite(self, layer):
        layer.write(0, page(1) + page(2) + page(3))
        layer.write(P, page(9))
        assert read(layer, 0, 3 * P) == page(1) + page(9) + page(3)
        assert layer.stored_bytes() == 3 * P

    @pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
    def test_any_buffer_and_no_reference_kept(self, layer, wrap):
        data = bytearray(page(7))
        layer.write(0, wrap(data))
        data[:] = bytes(P)
        assert read(layer, 0, P) == page(7)

    def test_buffer_of_wider_items(self, layer):
        layer.write(0, memoryview(page(5)).cast("Q"))
        assert read(layer, 0, P) == page(5)
        assert layer.stored_bytes() == P

    def test_written_nuls_are_data(self, layer):
        layer.write(0, bytes(P))
        assert shape(layer) == [(1, DATA), (63, INHERIT)]
        assert read(layer, 0, P) == bytes(P)

    def test_zero(self, layer):
        layer.write(0, page(1) * 8)
        layer.zero(2 * P, 4 * P)
        layer.zero(10 * P, P)
        assert shape(layer) == [
            (2, DATA), (4, ZERO), (2, DATA), (2, INHERIT), (1, ZERO), (53, INHERIT),
        ]  # fmt: skip
        assert layer.stored_bytes() == 4 * P
        assert read(layer, 0, 2 * P) == page(1) * 2
        assert read(layer, 6 * P, 2 * P) == page(1) * 2

    def test_write_after_zero(self, layer):
        layer.zero(0, 4 * P)
        layer.write(P, page(2))
        assert shape(layer) == [(1, ZERO), (1, DATA), (2, ZERO), (60, INHERIT)]
        assert read(layer, P, P) == page(2)

    def test_allocate_makes_nuls(self, layer):
        layer.write(P, page(1))
        layer.allocate(0, 3 * P)
        assert shape(layer) == [(3, DATA), (61, INHERIT)]
        assert read(layer, 0, 3 * P) == bytes(3 * P)
        assert layer.stored_bytes() == 3 * P

    def test_runs_cover_the_range_exactly(self, layer):
        layer.write(4 * P, page(1) * 4)
        layer.zero(8 * P, 2 * P)
        assert layer.runs(5 * P, 4 * P) == [Run(5 * P, 3 * P, DATA), Run(8 * P, P, ZERO)]
        assert layer.runs(0, 5 * P) == [Run(0, 4 * P, INHERIT), Run(4 * P, P, DATA)]
        assert layer.runs(6 * P, 0) == []
        assert layer.runs(63 * P, P) == [Run(63 * P, P, INHERIT)]

    def test_empty_ranges(self, layer):
        layer.write(64 * P, b"")
        layer.zero(0, 0)
        layer.allocate(0, 0)
        layer.read_into(0, memoryview(bytearray()))
        assert shape(layer) == [(64, INHERIT)]

    @pytest.mark.parametrize(
        ("offset", "length"),
        [
            (1, P),
            (0, 1),
            (512, 512),
            (P, P - 1),
            (-P, P),
            (64 * P, P),
            (63 * P, 2 * P),
            (0, 65 * P),
        ],
    )
    def test_ranges_that_cannot_be(self, layer, offset, length):
        for act in (
            lambda: layer.write(offset, bytes(length)),
            lambda: layer.zero(offset, length),
            lambda: layer.allocate(offset, length),
            lambda: layer.runs(offset, length),
            lambda: layer.read_into(offset, memoryview(bytearray(length))),
        ):
            with pytest.raises(StoreUsageError):
                act()
        assert shape(layer) == [(64, INHERIT)]

    def test_flushed_is_there_after_reopening(self, layer, store_factory):
        layer.write(0, page(1) + page(2))
        layer.zero(5 * P, 2 * P)
        layer.allocate(20 * P, P)
        layer.flush()
        again = self.reopened(store_factory)
        expected = [
            (2, DATA), (3, INHERIT), (2, ZERO), (13, INHERIT), (1, DATA), (43, INHERIT),
        ]  # fmt: skip
        assert shape(again) == expected
        assert again.stored_bytes() == 3 * P
        assert read(again, 0, 2 * P) == page(1) + page(2)
        assert read(again, 20 * P, P) == bytes(P)

    def test_many_flushes_and_reopening(self, layer, store_factory):
        for step in range(30):
            layer.write(step * 2 * P, page(step))
            layer.flush()
        layer.flush()
        again = self.reopened(store_factory, writable=True)
        assert again.stored_bytes() == 30 * P
        again.zero(0, P)
        again.write(2 * P, page(99))
        again.flush()
        third = self.reopened(store_factory)
        assert third.runs(0, 3 * P) == [
            Run(0, P, ZERO), Run(P, P, INHERIT), Run(2 * P, P, DATA),
        ]  # fmt: skip
        assert read(third, 2 * P, P) == page(99)
        assert read(third, 4 * P, P) == page(2)

    def test_flush_by_many_threads(self, layer, store_factory):
        failures = []
        start = threading.Barrier(4)

        def work(worker):
            try:
                start.wait()
                for step in range(8):
                    layer.write((worker * 16 + step) * P, page(worker * 100 + step))
                    layer.flush()
            except BaseException as failure:  # noqa: BLE001 - reported by the main thread
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        again = self.reopened(store_factory)
        assert shape(again) == [(8, DATA), (8, INHERIT)] * 4
        for worker in range(4):
            for step in range(8):
                assert read(again, (worker * 16 + step) * P, P) == page(worker * 100 + step)

    def test_reader_cannot_write(self, layer, extents):
        layer.flush()
        reader = extents.open("a1", writable=False)
        for act in (
            lambda: reader.write(0, page(1)),
            lambda: reader.zero(0, P),
            lambda: reader.allocate(0, P),
            lambda: reader.resize(P),
            lambda: reader.flush(),
        ):
            with pytest.raises(StoreUsageError):
                act()
        reader.close()

    def test_grow(self, layer, store_factory):
        layer.write(63 * P, page(1))
        layer.flush()
        layer.resize(100 * P)
        assert layer.size == 100 * P
        assert layer.runs(62 * P, 38 * P) == [
            Run(62 * P, P, INHERIT), Run(63 * P, P, DATA), Run(64 * P, 36 * P, INHERIT),
        ]  # fmt: skip
        again = self.reopened(store_factory)
        assert (again.size, again.stored_bytes()) == (100 * P, P)

    def test_shrink_forgets_what_is_beyond(self, layer, store_factory):
        layer.write(0, page(1) * 64)
        layer.zero(40 * P, 4 * P)
        layer.flush()
        layer.resize(10 * P)
        assert shape(layer) == [(10, DATA)]
        assert layer.stored_bytes() == 10 * P
        with pytest.raises(StoreUsageError):
            layer.runs(0, 11 * P)
        layer.resize(64 * P)
        assert shape(layer) == [(10, DATA), (54, INHERIT)]
        again = self.reopened(store_factory)
        assert shape(again) == [(10, DATA), (54, INHERIT)]
        assert read(again, 0, 10 * P) == page(1) * 10

    def test_resize_is_durable_at_once(self, layer, store_factory):
        layer.resize(10 * P)
        layer.resize(30 * P)
        assert self.reopened(store_factory).size == 30 * P

    @pytest.mark.parametrize("size", [1, P + 1, -P])
    def test_resize_to_what_cannot_be(self, layer, size):
        with pytest.raises(StoreUsageError):
            layer.resize(size)
        assert layer.size == 64 * P

    def test_close_twice(self, layer):
        layer.close()
        layer.close()
        with pytest.raises(StoreUsageError):
            layer.write(0, page(1))

    def test_fork(self, layer, extents, store_factory):
        layer.write(0, page(1) + page(2))
        layer.zero(8 * P, P)
        layer.flush()
        extents.fork("a1", "b2")
        layer.write(0, page(100))
        layer.write(20 * P, page(101))
        layer.zero(P, P)
        layer.flush()
        copy = self.reopened(store_factory, "b2", writable=True)
        assert shape(copy) == [(2, DATA), (6, INHERIT), (1, ZERO), (55, INHERIT)]
        assert read(copy, 0, 2 * P) == page(1) + page(2)
        copy.write(0, page(50))
        copy.flush()
        old = self.reopened(store_factory, "a1")
        assert read(old, 0, P) == page(100)

    def test_fork_onto_an_existing_one(self, layer, extents):
        extents.create("b2", P)
        with pytest.raises(StoreUsageError):
            extents.fork("a1", "b2")

    def test_delete(self, extents):
        extents.create("a1", P)
        extents.create("b2", P)
        extents.delete("a1")
        assert extents.list() == ["b2"]
        with pytest.raises(NotFound):
            extents.open("a1", writable=False)
        extents.delete("a1")
        extents.create("a1", 2 * P)
        layer = extents.open("a1", writable=False)
        assert (layer.size, shape(layer)) == (2 * P, [(2, INHERIT)])
        layer.close()

    def test_reader_of_a_deleted_layer_goes_on(self, layer, extents):
        layer.write(0, page(1) + page(2))
        layer.flush()
        reader = extents.open("a1", writable=False)
        extents.delete("a1")
        assert read(reader, 0, 2 * P) == page(1) + page(2)
        reader.close()

    def test_list_is_in_order(self, extents):
        for layer_id in ("b2", "a1", "ab12", "ff" * 32, "x", "A"):
            extents.create(layer_id, P)
        assert extents.list() == sorted(["b2", "a1", "ab12", "ff" * 32, "x", "A"])

    def test_a_sparse_giant(self, extents, store_factory):
        size = 64 * TIB
        extents.create("a1", size)
        layer = extents.open("a1", writable=True)
        spots = [0, TIB - P, TIB, 16 * TIB - P, 33 * TIB + 8 * P, size - P]
        for spot in spots:
            layer.write(spot, page(spot))
        layer.zero(40 * TIB, 20 * TIB)
        layer.write(TIB - 2 * P, page(1) + page(2) + page(3))
        layer.flush()
        layer.close()
        again = self.reopened(store_factory)
        assert again.stored_bytes() == 7 * P
        for spot in (0, 16 * TIB - P, 33 * TIB + 8 * P, size - P):
            assert read(again, spot, P) == page(spot)
        assert read(again, TIB - 2 * P, 3 * P) == page(1) + page(2) + page(3)
        runs = [run for run in again.runs(0, size) if run.state is not INHERIT]
        assert runs == [
            Run(0, P, DATA), Run(TIB - 2 * P, 3 * P, DATA), Run(16 * TIB - P, P, DATA),
            Run(33 * TIB + 8 * P, P, DATA), Run(40 * TIB, 20 * TIB, ZERO), Run(size - P, P, DATA),
        ]  # fmt: skip

    @pytest.mark.parametrize("seed", [1, 2])
    def test_random_steps_against_an_oracle(self, layer, store_factory, seed):
        random_ = random.Random(seed)
        states, content = [INHERIT] * 64, [bytes(P)] * 64
        for step in range(150):
            first = random_.randrange(64)
            count = random_.randint(1, min(9, 64 - first))
            pages = range(first, first + count)
            act = random_.choice(["write", "write", "zero", "allocate", "flush", "reopen"])
            if act == "write":
                data = [page(step * 100 + number) for number in pages]
                layer.write(first * P, b"".join(data))
                states[first : first + count], content[first : first + count] = [DATA] * count, data
            elif act in ("zero", "allocate"):
                getattr(layer, act)(first * P, count * P)
                states[first : first + count] = [ZERO if act == "zero" else DATA] * count
                content[first : first + count] = [bytes(P)] * count
            else:
                layer.flush()
                if act == "reopen":
                    layer = self.reopened(store_factory, writable=True)
            found = [s for run in layer.runs(0, 64 * P) for s in [run.state] * (run.length // P)]
            assert found == states, f"seed {seed} step {step}"
        for number in range(64):
            if states[number] is DATA:
                assert read(layer, number * P, P) == content[number], f"seed {seed} page {number}"
        assert layer.stored_bytes() == states.count(DATA) * P
