"""The Range header: what it means for a content of a given size."""

from __future__ import annotations

import email
import email.message

import pytest

from pithos_api.object_store.ranges import (
    ByteRange,
    MultipartRanges,
    RangeNotSatisfiable,
    parse_range,
)

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-", [(0, 1000)]),
        ("bytes=999-", [(999, 1)]),
        ("bytes=10-19", [(10, 10)]),
        ("bytes=990-5000", [(990, 10)]),
        ("bytes=-5", [(995, 5)]),
        ("bytes=-5000", [(0, 1000)]),
        ("bytes=0-9,20-29", [(0, 10), (20, 10)]),
        ("bytes=20-29,0-9", [(20, 10), (0, 10)]),
        ("bytes=0-9,2000-,-1", [(0, 10), (999, 1)]),
        ("bytes=,0-9,", [(0, 10)]),
        ("BYTES = 0 - 9", [(0, 10)]),
    ],
)
def test_satisfiable(header: str, expected: list[tuple[int, int]]) -> None:
    assert parse_range(header, SIZE) == [ByteRange(*item) for item in expected]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "0-4",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "bytes=1-2,x",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=٣-٤",
        "parsecs=8-12",
        "bytes=0-99999999999999999999",
    ],
)
def test_malformed_is_ignored(header: str) -> None:
    assert parse_range(header, SIZE) is None


@pytest.mark.parametrize(
    "header",
    [
        "bytes=1000-",
        "bytes=1000-2000",
        "bytes=-0",
        "bytes=1000-,-0",
        "bytes=" + ",".join(f"{i}-{i}" for i in range(51)),
        "bytes=0-,0-,0-,0-",
    ],
)
def test_not_satisfiable(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, SIZE)


def test_empty_content_has_no_ranges() -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=0-0", 0)
    assert parse_range("bytes=-5", 0) is None


def test_content_range_header() -> None:
    assert ByteRange(10, 10).content_range(1000) == "bytes 10-19/1000"


def test_multipart_is_what_its_length_says_and_parses() -> None:
    content = bytes(range(256)) * 4
    parts = MultipartRanges(
        [ByteRange(0, 3), ByteRange(1000, 24)], len(content), "text/x; a=é", "limit"
    )
    body = b"".join(
        parts.stream(lambda item: iter([content[item.offset : item.offset + item.length]]))
    )
    assert len(body) == parts.content_length
    message = email.message_from_bytes(
        f"Content-Type: {parts.media_type}\r\n\r\n".encode() + body, _class=email.message.Message
    )
    payloads = message.get_payload()
    assert isinstance(payloads, list)
    assert [part["Content-Range"] for part in payloads] == [
        "bytes 0-2/1024",
        "bytes 1000-1023/1024",
    ]
    assert payloads[1].get_payload(decode=True) == content[1000:]
