"""What the catalog tells about volumes and snapshots."""

from __future__ import annotations

from dataclasses import dataclass

from archipelago.map_format import EMPTY_MAP, MapRoot
from archipelago.records import SnapshotRecord, VolumeRecord


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """A volume as it was when asked for."""

    id: str
    name: str
    size: int
    """Bytes."""
    created: int
    """Seconds since 1970."""
    origin: str
    """What it was made from, for people: empty, a name, or what `clone_root` was told."""
    root: MapRoot = EMPTY_MAP
    """The map below its layers."""
    frozen: int = 0
    """Layers that wait to be sealed."""
    holder: str | None = None
    """Who has it open, or None."""
    damage: str = ""
    """Why its record can't be read; the other fields but `id` and `name` mean nothing then."""


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot as it was when asked for."""

    id: str
    volume: str
    """The name of its volume."""
    name: str
    """Its own part of the name."""
    size: int
    created: int
    root: MapRoot = EMPTY_MAP
    frozen: int = 0
    """Layers that wait to be sealed; 0: `root` is the whole content."""
    damage: str = ""

    @property
    def full_name(self) -> str:
        """`VOLUME@SNAPSHOT`."""
        return f"{self.volume}@{self.name}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Where the bytes of a volume or snapshot are. Blocks count with the full block size."""

    virtual: int
    """Its size."""
    mapped: int
    """Bytes of it that have something behind them: present blocks, and pages of layers."""
    own: int
    """Bytes that no other volume or snapshot uses: what deleting it would free, in the end."""
    shared: int
    """Bytes in the store that others use as well."""
    stored: int
    """Bytes in the store that it uses, each block once: own + shared."""


def volume_info(record: VolumeRecord, holder: str | None = None) -> VolumeInfo:
    """What the record says."""
    return VolumeInfo(
        id=record.id,
        name=record.name,
        size=record.size,
        created=record.created,
        origin=record.origin,
        root=record.root,
        frozen=len(record.frozen),
        holder=holder,
    )


def snapshot_info(volume_name: str, record: SnapshotRecord) -> SnapshotInfo:
    """What the record says, with the name of its volume."""
    return SnapshotInfo(
        id=record.id,
        volume=volume_name,
        name=record.name,
        size=record.size,
        created=record.created,
        root=record.root,
        frozen=len(record.frozen),
    )
