import pytest
from pithos_session import (
    BLOCK_SIZE,
    OCTETS,
    alice,
    digest,
    noise,
    pithos_app,
    stored_bytes,
)

from pithos_api.wire import BLOCK_UPLOAD_SIZE_MAX

__all__ = ["alice", "pithos_app"]


def test_several_blocks_answer_in_order(alice):
    data = noise(1, BLOCK_SIZE) + bytes(BLOCK_SIZE) + noise(2, 77)
    answer = alice.send_blocks("c", data)
    assert answer.status_code == 202
    assert answer.json == alice.hashes(data)


@pytest.mark.parametrize("size", [1, BLOCK_SIZE, 4 * 2**20, 4 * 2**20 + 1])
def test_any_size_of_body(alice, size):
    data = noise(size, size)
    assert alice.send_blocks("c", data).json == alice.hashes(data)
    assert stored_bytes(alice) == size


def test_trailing_nuls_do_not_count(alice):
    short, padded = b"abc", b"abc" + bytes(100)
    assert alice.send_blocks("c", short).json == alice.send_blocks("c", padded).json
    assert stored_bytes(alice) == 3


def test_xml(alice):
    answer = alice("POST", "/c?update&format=xml", data=b"abc", headers=OCTETS)
    assert answer.text.endswith(f"<items><item>{digest(b'abc')}</item></items>")


def test_absent_container(alice):
    assert alice.send_blocks("absent", b"abc").status_code == 404
    assert stored_bytes(alice) == 0


def test_announced_too_large_is_refused_unread(alice):
    size = BLOCK_UPLOAD_SIZE_MAX + 1
    answer = alice("POST", "/c?update", data=b"", headers=OCTETS, announced=size)
    assert answer.status_code == 413
    assert stored_bytes(alice) == 0


def test_a_body_that_breaks_off_changes_nothing(alice):
    data = noise(3, BLOCK_SIZE)
    answer = alice("POST", "/c?update", data=data, headers=OCTETS, announced=2 * BLOCK_SIZE)
    assert 400 <= answer.status_code < 500
    assert alice.put_hashmap("/c/o", BLOCK_SIZE, [digest(data)]).status_code == 409


def test_a_post_without_blocks_sets_metadata(alice):
    alice("POST", "/c?update", headers={"X-Container-Meta-A": "1"})
    alice("POST", "/c?update", headers={"X-Container-Meta-B": "2"})
    headers = alice("HEAD", "/c").headers
    assert (headers["X-Container-Meta-A"], headers["X-Container-Meta-B"]) == ("1", "2")
    alice("POST", "/c", headers={"X-Container-Meta-B": "3"})
    headers = alice("HEAD", "/c").headers
    assert "X-Container-Meta-A" not in headers
    assert headers["X-Container-Meta-B"] == "3"


def test_metadata_does_not_grow_without_bound(alice):
    for number in range(2):
        headers = {f"X-Container-Meta-{number}-{n}": "x" for n in range(60)}
        status = alice("PUT", "/c", headers=headers).status_code
    assert status == 400
