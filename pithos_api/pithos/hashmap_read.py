"""`GET ?hashmap`: an object as the list of its blocks, streamed as JSON or XML.

On the wire a block of zeros has the digest of nothing, here it is `ZERO_ID`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from xml.sax.saxutils import quoteattr

from flask import Response

from archipelago import MapRoot, Maps
from blockstore import ZERO_ID, empty_digest
from pithos_api import wire
from pithos_api.namespace.records import ObjectInfo
from pithos_api.object_store.access import Target
from pithos_api.object_store.object_lookup import live_object
from pithos_api.pithos.answers import JSON, XML, private, wants_xml
from pithos_api.pithos.object_headers import object_headers
from pithos_api.services import services

HASHES_IN_PIECE = 4096
"""Hashes in one piece of a streamed answer."""


def get_hashmap(target: Target) -> Response:
    """The list of blocks, streamed: its length is known before it is read."""
    info = live_object(target.account, target.container, target.object)
    xml = wants_xml()
    form = _xml_form(info) if xml else _json_form(info)
    ids = object_ids(services().maps, info)
    headers = [*object_headers(info), ("Content-Length", str(form.length(_count(info))))]
    body = form.stream(ids, empty_digest(services().store.info.hash_name))
    return private(200, headers, body, XML if xml else JSON)


def object_ids(maps: Maps, info: ObjectInfo) -> Iterator[bytes]:
    """The ids of all blocks of an object."""
    return map_ids(maps, info.root, _count(info))


def map_ids(maps: Maps, root: MapRoot, count: int) -> Iterator[bytes]:
    """The first `count` ids of a map in order, `ZERO_ID` where there is none."""
    expected = 0
    for index, block_id in maps.iterate(root):
        if index >= count:
            break
        for _ in range(index - expected):
            yield ZERO_ID
        yield block_id
        expected = index + 1
    for _ in range(count - expected):
        yield ZERO_ID


def _count(info: ObjectInfo) -> int:
    return -(-info.size // services().store.info.block_size)


@dataclass(frozen=True, slots=True)
class _Form:
    """A serialisation whose items are all of one length."""

    head: bytes
    item: Callable[[str], str]
    separator: str
    tail: bytes

    def length(self, count: int) -> int:
        """Bytes of the whole; an empty object is shown with one hash."""
        shown = max(1, count)
        item = len(self.item("0" * 64))
        return len(self.head) + shown * item + (shown - 1) * len(self.separator) + len(self.tail)

    def stream(self, ids: Iterator[bytes], zero: bytes) -> Iterator[bytes]:
        """The whole, in pieces."""
        yield self.head
        first = next(ids, ZERO_ID)
        separator = ""
        piece: list[str] = []
        for block_id in chain([first], ids):
            digest = zero if block_id == ZERO_ID else block_id
            piece.append(separator + self.item(digest.hex()))
            separator = self.separator
            if len(piece) == HASHES_IN_PIECE:
                yield "".join(piece).encode()
                piece.clear()
        yield "".join(piece).encode()
        yield self.tail


def _json_form(info: ObjectInfo) -> _Form:
    store = services().store.info
    head = wire.hashmap_head(store.block_size, store.hash_name, info.size)
    return _Form(head.encode(), wire.hash_item, wire.HASH_SEPARATOR, wire.HASHMAP_TAIL.encode())


def _xml_form(info: ObjectInfo) -> _Form:
    store = services().store.info
    # XML has no way to write control characters; a mark stands for them.
    name = "".join(c if c >= " " else "\ufffd" for c in info.name)
    head = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<object name={quoteattr(name)}'
        f' bytes="{info.size}" block_size="{store.block_size}" block_hash="{store.hash_name}">'
    )
    return _Form(head.encode(), lambda text: f"<hash>{text}</hash>", "", b"</object>")
