"""What a GET of an object shows: its own content, or as a manifest (DLO) that of its segments.

An object with X-Object-Manifest: CONTAINER/PREFIX stands for all objects of that container whose
names begin so, one after the other. `?multipart-manifest=get` asks for the manifest itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from archipelago import Content
from pithos_api.faults import HttpError
from pithos_api.namespace.records import ListQuery, ObjectInfo
from pithos_api.object_store.conditions import Validators
from pithos_api.object_store.limits import LISTING_LIMIT_MAX
from pithos_api.object_store.object_headers import MANIFEST, is_expired
from pithos_api.object_store.object_lookup import content_opener, read_range, with_md5
from pithos_api.object_store.ranges import ByteRange
from pithos_api.services import services


@dataclass(frozen=True, slots=True)
class Rendition:
    """An object, and the stored contents that make up what it shows. All have their MD5."""

    info: ObjectInfo
    segments: Sequence[ObjectInfo]
    etag: str
    """MD5 of the content; of a manifest the MD5 of its segments' MD5s."""
    size: int
    is_manifest: bool
    opener: Callable[[ObjectInfo], Content]
    """A content is opened when it is its turn: thousands of them at once would not be small."""

    @property
    def etag_header(self) -> str:
        """Quoted where it is not the MD5 of the content, as in Swift."""
        return f'"{self.etag}"' if self.is_manifest else self.etag

    @property
    def validators(self) -> Validators:
        """What the conditions of a request are held against."""
        return Validators(self.etag, self.info.modified)

    def stream(self, item: ByteRange) -> Iterator[bytes]:
        """Exactly the bytes of the range, or an error, as `read_range`."""
        start, end = item.offset, item.offset + item.length
        for segment in self.segments:
            first, last = max(0, start), min(segment.size, end)
            if first < last:
                item = ByteRange(first, last - first)
                yield from read_range(segment, self.opener(segment), item)
            start -= segment.size
            end -= segment.size


def rendition(info: ObjectInfo, parameters: dict[str, str]) -> Rendition:
    """What to show of an object. NoSuchContainer; HttpError 409: a manifest of too many parts."""
    manifest = info.headers.get(MANIFEST)
    info = with_md5(info)
    if manifest is None or parameters.get("multipart-manifest") == "get":
        return Rendition(info, [info], info.md5 or "", info.size, False, content_opener())
    segments = _segments(info.account, manifest)
    etags = "".join(segment.md5 or "" for segment in segments)
    etag = hashlib.md5(etags.encode(), usedforsecurity=False).hexdigest()
    size = sum(segment.size for segment in segments)
    return Rendition(info, segments, etag, size, True, content_opener())


def _segments(account: str, manifest: str) -> list[ObjectInfo]:
    container, _, prefix = unquote(manifest).removeprefix("/").partition("/")
    query = ListQuery(limit=LISTING_LIMIT_MAX, prefix=prefix)
    found = services().namespace.objects(account, container, query)
    if len(found) == LISTING_LIMIT_MAX:
        raise HttpError(409, f"A manifest of {LISTING_LIMIT_MAX} segments or more")
    now = time.time()
    return [
        with_md5(entry)
        for entry in found
        if isinstance(entry, ObjectInfo) and not is_expired(entry.headers, now)
    ]
