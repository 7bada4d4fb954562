"""`PUT ?hashmap`: an object made of blocks that its owner has sent before.

On the wire a block of zeros has the digest of nothing, here it is `ZERO_ID`. Whoever names a block
must possess it (`pithos_api.namespace.possession`): what others have sent is missing to him, by the
same look-up and in the same words as what nobody has.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import Response, request

from blockstore import ZERO_ID, StoreInfo, empty_digest
from pithos_api.faults import HttpError
from pithos_api.namespace.hashmap import merkle_hash
from pithos_api.namespace.records import NewObject
from pithos_api.object_store.access import Target
from pithos_api.object_store.body import body_chunks, body_length
from pithos_api.object_store.object_write import check_object_name
from pithos_api.pithos.answers import json_answer, private
from pithos_api.pithos.hashmap_body import HashmapBody, read_hashmap
from pithos_api.pithos.limits import BLOCK_COUNT_LARGE, HASHMAP_BODY_SIZE_MAX, LARGE_AT_ONCE
from pithos_api.pithos.object_headers import attributes_of_request, stored_headers
from pithos_api.pithos.preconditions import check_write
from pithos_api.services import services
from pithos_api.wire import hash_texts

_large = threading.BoundedSemaphore(LARGE_AT_ONCE)


def put_hashmap(target: Target) -> Response:
    """Make the object: 201; or tell what is missing: 409."""
    length = body_length(
        request.headers.get("Content-Length"), request.headers.get("Transfer-Encoding")
    )
    if length is not None and length > HASHMAP_BODY_SIZE_MAX:
        raise HttpError(413, f"A hashmap of more than {HASHMAP_BODY_SIZE_MAX} bytes.")
    check_object_name(target.object)
    attributes = attributes_of_request()
    services().namespace.container(target.account, target.container)
    check_write(target)  # a request that is bound to fail is not read
    body = read_hashmap(body_chunks(request.environ["wsgi.input"], length))
    with _turn(body):
        return _put(target, body, attributes)


@contextmanager
def _turn(body: HashmapBody) -> Iterator[None]:
    """Bounds the memory of a process: a large body is read by now, but not yet unpacked."""
    if body.count <= BLOCK_COUNT_LARGE:
        yield
        return
    with _large:
        yield


def _put(target: Target, body: HashmapBody, attributes: NewObject) -> Response:
    namespace, store = services().namespace, services().store
    blocks = _checked(body, store.info)
    missing = namespace.missing(target.account, blocks.ids)
    if missing:
        return json_answer(409, hash_texts(missing))
    _check_tail(blocks)
    condition = check_write(target)
    info = namespace.put_object(
        target.account,
        target.container,
        target.object,
        _store_map(blocks, attributes),
        if_absent=condition.if_absent,
        if_match=condition.if_match,
    )
    return private(201, stored_headers(info))


@dataclass(frozen=True, slots=True)
class _Blocks:
    """A hashmap that makes sense: as many ids as the size has blocks."""

    size: int
    ids: list[bytes]


def _checked(body: HashmapBody, store: StoreInfo) -> _Blocks:
    """The body's digests as ids. HttpError 400 when they do not fit the size."""
    zero = empty_digest(store.hash_name)
    ids = body.digests
    if ZERO_ID in ids:
        raise HttpError(400, "No block has a hash of zeros.")
    ids = [ZERO_ID if digest == zero else digest for digest in ids]
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
