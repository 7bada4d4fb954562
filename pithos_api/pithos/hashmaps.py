"""`?hashmap`: an object as the list of its blocks, told and made.

On the wire a block of zeros has the digest of nothing, here it is `ZERO_ID`. Whoever names a block
must possess it (`pithos_api.namespace.possession`): what others have sent is missing to him, by the
same look-up and in the same words as what nobody has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from xml.sax.saxutils import quoteattr

from flask import Response, request

from archipelago import MapRoot, Maps
from blockstore import ZERO_ID, StoreInfo, empty_digest
from pithos_api.faults import HttpError
from pithos_api.namespace.hashmap import merkle_hash
from pithos_api.namespace.records import NewObject, ObjectInfo
from pithos_api.object_store.access import Target
from pithos_api.object_store.body import body_chunks, body_length
from pithos_api.object_store.object_lookup import live_object
from pithos_api.object_store.object_write import check_object_name
from pithos_api.pithos.answers import JSON, XML, json_answer, private, wants_xml
from pithos_api.pithos.hashmap_body import HashmapBody, read_hashmap
from pithos_api.pithos.limits import HASHMAP_BODY_SIZE_MAX
from pithos_api.pithos.object_headers import attributes_of_request, object_headers, stored_headers
from pithos_api.pithos.preconditions import check_write
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


def put_hashmap(target: Target) -> Response:
    """Make the object of blocks that its owner has sent: 201; or 409 and what is missing."""
    length = body_length(
        request.headers.get("Content-Length"), request.headers.get("Transfer-Encoding")
    )
    if length is not None and length > HASHMAP_BODY_SIZE_MAX:
        raise HttpError(413, f"A hashmap of more than {HASHMAP_BODY_SIZE_MAX} bytes.")
    check_object_name(target.object)
    attributes = attributes_of_request()
    namespace, store = services().namespace, services().store
    namespace.container(target.account, target.container)
    condition = check_write(target)
    ids = _block_ids(read_hashmap(body_chunks(request.environ["wsgi.input"], length)), store.info)
    missing = namespace.missing(target.account, ids.ids)
    if missing:
        return json_answer(409, [block_id.hex() for block_id in missing])
    _check_tail(ids)
    new = _store_map(ids, attributes)
    info = namespace.put_object(
        target.account,
        target.container,
        target.object,
        new,
        if_absent=condition.if_absent,
        if_match=condition.if_match,
    )
    return private(201, stored_headers(info))


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


@dataclass(frozen=True, slots=True)
class _Blocks:
    """A hashmap that makes sense: as many ids as the size has blocks."""

    size: int
    ids: list[bytes]


def _block_ids(body: HashmapBody, store: StoreInfo) -> _Blocks:
    """The body's digests as ids. HttpError 400 when they do not fit the size."""
    zero = empty_digest(store.hash_name)
    ids = [ZERO_ID if digest == zero else digest for digest in body.digests]
    if ZERO_ID in body.digests:
        raise HttpError(400, "No block has a hash of zeros.")
    if body.size == 0 and ids in ([], [ZERO_ID]):
        return _Blocks(0, [])
    if len(ids) != -(-body.size // store.block_size):
        raise HttpError(
            400, f"{len(ids)} hashes do not fit {body.size} bytes in blocks of {store.block_size}."
        )
    return _Blocks(body.size, ids)


def _check_tail(blocks: _Blocks) -> None:
    """The last block has no content behind the end of the object. HttpError 400 when it has.

    Possession was checked before, so this tells a client only about his own block.
    """
    store = services().store
    tail = blocks.size % store.info.block_size
    if not tail or blocks.ids[-1] == ZERO_ID:
        return
    length = len(store.blocks.get(blocks.ids[-1]))
    if length > tail:
        raise HttpError(400, f"The last block has {length} bytes, but only {tail} are left for it.")


def _store_map(blocks: _Blocks, attributes: NewObject) -> NewObject:
    """Make the map durable; the object to put."""
    store, maps = services().store, services().maps
    root = maps.build(blocks.ids)
    store.blocks.commit()
    return NewObject(
        size=blocks.size,
        root=root,
        merkle_hash=merkle_hash(blocks.ids, store.info.hash_name).hex(),
        md5=None,
        content_type=attributes.content_type,
        metadata=attributes.metadata,
        headers=attributes.headers,
    )


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
    head = (
        f'{{"block_hash": "{store.hash_name}", "block_size": {store.block_size},'
        f' "bytes": {info.size}, "hashes": ['
    )
    return _Form(head.encode(), lambda text: f'"{text}"', ", ", b"]}")


def _xml_form(info: ObjectInfo) -> _Form:
    store = services().store.info
    # XML has no way to write control characters; a mark stands for them.
    name = "".join(c if c >= " " else "\ufffd" for c in info.name)
    head = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<object name={quoteattr(name)}'
        f' bytes="{info.size}" block_size="{store.block_size}" block_hash="{store.hash_name}">'
    )
    return _Form(head.encode(), lambda text: f"<hash>{text}</hash>", "", b"</object>")
