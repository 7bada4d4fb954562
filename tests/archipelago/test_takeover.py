"""What an open volume makes of a stack that others have changed under it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from archipelago_stores import new_files_store

from archipelago import Catalog
from blockstore import LeaseLost


class WatchedExtents:
    """The layers of a store; notes which are opened for writing, and calls back after that."""

    def __init__(self, extents):
        self.extents = extents
        self.writable: list[str] = []
        self.after_open = lambda: None

    def __getattr__(self, name):
        return getattr(self.extents, name)

    def open(self, layer_id, *, writable):
        layer = self.extents.open(layer_id, writable=writable)
        if writable:
            self.writable.append(layer_id)
            self.after_open()
        return layer


class WatchedStore:
    def __init__(self, store):
        self.heads, self.leases, self.blocks = store.heads, store.leases, store.blocks
        self.info = store.info
        self.extents = WatchedExtents(store.extents)


def test_who_lost_a_volume_does_not_open_the_layer_of_its_new_owner(tmp_path):
    store = new_files_store(tmp_path / "store")
    watched = WatchedStore(store)
    former, other = Catalog(watched), Catalog(store)
    other.create("v", 8192)
    volume = former.open("v")
    taken = other.open("v", seize=True)
    taken.write(0, b"new")
    taken.flush()
    watched.extents.writable.clear()
    former.seal_pending()
    assert watched.extents.writable == []
    with pytest.raises(LeaseLost):
        volume.read(0, 3)
    volume.close()
    taken.close()
    store.close()


def test_who_lost_a_volume_while_opening_it_does_not_get_the_layer_of_its_new_owner(store):
    watched = WatchedStore(store)
    former, other = Catalog(watched), Catalog(store)
    other.create("v", 8192)
    other.open("v").close()
    taken = []

    def seize() -> None:
        watched.extents.after_open = lambda: None
        taken.append(other.open("v", seize=True))

    watched.extents.after_open = seize
    with pytest.raises(LeaseLost):
        former.open("v")
    [volume] = taken
    live = volume._record.top
    assert live not in watched.extents.writable
    volume.write(0, b"new")
    volume.close()


def test_who_lost_a_volume_before_its_layer_was_looked_at_is_told_so(store):
    other = Catalog(store)
    other.create("v", 8192)
    other.open("v").close()

    class SeizedBetween:
        """Takes the volume over when its record was read under the lease."""

        def __init__(self):
            self.reads = 0

        def __getattr__(self, name):
            return getattr(store.heads, name)

        def get(self, name):
            head = store.heads.get(name)
            self.reads += name.startswith("volume/")
            if self.reads == 2:
                self.reads += 1
                other.open("v", seize=True).close()
            return head

    watched = WatchedStore(store)
    watched.heads = SeizedBetween()
    with pytest.raises(LeaseLost):
        Catalog(watched).open("v")


def test_a_lost_volume_that_was_rolled_back_does_not_keep_others_from_being_sealed(store):
    former, other = Catalog(store), Catalog(store)
    for name in ("v", "w"):
        other.create(name, 8192)
    other.snapshot("v@empty")
    volume = former.open("v")
    volume.write(0, b"x")
    other.open("v", seize=True).close()
    other.rollback("v@empty")
    with other.open("w") as second:
        second.write(0, b"w")
    other.snapshot("w@s")
    assert former.seal_pending() == 1
    with pytest.raises(LeaseLost):
        volume.snapshot("t")
    volume.close()


def test_a_snapshot_of_a_rolled_back_volume_tells_that_it_is_lost(store):
    former, other = Catalog(store), Catalog(store)
    other.create("v", 8192)
    other.snapshot("v@empty")
    volume = former.open("v")
    volume.write(0, b"x")
    other.open("v", seize=True).close()
    other.rollback("v@empty")
    with pytest.raises(LeaseLost):
        volume.snapshot("t")
    volume.close()


def test_a_layer_sealed_elsewhere_as_soon_as_it_is_frozen(store):
    watched = WatchedStore(store)
    catalog, other = Catalog(watched), Catalog(store)
    other.create("v", 8192)
    with catalog.open("v") as volume:
        volume.write(0, b"then")
        heads = store.heads

        class SealingHeads:
            def __getattr__(self, name):
                return getattr(heads, name)

            def update(self, changes):
                versions = heads.update(changes)
                if any(change.name.startswith("snapshot/") for change in changes):
                    other.seal("v@s")
                return versions

        watched.heads = SealingHeads()
        volume.snapshot("s")
        watched.heads = heads
        volume.write(4, b"now!")
        volume.flush()
        assert volume.read(0, 8) == b"thennow!"
        catalog.seal_pending()
        assert volume.read(0, 8) == b"thennow!"
    assert store.extents.list() == [volume._record.top]


class GateAfterWhich:
    """A gate; whoever leaves it first is overtaken by `meanwhile`."""

    def __init__(self, gate, meanwhile):
        self.gate = gate
        self.meanwhile = meanwhile

    def __getattr__(self, name):
        return getattr(self.gate, name)

    @contextmanager
    def shared(self):
        try:
            with self.gate.shared():
                yield
        finally:
            meanwhile, self.meanwhile = self.meanwhile, lambda: None
            meanwhile()


def test_a_reader_whose_map_was_replaced_by_another_thread_while_he_failed(store):
    catalog, other = Catalog(store), Catalog(store)
    other.create("v", 65536)
    with other.open("v") as volume:
        volume.write(0, b"old")
        volume.write(4096, b"kept")
    other.snapshot("v@s")
    other.seal("v@s")
    old = other.maps.lookup(other.info("v@s").root, 0)
    with other.open("v") as volume:
        volume.write(0, b"new")
    other.snapshot("v@t")
    other.delete("v@s")
    with catalog.open("v@t", read_only=True) as reader:
        other.seal("v@t")
        store.blocks.discard([old])
        reader._gate = GateAfterWhich(reader._gate, reader.refresh)
        # A page that the frozen layer did not have: in the map that was, a block that is gone.
        assert reader.read(4096, 4) == b"kept"
