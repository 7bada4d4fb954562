"""If-Match and If-None-Match of a PUT: checked before the body is read, and when the row is put."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flask import request

from pithos_api.faults import HttpError
from pithos_api.namespace.errors import NoSuchObject
from pithos_api.namespace.records import ObjectInfo
from pithos_api.object_store.access import Target
from pithos_api.object_store.conditions import etag_listed
from pithos_api.object_store.object_headers import is_expired
from pithos_api.services import services


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """What `Namespace.put_object` has to hold to when it replaces the row."""

    if_absent: bool = False
    if_match: str | None = None


def check_write(target: Target) -> WriteCondition:
    """HttpError 412 when a condition of the request does not hold now."""
    none_match = request.headers.get("If-None-Match")
    match = request.headers.get("If-Match")
    if none_match is None and match is None:
        return WriteCondition()
    existing = _existing(target)
    if none_match is not None and existing is not None and _names(none_match, existing):
        raise HttpError(412, "The object exists.")
    if match is not None and (existing is None or not _names(match, existing)):
        raise HttpError(412, "The object is not the one named by If-Match.")
    return WriteCondition(
        if_absent=none_match is not None and existing is None,
        if_match=None if match is None else _identity(existing),
    )


def _identity(info: ObjectInfo | None) -> str:
    """What `Namespace.put_object` knows the present content by; "*" where it has no hash."""
    return (info and (info.merkle_hash or info.md5)) or "*"


def _names(header: str, info: ObjectInfo) -> bool:
    return etag_listed(header, info.merkle_hash or "") or etag_listed(header, info.md5 or "")


def _existing(target: Target) -> ObjectInfo | None:
    try:
        info = services().namespace.object(target.account, target.container, target.object)
    except NoSuchObject:
        return None
    # One that has expired is not removed here: by now the name may have been put anew.
    return None if is_expired(info.headers, time.time()) else info
