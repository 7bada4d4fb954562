"""All volumes and snapshots, and the roots that they keep from being collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from archipelago.map_format import EMPTY_MAP, MapRoot
from archipelago.records import (
    SNAPSHOT_PREFIX,
    VOLUME_PREFIX,
    SnapshotRecord,
    VolumeRecord,
    decode_snapshot,
    decode_volume,
)
from blockstore import Heads

LIST_PAGE = 1000
"""Heads that are read at a time."""

_DECODERS: tuple[tuple[str, Callable[[str, bytes], VolumeRecord | SnapshotRecord]], ...] = (
    (VOLUME_PREFIX, decode_volume),
    (SNAPSHOT_PREFIX, decode_snapshot),
)


def iterate_roots(heads: Heads) -> Iterator[MapRoot]:
    """Every map root that a volume or snapshot names, each once. Corrupt when one can't be read.

    Heads are read twice: a root that moves from one head to another while they are read (a clone
    is made and its source deleted) is found in one of the two.
    """
    seen = {EMPTY_MAP}
    for _ in range(2):
        for record in iterate_records(heads):
            if record.root not in seen:
                seen.add(record.root)
                yield record.root


def iterate_records(heads: Heads) -> Iterator[VolumeRecord | SnapshotRecord]:
    """All volumes and snapshots, some at a time. Corrupt when one can't be read."""
    for prefix, decode in _DECODERS:
        after = ""
        while page := heads.list(prefix, after, LIST_PAGE):
            for head in page:
                yield decode(head.name, head.value)
            after = page[-1].name
