"""What every `interface.Leases` does."""

import contextlib
import threading

import pytest

from blockstore.errors import LeaseHeld, LeaseLost, StoreUsageError


class LeasesContract:
    @pytest.fixture
    def leases(self, store_factory):
        store_factory.create()
        return store_factory.open().leases

    def test_acquire(self, leases):
        lease = leases.acquire("volume", "me")
        assert (lease.name, lease.holder, lease.seized) == ("volume", "me", False)
        leases.check(lease)
        assert leases.holder("volume") == "me"

    def test_free(self, leases):
        assert leases.holder("volume") is None

    def test_held(self, leases):
        lease = leases.acquire("volume", "me")
        with pytest.raises(LeaseHeld) as caught:
            leases.acquire("volume", "you")
        assert (caught.value.name, caught.value.holder) == ("volume", "me")
        with pytest.raises(LeaseHeld):
            leases.acquire("volume", "me")
        leases.check(lease)

    def test_names_are_apart(self, leases):
        one, other = leases.acquire("a", "me"), leases.acquire("b", "you")
        leases.release(one)
        leases.check(other)
        assert (leases.holder("a"), leases.holder("b")) == (None, "you")

    def test_release_and_again(self, leases):
        first = leases.acquire("volume", "me")
        leases.release(first)
        assert leases.holder("volume") is None
        second = leases.acquire("volume", "you")
        assert second.epoch > first.epoch
        assert not second.seized
        with pytest.raises(LeaseLost):
            leases.check(first)
        leases.release(first)
        leases.check(second)
        assert leases.holder("volume") == "you"

    def test_seize_of_a_held_one(self, leases):
        old = leases.acquire("volume", "me")
        new = leases.acquire("volume", "you", seize=True)
        assert new.seized
        assert new.epoch > old.epoch
        with pytest.raises(LeaseLost) as caught:
            leases.check(old)
        assert caught.value.name == "volume"
        leases.release(old)
        leases.check(new)
        assert leases.holder("volume") == "you"
        with pytest.raises(LeaseHeld):
            leases.acquire("volume", "me")

    def test_seize_of_a_free_one(self, leases):
        assert not leases.acquire("volume", "me", seize=True).seized

    def test_seize_twice(self, leases):
        leases.acquire("volume", "a")
        second = leases.acquire("volume", "b", seize=True)
        third = leases.acquire("volume", "c", seize=True)
        with pytest.raises(LeaseLost):
            leases.check(second)
        leases.check(third)
        leases.release(third)
        assert not leases.acquire("volume", "d").seized

    def test_exclusive_between_open_stores(self, store_factory):
        store_factory.create()
        one, other = store_factory.open(), store_factory.open()
        lease = one.leases.acquire("volume", "one")
        assert other.leases.holder("volume") == "one"
        with pytest.raises(LeaseHeld):
            other.leases.acquire("volume", "other")
        taken = other.leases.acquire("volume", "other", seize=True)
        assert taken.seized
        with pytest.raises(LeaseLost):
            one.leases.check(lease)

    def test_closing_frees(self, store_factory):
        store_factory.create()
        one, other = store_factory.open(), store_factory.open()
        lease = one.leases.acquire("volume", "one")
        one.close()
        assert other.leases.holder("volume") is None
        again = other.leases.acquire("volume", "other")
        assert not again.seized
        assert again.epoch > lease.epoch

    def test_epochs_grow_over_reopening(self, store_factory):
        store_factory.create()
        epochs = []
        for _ in range(3):
            store = store_factory.open()
            epochs.append(store.leases.acquire("volume", "me").epoch)
            store.close()
        assert epochs == sorted(set(epochs))

    @pytest.mark.parametrize("name", ["ü/ñ@x", " ", "x" * 480])
    def test_any_name(self, leases, name):
        lease = leases.acquire(name, "höst 1/pid 2")
        assert leases.holder(name) == "höst 1/pid 2"
        leases.release(lease)

    @pytest.mark.parametrize("name", ["", "a\0b", "x" * 481])
    def test_names_that_cannot_be(self, leases, name):
        with pytest.raises(StoreUsageError):
            leases.acquire(name, "me")

    def test_one_winner_among_threads(self, leases):
        won, start = [], threading.Barrier(6)

        def work(worker):
            start.wait()
            with contextlib.suppress(LeaseHeld):
                won.append(leases.acquire("volume", f"worker {worker}"))

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert leases.holder("volume") == won[0].holder
