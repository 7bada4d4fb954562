"""Object requests that write: PUT, POST, DELETE."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flask import Response, request

from pithos_api.faults import HttpError
from pithos_api.namespace.errors import NoSuchObject
from pithos_api.namespace.records import NewObject, ObjectInfo
from pithos_api.namespace.upload import Upload, UploadResult
from pithos_api.object_store.access import Target
from pithos_api.object_store.answers import answer
from pithos_api.object_store.body import body_chunks, body_length
from pithos_api.object_store.conditions import bare_etag, etag_listed
from pithos_api.object_store.limits import OBJECT_NAME_SIZE_MAX
from pithos_api.object_store.metadata import check_totals, merged, metadata_changes
from pithos_api.object_store.object_headers import (
    content_type,
    is_expired,
    kept_headers,
    seconds_of,
)
from pithos_api.object_store.object_lookup import live_object, with_md5
from pithos_api.object_store.timestamps import http_date
from pithos_api.services import services


@dataclass(frozen=True, slots=True)
class PutConditions:
    """What must hold about the name at the moment when the object is put."""

    if_absent: bool = False
    if_match: str | None = None


def put_object(target: Target) -> Response:
    """Take the body as the new content of the name."""
    length = body_length(
        request.headers.get("Content-Length"), request.headers.get("Transfer-Encoding")
    )
    check_object_name(target.object)
    metadata = requested_metadata()
    headers = kept_headers(request.headers, time.time())
    media_type = content_type(request.headers, target.object)
    services().namespace.container(target.account, target.container)
    conditions = check_put_conditions(target)
    result = _receive(length)
    _check_etag(result)
    info = services().namespace.put_object(
        target.account,
        target.container,
        target.object,
        NewObject(
            size=result.size,
            root=result.root,
            merkle_hash=result.merkle_hash,
            md5=result.md5,
            content_type=media_type,
            metadata=metadata,
            headers=headers,
            block_ids=result.block_ids,
        ),
        if_absent=conditions.if_absent,
        if_match=conditions.if_match,
    )
    return answer(201, [("Etag", result.md5), ("Last-Modified", http_date(info.modified))])


def post_object(target: Target) -> Response:
    """Replace metadata, kept headers, and the type if one is given."""
    metadata = requested_metadata()
    headers = kept_headers(request.headers, time.time())
    given = request.headers.get("Content-Type")
    live_object(target.account, target.container, target.object)
    services().namespace.update_object(
        target.account,
        target.container,
        target.object,
        metadata,
        headers,
        content_type(request.headers, target.object) if given else None,
    )
    return answer(202)


def delete_object(target: Target) -> Response:
    """Remove the name. What has expired is removed too, but was not there.

    With X-If-Delete-At only an object that expires just then; HttpError 412 for others.
    """
    namespace = services().namespace
    expected = request.headers.get("X-If-Delete-At")
    moment = None if expected is None else seconds_of("X-If-Delete-At", expected)
    info = namespace.object(target.account, target.container, target.object)
    namespace.delete_object(target.account, target.container, target.object, if_expiry=moment)
    if is_expired(info.headers, time.time()):
        raise HttpError(404, "The resource could not be found.")
    return answer(204)


def requested_metadata() -> dict[str, str]:
    """The request's X-Object-Meta-*, checked against the limits."""
    metadata = merged({}, metadata_changes(request.headers.items(), "Object"))
    check_totals(metadata)
    return metadata


def check_object_name(name: str) -> None:
    """HttpError 400 when it is too long."""
    if len(name.encode()) > OBJECT_NAME_SIZE_MAX:
        raise HttpError(400, f"Object name length longer than {OBJECT_NAME_SIZE_MAX}")


def check_put_conditions(target: Target) -> PutConditions:
    """Refuse before a body is read what is bound to fail; return what is to be checked at the end.

    HttpError 412: If-None-Match: * and the name is taken, or If-Match names another content.
    HttpError 400: If-None-Match with anything but `*`.
    """
    none_match = request.headers.get("If-None-Match")
    match = request.headers.get("If-Match")
    if none_match is None and match is None:
        return PutConditions()
    if none_match is not None and none_match.strip() != "*":
        raise HttpError(400, "Etags other than * are not supported with If-None-Match on PUT")
    existing = _existing(target)
    if none_match is not None and existing is not None:
        raise HttpError(412, "The object exists.")
    if match is None:
        return PutConditions(if_absent=True)
    if existing is None or not etag_listed(match, existing.md5 or ""):
        raise HttpError(412, "The object is not the one named by If-Match.")
    return PutConditions(if_match=existing.md5)


def _existing(target: Target) -> ObjectInfo | None:
    try:
        info = services().namespace.object(target.account, target.container, target.object)
    except NoSuchObject:
        return None
    # One that has expired is not removed here: by now the name may have been put anew.
    return None if is_expired(info.headers, time.time()) else with_md5(info)


def _receive(length: int | None) -> UploadResult:
    found = services()
    upload = Upload(found.store, found.maps, found.store.info.hash_name)
    for data in body_chunks(request.environ["wsgi.input"], length):
        upload.write(data)
    return upload.finish()


def _check_etag(result: UploadResult) -> None:
    expected = request.headers.get("ETag")
    if expected is not None and bare_etag(expected) != result.md5:
        raise HttpError(422, "The ETag of the request is not the MD5 of its body.")
