"""Object requests over plain bytes: GET, HEAD, PUT, DELETE. The ETag is the Merkle hash."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator

from flask import Response, request

from pithos_api.faults import HttpError
from pithos_api.namespace.records import NewObject, ObjectInfo
from pithos_api.namespace.upload import Upload, UploadResult
from pithos_api.object_store.access import Target
from pithos_api.object_store.body import body_chunks, body_length
from pithos_api.object_store.conditions import (
    Validators,
    Verdict,
    bare_etag,
    evaluate,
    range_applies,
)
from pithos_api.object_store.metadata import header_text
from pithos_api.object_store.object_lookup import live_object, open_content
from pithos_api.object_store.object_read import read_range
from pithos_api.object_store.object_write import check_object_name
from pithos_api.object_store.ranges import (
    ByteRange,
    MultipartRanges,
    RangeNotSatisfiable,
    parse_range,
)
from pithos_api.pithos.answers import private
from pithos_api.pithos.object_headers import attributes_of_request, object_headers, stored_headers
from pithos_api.pithos.preconditions import check_write
from pithos_api.services import services


def head_object(target: Target) -> Response:
    """The headers of a GET."""
    info = live_object(target.account, target.container, target.object)
    refused = _condition_answer(info)
    if refused is not None:
        return refused
    headers = [*object_headers(info), ("Content-Length", str(info.size))]
    return private(200, headers, content_type=header_text(info.content_type))


def get_object(target: Target) -> Response:
    """The content, or the ranges of it that are asked for."""
    info = live_object(target.account, target.container, target.object)
    refused = _condition_answer(info)
    if refused is not None:
        return refused
    ranges = _requested_ranges(info)
    if ranges is None:
        headers = [*object_headers(info), ("Content-Length", str(info.size))]
        body = (
            _begun(read_range(info, open_content(info), ByteRange(0, info.size)))
            if info.size
            else b""
        )
        return private(200, headers, body, header_text(info.content_type))
    if len(ranges) == 1:
        return _single_range(info, ranges[0])
    parts = MultipartRanges(
        ranges, info.size, header_text(info.content_type), secrets.token_hex(16)
    )
    headers = [*object_headers(info), ("Content-Length", str(parts.content_length))]
    content = open_content(info)
    body = parts.stream(lambda item: read_range(info, content, item))
    return private(206, headers, body, parts.media_type)


def put_object(target: Target) -> Response:
    """Take the body as the new content of the name."""
    length = body_length(
        request.headers.get("Content-Length"), request.headers.get("Transfer-Encoding")
    )
    check_object_name(target.object)
    attributes = attributes_of_request()
    namespace = services().namespace
    namespace.container(target.account, target.container)
    condition = check_write(target)
    result = _receive(length)
    expected = request.headers.get("ETag")
    if expected is not None and bare_etag(expected) not in (result.md5, result.merkle_hash):
        raise HttpError(422, "The ETag of the request is not the hash of its body.")
    new = NewObject(
        size=result.size,
        root=result.root,
        merkle_hash=result.merkle_hash,
        md5=result.md5,
        content_type=attributes.content_type,
        metadata=attributes.metadata,
        headers=attributes.headers,
        block_ids=result.block_ids,
    )
    info = namespace.put_object(
        target.account,
        target.container,
        target.object,
        new,
        if_absent=condition.if_absent,
        if_match=condition.if_match,
    )
    return private(201, stored_headers(info))


def delete_object(target: Target) -> Response:
    """Remove the name."""
    services().namespace.delete_object(target.account, target.container, target.object)
    return private(204, ())


def _receive(length: int | None) -> UploadResult:
    found = services()
    upload = Upload(found.store, found.maps, found.store.info.hash_name)
    for data in body_chunks(request.environ["wsgi.input"], length):
        upload.write(data)
    return upload.finish()


def _validators(info: ObjectInfo) -> Validators:
    return Validators(info.merkle_hash or "", info.modified)


def _condition_answer(info: ObjectInfo) -> Response | None:
    verdict = evaluate(request.headers, _validators(info))
    if verdict is Verdict.FAILED:
        raise HttpError(412, "A precondition of this request does not hold.")
    if verdict is Verdict.NOT_MODIFIED:
        return private(304, object_headers(info), content_type=header_text(info.content_type))
    return None


def _requested_ranges(info: ObjectInfo) -> list[ByteRange] | None:
    header = request.headers.get("Range")
    if header is None or not range_applies(request.headers.get("If-Range"), _validators(info)):
        return None
    try:
        return parse_range(header, info.size)
    except RangeNotSatisfiable as error:
        raise HttpError(
            416, "The range is not inside the object.", {"Content-Range": f"bytes */{info.size}"}
        ) from error


def _single_range(info: ObjectInfo, item: ByteRange) -> Response:
    headers = [
        *object_headers(info),
        ("Content-Length", str(item.length)),
        ("Content-Range", item.content_range(info.size)),
    ]
    body = _begun(read_range(info, open_content(info), item))
    return private(206, headers, body, header_text(info.content_type))


def _begun(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first piece now: damage there is still answered with a status."""
    return itertools.chain([next(stream)], stream)
