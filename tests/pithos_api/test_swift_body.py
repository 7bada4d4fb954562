"""Request bodies: announced lengths, and bodies that break off."""

from __future__ import annotations

import io

import pytest
from gunicorn.http.errors import InvalidChunkSize, NoMoreData

from pithos_api.faults import HttpError
from pithos_api.object_store.body import body_chunks, body_length
from pithos_api.object_store.limits import BODY_CHUNK_SIZE, OBJECT_SIZE_MAX


@pytest.mark.parametrize(
    ("length", "encoding", "expected"),
    [
        ("0", None, 0),
        ("17", None, 17),
        (str(OBJECT_SIZE_MAX), None, OBJECT_SIZE_MAX),
        (None, "chunked", None),
        (None, "Chunked", None),
    ],
)
def test_length(length: str | None, encoding: str | None, expected: int | None) -> None:
    assert body_length(length, encoding) == expected


@pytest.mark.parametrize(
    ("length", "encoding", "status"),
    [
        (None, None, 411),
        ("", None, 411),
        ("many", None, 400),
        ("-1", None, 400),
        ("1.0", None, 400),
        ("²", None, 400),
        (str(OBJECT_SIZE_MAX + 1), None, 413),
        ("9" * 5000, None, 413),
        (None, "gzip,chunked", 501),
    ],
)
def test_length_refused(length: str | None, encoding: str | None, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        body_length(length, encoding)
    assert caught.value.fault.status == status


def test_body_comes_in_bounded_pieces_and_stops_at_its_length() -> None:
    data = bytes(BODY_CHUNK_SIZE + 5)
    pieces = list(body_chunks(io.BytesIO(data + b"next request"), len(data)))
    assert [len(piece) for piece in pieces] == [BODY_CHUNK_SIZE, 5]


def test_chunked_body_ends_at_the_end() -> None:
    assert b"".join(body_chunks(io.BytesIO(b"abc"), None)) == b"abc"


def test_short_body_is_an_error() -> None:
    chunks = body_chunks(io.BytesIO(b"abc"), 4)
    assert next(chunks) == b"abc"
    with pytest.raises(HttpError) as caught:
        next(chunks)
    assert caught.value.fault.status == 499


class Broken:
    """A source that fails as a server's body reader does."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, _size: int, /) -> bytes:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidChunkSize(b"zz"), 400),
        (NoMoreData(), 499),
        (ConnectionResetError(), 499),
        (TimeoutError(), 499),
    ],
)
def test_broken_body(error: Exception, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        list(body_chunks(Broken(error), None))
    assert caught.value.fault.status == status
