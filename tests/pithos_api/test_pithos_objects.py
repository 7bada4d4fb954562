import pytest
from pithos_session import BLOCK_SIZE, Pithos, alice, noise, pithos_app

from blockstore import NotFound

__all__ = ["alice", "pithos_app"]

TEXT = {"Content-Type": "text/plain"}


def test_container_tells_how_blocks_are_made(alice):
    answer = alice("HEAD", "/c")
    assert answer.status_code == 204
    assert answer.headers["X-Container-Block-Size"] == str(BLOCK_SIZE)
    assert answer.headers["X-Container-Block-Hash"] == "blake3"
    assert alice("PUT", "/c").status_code == 202
    assert alice("HEAD", "/absent").status_code == 404


@pytest.mark.parametrize("account", ["AUTH_{}", "{}"])
@pytest.mark.parametrize("version", ["v1", "v1.0"])
def test_both_spellings_of_account_and_version(alice, account, version):
    path = f"/pithos/object-store/{version}/{account.format(alice.project)}/c"
    assert alice.call("HEAD", path).status_code == 204


def test_listing(alice):
    assert alice("GET", "/c").status_code == 204
    assert alice("GET", "/c?format=json").json == []
    for name in ("a/1", "a/2", "b"):
        alice("PUT", f"/c/{name}", data=b"x", headers=TEXT)
    assert alice("GET", "/c").text == "a/1\na/2\nb\n"
    names = [
        item.get("name", item.get("subdir"))
        for item in alice("GET", "/c?format=json&delimiter=/").json
    ]
    assert names == ["a/", "b"]
    item = alice("GET", "/c?format=json&prefix=b").json[0]
    assert item["x_object_hash"] == alice("HEAD", "/c/b").headers["X-Object-Hash"]


def test_put_get_delete(alice):
    content = noise(1, 2 * BLOCK_SIZE + 5)
    answer = alice("PUT", "/c/o", data=content, headers=TEXT)
    assert answer.status_code == 201
    assert alice("GET", "/c/o").data == content
    head = alice("HEAD", "/c/o")
    assert head.headers["ETag"] == answer.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(content))
    assert alice("DELETE", "/c").status_code == 409
    assert alice("DELETE", "/c/o").status_code == 204
    assert alice("DELETE", "/c/o").status_code == 404
    assert alice("DELETE", "/c").status_code == 204


def test_put_checks_type_and_etag(alice):
    assert alice("PUT", "/c/o", data=b"x").status_code == 411
    wrong = alice("PUT", "/c/o", data=b"x", headers={**TEXT, "ETag": "0" * 32})
    assert wrong.status_code == 422
    assert alice("HEAD", "/c/o").status_code == 404


def test_ranges(alice):
    content = noise(2, 3 * BLOCK_SIZE)
    alice.upload("/c/o", content)
    answer = alice("GET", "/c/o", headers={"Range": "bytes=65530-65545"})
    assert answer.status_code == 206
    assert answer.data == content[65530:65546]
    assert answer.headers["Content-Range"] == f"bytes 65530-65545/{len(content)}"
    several = alice("GET", "/c/o", headers={"Range": "bytes=0-0,5-6"})
    assert several.mimetype == "multipart/byteranges"
    assert alice("GET", "/c/o", headers={"Range": "bytes=999999-"}).status_code == 416


def test_conditions_are_held_against_the_merkle_hash(alice):
    alice.upload("/c/o", b"hello")
    etag = alice("HEAD", "/c/o").headers["ETag"]
    assert alice("GET", "/c/o", headers={"If-Match": etag}).status_code == 200
    assert alice("GET", "/c/o", headers={"If-Match": "00"}).status_code == 412
    assert alice("GET", "/c/o", headers={"If-None-Match": etag}).status_code == 304


def test_names_are_taken_as_they_were_sent(alice):
    for name in ("%C3%A9/%E2%82%AC", "a%2Fb%3Fc", "..%2Fx", "a//b", "%20"):
        assert alice("PUT", f"/c/{name}", data=b"x", headers=TEXT).status_code == 201
        assert alice("GET", f"/c/{name}?hashmap").status_code == 200
    assert set(alice("GET", "/c").text.splitlines()) == {"é/€", "a/b?c", "../x", "a//b", " "}


def test_no_token_and_bad_methods(alice):
    answer = alice("GET", "/c", headers={"X-Auth-Token": ""})
    assert answer.status_code == 401
    assert answer.json["unauthorized"]["code"] == 401
    refused = alice("POST", "/c/o")
    assert refused.status_code == 405
    assert refused.json["notAllowed"]["code"] == 405
    assert alice("GET", "").status_code == 404


def test_a_reader_reads_only(pithos_app, alice):
    alice.upload("/c/o", b"x")
    alice.services.identity.create_user("reader", "correct horse", project="alice", role="reader")
    reader = Pithos(pithos_app, "reader")
    assert reader("GET", "/c/o?hashmap").status_code == 200
    assert reader.send_blocks("c", b"y").status_code == 403
    assert reader.put_hashmap("/c/o", 0, []).status_code == 403
    assert reader.call("POST", "/image/v2/images", b"{}").status_code == 403


def test_a_block_that_is_gone_is_an_error_and_never_zeros(alice):
    content = noise(3, 20 * BLOCK_SIZE)
    alice.upload("/c/o", content)
    hashes = [bytes.fromhex(text) for text in alice.hashes(content)]
    alice.services.store.blocks.discard([hashes[0]])
    answer = alice("GET", "/c/o")
    assert answer.status_code == 500
    assert answer.json["internalServerError"]["code"] == 500
    tail = alice("GET", "/c/o", headers={"Range": f"bytes={BLOCK_SIZE}-"})
    assert tail.data == content[BLOCK_SIZE:]
    alice.services.store.blocks.discard([hashes[19]])
    with pytest.raises(NotFound):
        _ = alice("GET", "/c/o", headers={"Range": f"bytes={BLOCK_SIZE}-"}).data
