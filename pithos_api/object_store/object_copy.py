"""Copies on the server: COPY, and PUT with X-Copy-From. The map root is shared, no data moves,
unless a range is copied, or what a manifest shows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from flask import Response, request

from pithos_api.faults import HttpError
from pithos_api.namespace.records import NewObject, ObjectInfo
from pithos_api.namespace.upload import Upload
from pithos_api.object_store.access import ACCOUNT_PREFIX, Target, authorized_account
from pithos_api.object_store.answers import answer
from pithos_api.object_store.conditions import Verdict, evaluate
from pithos_api.object_store.listing import parse_parameters
from pithos_api.object_store.metadata import check_totals, metadata_headers
from pithos_api.object_store.object_headers import (
    MANIFEST,
    content_type,
    is_true,
    kept_headers,
)
from pithos_api.object_store.object_lookup import live_object
from pithos_api.object_store.object_write import (
    PutConditions,
    check_object_name,
    check_put_conditions,
    requested_metadata,
)
from pithos_api.object_store.ranges import ByteRange, RangeNotSatisfiable, parse_range
from pithos_api.object_store.rendition import Rendition, rendition
from pithos_api.object_store.timestamps import http_date
from pithos_api.services import services


@dataclass(frozen=True, slots=True)
class Place:
    """One end of a copy; `account` is a project id."""

    account: str
    container: str
    name: str


def copy_object(target: Target) -> Response:
    """COPY: the object of the path to `Destination`."""
    destination = _other_place(target, "Destination", "Destination-Account")
    return _copy(Place(target.account, target.container, target.object), destination, target)


def put_copy(target: Target) -> Response:
    """PUT: the object named by `X-Copy-From` to the path."""
    if request.headers.get("Content-Length", "0").strip() not in ("", "0"):
        raise HttpError(400, "Copy requests require a zero byte body")
    source = _other_place(target, "X-Copy-From", "X-Copy-From-Account")
    return _copy(source, Place(target.account, target.container, target.object), target)


def _other_place(target: Target, header: str, account_header: str) -> Place:
    account = target.account
    if account_header in request.headers:
        element = _unquoted(account_header, request.headers[account_header])
        if not element or "/" in element:
            raise HttpError(412, f"{account_header} is not an account")
        account = authorized_account(target.principal, element)
    value = _unquoted(header, request.headers.get(header, ""))
    container, slash, name = value.removeprefix("/").partition("/")
    if not (container and slash and name):
        raise HttpError(412, f"{header} header must be of the form <container name>/<object name>")
    return Place(account, container, name)


def _unquoted(header: str, value: str) -> str:
    """Percent-decoded UTF-8; bytes that came unquoted count as they are."""
    try:
        text = unquote_to_bytes(value.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise HttpError(412, f"{header} is not UTF-8") from error
    if "\0" in text:
        raise HttpError(412, f"{header} has a NUL")
    return text


def _copy(source_place: Place, place: Place, target: Target) -> Response:
    check_object_name(place.name)
    source = live_object(source_place.account, source_place.container, source_place.name)
    parameters = parse_parameters(request.environ.get("QUERY_STRING", ""))
    _check_source(source, parameters)
    services().namespace.container(place.account, place.container)
    conditions = PutConditions()
    if request.method == "PUT":
        conditions = check_put_conditions(target)
    new = _copied(source, parameters, place)
    if place.account != source.account and new.root == source.root:
        services().namespace.record_map(place.account, new.root)
    info = services().namespace.put_object(
        place.account,
        place.container,
        place.name,
        new,
        if_absent=conditions.if_absent,
        if_match=conditions.if_match,
    )
    return answer(201, _copy_headers(source, info))


def _check_source(source: ObjectInfo, parameters: dict[str, str]) -> None:
    """With a COPY, conditions are about the source. HttpError 412."""
    names = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
    if request.method != "COPY" or not any(name in request.headers for name in names):
        return
    if evaluate(request.headers, rendition(source, parameters).validators) is not Verdict.PROCEED:
        raise HttpError(412, "A precondition for this request was not met.")


def _copied(source: ObjectInfo, parameters: dict[str, str], place: Place) -> NewObject:
    fresh = is_true(request.headers.get("X-Fresh-Metadata", ""))
    kept = kept_headers(request.headers, time.time())
    metadata = requested_metadata()
    if not fresh:
        kept = {**source.headers, **kept}
        metadata = {**source.metadata, **metadata}
        check_totals(metadata)
    given = request.headers.get("Content-Type")
    new = NewObject(
        size=source.size,
        root=source.root,
        merkle_hash=source.merkle_hash,
        md5=source.md5,
        content_type=content_type(request.headers, place.name) if given else source.content_type,
        metadata=metadata,
        headers=kept,
        kind=source.kind,
    )
    followed = MANIFEST in source.headers and parameters.get("multipart-manifest") != "get"
    if not followed and "Range" not in request.headers:
        return new
    return _read_through(rendition(source, parameters), new, followed)


def _read_through(source: Rendition, new: NewObject, followed: bool) -> NewObject:
    """A copy of a range, or of what a manifest shows: the bytes are read and stored anew."""
    found = services()
    upload = Upload(found.store, found.maps, found.store.info.hash_name)
    item = _requested_range(source)
    if item.length:
        for data in source.stream(item):
            upload.write(data)
    result = upload.finish()
    headers = dict(new.headers)
    if followed and MANIFEST not in request.headers:
        headers.pop(MANIFEST, None)
    return NewObject(
        size=result.size,
        root=result.root,
        merkle_hash=result.merkle_hash,
        md5=result.md5,
        content_type=new.content_type,
        metadata=new.metadata,
        headers=headers,
        block_ids=result.block_ids,
    )


def _requested_range(source: Rendition) -> ByteRange:
    header = request.headers.get("Range")
    try:
        ranges = None if header is None else parse_range(header, source.size)
    except RangeNotSatisfiable as error:
        raise HttpError(416, "The Range requested is not available.") from error
    if ranges is None:
        return ByteRange(0, source.size)
    if len(ranges) > 1:
        raise HttpError(400, "A copy takes one range.")
    return ranges[0]


def _copy_headers(source: ObjectInfo, info: ObjectInfo) -> list[tuple[str, str]]:
    headers = [
        ("X-Copied-From-Account", quote(f"{ACCOUNT_PREFIX}{source.account}")),
        ("X-Copied-From", quote(f"{source.container}/{source.name}")),
        ("X-Copied-From-Last-Modified", http_date(source.modified)),
        ("Last-Modified", http_date(info.modified)),
        *metadata_headers(info.metadata, "Object"),
    ]
    return headers if info.md5 is None else [("Etag", info.md5), *headers]
