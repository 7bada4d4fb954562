"""Container requests and listings of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from swift_session import Swift

pytest_plugins = ("swift_session",)


def names(swift: Swift, query: str) -> list[str]:
    found = swift("GET", f"/box?format=json&{query}").json
    return [entry.get("name", entry.get("subdir")) for entry in found]


@pytest.fixture
def full(swift: Swift) -> Swift:
    swift("PUT", "/box")
    for name in ("a", "a/1", "a/2/x", "b--1", "b--2", "c/", "%CE%B1"):
        assert swift("PUT", f"/box/{name}", data=b"x").status_code == 201
    return swift


def test_life(swift: Swift) -> None:
    assert swift("HEAD", "/box").status_code == 404
    assert swift("PUT", "/box").status_code == 201
    assert swift("PUT", "/box").status_code == 202
    assert swift("HEAD", "/box").status_code == 204
    assert swift("PUT", "/box/o", data=b"x").status_code == 201
    assert swift("DELETE", "/box").status_code == 409
    assert swift("DELETE", "/box/o").status_code == 204
    assert swift("DELETE", "/box").status_code == 204
    assert swift("DELETE", "/box").status_code == 404
    assert swift("GET", "/box").status_code == 404
    assert swift("POST", "/box").status_code == 404


def test_trailing_slash_is_the_container(swift: Swift) -> None:
    assert swift("PUT", "/box/").status_code == 201
    assert swift("HEAD", "/box").status_code == 204


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("n" * 256, 201),
        ("n" * 257, 400),
        ("%C3%A9" * 128, 201),
        ("%C3%A9" * 129, 400),
        ("%ff", 412),
        ("a%00", 412),
        ("%20", 201),
        ("a%2Fb", 404),
    ],
)
def test_names(swift: Swift, name: str, status: int) -> None:
    assert swift("PUT", f"/{name}").status_code == status


def test_headers(full: Swift) -> None:
    headers = full("HEAD", "/box").headers
    assert headers["X-Container-Object-Count"] == "7"
    assert headers["X-Container-Bytes-Used"] == "7"
    assert "X-Timestamp" in headers
    assert headers["Last-Modified"].endswith("GMT")
    assert full("GET", "/box").headers["X-Container-Object-Count"] == "7"


def test_metadata_and_settings(swift: Swift) -> None:
    swift("PUT", "/box", headers={"X-Container-Meta-A": "1", "X-Container-Read": ".r:*"})
    swift("PUT", "/box", headers={"X-Container-Meta-B": "Ã¼"})
    swift("POST", "/box", headers={"X-Remove-Container-Meta-A": "x", "X-Container-Write": "p:u"})
    headers = swift("HEAD", "/box").headers
    assert "X-Container-Meta-A" not in headers
    assert headers["X-Container-Meta-B"] == "Ã¼"
    assert headers["X-Container-Read"] == ".r:*"
    assert headers["X-Container-Write"] == "p:u"
    swift("POST", "/box", headers={"X-Container-Read": "", "X-Remove-Container-Write": "x"})
    headers = swift("HEAD", "/box").headers
    assert "X-Container-Read" not in headers
    assert "X-Container-Write" not in headers


def test_bad_metadata_makes_no_container(swift: Swift) -> None:
    assert swift("PUT", "/box", headers={"X-Container-Meta-": "v"}).status_code == 400
    assert swift("HEAD", "/box").status_code == 404


def test_storage_policy(swift: Swift) -> None:
    assert swift("PUT", "/box", headers={"X-Storage-Policy": "gold"}).status_code == 400
    assert swift("PUT", "/box", headers={"X-Storage-Policy": "default"}).status_code == 201


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a", "a/1", "a/2/x", "b--1", "b--2", "c/", "α"]),
        ("limit=2", ["a", "a/1"]),
        ("limit=0", []),
        ("marker=b--1", ["b--2", "c/", "α"]),
        ("marker=a&end_marker=b--2", ["a/1", "a/2/x", "b--1"]),
        ("prefix=b", ["b--1", "b--2"]),
        ("delimiter=/", ["a", "a/", "b--1", "b--2", "c/", "α"]),
        ("delimiter=--", ["a", "a/1", "a/2/x", "b--", "c/", "α"]),
        ("prefix=a/&delimiter=/", ["a/1", "a/2/"]),
        ("delimiter=/&marker=a/", ["b--1", "b--2", "c/", "α"]),
        ("path=a", ["a/1"]),
        ("path=", ["a", "b--1", "b--2", "c/", "α"]),
        ("reverse=true&limit=2", ["α", "c/"]),
        ("reverse=true&marker=b--1", ["a/2/x", "a/1", "a"]),
        ("reverse=true&delimiter=/&prefix=a", ["a/", "a"]),
        ("reverse=true&marker=b--1%00&end_marker=a", ["b--1", "a/2/x", "a/1"]),
        ("marker=a%00&end_marker=b--1%00", ["a/1", "a/2/x", "b--1"]),
        ("prefix=%CE", None),
    ],
)
def test_listing(full: Swift, query: str, expected: list[str] | None) -> None:
    if expected is None:
        assert full("GET", f"/box?{query}").status_code == 412
    else:
        assert names(full, query) == expected


def test_paging_through_a_delimited_listing_meets_everything_once(full: Swift) -> None:
    seen: list[str] = []
    while page := names(full, f"limit=1&delimiter=/&marker={seen[-1] if seen else ''}"):
        seen += page
    assert seen == names(full, "delimiter=/")


def test_listing_as_text(full: Swift) -> None:
    answer = full("GET", "/box?delimiter=/")
    assert answer.text == "a\na/\nb--1\nb--2\nc/\nα\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    empty = full("GET", "/box?prefix=zzz")
    assert (empty.status_code, empty.data) == (204, b"")


def test_listed_fields(full: Swift) -> None:
    entry = full("GET", "/box?format=json&limit=1").json[0]
    assert entry["hash"] == "9dd4e461268c8034f5c8564e155c67a6"
    assert entry["bytes"] == 1
    assert entry["content_type"] == "application/octet-stream"
    assert len(entry["last_modified"]) == len("2013-05-10T12:07:02.123456")
