"""A published snapshot as Swift's clients find it: listed, whole, with the MD5 of its content."""

from __future__ import annotations

import hashlib
import random

import pytest
from pithos_session import BLOCK_SIZE, alice, bob, pithos_app

from pithos_api.image.publish import publish_snapshot

__all__ = ["alice", "bob", "pithos_app"]

SIZE = 30 * BLOCK_SIZE + 512
DATA = random.Random(11).randbytes(2 * BLOCK_SIZE + 77)
OFFSET = 7 * BLOCK_SIZE + 300
CONTENT = bytes(OFFSET) + DATA + bytes(SIZE - OFFSET - len(DATA))
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def published(alice):
    catalog = alice.services.catalog
    catalog.create("vol", SIZE)
    with catalog.open("vol") as volume:
        volume.write(OFFSET, DATA)
        volume.snapshot("snap")
        volume.write(OFFSET, bytes(len(DATA)))
    publish_snapshot(alice.services, "vol@snap", alice.project)
    return f"/v1/AUTH_{alice.project}/snapshots"


def test_it_is_listed(alice, published):
    assert alice.call("GET", published).text == "vol@snap\n"
    (entry,) = alice.call("GET", f"{published}?format=json").json
    assert (entry["name"], entry["bytes"]) == ("vol@snap", SIZE)
    account = alice.call("GET", f"/v1/AUTH_{alice.project}?format=json").json
    assert ("snapshots", 1, SIZE) in [(c["name"], c["count"], c["bytes"]) for c in account]


def test_it_is_downloaded_with_its_md5(alice, published):
    got = alice.call("GET", f"{published}/vol@snap")
    assert got.data == CONTENT
    assert got.headers["Etag"] == MD5
    assert got.headers["Content-Length"] == str(SIZE)
    (entry,) = alice.call("GET", f"{published}?format=json").json
    assert entry["hash"] == MD5


def test_asking_for_its_headers_gives_the_same(alice, published):
    head = alice.call("HEAD", f"{published}/vol@snap")
    assert (head.headers["Etag"], head.headers["Content-Length"]) == (MD5, str(SIZE))


def test_a_part_of_it(alice, published):
    headers = {"Range": f"bytes={OFFSET - 10}-{OFFSET + 99}"}
    part = alice.call("GET", f"{published}/vol@snap", headers=headers)
    assert (part.status_code, part.data) == (206, CONTENT[OFFSET - 10 : OFFSET + 100])


def test_it_is_nobody_elses(alice, bob, published):
    assert bob.call("GET", f"{published}/vol@snap").status_code == 403
