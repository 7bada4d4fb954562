"""Manifests (DLO): one object that shows the objects whose names begin alike, joined."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from swift_session import Swift

pytest_plugins = ("swift_session",)

PARTS = [bytes([letter]) * size for letter, size in zip(b"abc", (70_000, 1, 100_000), strict=True)]
WHOLE = b"".join(PARTS)
ETAG = hashlib.md5("".join(hashlib.md5(part).hexdigest() for part in PARTS).encode()).hexdigest()


@pytest.fixture
def parted(swift: Swift) -> Swift:
    for container in ("box", "parts"):
        swift("PUT", f"/{container}")
    for number, part in enumerate(PARTS):
        swift("PUT", f"/parts/se%20g/{number}", data=part)
    swift("PUT", "/parts/other", data=b"no part of it")
    headers = {"X-Object-Manifest": "parts/se%20g/", "Content-Type": "text/x"}
    assert swift("PUT", "/box/whole", data=b"", headers=headers).status_code == 201
    return swift


def test_parts_are_joined(parted: Swift) -> None:
    answer = parted("GET", "/box/whole")
    assert (answer.status_code, answer.data) == (200, WHOLE)
    assert answer.headers["Etag"] == f'"{ETAG}"'
    assert answer.headers["Content-Type"] == "text/x"
    assert answer.headers["X-Object-Manifest"] == "parts/se%20g/"
    head = parted("HEAD", "/box/whole")
    assert head.headers["Content-Length"] == str(len(WHOLE))


@pytest.mark.parametrize(
    ("first", "last"), [(0, 0), (69_999, 70_001), (70_000, 70_000), (70_001, 170_000)]
)
def test_ranges_cross_parts(parted: Swift, first: int, last: int) -> None:
    answer = parted("GET", "/box/whole", headers={"Range": f"bytes={first}-{last}"})
    assert (answer.status_code, answer.data) == (206, WHOLE[first : last + 1])


def test_several_ranges_give_the_whole(parted: Swift) -> None:
    answer = parted("GET", "/box/whole", headers={"Range": "bytes=0-1,5-6"})
    assert (answer.status_code, answer.data) == (200, WHOLE)


def test_conditions_are_about_what_is_shown(parted: Swift) -> None:
    assert parted("GET", "/box/whole", headers={"If-None-Match": f'"{ETAG}"'}).status_code == 304
    assert parted("GET", "/box/whole", headers={"If-Match": "0" * 32}).status_code == 412


def test_manifest_itself(parted: Swift) -> None:
    answer = parted("GET", "/box/whole?multipart-manifest=get")
    assert (answer.data, answer.headers["Etag"]) == (b"", hashlib.md5().hexdigest())


def test_copy_is_of_what_is_shown(parted: Swift) -> None:
    assert parted("COPY", "/box/whole", headers={"Destination": "box/copy"}).status_code == 201
    parted("DELETE", "/parts/se%20g/0")
    copy = parted("GET", "/box/copy")
    assert copy.data == WHOLE
    assert "X-Object-Manifest" not in copy.headers
    assert copy.headers["Etag"] == hashlib.md5(WHOLE).hexdigest()


def test_copy_of_the_manifest_itself(parted: Swift) -> None:
    path = "/box/whole?multipart-manifest=get"
    assert parted("COPY", path, headers={"Destination": "box/copy"}).status_code == 201
    assert parted("GET", "/box/copy").data == WHOLE


def test_no_parts(parted: Swift) -> None:
    headers = {"X-Object-Manifest": "parts/none"}
    parted("PUT", "/box/empty", data=b"", headers=headers)
    answer = parted("GET", "/box/empty")
    assert (answer.status_code, answer.data) == (200, b"")
    headers = {"X-Object-Manifest": "nowhere/none"}
    parted("PUT", "/box/lost", data=b"", headers=headers)
    assert parted("GET", "/box/lost").status_code == 404


@pytest.mark.parametrize("value", ["parts", "parts/", "/parts", "/", "parts/x?y=1"])
def test_malformed(parted: Swift, value: str) -> None:
    headers = {"X-Object-Manifest": value}
    assert parted("PUT", "/box/bad", data=b"", headers=headers).status_code == 400


def test_post_without_the_header_makes_it_an_ordinary_object(parted: Swift) -> None:
    assert parted("POST", "/box/whole").status_code == 202
    assert parted("GET", "/box/whole").data == b""
