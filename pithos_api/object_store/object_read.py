"""Object requests that read: GET and HEAD."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Iterator

from flask import Response, request

from archipelago import ArchipelagoError, Content
from blockstore.errors import StoreError
from pithos_api.faults import HttpError
from pithos_api.namespace.records import ObjectInfo
from pithos_api.object_store.access import Target
from pithos_api.object_store.answers import HeaderList, answer
from pithos_api.object_store.conditions import Validators, Verdict, evaluate, range_applies
from pithos_api.object_store.metadata import header_text, metadata_headers
from pithos_api.object_store.object_lookup import live_object, open_content, with_md5
from pithos_api.object_store.ranges import (
    ByteRange,
    MultipartRanges,
    RangeNotSatisfiable,
    parse_range,
)
from pithos_api.object_store.timestamps import http_date, swift_timestamp

log = logging.getLogger(__name__)


def head_object(target: Target) -> Response:
    """The headers of a GET."""
    info = _requested(target)
    refused = _condition_answer(info)
    if refused is not None:
        return refused
    headers = [*object_headers(info), ("Content-Length", str(info.size))]
    return answer(200, headers, content_type=header_text(info.content_type))


def get_object(target: Target) -> Response:
    """The content, or the ranges of it that are asked for."""
    info = _requested(target)
    refused = _condition_answer(info)
    if refused is not None:
        return refused
    ranges = _requested_ranges(info)
    if ranges is None:
        return _whole(info)
    if len(ranges) == 1:
        return _single_range(info, ranges[0])
    return _several_ranges(info, ranges)


def object_headers(info: ObjectInfo) -> HeaderList:
    """What GET and HEAD tell of an object, without type and length."""
    return [
        ("Etag", info.md5 or ""),
        ("Last-Modified", http_date(info.modified)),
        ("X-Timestamp", swift_timestamp(info.modified)),
        ("Accept-Ranges", "bytes"),
        *metadata_headers(info.metadata, "Object"),
        *((name, header_text(value)) for name, value in info.headers.items()),
    ]


def validators_of(info: ObjectInfo) -> Validators:
    """What the conditions of a request are held against."""
    return Validators(info.md5 or "", info.modified)


def read_range(info: ObjectInfo, content: Content, item: ByteRange) -> Iterator[bytes]:
    """Exactly the bytes of the range, or an error: the log names the object and the offset.

    Raised in the middle of an answer, it makes the server cut the connection, so that the client
    sees an incomplete body.
    """
    position = item.offset
    try:
        for data in content.stream(item.offset, item.length):
            yield data
            position += len(data)
    except (ArchipelagoError, StoreError, OSError) as error:
        log.error(
            "cannot read %s/%s/%s from byte %d on: %s",
            info.account,
            info.container,
            info.name,
            position,
            error,
        )
        raise


def _requested(target: Target) -> ObjectInfo:
    return with_md5(live_object(target.account, target.container, target.object))


def _condition_answer(info: ObjectInfo) -> Response | None:
    verdict = evaluate(request.headers, validators_of(info))
    if verdict is Verdict.NOT_MODIFIED:
        return answer(304, object_headers(info), content_type=header_text(info.content_type))
    if verdict is Verdict.FAILED:
        raise HttpError(
            412, "A precondition for this request was not met.", _validator_headers(info)
        )
    return None


def _validator_headers(info: ObjectInfo) -> dict[str, str]:
    return {"Etag": info.md5 or "", "Last-Modified": http_date(info.modified)}


def _requested_ranges(info: ObjectInfo) -> list[ByteRange] | None:
    header = request.headers.get("Range")
    if header is None or not range_applies(request.headers.get("If-Range"), validators_of(info)):
        return None
    try:
        return parse_range(header, info.size)
    except RangeNotSatisfiable as error:
        headers = {
            **_validator_headers(info),
            "Accept-Ranges": "bytes",
            "Content-Range": f"bytes */{info.size}",
        }
        raise HttpError(416, "The Range requested is not available.", headers) from error


def _whole(info: ObjectInfo) -> Response:
    headers = [*object_headers(info), ("Content-Length", str(info.size))]
    if not info.size:
        return answer(200, headers, content_type=header_text(info.content_type))
    body = _begun(read_range(info, open_content(info), ByteRange(0, info.size)))
    return answer(200, headers, body, header_text(info.content_type))


def _single_range(info: ObjectInfo, item: ByteRange) -> Response:
    headers = [
        *object_headers(info),
        ("Content-Length", str(item.length)),
        ("Content-Range", item.content_range(info.size)),
    ]
    body = _begun(read_range(info, open_content(info), item))
    return answer(206, headers, body, header_text(info.content_type))


def _several_ranges(info: ObjectInfo, ranges: list[ByteRange]) -> Response:
    parts = MultipartRanges(
        ranges, info.size, header_text(info.content_type), secrets.token_hex(16)
    )
    headers = [*object_headers(info), ("Content-Length", str(parts.content_length))]
    content = open_content(info)
    body = parts.stream(lambda item: read_range(info, content, item))
    return answer(206, headers, body, parts.media_type)


def _begun(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first piece now: damage there is still answered with a status."""
    return itertools.chain([next(stream)], stream)
