import json

import pytest
from pithos_session import (
    BLOCK_SIZE,
    OCTETS,
    alice,
    digest,
    noise,
    pithos_app,
)

__all__ = ["alice", "pithos_app"]

ZERO = digest(b"")


@pytest.mark.parametrize(
    "size",
    [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE, 5 * BLOCK_SIZE + 17],
)
def test_content_comes_back(alice, size):
    content = noise(size, size)
    alice.upload("/c/o", content)
    answer = alice("GET", "/c/o")
    assert answer.status_code == 200
    assert answer.data == content
    found = alice("GET", "/c/o?hashmap").json
    assert found == {
        "block_size": BLOCK_SIZE,
        "block_hash": "blake3",
        "bytes": size,
        "hashes": alice.hashes(content) or [ZERO],
    }


def test_zero_blocks_have_the_digest_of_nothing(alice):
    content = noise(1, BLOCK_SIZE) + bytes(2 * BLOCK_SIZE) + noise(2, 5) + bytes(10)
    hashes = alice.hashes(content)
    assert hashes[1] == hashes[2] == ZERO
    assert alice.put_hashmap("/c/o", len(content), hashes).json == [hashes[0], hashes[3]]
    alice.upload("/c/o", content)
    assert alice("GET", "/c/o").data == content
    assert alice("GET", "/c/o?hashmap").json["hashes"] == hashes


def test_all_zeros_need_no_block(alice):
    assert alice.put_hashmap("/c/o", 3 * BLOCK_SIZE - 5, [ZERO] * 3).status_code == 201
    assert alice("GET", "/c/o").data == bytes(3 * BLOCK_SIZE - 5)
    found = alice("GET", "/c/o?hashmap&format=json")
    assert found.json["hashes"] == [ZERO] * 3
    assert found.content_length == len(found.data)


@pytest.mark.parametrize("hashes", [[], [ZERO]])
def test_empty_object_is_shown_with_one_hash(alice, hashes):
    assert alice.put_hashmap("/c/o", 0, hashes).status_code == 201
    found = alice("GET", "/c/o?hashmap")
    assert found.json["hashes"] == [ZERO]
    assert found.content_length == len(found.data)
    assert alice("HEAD", "/c/o").headers["X-Object-Hash"] == ZERO


def test_missing_in_order_of_first_appearance_each_once(alice):
    a, b, c = (noise(seed, BLOCK_SIZE) for seed in (1, 2, 3))
    hashes = alice.hashes(b + a + b + c + a)
    answer = alice.put_hashmap("/c/o", 5 * BLOCK_SIZE, hashes)
    assert answer.status_code == 409
    assert answer.json == [hashes[0], hashes[1], hashes[3]]
    assert alice("GET", "/c/o").status_code == 404
    alice.send_blocks("c", a + c)
    assert alice.put_hashmap("/c/o", 5 * BLOCK_SIZE, hashes).json == [hashes[0]]


def test_the_etag_is_the_merkle_hash_of_the_facts(alice):
    alice.upload("/c/o", b"a\0\0\0")
    headers = alice("HEAD", "/c/o").headers
    assert headers["ETag"].strip('"') == headers["X-Object-Hash"] == digest(b"a")
    assert headers["Available"] == "1"
    assert len(headers["X-Object-UUID"]) == 36


def test_uuid_survives_overwriting_and_not_deleting(alice):
    def uuid():
        return alice("HEAD", "/c/o").headers["X-Object-UUID"]

    alice.upload("/c/o", b"one")
    first = uuid()
    alice.upload("/c/o", b"two")
    assert uuid() == first
    assert alice("DELETE", "/c/o").status_code == 204
    alice.upload("/c/o", b"two")
    assert uuid() != first


def test_xml_hashmap(alice):
    alice.upload("/c/a <&> b", b"x")
    answer = alice("GET", "/c/a%20%3C%26%3E%20b?hashmap&format=xml")
    assert answer.content_length == len(answer.data)
    assert f"<hash>{digest(b'x')}</hash></object>" in answer.text
    assert 'name="a &lt;&amp;&gt; b" bytes="1"' in answer.text


@pytest.mark.parametrize(("size", "count"), [(0, 2), (1, 0), (1, 2), (BLOCK_SIZE + 1, 1)])
def test_count_and_size_must_agree(alice, size, count):
    answer = alice.put_hashmap("/c/o", size, [ZERO] * count)
    assert answer.status_code == 400
    assert answer.json["badRequest"]["code"] == 400
    assert answer.json["badRequest"]["details"] == ""


def test_a_hash_of_zeros_is_no_hash(alice):
    assert alice.put_hashmap("/c/o", 5, ["0" * 64]).status_code == 400


def test_the_last_block_must_end_with_the_object(alice):
    block = noise(1, 1000)
    alice.send_blocks("c", block)
    assert alice.put_hashmap("/c/o", 1000, [digest(block)]).status_code == 201
    assert alice.put_hashmap("/c/o", 1001, [digest(block)]).status_code == 201
    refused = alice.put_hashmap("/c/o", 999, [digest(block)])
    assert refused.status_code == 400
    assert alice("GET", "/c/o").data == block + b"\0"


def test_a_hashmap_needs_container_type_and_length(alice):
    assert alice.put_hashmap("/absent/o", 0, []).status_code == 404
    body = json.dumps({"bytes": 0, "hashes": []}).encode()
    assert alice("PUT", "/c/o?hashmap", data=body).status_code == 411
    assert alice("PUT", "/c/o?hashmap", headers=OCTETS, announced=0).status_code == 400


def test_a_hashmap_that_is_announced_too_large_is_not_read(alice):
    answer = alice("PUT", "/c/o?hashmap", data=b"", headers=OCTETS, announced=2**32)
    assert answer.status_code == 413
    assert answer.json["requestEntityTooLarge"]["code"] == 413


def test_create_only_and_replace_only(alice):
    create = {"If-None-Match": "*"}
    assert alice.put_hashmap("/c/o", 0, [], {"If-Match": "*"}).status_code == 412
    assert alice.put_hashmap("/c/o", 0, [], create).status_code == 201
    assert alice.put_hashmap("/c/o", 0, [], create).status_code == 412
    etag = alice("HEAD", "/c/o").headers["ETag"]
    assert alice.put_hashmap("/c/o", 5, [ZERO], {"If-Match": etag}).status_code == 201
    assert alice.put_hashmap("/c/o", 5, [ZERO], {"If-Match": "00"}).status_code == 412


def test_metadata_and_type_belong_to_the_object(alice):
    headers = {"Content-Type": "text/plain", "X-Object-Meta-Color": "red"}
    alice.put_hashmap("/c/o", 3, [ZERO], headers)
    found = alice("HEAD", "/c/o").headers
    assert found["Content-Type"] == "text/plain"
    assert found["X-Object-Meta-Color"] == "red"


def test_swift_sees_the_same_object(alice):
    alice.upload("/c/o", b"hello")
    answer = alice.call("GET", f"/v1/AUTH_{alice.project}/c/o")
    assert answer.data == b"hello"
    assert answer.headers["Etag"] == "5d41402abc4b2a76b9719d911017c592"
