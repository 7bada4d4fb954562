"""Which arguments of the contracts have a meaning; every other one is a StoreUsageError.

Shared by the implementations, so that they refuse the same things.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from blockstore.errors import StoreUsageError
from blockstore.interface import (
    HEAD_NAME_SIZE_MAX,
    HEAD_VALUE_SIZE_MAX,
    PAGE_SIZE,
    HeadChange,
)

LAYER_SIZE_MAX = 2**53
"""Bytes of a layer; far above what a volume may have, far below what offsets can count."""

LEASE_NAME_SIZE_MAX = HEAD_NAME_SIZE_MAX
LEASE_HOLDER_SIZE_MAX = 1024

_LAYER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def head_key(name: str) -> bytes:
    """A head's name as UTF-8: 1 to HEAD_NAME_SIZE_MAX bytes without NUL."""
    return _text_key("head name", name, HEAD_NAME_SIZE_MAX)


def name_bound(text: str) -> bytes:
    """A prefix or lower bound of head names as UTF-8; it need not be a name itself."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise StoreUsageError(f"{text!r} has no UTF-8 form") from None


def lease_key(name: str) -> bytes:
    """A lease's name as UTF-8: 1 to LEASE_NAME_SIZE_MAX bytes without NUL."""
    return _text_key("lease name", name, LEASE_NAME_SIZE_MAX)


def lease_holder(holder: str) -> bytes:
    """A holder's description as UTF-8: 1 to LEASE_HOLDER_SIZE_MAX bytes without NUL."""
    return _text_key("lease holder", holder, LEASE_HOLDER_SIZE_MAX)


def check_head_changes(changes: Sequence[HeadChange]) -> list[bytes]:
    """The keys of a batch. Each name may be in it once, else its order would have a meaning."""
    keys = [head_key(change.name) for change in changes]
    if len(set(keys)) != len(keys):
        raise StoreUsageError("a head occurs twice in one batch of changes")
    for change in changes:
        if change.expected_version < 0:
            raise StoreUsageError(f"head {change.name!r}: the expected version is negative")
        if change.value is not None and len(change.value) > HEAD_VALUE_SIZE_MAX:
            raise StoreUsageError(
                f"head {change.name!r}: {len(change.value)} bytes are more than the"
                f" {HEAD_VALUE_SIZE_MAX} that a head may have"
            )
    return keys


def check_layer_id(layer_id: str) -> None:
    """1 to 64 letters, digits, `-` and `_` of ASCII: it becomes the name of a directory."""
    if not _LAYER_ID.fullmatch(layer_id):
        raise StoreUsageError(f"{layer_id!r} cannot be a layer id")


def check_layer_size(size: int) -> None:
    """A multiple of PAGE_SIZE, not above LAYER_SIZE_MAX."""
    if size < 0 or size % PAGE_SIZE or size > LAYER_SIZE_MAX:
        raise StoreUsageError(f"a layer cannot have {size} bytes")


def check_page_range(layer_id: str, size: int, offset: int, length: int) -> None:
    """Whole pages, all inside `size`."""
    if offset % PAGE_SIZE or length % PAGE_SIZE:
        raise StoreUsageError(
            f"layer {layer_id}: {length} bytes at {offset} are not whole pages of {PAGE_SIZE}"
        )
    if offset < 0 or length < 0 or offset + length > size:
        raise StoreUsageError(
            f"layer {layer_id}: {length} bytes at {offset} are not inside its {size}"
        )


def _text_key(what: str, text: str, size_max: int) -> bytes:
    try:
        key = text.encode()
    except UnicodeEncodeError:
        raise StoreUsageError(f"{what} {text!r} has no UTF-8 form") from None
    if not 1 <= len(key) <= size_max or b"\0" in key:
        raise StoreUsageError(f"{what} {text[:64]!r} must be 1 to {size_max} bytes without NUL")
    return key
