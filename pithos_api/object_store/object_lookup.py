"""Finding an object as Swift's clients see it: not past its expiry, and with its MD5."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

from archipelago import Content
from pithos_api.faults import HttpError
from pithos_api.namespace.records import ObjectInfo
from pithos_api.object_store.object_headers import is_expired
from pithos_api.services import services


def live_object(account: str, container: str, name: str) -> ObjectInfo:
    """The object, or NoSuchContainer, NoSuchObject; HttpError 404 once it has expired."""
    info = services().namespace.object(account, container, name)
    if is_expired(info.headers, time.time()):
        raise HttpError(404, "The resource could not be found.")
    return info


def with_md5(info: ObjectInfo) -> ObjectInfo:
    """The same with its MD5, read through and kept if nobody has needed it before.

    Constant memory; the time of one reading of the content.
    """
    if info.md5 is not None:
        return info
    digest = hashlib.md5(usedforsecurity=False)
    for data in open_content(info).stream():
        digest.update(data)
    services().namespace.set_md5(info.id, digest.hexdigest())
    return replace(info, md5=digest.hexdigest())


def open_content(info: ObjectInfo) -> Content:
    """The object's bytes."""
    found = services()
    return Content(found.maps, found.store.blocks, info.root, info.size)
