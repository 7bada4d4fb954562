"""What the Pithos endpoint and the image registry share with their clients: names, and JSON.

Standard library only, since clients import it. Hashes are 32 bytes here and 64 lower-case hex
digits in JSON; a block of zeros has the digest of nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

DIGEST_SIZE = 32

BLOCK_SIZE_HEADER = "X-Container-Block-Size"
"""Of a container's answers: bytes."""
BLOCK_HASH_HEADER = "X-Container-Block-Hash"
"""Of a container's answers: the name of the hash that names blocks."""
OBJECT_HASH_HEADER = "X-Object-Hash"
"""Of an object's answers: the Merkle hash, hex; empty where it was not computed."""
OBJECT_UUID_HEADER = "X-Object-UUID"
"""Of an object's answers: stays when the content is replaced."""

BLOCKS_TYPE = "application/octet-stream"
"""Content type that makes a POST to a container an upload of blocks."""

BLOCK_UPLOAD_SIZE_MAX = 256 * 2**20
"""Bytes of blocks in one request; clients send some MiB at a time."""

HASH_SEPARATOR = ", "
HASHMAP_TAIL = "]}"

ACCOUNT_PREFIX = "AUTH_"
LOCATION = "pithos_location"
"""Member of an image: the object that holds its content."""
LOCATION_SCHEME = "pithos://"

_HASH = re.compile(rf"[0-9a-f]{{{2 * DIGEST_SIZE}}}")


class WireError(ValueError):
    """What the other side sent makes no sense; the text says what it is."""


@dataclass(frozen=True, slots=True)
class HashmapDocument:
    """The answer to GET ?hashmap, well-formed, but not checked for sense."""

    block_size: int
    block_hash: str
    size: int
    """Bytes of the object."""
    hashes: list[bytes]
    """One for each block; of an empty object one, the digest of nothing."""


def hashmap_request(size: int, hashes: Iterable[bytes]) -> bytes:
    """Body of PUT ?hashmap."""
    members = {"bytes": size, "hashes": hash_texts(hashes)}
    return json.dumps(members, separators=(",", ":")).encode()


def hashmap_head(block_size: int, block_hash: str, size: int) -> str:
    """The answer to GET ?hashmap up to the first hash.

    `hash_item` of each hash follows, HASH_SEPARATOR between them, and HASHMAP_TAIL: so it can be
    streamed, and its length is known before.
    """
    return (
        f'{{"block_hash": "{block_hash}", "block_size": {block_size}, "bytes": {size}, "hashes": ['
    )


def hash_item(text: str) -> str:
    """A hash, in hex, as a member of a JSON list."""
    return f'"{text}"'


def parse_hashmap(document: object) -> HashmapDocument:
    """The inverse of `hashmap_head` and what follows it. WireError."""
    if not isinstance(document, dict):
        raise WireError("no hashmap")
    block_size, size = _count(document, "block_size"), _count(document, "bytes")
    block_hash = document.get("block_hash")
    if not isinstance(block_hash, str):
        raise WireError("a malformed hashmap: no block_hash")
    return HashmapDocument(block_size, block_hash, size, parse_hashes(document.get("hashes")))


def hash_texts(hashes: Iterable[bytes]) -> list[str]:
    """A list of hashes as JSON has it: what is missing (409), what was stored (202)."""
    return [value.hex() for value in hashes]


def parse_hashes(document: object) -> list[bytes]:
    """The inverse of `hash_texts`. WireError.

    Equal neighbours become one object: a sparse disk has millions of blocks of zeros.
    """
    if not isinstance(document, list):
        raise WireError("no list of hashes")
    hashes: list[bytes] = []
    last = None
    for text in document:
        hashes.append(hashes[-1] if text == last and hashes else _digest(text))
        last = text
    return hashes


def object_location(project: str, container: str, name: str) -> str:
    """An object as the LOCATION of an image."""
    path = f"{quote(container, safe='')}/{quote(name)}"
    return f"{LOCATION_SCHEME}{ACCOUNT_PREFIX}{project}/{path}"


def parse_location(location: str) -> tuple[str, str, str]:
    """Account (with its prefix), container and object. WireError."""
    if not location.startswith(LOCATION_SCHEME):
        raise WireError(f"{LOCATION} begins with {LOCATION_SCHEME}")
    pieces: Sequence[str] = location.removeprefix(LOCATION_SCHEME).split("/", 2)
    if len(pieces) != 3 or not all(pieces):
        raise WireError(f"{LOCATION} is {LOCATION_SCHEME}{ACCOUNT_PREFIX}x/container/object")
    try:
        account, container, name = (unquote_to_bytes(piece).decode() for piece in pieces)
    except UnicodeError as error:
        raise WireError(f"{LOCATION} is not UTF-8") from error
    return account, container, name


def _count(document: dict[str, object], key: str) -> int:
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WireError(f"a malformed hashmap: {key} is {value!r:.80}")
    return value


def _digest(text: object) -> bytes:
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise WireError(f"a malformed hash: {text!r:.80}")
    return bytes.fromhex(text)
