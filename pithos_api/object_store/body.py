"""The body of a request in bounded pieces; what breaks off is never taken for complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from gunicorn.http.errors import (  # type: ignore[import-untyped]
    NoMoreData,
    ParseException,
)

from pithos_api.faults import HttpError
from pithos_api.object_store.limits import BODY_CHUNK_SIZE, DISCARD_SIZE_MAX, OBJECT_SIZE_MAX

CLIENT_CLOSED_REQUEST = 499
LENGTH_DIGITS_MAX = 18
"""Below 2**63; Python refuses to read some thousands."""


class ByteSource(Protocol):
    """`wsgi.input`: at most `size` bytes; b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


def body_length(content_length: str | None, transfer_encoding: str | None) -> int | None:
    """Announced bytes, or None for a chunked body. HttpError 400, 411, 413, 501 if wrong."""
    if transfer_encoding:
        if transfer_encoding.strip().lower() != "chunked":
            raise HttpError(501, "Unsupported transfer coding")
        return None
    if content_length is None or not content_length.strip():
        raise HttpError(411, "Missing Content-Length header.")
    length = _number(content_length)
    if length is None:
        raise HttpError(400, "Invalid Content-Length header value")
    if length > OBJECT_SIZE_MAX:
        raise HttpError(413, "Your request is too large.")
    return length


def body_chunks(source: ByteSource, length: int | None) -> Iterator[bytes]:
    """The body. HttpError 499: the client went away; 400: broken chunking; 413: chunks too many."""
    received = 0
    while length is None or received < length:
        wanted = BODY_CHUNK_SIZE if length is None else min(BODY_CHUNK_SIZE, length - received)
        data = _read(source, wanted)
        if not data:
            break
        received += len(data)
        if received > OBJECT_SIZE_MAX:
            raise HttpError(413, "Your request is too large.")
        yield data
    if length is not None and received < length:
        raise HttpError(CLIENT_CLOSED_REQUEST, f"body ended after {received} of {length} bytes")


def discard_body(environ: Mapping[str, Any]) -> None:
    """Read away a refused request's body, if its end is known and near.

    Not a chunked one: its sender may take his time, and waits for no answer meanwhile.
    """
    length = _number(environ.get("CONTENT_LENGTH") or "")
    if length is None or length > DISCARD_SIZE_MAX:
        return
    try:
        while environ["wsgi.input"].read(BODY_CHUNK_SIZE):
            pass
    except (ParseException, OSError):
        return


def _number(text: str) -> int | None:
    """Decimal digits as a number, an endless row of them as one over every limit."""
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text) if len(text) <= LENGTH_DIGITS_MAX else OBJECT_SIZE_MAX + 1


def _read(source: ByteSource, size: int) -> bytes:
    try:
        return source.read(size)
    except ParseException as error:
        raise HttpError(400, "Malformed chunked body") from error
    except (NoMoreData, OSError) as error:
        raise HttpError(CLIENT_CLOSED_REQUEST, "the client went away") from error
