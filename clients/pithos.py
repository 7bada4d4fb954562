"""Content through the Pithos API: hashmaps, blocks, ranges."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

import requests

from clients.errors import ServerFailed, Unreachable
from clients.hashmap import BlockRules, Hashmap
from clients.http import Request, Session, json_body, stream_body
from clients.objects import container_path, object_path
from pithos_api import wire

SERVICE = "pithos"
PIECE_SIZE = 2**16
"""Bytes read from a connection at a time; what a broken one loses at most."""

SEND_ATTEMPTS_MAX = 3
"""How often a batch of blocks is sent when the connection breaks."""

_META_PREFIX = "x-object-meta-"


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
        size = headers.get(wire.BLOCK_SIZE_HEADER, "")
        if not (size.isascii() and size.isdigit()):
            raise ServerFailed("the server does not tell its block size")
        return BlockRules(int(size), headers.get(wire.BLOCK_HASH_HEADER, ""))

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
            headers.get(wire.OBJECT_HASH_HEADER, ""),
            headers.get(wire.OBJECT_UUID_HEADER, ""),
            headers.get("Last-Modified", ""),
            metadata,
        )

    def hashmap(self, container: str, name: str) -> tuple[Hashmap, str]:
        """The hashmap of an object, checked for sense, and the ETag that its ranges must match."""
        query = {"hashmap": "", "format": "json"}
        response = self._session.send(Request("GET", SERVICE, object_path(container, name), query))
        try:
            found = wire.parse_hashmap(json_body(response))
        except wire.WireError as error:
            raise ServerFailed(f"the server answered {error}") from error
        rules = BlockRules(found.block_size, found.block_hash)
        hashes = found.hashes if found.size else []
        return Hashmap(rules, found.size, hashes), response.headers.get("ETag", "")

    def put_hashmap(self, target: NewContent, hashmap: Hashmap) -> list[bytes]:
        """Make the object out of blocks; the answer lists those that must be sent first.

        An empty answer means that it is done. Conflict with `create_only` when it exists.
        """
        headers = {"Content-Type": target.content_type}
        if target.create_only:
            headers["If-None-Match"] = "*"
        path = object_path(target.container, target.name)
        encoded = wire.hashmap_request(hashmap.size, hashmap.hashes)
        response = self._session.send(
            Request(
                "PUT", SERVICE, path, {"hashmap": "", "format": "json"}, headers, encoded, (409,)
            )
        )
        if response.status_code == requests.codes.conflict:
            return _hashes(response)
        top = response.headers.get(wire.OBJECT_HASH_HEADER) or response.headers.get(
            "ETag", ""
        ).strip('"')
        if top != hashmap.top_hash:
            raise ServerFailed(f"the server made an object with the hash {top}, not as asked")
        return []

    def send_blocks(self, container: str, data: bytes) -> list[bytes]:
        """Store consecutive blocks (all but the last of full size); their hashes in order."""
        headers = {"Content-Type": wire.BLOCKS_TYPE}
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
    try:
        return wire.parse_hashes(json_body(response))
    except wire.WireError as error:
        raise ServerFailed(f"the server answered {error}") from error
