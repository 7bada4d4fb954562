"""Copies on the server."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from swift_session import Swift

pytest_plugins = ("swift_session",)

DATA = bytes(range(256)) * 1000
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture
def stored(swift: Swift) -> Swift:
    swift("PUT", "/from")
    swift("PUT", "/to")
    headers = {"X-Object-Meta-A": "1", "Content-Type": "text/x", "Content-Encoding": "gzip"}
    assert swift("PUT", "/from/a%2Fb", data=DATA, headers=headers).status_code == 201
    return swift


@pytest.mark.parametrize("destination", ["to/copy", "/to/copy", "to/c%6Fpy"])
def test_copy(stored: Swift, destination: str) -> None:
    answer = stored("COPY", "/from/a/b", headers={"Destination": destination})
    assert answer.status_code == 201
    assert answer.headers["X-Copied-From"] == "from/a/b"
    assert answer.headers["Etag"] == MD5
    got = stored("GET", "/to/copy")
    assert got.data == DATA
    assert got.headers["X-Object-Meta-A"] == "1"
    assert got.headers["Content-Type"] == "text/x"
    assert got.headers["Content-Encoding"] == "gzip"
    assert stored("HEAD", "/to").headers["X-Container-Bytes-Used"] == str(len(DATA))


def test_copy_by_put_with_new_attributes(stored: Swift) -> None:
    headers = {
        "X-Copy-From": "/from/a%2Fb",
        "X-Object-Meta-B": "2",
        "Content-Type": "text/y",
        "Content-Length": "0",
    }
    assert stored("PUT", "/to/copy", headers=headers).status_code == 201
    shown = stored("HEAD", "/to/copy").headers
    assert (shown["X-Object-Meta-A"], shown["X-Object-Meta-B"]) == ("1", "2")
    assert shown["Content-Type"] == "text/y"


def test_fresh_metadata(stored: Swift) -> None:
    headers = {"Destination": "to/copy", "X-Fresh-Metadata": "true", "X-Object-Meta-B": "2"}
    assert stored("COPY", "/from/a/b", headers=headers).status_code == 201
    shown = stored("HEAD", "/to/copy").headers
    assert "X-Object-Meta-A" not in shown
    assert "Content-Encoding" not in shown
    assert shown["X-Object-Meta-B"] == "2"


def test_copy_onto_itself_changes_metadata(stored: Swift) -> None:
    headers = {"Destination": "from/a/b", "X-Object-Meta-A": "new"}
    assert stored("COPY", "/from/a/b", headers=headers).status_code == 201
    got = stored("GET", "/from/a/b")
    assert (got.data, got.headers["X-Object-Meta-A"]) == (DATA, "new")
    assert stored("HEAD", "/from").headers["X-Container-Object-Count"] == "1"


def test_copy_of_a_range(stored: Swift) -> None:
    headers = {"Destination": "to/part", "Range": "bytes=100-200"}
    assert stored("COPY", "/from/a/b", headers=headers).status_code == 201
    got = stored("GET", "/to/part")
    assert got.data == DATA[100:201]
    assert got.headers["Etag"] == hashlib.md5(DATA[100:201]).hexdigest()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 412),
        ({"Destination": "to"}, 412),
        ({"Destination": "to/"}, 412),
        ({"Destination": "/"}, 412),
        ({"Destination": "to/%ff"}, 412),
        ({"Destination": "none/copy"}, 404),
        ({"Destination": "to/" + "n" * 1025}, 400),
        ({"Destination": "to/copy", "If-Match": "0" * 32}, 412),
        ({"Destination": "to/copy", "Range": "bytes=999999-"}, 416),
        ({"Destination": "to/copy", "X-Object-Meta-": "v"}, 400),
    ],
)
def test_bad_copies(stored: Swift, headers: dict[str, str], status: int) -> None:
    assert stored("COPY", "/from/a/b", headers=headers).status_code == status
    assert stored("GET", "/to").status_code == 204


def test_bad_copies_by_put(stored: Swift) -> None:
    absent = {"X-Copy-From": "from/none", "Content-Length": "0"}
    assert stored("PUT", "/to/copy", headers=absent).status_code == 404
    malformed = {"X-Copy-From": "from", "Content-Length": "0"}
    assert stored("PUT", "/to/copy", headers=malformed).status_code == 412
    body = {"X-Copy-From": "from/a/b"}
    assert stored("PUT", "/to/copy", data=b"x", headers=body).status_code == 400
    taken = {"X-Copy-From": "from/a/b", "If-None-Match": "*"}
    assert stored("PUT", "/from/a/b", headers=taken).status_code == 412


def test_copy_between_accounts(stored: Swift, other: Swift, admin: Swift) -> None:
    other("PUT", "/theirs")
    give = {"Destination": "theirs/gift", "Destination-Account": other.account}
    assert stored("COPY", "/from/a/b", headers=give).status_code == 403
    take = {"X-Copy-From": "from/a/b", "X-Copy-From-Account": stored.account}
    assert other("PUT", "/theirs/loot", headers=take).status_code == 403
    assert admin("COPY", "/from/a/b", headers=give, account=stored.account).status_code == 201
    assert other("GET", "/theirs/gift").data == DATA
