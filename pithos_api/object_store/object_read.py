"""Object requests that read: GET and HEAD."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator

from flask import Response, request

from pithos_api.faults import HttpError
from pithos_api.object_store.access import Target
from pithos_api.object_store.answers import HeaderList, answer
from pithos_api.object_store.conditions import Verdict, evaluate, range_applies
from pithos_api.object_store.listing import parse_parameters
from pithos_api.object_store.metadata import header_text, metadata_headers
from pithos_api.object_store.object_lookup import live_object
from pithos_api.object_store.object_lookup import read_range as read_range
from pithos_api.object_store.ranges import (
    ByteRange,
    MultipartRanges,
    RangeNotSatisfiable,
    parse_range,
)
from pithos_api.object_store.rendition import Rendition, rendition
from pithos_api.object_store.timestamps import http_date, swift_timestamp


def head_object(target: Target) -> Response:
    """The headers of a GET."""
    shown = _requested(target)
    refused = _condition_answer(shown)
    if refused is not None:
        return refused
    headers = [*_object_headers(shown), ("Content-Length", str(shown.size))]
    return answer(200, headers, content_type=_type_of(shown))


def get_object(target: Target) -> Response:
    """The content, or the ranges of it that are asked for."""
    shown = _requested(target)
    refused = _condition_answer(shown)
    if refused is not None:
        return refused
    ranges = _requested_ranges(shown)
    if ranges is None or (shown.is_manifest and len(ranges) > 1):  # the second is Swift's rule
        return _whole(shown)
    if len(ranges) == 1:
        return _single_range(shown, ranges[0])
    return _several_ranges(shown, ranges)


def _requested(target: Target) -> Rendition:
    parameters = parse_parameters(request.environ.get("QUERY_STRING", ""))
    return rendition(live_object(target.account, target.container, target.object), parameters)


def _object_headers(shown: Rendition) -> HeaderList:
    """What GET and HEAD tell of an object, without type and length."""
    info = shown.info
    return [
        ("Etag", shown.etag_header),
        ("Last-Modified", http_date(info.modified)),
        ("X-Timestamp", swift_timestamp(info.modified)),
        ("Accept-Ranges", "bytes"),
        *metadata_headers(info.metadata, "Object"),
        *((name, header_text(value)) for name, value in info.headers.items()),
    ]


def _type_of(shown: Rendition) -> str:
    return header_text(shown.info.content_type)


def _condition_answer(shown: Rendition) -> Response | None:
    verdict = evaluate(request.headers, shown.validators)
    if verdict is Verdict.NOT_MODIFIED:
        return answer(304, _object_headers(shown), content_type=_type_of(shown))
    if verdict is Verdict.FAILED:
        message = "A precondition for this request was not met."
        raise HttpError(412, message, _validator_headers(shown))
    return None


def _validator_headers(shown: Rendition) -> dict[str, str]:
    return {
        "Etag": shown.etag_header,
        "Last-Modified": http_date(shown.info.modified),
        "Accept-Ranges": "bytes",
    }


def _requested_ranges(shown: Rendition) -> list[ByteRange] | None:
    header = request.headers.get("Range")
    if header is None or not range_applies(request.headers.get("If-Range"), shown.validators):
        return None
    try:
        return parse_range(header, shown.size)
    except RangeNotSatisfiable as error:
        headers = {**_validator_headers(shown), "Content-Range": f"bytes */{shown.size}"}
        raise HttpError(416, "The Range requested is not available.", headers) from error


def _whole(shown: Rendition) -> Response:
    headers = [*_object_headers(shown), ("Content-Length", str(shown.size))]
    if not shown.size:
        return answer(200, headers, content_type=_type_of(shown))
    body = _begun(shown.stream(ByteRange(0, shown.size)))
    return answer(200, headers, body, _type_of(shown))


def _single_range(shown: Rendition, item: ByteRange) -> Response:
    headers = [
        *_object_headers(shown),
        ("Content-Length", str(item.length)),
        ("Content-Range", item.content_range(shown.size)),
    ]
    return answer(206, headers, _begun(shown.stream(item)), _type_of(shown))


def _several_ranges(shown: Rendition, ranges: list[ByteRange]) -> Response:
    parts = MultipartRanges(ranges, shown.size, _type_of(shown), secrets.token_hex(16))
    headers = [*_object_headers(shown), ("Content-Length", str(parts.content_length))]
    body = _begun(parts.stream(shown.stream), 2)  # the head of the first part, and some of it
    return answer(206, headers, body, parts.media_type)


def _begun(stream: Iterator[bytes], count: int = 1) -> Iterator[bytes]:
    """Read the first pieces now: damage there is still answered with a status."""
    return itertools.chain(list(itertools.islice(stream, count)), stream)
