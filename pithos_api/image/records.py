"""An image as a plain value. Times: seconds since 1970, sizes: bytes, accounts: project ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archipelago import MapRoot

PRIVATE = "private"
PUBLIC = "public"
VISIBILITIES = (PRIVATE, PUBLIC)

ACTIVE = "active"
"""The only status: an image is made of content that is there."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """A registered image. Its content is `root`, whatever has become of the object since."""

    id: str
    """Canonical UUID."""
    account: str
    name: str
    status: str
    visibility: str
    protected: bool
    disk_format: str
    container_format: str
    min_disk: int
    """GiB."""
    min_ram: int
    """MiB."""
    size: int
    root: MapRoot
    checksum: str | None
    """MD5 of the content, hex, where it was known."""
    hash_value: str | None
    """Merkle hash of the content, hex."""
    container: str
    object: str
    """Where the content was found."""
    tags: list[str]
    properties: dict[str, str]
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class NewImage:
    """What to register."""

    name: str
    visibility: str = PRIVATE
    protected: bool = False
    disk_format: str = "raw"
    container_format: str = "bare"
    min_disk: int = 0
    min_ram: int = 0
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Which images to list, newest first; `marker` is the id of the last one seen."""

    limit: int = 25
    marker: str = ""
    name: str | None = None
    visibility: str | None = None
    owner: str | None = None
