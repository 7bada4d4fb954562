"""Block upload: the body of a container's POST, cut at block boundaries.

Blocks become durable first, then the account's possession of them is recorded, then the answer
lists their hashes. Until a hashmap names them they belong to no object, and a collection may take
them.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response, request

from blockstore import ZERO_ID, empty_digest
from pithos_api.faults import HttpError
from pithos_api.namespace.upload import BATCH_SIZE
from pithos_api.object_store.access import Target
from pithos_api.object_store.body import body_chunks, body_length
from pithos_api.pithos.answers import XML, json_answer, private, wants_xml
from pithos_api.services import services
from pithos_api.wire import BLOCK_UPLOAD_SIZE_MAX, BLOCKS_TYPE, hash_texts


def is_block_upload() -> bool:
    """Whether a container's POST carries blocks."""
    return (
        request.headers.get("Content-Type") == BLOCKS_TYPE
        and request.headers.get("Content-Length") != "0"
    )


def post_blocks(target: Target) -> Response:
    """Store the body's blocks; the answer lists their hashes in order."""
    length = body_length(
        request.headers.get("Content-Length"), request.headers.get("Transfer-Encoding")
    )
    if length is not None:
        _check_size(length)
    namespace, store = services().namespace, services().store
    namespace.container(target.account, target.container)
    ids: list[bytes] = []
    for batch in _batches(length):
        ids += store.blocks.put_many(batch)
    store.blocks.commit()
    namespace.record_possession(target.account, ids)
    zero = empty_digest(store.info.hash_name)
    hashes = hash_texts(zero if block_id == ZERO_ID else block_id for block_id in ids)
    if wants_xml():
        items = "".join(f"<item>{value}</item>" for value in hashes)
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<items>{items}</items>'
        return private(202, (), text.encode(), XML)
    return json_answer(202, hashes)


def _batches(length: int | None) -> Iterator[memoryview]:
    """The body in pieces of BATCH_SIZE, a multiple of every block size; the last one shorter."""
    batch = bytearray(BATCH_SIZE)
    filled = received = 0
    for chunk in body_chunks(request.environ["wsgi.input"], length):
        received += len(chunk)
        _check_size(received)
        view = memoryview(chunk)
        while len(view):
            taken = min(len(view), BATCH_SIZE - filled)
            batch[filled : filled + taken] = view[:taken]
            filled += taken
            view = view[taken:]
            if filled == BATCH_SIZE:
                yield memoryview(batch)
                filled = 0
    if filled:
        yield memoryview(batch)[:filled]


def _check_size(size: int) -> None:
    if size > BLOCK_UPLOAD_SIZE_MAX:
        raise HttpError(413, f"More than {BLOCK_UPLOAD_SIZE_MAX} bytes of blocks in one request.")
