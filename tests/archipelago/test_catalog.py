"""The life of volumes and snapshots: names, sizes, refusals, sharing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from archipelago_stores import new_files_store

from archipelago import (
    EMPTY_MAP,
    Catalog,
    InvalidArgument,
    MapRoot,
    NameTaken,
    VolumeBusy,
    VolumeNotFound,
    VolumeReadOnly,
)
from archipelago.layers import new_layer
from blockstore import LeaseLost, NotFound, open_store

TIB = 2**40


@pytest.fixture
def catalog(store):
    return Catalog(store)


def write(catalog: Catalog, name: str, data: bytes, offset: int = 0) -> None:
    with catalog.open(name) as volume:
        volume.write(offset, data)


def read(catalog: Catalog, name: str, length: int, offset: int = 0) -> bytes:
    with catalog.open(name, read_only=True) as volume:
        return volume.read(offset, length)


BAD_NAMES = ["", "a/b", "/", "..", ".a", "-a", "a\0b", "a\nb", "a\x7f", "\ud800", "a\u2028b"]
BAD_NAMES += ["x" * 256, "x" * 1024, "é" * 128, "@a", "a@b@c", "a@", "a@.b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused_everywhere(catalog, name):
    catalog.create("good", 512)
    for attempt in (
        lambda: catalog.create(name, 512),
        lambda: catalog.clone("good", name),
        lambda: catalog.rename("good", name),
        lambda: catalog.open(name),
        lambda: catalog.delete(name),
        lambda: catalog.info(name),
        lambda: catalog.snapshot(f"good@{name}"),
    ):
        with pytest.raises(InvalidArgument, match=r"name|snapshot"):
            attempt()
    assert [info.name for info in catalog.list()] == ["good"]
    assert catalog.snapshots("good") == []


@pytest.mark.parametrize(
    "name", ["a", "x" * 255, "ζωή", "a b", "a.b-c_d", "💾", "ü" * 127, "%2F\\"]
)
def test_good_names(catalog, name):
    catalog.create(name, 512)
    catalog.snapshot(f"{name}@{name}")
    assert [info.name for info in catalog.list()] == [name]
    assert catalog.info(f"{name}@{name}").full_name == f"{name}@{name}"
    catalog.rename(f"{name}@{name}", f"{name}@s")
    catalog.rename(name, "other")
    assert read(catalog, "other@s", 512) == bytes(512)


@pytest.mark.parametrize("size", [-512, -1, 0, 1, 511, 513, 1000, 64 * TIB + 512, 2**80])
def test_bad_sizes_are_refused_everywhere(catalog, size):
    catalog.create("v", 1024)
    catalog.snapshot("v@s")
    for attempt in (
        lambda: catalog.create("w", size),
        lambda: catalog.resize("v", size, shrink=True),
        lambda: catalog.clone("v", "w", size),
        lambda: catalog.clone("v@s", "w", size),
    ):
        with pytest.raises(InvalidArgument, match=r"multiple of 512|at least the size"):
            attempt()
    with catalog.open("v") as volume, pytest.raises(InvalidArgument):
        volume.resize(size, shrink=True)
    assert [(info.name, info.size) for info in catalog.list()] == [("v", 1024)]


def test_a_name_is_taken_once(catalog):
    catalog.create("v", 512)
    catalog.snapshot("v@s")
    catalog.create("w", 512)
    for attempt in (
        lambda: catalog.create("v", 512),
        lambda: catalog.clone("w", "v"),
        lambda: catalog.clone("v@s", "w"),
        lambda: catalog.clone_root(EMPTY_MAP, 512, "v"),
        lambda: catalog.rename("w", "v"),
        lambda: catalog.rename("w", "w"),
        lambda: catalog.snapshot("v@s"),
        lambda: catalog.rename("v@s", "v@s"),
    ):
        with pytest.raises(NameTaken):
            attempt()


def test_a_name_used_again_shows_nothing_of_before(catalog):
    catalog.create("v", 4096)
    write(catalog, "v", b"old")
    catalog.snapshot("v@s")
    catalog.delete("v", with_snapshots=True)
    catalog.create("v", 4096)
    assert read(catalog, "v", 3) == bytes(3)
    assert catalog.snapshots("v") == []


def test_what_is_absent_is_named(catalog):
    catalog.create("v", 512)
    for attempt in (
        lambda: catalog.open("w"),
        lambda: catalog.open("v@s", read_only=True),
        lambda: catalog.delete("w"),
        lambda: catalog.delete("v@s"),
        lambda: catalog.rename("w", "x"),
        lambda: catalog.rename("v@s", "v@t"),
        lambda: catalog.clone("v@s", "x"),
        lambda: catalog.rollback("v@s"),
        lambda: catalog.snapshot("w@s"),
        lambda: catalog.info("w"),
        lambda: catalog.usage("v@s"),
        lambda: catalog.seal("w"),
        lambda: catalog.sealed_root("v@s"),
        lambda: catalog.snapshots("w"),
    ):
        with pytest.raises(VolumeNotFound, match=r"no such (volume: w|snapshot: v@s)"):
            attempt()


def test_names_of_the_wrong_kind_are_refused(catalog):
    catalog.create("v", 512)
    catalog.snapshot("v@s")
    for attempt in (
        lambda: catalog.snapshot("v"),
        lambda: catalog.rollback("v"),
        lambda: catalog.sealed_root("v"),
        lambda: catalog.create("v@t", 512),
        lambda: catalog.clone("v", "v@t"),
        lambda: catalog.resize("v@s", 512),
        lambda: catalog.rename("v", "v@t"),
        lambda: catalog.rename("v@s", "w"),
        lambda: catalog.rename("v@s", "w@s"),
        lambda: catalog.snapshots("v@s"),
    ):
        with pytest.raises(InvalidArgument):
            attempt()


def test_huge_volumes_take_no_time_and_no_space(catalog):
    for name, size in [("a", 16 * TIB), ("b", 64 * TIB)]:
        catalog.create(name, size)
        write(catalog, name, b"end", size - 3)
        catalog.snapshot(f"{name}@s")
        catalog.clone(f"{name}@s", f"{name}-clone", 64 * TIB)
        catalog.seal_pending()
        assert read(catalog, f"{name}-clone", 3, size - 3) == b"end"
        with catalog.open(name) as volume:
            assert len(volume.extents(0, size)) == 2
            volume.discard(0, size)
            volume.resize(size - 512, shrink=True)
            assert len(volume.extents(0, size - 512)) <= 2
            assert volume.read(size - 1024, 512) == bytes(512)


def test_listing_in_pages(catalog):
    for name in ("b1", "a2", "a10", "a1", "c", "ä"):
        catalog.create(name, 512)
    assert [info.name for info in catalog.list()] == ["a1", "a10", "a2", "b1", "c", "ä"]
    assert [info.name for info in catalog.list("a", limit=2)] == ["a1", "a10"]
    assert [info.name for info in catalog.list("a", after="a10")] == ["a2"]
    assert [info.name for info in catalog.list(after="b1", limit=1)] == ["c"]
    assert catalog.list("nothing") == []


def test_an_open_volume_is_busy_and_says_for_whom(catalog):
    catalog.create("v", 4096)
    catalog.snapshot("v@s")
    with catalog.open("v", holder="the nbd server"):
        assert catalog.info("v").holder == "the nbd server"
        other = Catalog(catalog.store)
        for attempt in (
            lambda: catalog.open("v"),
            lambda: catalog.open("v", read_only=True),
            lambda: catalog.delete("v"),
            lambda: catalog.rename("v", "w"),
            lambda: catalog.resize("v", 8192),
            lambda: catalog.rollback("v@s"),
            lambda: catalog.snapshot("v@t"),
            lambda: other.clone("v", "w"),
        ):
            with pytest.raises(VolumeBusy, match="the nbd server") as caught:
                attempt()
            assert caught.value.holder == "the nbd server"
    assert catalog.info("v").holder is None
    catalog.rename("v", "w")


def test_shrinking_and_deleting_snapshots_must_be_asked_for(catalog):
    catalog.create("v", 8192)
    catalog.snapshot("v@s")
    with pytest.raises(InvalidArgument, match="loses"):
        catalog.resize("v", 4096)
    with catalog.open("v") as volume, pytest.raises(InvalidArgument, match="loses"):
        volume.resize(4096)
    with pytest.raises(VolumeBusy, match=r"1 snapshots \(s\)"):
        catalog.delete("v")
    catalog.delete("v", with_snapshots=True)
    assert catalog.store.heads.list() == []


def test_snapshots_open_only_for_reading(catalog):
    catalog.create("v", 4096)
    catalog.snapshot("v@s")
    with pytest.raises(VolumeReadOnly):
        catalog.open("v@s")
    with catalog.open("v@s", read_only=True) as one, catalog.open("v@s", read_only=True) as two:
        assert one.read(0, 4096) == two.read(0, 4096)
        for attempt in (
            lambda: one.write(0, b"x"),
            lambda: one.zero(0, 1),
            lambda: one.discard(0, 1),
            lambda: one.snapshot("t"),
            lambda: one.clone("w"),
            lambda: one.resize(8192),
        ):
            with pytest.raises(VolumeReadOnly):
                attempt()
        one.flush()
        with pytest.raises(VolumeBusy):
            catalog.delete("v@s")
    catalog.delete("v@s")


def test_a_clone_outlives_its_sources(catalog):
    catalog.create("v", 200_192)
    write(catalog, "v", b"v" * 200_000)
    catalog.snapshot("v@s")
    catalog.clone("v@s", "c1")
    catalog.clone("c1", "c2", 300_032)
    catalog.delete("v", with_snapshots=True)
    write(catalog, "c1", b"c1")
    catalog.seal_pending()
    catalog.delete("c1")
    assert read(catalog, "c2", 300_032) == b"v" * 200_000 + bytes(100_032)
    assert catalog.info("c2").origin == "c1"


def test_rollback_restores_content_and_size(catalog):
    catalog.create("v", 8192)
    write(catalog, "v", b"then")
    catalog.snapshot("v@s")
    write(catalog, "v", b"now!")
    catalog.resize("v", 16384)
    catalog.rollback("v@s")
    assert catalog.info("v").size == 8192
    assert read(catalog, "v", 8192) == b"then" + bytes(8188)
    write(catalog, "v", b"anew")
    assert read(catalog, "v@s", 4) == b"then"


@pytest.mark.parametrize("size", [1, 511, 512, 65536, 65537, 100_000])
def test_a_root_becomes_a_volume_and_ends_where_it_should(catalog, size):
    ids = catalog.store.blocks.put_many(b"x" * 200_000)
    catalog.store.blocks.commit()
    root = catalog.maps.build(ids)
    info = catalog.clone_root(root, size, "v", "an object")
    assert info.size == size + -size % 512
    assert info.origin == "an object"
    catalog.resize("v", 262_144)
    assert read(catalog, "v", 262_144) == b"x" * size + bytes(262_144 - size)


def test_a_root_that_the_store_does_not_have_is_refused(catalog):
    for height in (0, 1):
        with pytest.raises(NotFound, match="11111111"):
            catalog.clone_root(MapRoot(height, b"\x11" * 32), 512, "v")
    assert catalog.list() == []


def test_usage_knows_of_maps_that_are_no_volumes(catalog):
    catalog.create("v", 100 * catalog.maps.block_size)
    with catalog.open("v") as volume:
        volume.write(0, b"x" * 2 * catalog.maps.block_size)
        volume.freeze()
    catalog.seal("v")
    (root,) = set(catalog.roots())
    assert catalog.usage("v").own == catalog.maps.block_size
    usage = catalog.usage("v", [root])
    assert (usage.own, usage.shared) == (0, catalog.maps.block_size)


def test_usage_counts_what_is_alone_and_what_is_shared(catalog):
    block = 65536
    catalog.create("v", 100 * block)
    assert catalog.usage("v").stored == 0
    with catalog.open("v") as volume:
        for index in range(4):
            volume.write(index * block, bytes([index + 1]) * block)
        volume.write(4 * block, b"\1" * block)
    usage = catalog.usage("v")
    assert (usage.virtual, usage.mapped, usage.own) == (100 * block, 5 * block, 5 * block)
    catalog.snapshot("v@s")
    catalog.seal_pending()
    usage = catalog.usage("v")
    assert (usage.mapped, usage.own, usage.shared, usage.stored) == (
        5 * block,
        0,
        4 * block,
        4 * block,
    )
    write(catalog, "v", b"new", 2 * block)
    usage = catalog.usage("v")
    assert usage.own == 4096
    catalog.create("w", 512)
    catalog.seal("v")
    catalog.delete("v@s")
    assert catalog.usage("v").own == 4 * block + 4096


def test_diff_names_the_blocks_that_changed(catalog):
    block = 65536
    catalog.create("v", 10 * block)
    write(catalog, "v", b"a" * 5 * block)
    catalog.snapshot("v@1")
    with catalog.open("v") as volume:
        volume.write(block, b"b" * 2 * block)
        volume.zero(4 * block, block)
        volume.resize(20 * block)
        volume.write(20 * block - 1, b"c")
        found = [(e.offset, e.length, str(e.kind)) for e in catalog.diff("v@1", "v")]
    expected = [(block, 2 * block, "data"), (4 * block, block, "hole"), (19 * block, block, "data")]
    assert found == expected
    assert list(catalog.diff("v", "v")) == []


def test_roots_are_those_of_volumes_and_snapshots(catalog):
    catalog.create("v", 4096)
    write(catalog, "v", b"1")
    catalog.snapshot("v@s")
    write(catalog, "v", b"2")
    catalog.snapshot("v@t")
    catalog.create("empty", 4096)
    catalog.seal_pending()
    roots = list(catalog.roots())
    assert len(roots) == 2
    assert set(roots) == {catalog.sealed_root("v@s")[0], catalog.sealed_root("v@t")[0]}


def test_seizing_takes_what_was_flushed_and_nothing_later(tmp_path):
    with_old, with_new = new_files_store(tmp_path / "store"), open_store(f"files:{tmp_path}/store")
    old_catalog, new_catalog = Catalog(with_old), Catalog(with_new)
    old_catalog.create("v", 65536)
    old = old_catalog.open("v", holder="old")
    old.write(0, b"flushed")
    old.flush()
    with pytest.raises(VolumeBusy, match="old"):
        new_catalog.open("v")
    new = new_catalog.open("v", seize=True)
    with suppress(LeaseLost):
        old.write(0, b"too late")
    with pytest.raises(LeaseLost):
        old.flush()
    for attempt in (lambda: old.read(0, 1), lambda: old.snapshot("s"), lambda: old.clone("c")):
        with pytest.raises(LeaseLost):
            attempt()
    old.close()
    assert new.read(0, 8) == b"flushed\0"
    new.write(0, b"F")
    new.close()
    with old_catalog.open("v") as again:
        assert again.read(0, 8) == b"Flushed\0"
    assert len(with_old.extents.list()) == 1
    with_new.close()
    with_old.close()


def test_layers_that_a_crash_left_are_swept(catalog):
    catalog.create("v", 4096)
    write(catalog, "v", b"x")
    extents = catalog.store.extents
    before = extents.list()
    extents.create("data-without-a-head", 4096)
    assert catalog.sweep_layers() == 1
    assert extents.list() == before
    unused = new_layer(catalog.store, 4096)
    assert catalog.sweep_layers() == 0
    assert unused in extents.list()
    assert catalog.sweep_layers(age_s=0) == 1
    assert extents.list() == before
    assert len(catalog.store.heads.list("layer/")) == 1
    assert read(catalog, "v", 1) == b"x"
