"""Other processes act between what an operation reads and what it writes."""

from __future__ import annotations

import pytest

from archipelago import Catalog, NameTaken, VolumeNotFound
from archipelago.records import decode_layer, decode_volume
from blockstore import HeadConflict, LeaseLost


class InterruptedHeads:
    """The heads of a store; `meanwhile` happens once, just before an update."""

    def __init__(self, heads):
        self.heads = heads
        self.meanwhile = None

    def __getattr__(self, name):
        return getattr(self.heads, name)

    def update(self, changes):
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return self.heads.update(changes)


class InterruptedLeases:
    """The leases of a store; `meanwhile` happens once, just before one is taken."""

    def __init__(self, leases):
        self.leases = leases
        self.meanwhile = None

    def __getattr__(self, name):
        return getattr(self.leases, name)

    def acquire(self, name, holder, *, seize=False):
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return self.leases.acquire(name, holder, seize=seize)


class InterruptedStore:
    def __init__(self, store):
        self.heads = InterruptedHeads(store.heads)
        self.leases = InterruptedLeases(store.leases)
        self.blocks, self.extents = store.blocks, store.extents
        self.info = store.info


@pytest.fixture
def other(store):
    """What another process does, does this catalog."""
    other = Catalog(store)
    other.create("v", 8192)
    with other.open("v") as volume:
        volume.write(0, b"then")
    other.snapshot("v@s")
    return other


@pytest.fixture
def interrupted(store):
    return InterruptedStore(store)


@pytest.fixture
def catalog(interrupted):
    return Catalog(interrupted)


def read(catalog: Catalog, name: str) -> bytes:
    with catalog.open(name, read_only=True) as volume:
        return volume.read(0, 4)


def check_users(catalog: Catalog) -> None:
    heads = catalog.store.heads
    for head in heads.list("layer/"):
        for user in decode_layer(head.name, head.value).users:
            assert heads.get(user) is not None


def test_a_source_deleted_before_its_clone_is_there(other, interrupted, catalog):
    for sealed in (False, True):
        if sealed:
            other.snapshot("v@s")
            other.seal_pending()
        interrupted.heads.meanwhile = lambda: other.delete("v@s")
        with pytest.raises(VolumeNotFound):
            catalog.clone("v@s", "c")
        assert [info.name for info in catalog.list()] == ["v"]
        check_users(catalog)


def test_a_source_sealed_before_its_clone_is_there(other, interrupted, catalog):
    interrupted.heads.meanwhile = other.seal_pending
    catalog.clone("v@s", "c")
    assert catalog.info("c").frozen == 0
    assert read(catalog, "c") == b"then"


def test_a_clone_made_before_its_layers_are_sealed(other, interrupted, catalog):
    interrupted.heads.meanwhile = lambda: other.clone("v@s", "c")
    catalog.seal("v@s")
    assert catalog.info("c").frozen == 0
    assert read(catalog, "c") == read(catalog, "v") == b"then"
    assert catalog.store.extents.list() == []


def test_a_layer_that_two_seal_at_a_time(other, interrupted, catalog):
    interrupted.heads.meanwhile = lambda: other.seal("v")
    catalog.seal("v")
    assert catalog.info("v").root == catalog.info("v@s").root
    assert read(catalog, "v") == b"then"


def test_a_snapshot_deleted_before_a_rollback(other, interrupted, catalog):
    interrupted.heads.meanwhile = lambda: other.delete("v@s")
    with pytest.raises(VolumeNotFound):
        catalog.rollback("v@s")
    assert read(catalog, "v") == b"then"
    check_users(catalog)


def test_a_snapshot_of_an_open_volume_while_another_seals_it(other, interrupted, catalog):
    with catalog.open("v") as volume:
        volume.write(0, b"now!")
        # The first update announces the new layer; the second is the snapshot itself.
        interrupted.heads.meanwhile = lambda: setattr(
            interrupted.heads, "meanwhile", lambda: other.seal("v@s")
        )
        volume.snapshot("t")
        volume.write(0, b"next")
        assert volume.read(0, 4) == b"next"
    assert read(catalog, "v@t") == b"now!"
    assert read(catalog, "v@s") == b"then"
    catalog.seal_pending()
    assert read(catalog, "v@t") == b"now!"


def test_a_name_taken_at_the_last_moment(other, interrupted, catalog):
    interrupted.heads.meanwhile = lambda: other.create("n", 512)
    with pytest.raises(NameTaken):
        catalog.create("n", 1024)
    assert catalog.info("n").size == 512
    interrupted.heads.meanwhile = lambda: other.rename("v@s", "v@t")
    with pytest.raises(NameTaken):
        catalog.snapshot("v@t")


def test_a_snapshot_whose_name_is_taken_leaves_the_volume_working(other, interrupted, catalog):
    with catalog.open("v") as volume:
        volume.write(0, b"now!")
        with pytest.raises(NameTaken):
            volume.snapshot("s")
        volume.write(4, b"more")
        volume.flush()
        assert len(catalog.store.extents.list()) == 2
    assert read(catalog, "v") == b"now!"


def test_who_never_gets_through_gives_up(other, interrupted, catalog):
    def again() -> None:
        other.rename("v@s", "v@x")
        other.rename("v@x", "v@s")
        interrupted.heads.meanwhile = again

    interrupted.heads.meanwhile = again
    with pytest.raises(HeadConflict):
        catalog.clone("v@s", "c")
    assert [info.name for info in other.list()] == ["v"]


def test_an_open_volume_deleted_by_force_is_refused_to_go_on(other, interrupted, catalog):
    volume = catalog.open("v")
    taken = other.open("v", seize=True)
    taken.close()
    other.delete("v", with_snapshots=True)
    with pytest.raises(LeaseLost):
        volume.snapshot("t")
    volume.close()
    assert other.list() == []
    assert other.sweep_layers(age_s=0) == 0


def test_another_volume_of_the_name_is_not_taken_for_the_one_asked_for(other, interrupted, catalog):
    def replace() -> None:
        other.delete("v", with_snapshots=True)
        other.create("v", 512)

    interrupted.leases.meanwhile = replace
    with pytest.raises(VolumeNotFound):
        catalog.delete("v")
    assert catalog.info("v").size == 512
    assert catalog.info("v").holder is None


def test_who_dies_between_taking_a_lease_and_forking_leaves_the_fork_to_the_next(
    other, interrupted, catalog
):
    def die() -> None:
        raise KeyboardInterrupt

    with other.open("v") as alive:
        alive.write(0, b"kept")
        alive.flush()
        interrupted.leases.meanwhile = die
        with pytest.raises(KeyboardInterrupt):
            catalog.open("v", seize=True)
        [before] = [layer for layer in catalog.store.extents.list() if layer == alive_top(other)]
    with catalog.open("v") as volume:
        assert alive_top(other) != before
        assert volume.read(0, 4) == b"kept"
        after = alive_top(other)
    with catalog.open("v"):
        assert alive_top(other) == after
    assert before not in catalog.store.extents.list()


def alive_top(catalog: Catalog) -> str | None:
    head_name = "volume/" + catalog.info("v").id
    return decode_volume(head_name, catalog.store.heads.get(head_name).value).top
