"""What the endpoint accepts at most. `/info` announces these very values."""

from __future__ import annotations

from typing import Final

OBJECT_SIZE_MAX: Final = 5 * 2**30
"""Bytes of one PUT; larger contents come as hashmaps over the Pithos endpoint."""

CONTAINER_NAME_SIZE_MAX: Final = 256
"""UTF-8 bytes."""

OBJECT_NAME_SIZE_MAX: Final = 1024
"""UTF-8 bytes."""

ACCOUNT_NAME_SIZE_MAX: Final = 256
"""UTF-8 bytes, with the AUTH_ prefix."""

META_NAME_SIZE_MAX: Final = 128
"""Bytes of a metadata name without its X-...-Meta- prefix."""

META_VALUE_SIZE_MAX: Final = 256
"""UTF-8 bytes of a metadata value."""

META_COUNT_MAX: Final = 90
"""Metadata items of one account, container or object."""

META_TOTAL_SIZE_MAX: Final = 4096
"""Bytes of all names and values of one account, container or object."""

HEADER_SIZE_MAX: Final = 8192
"""Bytes of a header's value."""

LISTING_LIMIT_MAX: Final = 10_000
"""Entries of one page of a listing; also the default."""

RANGE_COUNT_MAX: Final = 50
"""Ranges of one request: each costs a part header and a seek."""

RANGE_OVERLAP_MAX: Final = 2
"""Overlapping pairs tolerated, so that a small request can't ask for a huge answer."""

BODY_CHUNK_SIZE: Final = 2**20
"""Bytes of a request body held at a time."""

DISCARD_SIZE_MAX: Final = 16 * 2**20
"""Bytes of the body of a refused request that are read away, to use the connection on; a client
that has more to send finds the connection closed."""

BULK_DELETE_COUNT_MAX: Final = 10_000
"""Paths in one bulk delete."""

BULK_DELETE_FAILED_MAX: Final = 1000
"""Errors after which a bulk delete gives up."""

POLICY: Final = "default"
"""The one storage policy: every block goes to the same pool."""


def announced() -> dict[str, dict[str, object]]:
    """What `/info` says: the limits, and a section for each capability that has one."""
    return {"swift": _core(), "bulk_delete": _bulk_delete()}


def _bulk_delete() -> dict[str, object]:
    return {
        "max_deletes_per_request": BULK_DELETE_COUNT_MAX,
        "max_failed_deletes": BULK_DELETE_FAILED_MAX,
    }


def _core() -> dict[str, object]:
    return {
        "max_file_size": OBJECT_SIZE_MAX,
        "max_meta_name_length": META_NAME_SIZE_MAX,
        "max_meta_value_length": META_VALUE_SIZE_MAX,
        "max_meta_count": META_COUNT_MAX,
        "max_meta_overall_size": META_TOTAL_SIZE_MAX,
        "max_header_size": HEADER_SIZE_MAX,
        "max_object_name_length": OBJECT_NAME_SIZE_MAX,
        "max_container_name_length": CONTAINER_NAME_SIZE_MAX,
        "max_account_name_length": ACCOUNT_NAME_SIZE_MAX,
        "container_listing_limit": LISTING_LIMIT_MAX,
        "account_listing_limit": LISTING_LIMIT_MAX,
        "extra_header_count": 0,
        "allow_account_management": False,
        "account_autocreate": True,
        "policies": [{"name": POLICY, "aliases": POLICY, "default": True}],
    }
