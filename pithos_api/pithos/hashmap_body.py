"""Reading the JSON of a hashmap without ever holding it.

A body may list millions of hashes, and a JSON parser would make a string of each. So the text is
cut in three as it arrives: up to the bracket that opens the list, the list itself, which becomes
32 bytes for each hash at once, and what follows. The first and last part, put together around an
empty list, are small, and go through the real parser. A second list of that name, in the object or
nested in it, is not empty then or not in its place, and the body is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from blockstore import ID_SIZE
from pithos_api.faults import HttpError
from pithos_api.pithos.limits import (
    BLOCK_COUNT_MAX,
    HASHMAP_BODY_SIZE_MAX,
    HASHMAP_REST_SIZE_MAX,
)

_OPENING = re.compile(rb'"hashes"[ \t\r\n]*:[ \t\r\n]*\[')
_ITEM = rb'[ \t\r\n]*"[0-9A-Fa-f]{%d}"[ \t\r\n]*' % (2 * ID_SIZE)
_ITEMS_BEFORE_COMMA = re.compile(rb"(?:%s,)*+" % _ITEM)
_LAST_ITEM = re.compile(_ITEM)
_NOT_HEX = b'", \t\r\n'
_BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class HashmapBody:
    """What a client says an object consists of; nothing of it is believed yet."""

    size: int
    packed: bytes
    """The digests, end to end."""

    @property
    def count(self) -> int:
        """How many digests there are."""
        return len(self.packed) // ID_SIZE

    @property
    def digests(self) -> list[bytes]:
        """The digests in order; made anew each time, and thrice as large as `packed`."""
        packed = self.packed
        return [packed[i : i + ID_SIZE] for i in range(0, len(packed), ID_SIZE)]


def read_hashmap(chunks: Iterable[bytes]) -> HashmapBody:
    """The `bytes` and `hashes` members. HttpError 400 on what is malformed, 413 on too much."""
    reader = _Reader()
    received = 0
    for chunk in chunks:
        received += len(chunk)
        if received > HASHMAP_BODY_SIZE_MAX:
            raise HttpError(413, f"A hashmap of more than {HASHMAP_BODY_SIZE_MAX} bytes.")
        reader.feed(chunk)
    return reader.finish()


class _Reader:
    """Three stages: before the list, in it, behind it."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._pending = bytearray()
        """Text of the list that may end in the middle of an item."""
        self._digests = bytearray()
        self._stage = self._before

    def feed(self, chunk: bytes) -> None:
        self._stage(chunk)

    def finish(self) -> HashmapBody:
        if self._stage != self._behind:
            raise _malformed("no list of hashes")
        size = _parse_rest(bytes(self._head + b"]" + self._tail))
        return HashmapBody(size, bytes(self._digests))

    def _before(self, chunk: bytes) -> None:
        self._head += chunk
        found = _OPENING.search(self._head)
        if found is None:
            _check_rest(self._head)
            return
        rest = bytes(self._head[found.end() :])
        del self._head[found.end() :]
        _check_rest(self._head)
        self._stage = self._inside
        self._inside(rest)

    def _inside(self, chunk: bytes) -> None:
        close = chunk.find(b"]")
        self._pending += chunk if close < 0 else chunk[:close]
        self._take_items()
        if close < 0:
            _check_rest(self._pending)
            return
        self._take_last_item()
        self._stage = self._behind
        self._behind(chunk[close + 1 :])

    def _behind(self, chunk: bytes) -> None:
        self._tail += chunk
        _check_rest(self._tail)

    def _take_items(self) -> None:
        """Turn all items that a comma follows into digests."""
        end = self._pending.rfind(b",") + 1
        items = bytes(self._pending[:end])
        if not _ITEMS_BEFORE_COMMA.fullmatch(items):
            raise _malformed("a hash is not 64 hexadecimal digits")
        self._append(items)
        del self._pending[:end]

    def _take_last_item(self) -> None:
        item = bytes(self._pending)
        if _LAST_ITEM.fullmatch(item):
            self._append(item)
        elif item.strip(_BLANKS) or self._digests:
            raise _malformed("a hash is not 64 hexadecimal digits")

    def _append(self, items: bytes) -> None:
        self._digests += bytes.fromhex(items.translate(None, _NOT_HEX).decode("ascii"))
        if len(self._digests) > BLOCK_COUNT_MAX * ID_SIZE:
            raise HttpError(413, f"A hashmap of more than {BLOCK_COUNT_MAX} blocks.")


def _parse_rest(text: bytes) -> int:
    """The member `bytes` of the body, its list of hashes taken out."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed("not JSON") from error
    if not isinstance(found, dict) or found.get("hashes") != []:
        raise _malformed("not an object with one list of hashes")
    size = found.get("bytes")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise _malformed("no size in bytes")
    return size


def _check_rest(text: bytearray) -> None:
    if len(text) > HASHMAP_REST_SIZE_MAX:
        raise _malformed("more besides the hashes than makes sense")


def _malformed(why: str) -> HttpError:
    return HttpError(400, f"Malformed hashmap: {why}.")
