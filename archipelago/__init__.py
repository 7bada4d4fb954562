"""Maps, volumes, snapshots and clones over a store of blocks."""

from archipelago.content import Content
from archipelago.errors import (
    ArchipelagoError,
    InvalidArgument,
    MapCorrupt,
    NameTaken,
    VolumeBusy,
    VolumeNotFound,
    VolumeReadOnly,
)
from archipelago.extent import Extent, ExtentKind
from archipelago.map import Maps
from archipelago.map_format import EMPTY_MAP, MapRoot

__all__ = [
    "EMPTY_MAP",
    "ArchipelagoError",
    "Content",
    "Extent",
    "ExtentKind",
    "InvalidArgument",
    "MapCorrupt",
    "MapRoot",
    "Maps",
    "NameTaken",
    "VolumeBusy",
    "VolumeNotFound",
    "VolumeReadOnly",
]
