"""Finding an object as Swift's clients see it: not past its expiry, with its MD5, its bytes."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import quote

from archipelago import ArchipelagoError, Content
from blockstore import StoreError
from pithos_api.faults import HttpError
from pithos_api.namespace.records import ObjectInfo
from pithos_api.object_store.object_headers import is_expired
from pithos_api.object_store.ranges import ByteRange
from pithos_api.object_store.single_flight import SingleFlight
from pithos_api.services import services

log = logging.getLogger(__name__)

_md5s: SingleFlight[str] = SingleFlight()
# By content, so that clients who lose patience and ask again do not multiply the reading.


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
    md5 = _md5s.call((info.root, info.size), lambda: _computed_md5(info))
    services().namespace.set_md5(info.id, md5)
    return replace(info, md5=md5)


def _computed_md5(info: ObjectInfo) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for data in open_content(info).stream():
        digest.update(data)
    return digest.hexdigest()


def open_content(info: ObjectInfo) -> Content:
    """The object's bytes."""
    return content_opener()(info)


def content_opener() -> Callable[[ObjectInfo], Content]:
    """What opens contents also later, while the answer is sent and the request is over."""
    found = services()
    return lambda info: Content(found.maps, found.store.blocks, info.root, info.size)


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
            "cannot read %s from byte %d on: %s",
            quote(f"{info.account}/{info.container}/{info.name}"),
            position,
            error,
        )
        raise
