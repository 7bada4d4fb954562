"""Bytes that must stay readable: the samples of each version, and what is no record."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from archipelago import MapRoot
from archipelago.map_format import decode_page, encode_page
from archipelago.records import (
    LayerRecord,
    SnapshotRecord,
    VolumeRecord,
    decode_id,
    decode_layer,
    decode_snapshot,
    decode_volume,
    encode_id,
    encode_record,
)
from blockstore import ZERO_ID, Corrupt

GOLDEN = Path(__file__).parents[1] / "golden" / "archipelago-v1.json"

A, B = hashlib.sha256(b"A").digest(), hashlib.sha256(b"B").digest()
VOLUME_ID, SNAPSHOT_ID, LAYER_ID, TOP_ID = "1" * 32, "2" * 32, "3" * 32, "4" * 32

VOLUME = VolumeRecord(
    id=VOLUME_ID,
    name="ζωή",
    size=10 * 2**30 + 512,
    root=MapRoot(2, A),
    top=TOP_ID,
    frozen=(LAYER_ID,),
    created=1700000000,
    origin="image@s",
)
SNAPSHOT = SnapshotRecord(
    id=SNAPSHOT_ID,
    name="yesterday",
    volume=VOLUME_ID,
    size=512,
    root=MapRoot(0, ZERO_ID),
    frozen=(LAYER_ID,),
    created=1700000001,
)
LAYER = LayerRecord(
    id=LAYER_ID,
    created=1700000002,
    users=(f"volume/{VOLUME_ID}", f"snapshot/{SNAPSHOT_ID}"),
)


def written_now() -> dict[str, str]:
    """The same things as in the sample, as this version writes them."""
    return {
        "map root": MapRoot(2, A).pack().hex(),
        "map page, level 1": encode_page(1, A + ZERO_ID + B).hex(),
        "map page, level 6": encode_page(6, B).hex(),
        VOLUME.head_name: encode_record(VOLUME).decode(),
        SNAPSHOT.head_name: encode_record(SNAPSHOT).decode(),
        LAYER.head_name: encode_record(LAYER).decode(),
        "name/ζωή": encode_id(VOLUME_ID).decode(),
    }


def test_version_1_is_written_as_it_always_was():
    assert written_now() == json.loads(GOLDEN.read_text())


def test_version_1_is_read():
    sample = json.loads(GOLDEN.read_text())
    values = {name: value.encode() for name, value in sample.items()}
    assert MapRoot.unpack(bytes.fromhex(sample["map root"])) == MapRoot(2, A)
    assert decode_page(1, bytes.fromhex(sample["map page, level 1"])) == A + ZERO_ID + B
    assert decode_page(6, bytes.fromhex(sample["map page, level 6"])) == B
    assert decode_volume(VOLUME.head_name, values[VOLUME.head_name]) == VOLUME
    assert decode_snapshot(SNAPSHOT.head_name, values[SNAPSHOT.head_name]) == SNAPSHOT
    assert decode_layer(LAYER.head_name, values[LAYER.head_name]) == LAYER
    assert decode_id("name/ζωή", values["name/ζωή"]) == VOLUME_ID


def changed(**fields: object) -> bytes:
    return json.dumps(json.loads(encode_record(VOLUME)) | fields).encode()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"1",
        b"{}",
        encode_record(VOLUME)[:-1],
        changed(format=2),
        changed(format="1"),
        changed(id="5" * 32),
        changed(id=None),
        changed(name=1),
        changed(size=-512),
        changed(size=0),
        changed(size=513),
        changed(size=2**60),
        changed(size=1.5),
        changed(size=True),
        changed(root="zz"),
        changed(root="00"),
        changed(root="07" + A.hex()),
        changed(root="01" + ZERO_ID.hex()),
        changed(top=1),
        changed(frozen="abc"),
        changed(frozen=[1]),
        changed(created="now"),
        changed(contested=1),
    ],
)
def test_what_is_no_record_is_refused_by_name(value):
    with pytest.raises(Corrupt, match=VOLUME.head_name):
        decode_volume(VOLUME.head_name, value)


def test_a_page_may_end_in_an_id_that_ends_in_nuls():
    short = A[:31] + b"\0"
    assert decode_page(1, encode_page(1, B + short).rstrip(b"\0")) == B + short
