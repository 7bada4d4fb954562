"""Content through the Pithos API: hashmaps, blocks, ranges."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

import requests

from clients.errors import ServerFailed, Unreachable
from clients.hashmap import DIGEST_SIZE, BlockRules, Hashmap
from clients.http import Request, Session, json_body, stream_body
from clients.objects import container_path, object_path

SERVICE = "pithos"
PIECE_SIZE = 2**16
"""Bytes read from a connection at a time; what a broken one loses at most."""

SEND_ATTEMPTS_MAX = 3
"""How often a batch of blocks is sent when the connection breaks."""

_META_PREFIX = "x-object-meta-"
_HEX = re.compile(rf"[0-9a-f]{{{2 * DIGEST_SIZE}}}")


@dataclass(frozen=True, slots=True)
class ObjectDetails:
    """What a HEAD tells of an object."""

    container: str
    name: str
    size: int
    content_type: str
    hash: str
    """Merkle hash, hex."""
    uuid: str
    modified: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewContent:
    """Where a hashmap is to be put, and what goes with it."""

    container: str
    name: str
    content_type: str = "application/octet-stream"
    create_only: bool = False


class Pithos:
    """Content of the objects of the session's project."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def block_rules(self, container: str) -> BlockRules:
        """How the store of this container cuts and names content. NotFound."""
        headers = self._session.send(Request("HEAD", SERVICE, container_path(container))).headers
        size = headers.get("X-Container-Block-Size", "")
        if not (size.isascii() and size.isdigit()):
            raise ServerFailed("the server does not tell its block size")
        return BlockRules(int(size), headers.get("X-Container-Block-Hash", ""))

    def details(self, container: str, name: str) -> ObjectDetails:
        """NotFound when there is none."""
        headers = self._session.send(Request("HEAD", SERVICE, object_path(container, name))).headers
        length = headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise ServerFailed("the server does not tell the size of the object")
        metadata = {
            key[len(_META_PREFIX) :]: unquote(value)
            for key, value in headers.items()
            if key.lower().startswith(_META_PREFIX)
        }
        return ObjectDetails(
            container,
            name,
            int(length),
            headers.get("Content-Type", ""),
            headers.get("X-Object-Hash", ""),
            headers.get("X-Object-UUID", ""),
            headers.get("Last-Modified", ""),
            metadata,
        )

    def hashmap(self, container: str, name: str) -> tuple[Hashmap, str]:
        """The hashmap of an object, checked for sense, and the ETag that its ranges must match."""
        query = {"hashmap": "", "format": "json"}
        response = self._session.send(Request("GET", SERVICE, object_path(container, name), query))
        found = json_body(response)
        try:
            rules = BlockRules(found["block_size"], found["block_hash"])
            size, texts = found["bytes"], found["hashes"]
            zero, zero_text = rules.zero_digest, rules.zero_digest.hex()
            # One object for all blocks of zeros: a sparse disk has millions.
            hashes = [zero if text == zero_text else _digest(text) for text in texts]
        except (KeyError, TypeError) as error:
            raise ServerFailed(f"the server answered a malformed hashmap ({error!r})") from error
        if not isinstance(size, int):
            raise ServerFailed(f"the server answered a malformed size: {size!r}")
        return Hashmap(rules, size, hashes if size else []), response.headers.get("ETag", "")

    def put_hashmap(self, target: NewContent, hashmap: Hashmap) -> list[bytes]:
        """Make the object out of blocks; the answer lists those that must be sent first.

        An empty answer means that it is done. Conflict with `create_only` when it exists.
        """
        body = {"bytes": hashmap.size, "hashes": [value.hex() for value in hashmap.hashes]}
        headers = {"Content-Type": target.content_type}
        if target.create_only:
            headers["If-None-Match"] = "*"
        path = object_path(target.container, target.name)
        encoded = json.dumps(body, separators=(",", ":")).encode()
        response = self._session.send(
            Request(
                "PUT", SERVICE, path, {"hashmap": "", "format": "json"}, headers, encoded, (409,)
            )
        )
        if response.status_code == requests.codes.conflict:
            return _hashes(response)
        top = response.headers.get("X-Object-Hash") or response.headers.get("ETag", "").strip('"')
        if top != hashmap.top_hash:
            raise ServerFailed(f"the server made an object with the hash {top}, not as asked")
        return []

    def send_blocks(self, container: str, data: bytes) -> list[bytes]:
        """Store consecutive blocks (all but the last of full size); their hashes in order."""
        headers = {"Content-Type": "application/octet-stream"}
        query = {"update": "", "format": "json"}
        request = Request("POST", SERVICE, container_path(container), query, headers, data)
        for _ in range(SEND_ATTEMPTS_MAX - 1):
            with contextlib.suppress(Unreachable):  # sending blocks twice does no harm
                return _hashes(self._session.send(request))
        return _hashes(self._session.send(request))

    def read_range(
        self, source: tuple[str, str], etag: str, offset: int, length: int
    ) -> Iterator[bytes]:
        """Bytes of an object as they arrive, in any pieces. Conflict when it was replaced."""
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        if etag:
            headers["If-Match"] = etag
        response = self._session.send(
            Request("GET", SERVICE, object_path(*source), headers=headers, stream=True)
        )
        if response.status_code != requests.codes.partial_content:
            response.close()
            raise ServerFailed(f"the server answered a range with status {response.status_code}")
        return stream_body(response, PIECE_SIZE)


def _hashes(response: requests.Response) -> list[bytes]:
    found = json_body(response)
    if not isinstance(found, list):
        raise ServerFailed("the server answered no list of hashes")
    return [_digest(text) for text in found]


def _digest(text: object) -> bytes:
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise ServerFailed(f"the server answered a malformed hash: {text!r:.80}")
    return bytes.fromhex(text)
