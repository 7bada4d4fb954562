import pytest
from pithos_session import BLOCK_SIZE, alice, bob, digest, noise, pithos_app

from archipelago import VolumeNotFound
from pithos_api.image.publish import publish_snapshot
from pithos_api.namespace.errors import NoSuchAccount

__all__ = ["alice", "bob", "pithos_app"]

SIZE = 40 * BLOCK_SIZE
DATA = noise(1, 3 * BLOCK_SIZE)


@pytest.fixture
def snapshot(alice):
    catalog = alice.services.catalog
    catalog.create("vol", SIZE)
    volume = catalog.open("vol")
    try:
        volume.write(5 * BLOCK_SIZE + 100, DATA)
        volume.flush()
        volume.snapshot("snap")
        volume.write(0, b"written later")
    finally:
        volume.close()
    return "vol@snap"


def expected() -> bytes:
    content = bytearray(SIZE)
    content[5 * BLOCK_SIZE + 100 : 5 * BLOCK_SIZE + 100 + len(DATA)] = DATA
    return bytes(content)


def test_a_snapshot_is_downloaded_byte_for_byte(alice, snapshot):
    info = publish_snapshot(alice.services, snapshot, alice.project)
    assert (info.container, info.name, info.kind) == ("snapshots", "vol@snap", "snapshot")
    assert alice("GET", "/snapshots/vol%40snap").data == expected()
    head = alice("HEAD", "/snapshots/vol@snap").headers
    assert head["Content-Length"] == str(SIZE)
    assert head["X-Object-Hash"] == info.merkle_hash
    swift = alice.call("GET", f"/v1/AUTH_{alice.project}/snapshots/vol@snap")
    assert swift.data == expected()


def test_its_hashmap_shows_where_nothing_is(alice, snapshot):
    publish_snapshot(alice.services, snapshot, alice.project)
    found = alice("GET", "/snapshots/vol@snap?hashmap").json
    zero = digest(b"")
    present = [index for index, value in enumerate(found["hashes"]) if value != zero]
    assert present == [5, 6, 7, 8]
    assert found["hashes"] == alice.hashes(expected())


def test_publishing_copies_nothing(alice, snapshot):
    publish_snapshot(alice.services, snapshot, alice.project)
    before = alice.services.store.blocks.stats()
    publish_snapshot(alice.services, snapshot, alice.project, "elsewhere", "again")
    assert alice.services.store.blocks.stats() == before
    assert alice("GET", "/elsewhere/again").data == expected()


def test_whoever_is_given_it_may_name_its_blocks_and_nobody_else(alice, bob, snapshot):
    publish_snapshot(alice.services, snapshot, alice.project)
    hashes = alice.hashes(expected())
    assert alice.put_hashmap("/c/copy", SIZE, hashes).status_code == 201
    assert bob.put_hashmap("/c/copy", SIZE, hashes).status_code == 409


def test_absent_things(alice):
    with pytest.raises(VolumeNotFound):
        publish_snapshot(alice.services, "absent@snap", alice.project)
    alice.services.catalog.create("vol", BLOCK_SIZE)
    with pytest.raises(VolumeNotFound):
        publish_snapshot(alice.services, "vol@absent", alice.project)


def test_an_absent_account_is_not_made(alice, snapshot):
    with pytest.raises(NoSuchAccount):
        publish_snapshot(alice.services, snapshot, "f" * 32)
