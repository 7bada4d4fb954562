"""What endpoint and clients share: each side's text is read by the other as it was meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.upload import BATCH_SIZE
from pithos_api import wire
from pithos_api.pithos.hashmap_body import read_hashmap

digests = st.lists(st.binary(min_size=wire.DIGEST_SIZE, max_size=wire.DIGEST_SIZE), max_size=9)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.integers(0, 2**62), digests)
def test_a_hashmap_that_is_put(size: int, hashes: list[bytes]) -> None:
    body = read_hashmap([wire.hashmap_request(size, hashes)])
    assert (body.size, body.digests) == (size, hashes)


@given(st.integers(0, 2**62), digests)
def test_a_hashmap_that_is_got(size: int, hashes: list[bytes]) -> None:
    items = wire.HASH_SEPARATOR.join(map(wire.hash_item, wire.hash_texts(hashes)))
    text = wire.hashmap_head(65536, "blake3", size) + items + wire.HASHMAP_TAIL
    document = wire.parse_hashmap(json.loads(text))
    assert document == wire.HashmapDocument(65536, "blake3", size, hashes)


@given(digests)
def test_a_list_of_hashes(hashes: list[bytes]) -> None:
    assert wire.parse_hashes(json.loads(json.dumps(wire.hash_texts(hashes)))) == hashes


def test_runs_of_one_hash_take_no_memory_each() -> None:
    texts = wire.hash_texts([bytes([n // 1000]) * wire.DIGEST_SIZE for n in range(3000)])
    assert len({id(value) for value in wire.parse_hashes(texts)}) == 3


@given(names, names)
def test_a_location(container: str, name: str) -> None:
    location = wire.object_location("0" * 32, container, name)
    assert wire.parse_location(location) == ("AUTH_" + "0" * 32, container, name)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {"block_size": 4, "block_hash": "blake3", "bytes": 1},
        {"block_size": 4, "block_hash": None, "bytes": 1, "hashes": []},
        {"block_size": "4", "block_hash": "blake3", "bytes": 1, "hashes": []},
        {"block_size": True, "block_hash": "blake3", "bytes": 1, "hashes": []},
        {"block_size": 4, "block_hash": "blake3", "bytes": -1, "hashes": []},
        {"block_size": 4, "block_hash": "blake3", "bytes": 1.5, "hashes": []},
        {"block_size": 4, "block_hash": "blake3", "bytes": 1, "hashes": ["ab"]},
    ],
)
def test_what_is_no_hashmap(document: object) -> None:
    with pytest.raises(wire.WireError):
        wire.parse_hashmap(document)


@pytest.mark.parametrize("document", [None, {}, [1], [None], ["0" * 63], ["0" * 65], ["g" * 64]])
def test_what_is_no_list_of_hashes(document: object) -> None:
    with pytest.raises(wire.WireError):
        wire.parse_hashes(document)


def test_a_long_text_is_not_repeated_whole() -> None:
    with pytest.raises(wire.WireError) as caught:
        wire.parse_hashes(["x" * 10**6])
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "location",
    [
        "",
        "swift://AUTH_x/c/o",
        "pithos://",
        "pithos:///",
        "pithos://AUTH_x/c",
        "pithos://AUTH_x/c/",
        "pithos://AUTH_x//o",
        "pithos://AUTH_x/%FF/o",
    ],
)
def test_what_is_no_location(location: str) -> None:
    with pytest.raises(wire.WireError):
        wire.parse_location(location)


def test_a_batch_of_the_client_is_taken_by_the_server() -> None:
    assert BATCH_SIZE <= wire.BLOCK_UPLOAD_SIZE_MAX
