"""What the namespace answers: plain values, detached from the database.

Times are seconds since 1970, sizes are bytes, hashes are lower-case hex, an account is the id of
its project (32 hex digits; in Swift's URLs `AUTH_<id>`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from archipelago import MapRoot

LISTING_LIMIT = 10_000
"""Entries in one listing, at most and by default."""

NAME_SIZE_MAX = 1024
"""UTF-8 bytes of an object's name."""

CONTAINER_NAME_SIZE_MAX = 256
"""UTF-8 bytes of a container's name."""

EXPIRY_HEADER = "X-Delete-At"
"""The header of an object that says when its time is over, in seconds since 1970."""

OBJECT = "object"
SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account; the totals are sums over its containers."""

    id: str
    container_count: int
    object_count: int
    bytes_used: int
    metadata: dict[str, str]
    created: float


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """A container. `headers` are the settings that are not user metadata (ACLs, quotas, ...)."""

    id: int
    account: str
    name: str
    object_count: int
    bytes_used: int
    metadata: dict[str, str]
    headers: dict[str, str]
    created: float
    modified: float
    """Last change of the container or of anything in it."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of an object: `id` changes with each new content, `uuid` survives overwriting."""

    id: int
    account: str
    container: str
    name: str
    uuid: str
    """32 hex digits."""
    size: int
    root: MapRoot
    merkle_hash: str | None
    """Pithos top hash; None where it was not computed (a published snapshot)."""
    md5: str | None
    """Swift's ETag; None until somebody needs it, where the bytes never passed by."""
    content_type: str
    metadata: dict[str, str]
    headers: dict[str, str]
    """Content-Encoding, Content-Disposition, X-Delete-At, ..."""
    created: float
    modified: float
    kind: str = OBJECT


@dataclass(frozen=True, slots=True)
class NewObject:
    """The content and attributes to put under a name. Its blocks are committed already."""

    size: int
    root: MapRoot
    merkle_hash: str | None
    md5: str | None
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = OBJECT
    modified: float | None = None
    """None = now."""
    block_ids: Sequence[bytes] = ()
    """Blocks that the account has sent for it: noted as its own in the same transaction."""


@dataclass(frozen=True, slots=True)
class Subdir:
    """Names rolled up at the first delimiter after the prefix; `name` ends with the delimiter."""

    name: str


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which names to list. Names compare by code points, which is the byte order of their UTF-8.

    `marker` and `end_marker` are exclusive; with `reverse` the listing runs downward from `marker`
    to `end_marker`. A roll-up equal to `marker` is not repeated. `path` stands for
    prefix=path + "/", delimiter="/" without roll-ups: what lies directly in that directory.
    """

    limit: int = LISTING_LIMIT
    marker: str = ""
    end_marker: str = ""
    prefix: str = ""
    delimiter: str = ""
    path: str | None = None
    reverse: bool = False
    directory_objects: bool = False
    """Pithos: a name that ends with its first delimiter is an entry of its own, and does not by
    itself make a roll-up."""
