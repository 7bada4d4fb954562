"""Headers of an object as Pithos shows and takes them."""

from __future__ import annotations

import time
import uuid

from flask import request

from archipelago import EMPTY_MAP
from pithos_api.faults import HttpError
from pithos_api.namespace.records import NewObject, ObjectInfo
from pithos_api.object_store.answers import HeaderList
from pithos_api.object_store.metadata import header_text, metadata_headers
from pithos_api.object_store.object_headers import content_type, kept_headers
from pithos_api.object_store.object_write import requested_metadata
from pithos_api.object_store.timestamps import http_date
from pithos_api.wire import OBJECT_HASH_HEADER, OBJECT_UUID_HEADER

AVAILABLE = "1"


def object_headers(info: ObjectInfo) -> HeaderList:
    """What GET and HEAD tell of an object, without type and length."""
    return [
        *stored_headers(info),
        ("Last-Modified", http_date(info.modified)),
        ("X-Object-Version-Timestamp", http_date(info.modified)),
        ("Available", AVAILABLE),
        ("Accept-Ranges", "bytes"),
        *metadata_headers(info.metadata, "Object"),
        *((name, header_text(value)) for name, value in info.headers.items()),
    ]


def stored_headers(info: ObjectInfo) -> HeaderList:
    """What the answer to a PUT tells."""
    return [
        ("ETag", info.merkle_hash or ""),
        (OBJECT_HASH_HEADER, info.merkle_hash or ""),
        (OBJECT_UUID_HEADER, str(uuid.UUID(info.uuid))),
        ("X-Object-Version", str(info.id)),
    ]


def attributes_of_request() -> NewObject:
    """Type, metadata and kept headers of a PUT, without content. HttpError 400, 411."""
    if not request.headers.get("Content-Type"):
        raise HttpError(411, "Missing Content-Type header.")
    return NewObject(
        size=0,
        root=EMPTY_MAP,
        merkle_hash=None,
        md5=None,
        content_type=content_type(request.headers, ""),
        metadata=requested_metadata(),
        headers=kept_headers(request.headers, time.time()),
    )
