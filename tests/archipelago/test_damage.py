"""Damage is an error that names the thing, and stays where it is."""

from __future__ import annotations

import pytest
from archipelago_stores import new_files_store

from archipelago import Catalog, MapCorrupt, MapRoot, VolumeBusy, VolumeNotFound
from archipelago.records import decode_layer, decode_snapshot
from archipelago.transaction import transact
from blockstore import Corrupt, HeadChange, NotFound, StoreError, open_store

SIZE = 600 * 65536


@pytest.fixture
def catalog(store):
    catalog = Catalog(store)
    for name in ("bad", "good"):
        catalog.create(name, SIZE)
        with catalog.open(name) as volume:
            for index in (0, 1, 599):
                volume.write(index * 65536, name.encode() + b"%d" % index)
        catalog.snapshot(f"{name}@s")
        catalog.clone(f"{name}@s", f"{name}-clone")
    catalog.seal_pending()
    return catalog


def check_good(catalog: Catalog) -> None:
    for name in ("good", "good@s", "good-clone"):
        with catalog.open(name, read_only=True) as volume:
            assert volume.read(599 * 65536, 7) == b"good599"
    catalog.clone("good", "another")
    catalog.delete("another")
    with catalog.open("good") as volume:
        volume.write(5, b"x")


def overwrite_head(catalog: Catalog, head_name: str, value: bytes) -> None:
    head = catalog.store.heads.get(head_name)
    catalog.store.heads.update([HeadChange(head_name, head.version, value)])


def test_a_damaged_volume_head(catalog):
    overwrite_head(catalog, "volume/" + catalog.info("bad").id, b"{}")
    for attempt in (
        lambda: catalog.open("bad"),
        lambda: catalog.info("bad"),
        lambda: catalog.clone("bad", "x"),
        lambda: catalog.snapshot("bad@t"),
        lambda: list(catalog.roots()),
    ):
        with pytest.raises(Corrupt, match=r"head 'volume/"):
            attempt()
    listed = {info.name: info.damage for info in catalog.list()}
    assert "volume/" in listed.pop("bad")
    assert set(listed.values()) == {""}
    check_good(catalog)
    with pytest.raises(VolumeBusy, match="1 snapshots"):
        catalog.delete("bad")
    catalog.delete("bad", with_snapshots=True)
    check_forgotten(catalog)


def check_forgotten(catalog: Catalog) -> None:
    """Nothing is left of the volume `bad`; its clone is as it was."""
    assert catalog.list("bad-") == [info for info in catalog.list("bad") if not info.damage]
    with pytest.raises(VolumeNotFound):
        catalog.info("bad")
    heads = catalog.store.heads
    volumes = heads.names("volume/")
    snapshots = [decode_snapshot(head.name, head.value) for head in heads.list("snapshot/")]
    assert len(heads.names("snapname/")) == len(snapshots)
    assert all(f"volume/{snapshot.volume}" in volumes for snapshot in snapshots)
    list(catalog.roots())
    catalog.seal_pending()
    layers = [decode_layer(head.name, head.value) for head in heads.list("layer/")]
    assert [layer.id for layer in layers] == catalog.store.extents.list()
    assert {user for layer in layers for user in layer.users} <= set(volumes)
    with catalog.open("bad-clone", read_only=True) as volume:
        assert volume.read(65536, 4) == b"bad1"


@pytest.mark.parametrize("damaged", ["volume", "name", "snapshot", "snapname"])
def test_what_is_damaged_can_be_deleted_with_its_layers(catalog, damaged):
    volume_id = catalog.info("bad").id
    head_names = {
        "volume": f"volume/{volume_id}",
        "name": "name/bad",
        "snapshot": f"snapshot/{catalog.info('bad@s').id}",
        "snapname": f"snapname/{volume_id}/s",
    }
    with catalog.open("bad") as volume:
        volume.write(8192, b"frozen")
        volume.freeze()
        overwrite_head(catalog, head_names[damaged], b"{}")
        with pytest.raises(VolumeBusy):
            catalog.delete("bad", with_snapshots=True)
    catalog.delete("bad", with_snapshots=True)
    check_forgotten(catalog)


def test_a_damaged_snapshot_head(catalog):
    overwrite_head(catalog, "snapshot/" + catalog.info("bad@s").id, b"\0")
    with pytest.raises(Corrupt, match=r"head 'snapshot/"):
        catalog.open("bad@s", read_only=True)
    assert "snapshot/" in catalog.snapshots("bad")[0].damage
    with catalog.open("bad", read_only=True) as volume:
        assert volume.read(0, 4) == b"bad0"
    check_good(catalog)
    catalog.delete("bad@s")
    assert catalog.snapshots("bad") == []
    catalog.delete("bad")
    check_good(catalog)


def test_a_damaged_name_head(catalog):
    overwrite_head(catalog, "name/bad", b"nonsense")
    with pytest.raises(Corrupt, match="name/bad"):
        catalog.open("bad")
    assert {info.name for info in catalog.list() if info.damage} == {"bad"}
    check_good(catalog)
    with pytest.raises(VolumeBusy, match="snapshots"):
        catalog.delete("bad")
    # The volume itself is whole, and so has got its name back.
    with catalog.open("bad", read_only=True) as volume:
        assert volume.read(0, 4) == b"bad0"


def test_a_name_that_leads_nowhere(catalog):
    head = "volume/" + catalog.info("bad").id
    version = catalog.store.heads.get(head).version
    catalog.store.heads.update([HeadChange(head, version, None)])
    with pytest.raises(Corrupt, match="name/bad"):
        catalog.open("bad")
    check_good(catalog)
    catalog.delete("bad", with_snapshots=True)
    check_forgotten(catalog)


def test_a_missing_page_and_a_missing_block(catalog):
    root = catalog.info("bad").root
    block_id = catalog.maps.lookup(root, 0)
    catalog.store.blocks.discard([block_id])
    fresh = Catalog(catalog.store)
    with fresh.open("bad@s", read_only=True) as volume:
        with pytest.raises(NotFound, match=block_id.hex()):
            volume.read(0, 10)
        with pytest.raises(NotFound, match=block_id.hex()):
            volume.read(0, 70000)
        assert volume.read(65536, 4) == b"bad1"
    catalog.store.blocks.discard([root.block_id])
    fresh = Catalog(catalog.store)
    with fresh.open("bad@s", read_only=True) as volume:
        for attempt in (
            lambda: volume.read(65536, 4),
            lambda: volume.extents(0, SIZE),
            lambda: fresh.usage("bad"),
        ):
            with pytest.raises(MapCorrupt, match=root.block_id.hex()):
                attempt()
    check_good(fresh)


def test_a_block_of_content_is_not_taken_for_a_page(catalog):
    root = catalog.info("bad").root
    block_id = catalog.maps.lookup(root, 0)
    with pytest.raises(MapCorrupt, match="page"):
        catalog.clone_root(MapRoot(1, block_id), 65536, "x")
    assert catalog.list("x") == []


def test_sealing_stops_at_a_stack_that_does_not_fit(catalog):
    with catalog.open("bad") as volume:
        volume.write(0, b"new")
    catalog.snapshot("bad@t")

    def body(step):
        record = step.snapshot(step.snapshot_id(catalog.info("bad").id, "t"))
        object.__setattr__(record, "root", MapRoot(0, b"\1" * 32))
        step.put(record)

    transact(catalog.store, body)
    with pytest.raises(Corrupt, match="layer"):
        catalog.seal("bad")
    with pytest.raises(StoreError):
        catalog.seal_pending()
    check_good(catalog)


def freeze_something(catalog: Catalog) -> None:
    for name in ("bad", "good"):
        with catalog.open(name) as volume:
            volume.write(4096, b"frozen")
        catalog.snapshot(f"{name}@frozen")


def test_damage_of_one_head_does_not_keep_other_layers_from_being_sealed(catalog):
    freeze_something(catalog)
    overwrite_head(catalog, "volume/" + catalog.info("bad").id, b"{}")
    with pytest.raises(Corrupt, match="volume/"):
        catalog.seal_pending()
    assert catalog.info("good").frozen == 0
    check_good(catalog)


def test_a_damaged_layer_head(catalog):
    bad = catalog.info("bad").id
    freeze_something(catalog)
    layers = catalog.store.heads.list("layer/")
    [head_name] = [head.name for head in layers if bad.encode() in head.value]
    overwrite_head(catalog, head_name, b"{}")
    catalog.store.extents.create("left-over", 4096)
    with pytest.raises(Corrupt, match=head_name):
        catalog.seal_pending()
    assert catalog.info("good").frozen == 0
    with pytest.raises(Corrupt, match=head_name):
        catalog.sweep_layers(age_s=0)
    assert [f"layer/{layer_id}" for layer_id in catalog.store.extents.list()] == [head_name]
    check_good(catalog)


def test_the_listing_names_a_head_that_the_store_finds_damaged(tmp_path):
    store = new_files_store(tmp_path / "store")
    catalog = Catalog(store)
    for name in ("a", "b", "c"):
        catalog.create(name, 4096)
        catalog.snapshot(f"{name}@s")
    index = store.heads._index
    snapshot_name = f"snapname/{catalog.info('c').id}/s"

    def damage(transaction):
        for key in (b"name/b", snapshot_name.encode()):
            packed = transaction.get(key, db=index.heads)
            transaction.put(key, packed[:-1] + b"\0", db=index.heads)

    index.transact(damage)
    damaged = {info.name: info.damage for info in catalog.list()}
    assert "name/b" in damaged.pop("b")
    assert damaged == {"a": "", "c": ""}
    assert "snapname/" in catalog.snapshots("c")[0].damage
    assert catalog.snapshots("a")[0].damage == ""
    store.close()


def test_a_damaged_layer_in_files(tmp_path):
    store = new_files_store(tmp_path / "store")
    catalog = Catalog(store)
    for name in ("bad", "good"):
        catalog.create(name, SIZE)
        with catalog.open(name) as volume:
            volume.write(599 * 65536, name.encode() + b"599")
    layers = {
        head.name.removeprefix("layer/")
        for head in store.heads.list("layer/")
        if b"volume/" + catalog.info("bad").id.encode() in head.value
    }
    catalog.snapshot("good@s")
    catalog.clone("good", "good-clone")
    store.close()
    [layer_id] = layers
    [states] = [path for path in tmp_path.rglob("states*") if layer_id in str(path)]
    content = bytearray(states.read_bytes())
    content[20] ^= 0xFF
    states.write_bytes(content)
    store = open_store(f"files:{tmp_path}/store")
    catalog = Catalog(store)
    for attempt in (
        lambda: catalog.open("bad"),
        lambda: catalog.open("bad", read_only=True),
        lambda: catalog.snapshot("bad@t"),
    ):
        with pytest.raises(Corrupt, match=layer_id):
            attempt()
    check_good(catalog)
    catalog.seal_pending()
    check_good(catalog)
    catalog.delete("bad")
    store.close()
