"""Attacks on the rule that a digest alone gives nobody anything, and tells nobody anything."""

import pytest
from pithos_session import (
    BLOCK_SIZE,
    alice,
    bob,
    digest,
    noise,
    pithos_app,
    stored_bytes,
)

__all__ = ["alice", "bob", "pithos_app"]

CONTENT = noise(7, 3 * BLOCK_SIZE + 100)


def test_naming_anothers_hashes_lists_them_all_as_missing(alice, bob):
    alice.upload("/c/o", CONTENT)
    hashes = bob.hashes(CONTENT)
    answer = bob.put_hashmap("/c/stolen", len(CONTENT), hashes)
    assert answer.status_code == 409
    assert answer.json == hashes
    assert bob("GET", "/c/stolen").status_code == 404


def test_present_and_absent_in_the_pool_answer_alike(alice, bob):
    alice.upload("/c/o", CONTENT)
    absent = noise(8, len(CONTENT))
    there = bob.put_hashmap("/c/o", len(CONTENT), bob.hashes(CONTENT))
    not_there = bob.put_hashmap("/c/o", len(absent), bob.hashes(absent))
    assert there.status_code == not_there.status_code == 409
    assert there.json == bob.hashes(CONTENT)
    assert not_there.json == bob.hashes(absent)
    varying = ("X-Trans-Id", "X-Openstack-Request-Id", "Date")
    kept = [
        {name: value for name, value in answer.headers if name not in varying}
        for answer in (there, not_there)
    ]
    assert kept[0] == kept[1]


def test_asking_again_does_not_help(alice, bob):
    alice.upload("/c/o", CONTENT)
    hashes = bob.hashes(CONTENT)
    for _ in range(3):
        assert bob.put_hashmap("/c/o", len(CONTENT), hashes).json == hashes


def test_sending_it_again_costs_no_space(alice, bob):
    alice.upload("/c/o", CONTENT)
    before = stored_bytes(alice)
    bob.upload("/c/mine", CONTENT)
    assert bob("GET", "/c/mine").data == CONTENT
    assert stored_bytes(alice) == before


def test_one_own_block_gives_no_other(alice, bob):
    alice.upload("/c/o", CONTENT)
    bob.send_blocks("c", CONTENT[:BLOCK_SIZE])
    hashes = bob.hashes(CONTENT)
    assert bob.put_hashmap("/c/o", len(CONTENT), hashes).json == hashes[1:]


def test_the_last_slot_tells_nothing_of_anothers_block(alice, bob):
    alice.upload("/c/o", CONTENT)
    answer = bob.put_hashmap("/c/o", 5, [digest(CONTENT[:BLOCK_SIZE])])
    assert answer.status_code == 409


def test_a_failed_read_gives_no_possession(alice, bob):
    alice.upload("/c/o", CONTENT)
    assert bob("GET", "/c/o", account=alice.project).status_code == 403
    assert bob("GET", "/c/o?hashmap", account=alice.project).status_code == 403
    hashes = bob.hashes(CONTENT)
    assert bob.put_hashmap("/c/o", len(CONTENT), hashes).json == hashes


@pytest.mark.parametrize("path", ["/c?update", "/c/o?hashmap", "/c/o"])
def test_another_account_is_closed(alice, bob, path):
    method = "POST" if path.endswith("update") else "PUT"
    headers = {"Content-Type": "application/octet-stream"}
    answer = bob(method, path, data=b"{}", headers=headers, account=alice.project)
    assert answer.status_code == 403
    assert answer.json["forbidden"]["code"] == 403


def test_what_was_put_as_plain_bytes_is_possessed(alice):
    headers = {"Content-Type": "text/plain"}
    assert alice("PUT", "/c/plain", data=CONTENT, headers=headers).status_code == 201
    hashes = alice.hashes(CONTENT)
    assert alice.put_hashmap("/c/again", len(CONTENT), hashes).status_code == 201


def test_what_was_put_by_swift_is_possessed(alice):
    alice.call("PUT", f"/v1/AUTH_{alice.project}/c/plain", CONTENT)
    assert alice.put_hashmap("/c/o", len(CONTENT), alice.hashes(CONTENT)).status_code == 201


def test_a_collected_block_is_missing_to_its_owner(alice):
    alice.send_blocks("c", CONTENT)
    hashes = alice.hashes(CONTENT)
    alice.services.store.blocks.discard([bytes.fromhex(hashes[2])])
    assert alice.put_hashmap("/c/o", len(CONTENT), hashes).json == [hashes[2]]


def test_a_page_of_a_map_is_nobodys_block(alice, bob):
    alice.upload("/c/o", CONTENT)
    root = alice.services.namespace.object(alice.project, "c", "o").root
    answer = bob.put_hashmap("/c/page", 100, [root.block_id.hex()])
    assert answer.status_code == 409
