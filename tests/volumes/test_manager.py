"""The manager: opened once, shared, closed after the last; what it says when it can't."""

from __future__ import annotations

import logging
import threading
import uuid

import pytest
from nbd_client import NbdClient

from archipelago import Catalog, InvalidArgument, SealingStopped, VolumeBusy, VolumeNotFound
from archipelago.layers import new_layer
from blockstore import HeadChange, StoreOptions, create_store, open_store
from volumes import manager as manager_module
from volumes.exports import ExportRefused, ExportUnknown
from volumes.manager import Manager
from volumes.nbd.server import NbdServer
from volumes.nbd.wire import Command
from volumes.sealer import BackgroundSealer

SIZE = 2**20


@pytest.fixture
def catalog():
    url = f"memory:{uuid.uuid4().hex}"
    create_store(url, StoreOptions(block_size=2**16))
    store = open_store(url)
    catalog = Catalog(store)
    catalog.create("disk", SIZE)
    yield catalog
    store.close()


@pytest.fixture
def manager(catalog):
    manager = Manager(catalog, "the tests")
    manager.start()
    yield manager
    manager.close()


def attach(manager: Manager, name: str = "disk"):
    return manager.attach(name, "a test", lambda: None)


def holder(catalog: Catalog) -> str | None:
    return catalog.info("disk").holder


def test_connections_share_one_volume_that_closes_after_the_last(manager, catalog):
    first, second = attach(manager), attach(manager)
    assert first.device is second.device
    first.close()
    first.close()
    assert holder(catalog) == "the tests"
    second.device.write(0, memoryview(b"still open"))
    second.close()
    assert holder(catalog) is None
    with catalog.open("disk") as volume:
        assert volume.read(0, 10) == b"still open"


def test_attached_exports_are_told_with_their_peers(manager):
    assert manager.attached() == []
    attachments = [manager.attach("disk", f"peer {number}", lambda: None) for number in (1, 2)]
    (entry,) = manager.attached()
    assert (entry.name, entry.size, entry.read_only) == ("disk", SIZE, False)
    assert sorted(entry.peers) == ["peer 1", "peer 2"]
    for attachment in attachments:
        attachment.close()
    assert manager.attached() == []


def test_a_failed_attach_leaves_nothing_behind(manager, catalog):
    with catalog.open("disk", holder="somebody"):
        for _ in range(3):
            with pytest.raises(ExportRefused, match="in use by somebody"):
                attach(manager)
    with pytest.raises(ExportUnknown):
        attach(manager, "absent")
    assert manager.attached() == []
    attach(manager).close()


def test_attach_and_release_from_many_threads(manager, catalog):
    """Who comes while the last one goes never finds the lease taken by ourselves."""
    failures = []

    def come_and_go() -> None:
        for _ in range(40):
            try:
                attachment = attach(manager)
                attachment.device.read(0, 512)
                attachment.close()
            except (ExportRefused, ExportUnknown, InvalidArgument) as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert holder(catalog) is None


def test_describe_tells_the_size_an_open_volume_has_now(manager):
    attachment = attach(manager)
    manager.resize("disk", 2 * SIZE)
    assert manager.describe("disk").size == 2 * SIZE
    attachment.close()
    assert manager.describe("disk").size == 2 * SIZE


def test_names_are_cut_with_a_log_line(manager, catalog, caplog):
    for number in range(4):
        catalog.create(f"v{number}", 512)
    assert manager.names(5) == ["disk", "v0", "v1", "v2", "v3"]
    assert "cut" not in caplog.text
    assert manager.names(3) == ["disk", "v0", "v1"]
    assert "cut" in caplog.text


def test_snapshots_are_read_only_exports(manager):
    manager.snapshot("disk@one")
    info = manager.describe("disk@one")
    assert info.read_only
    attachment = attach(manager, "disk@one")
    assert attachment.device.read_only
    attachment.close()


def test_a_snapshot_of_an_open_volume_is_sealed_before_long(manager, catalog):
    attachment = attach(manager)
    attachment.device.write(0, memoryview(b"x" * 4096))
    manager.snapshot("disk@one")
    pause = threading.Event()
    for _ in range(500):
        if catalog.info("disk@one").frozen == 0:
            break
        pause.wait(0.01)
    assert catalog.info("disk@one").frozen == 0
    assert attachment.device.read(0, 4096) == b"x" * 4096
    attachment.close()


def test_clones_of_open_snapshots(manager):
    manager.snapshot("disk@one")
    attachment = attach(manager, "disk@one")
    assert manager.clone("disk@one", "copy").size == SIZE
    assert manager.clone("disk@one", "larger", 2 * SIZE).size == 2 * SIZE
    attachment.close()


def test_operations_on_what_is_not_there(manager):
    with pytest.raises(VolumeNotFound):
        manager.snapshot("absent@one")
    with pytest.raises(VolumeNotFound):
        manager.clone("absent", "copy")
    with pytest.raises(VolumeNotFound):
        manager.resize("absent", SIZE)
    assert manager.detach("absent") == 0


def test_detach_asks_twice_and_then_says_so(manager, monkeypatch):
    monkeypatch.setattr(manager_module, "DETACH_SECONDS_MAX", 0.05)
    asked = []
    attachment = manager.attach("disk", "a deaf peer", lambda: asked.append(1))
    with pytest.raises(VolumeBusy, match="do not end"):
        manager.detach("disk")
    assert asked == [1, 1]
    attachment.close()


def test_detach_waits_until_the_volume_is_closed(manager, catalog):
    attachments = []
    goodbye = threading.Event()
    attachments.append(manager.attach("disk", "a peer", goodbye.set))

    def leave() -> None:
        assert goodbye.wait(20)
        attachments[0].close()

    peer = threading.Thread(target=leave)
    peer.start()
    assert manager.detach("disk") == 1
    assert holder(catalog) is None
    peer.join(20)


def test_detach_ends_a_client_that_takes_no_replies(manager, tmp_path, monkeypatch):
    monkeypatch.setattr(manager_module, "DETACH_SECONDS_MAX", 0.2)
    manager.resize("disk", 32 * SIZE)
    server = NbdServer(manager)
    server.listen_unix(str(tmp_path / "s"))
    server.start()
    with NbdClient(str(tmp_path / "s")) as client:
        client.attach("disk")
        client.write(0, b"x" * 32 * SIZE)
        for _ in range(4):
            client.start(Command.READ, 0, 32 * SIZE)
        assert client.receive(4)
        assert manager.detach("disk") == 1
        assert manager.attached() == []
    server.close()


def test_a_closed_manager_takes_nobody(catalog):
    manager = Manager(catalog)
    manager.close()
    with pytest.raises(ExportRefused, match="shutting down"):
        attach(manager)


def test_who_comes_to_a_lost_volume_is_refused_so_that_it_comes_to_an_end(manager, catalog):
    """Clients that reconnect one by one would keep it for ever otherwise."""
    first = attach(manager)
    first.device.write(0, memoryview(b"kept"))
    first.device.flush()
    thief = catalog.open("disk", holder="somebody", seize=True)
    for _ in range(2):
        with pytest.raises(ExportRefused, match=r"was lost.*connections have ended"):
            attach(manager)
        thief.close()
    first.close()
    again = attach(manager)
    assert again.device.read(0, 4) == b"kept"
    again.close()


def test_sealing_ends_when_the_server_does(manager, catalog, caplog):
    manager.stop_sealing()
    attachment = attach(manager)
    attachment.device.write(0, memoryview(b"x" * 4096))
    manager.snapshot("disk@one")
    for name in ("disk", ""):
        with pytest.raises(SealingStopped):
            manager.seal(name)
    attachment.close()
    manager.close()
    assert catalog.info("disk@one").frozen == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    other = Manager(catalog)
    other.seal("disk")
    other.close()
    assert catalog.info("disk@one").frozen == 0


def test_what_crashes_left_behind_is_removed(catalog, caplog):
    caplog.set_level(logging.INFO)
    catalog.store.extents.create("orphan", 2**20)
    started = Manager(catalog)
    started.start()
    pause = threading.Event()
    for _ in range(500):
        if "crashes" in caplog.text:
            break
        pause.wait(0.01)
    started.close()
    assert catalog.store.extents.list() == []
    assert "removed 1 layers" in caplog.text


def test_layers_that_somebody_is_about_to_use_are_left_alone(catalog):
    young = new_layer(catalog.store, SIZE)
    started = Manager(catalog)
    started._sealer._sweep()
    started.close()
    assert catalog.store.extents.list() == [young]


def test_a_damaged_head_of_a_layer_keeps_nobody_from_being_served(catalog, caplog):
    catalog.store.heads.update([HeadChange("layer/bad", 0, b"nonsense")])
    started = Manager(catalog)
    started._sealer._sweep()
    started._sealer._sweep()
    assert caplog.text.count("removing unused layers failed") == 1
    attach(started).close()
    started.close()


def test_a_sealer_that_fails_says_so_once_and_goes_on(catalog, caplog):
    """A frozen layer that is gone from the store: damage, which no repetition heals."""
    caplog.set_level(logging.ERROR)
    with catalog.open("disk") as volume:
        volume.write(0, b"x" * 4096)
    catalog.snapshot("disk@one")
    (layer_id,) = catalog.store.extents.list()
    catalog.store.extents.delete(layer_id)
    sealer = BackgroundSealer(catalog)
    for _ in range(3):
        sealer._seal()
    assert caplog.text.count("sealing failed") == 1
    assert layer_id in caplog.text
