"""Maps, volumes, snapshots and clones over a store of blocks."""

from archipelago.catalog import Catalog
from archipelago.content import Content
from archipelago.errors import (
    ArchipelagoError,
    InvalidArgument,
    MapCorrupt,
    NameTaken,
    SealingStopped,
    VolumeBusy,
    VolumeNotFound,
    VolumeReadOnly,
)
from archipelago.extent import Extent, ExtentKind
from archipelago.info import SnapshotInfo, Usage, VolumeInfo
from archipelago.map import Maps
from archipelago.map_format import EMPTY_MAP, MapRoot
from archipelago.qcow2 import export_qcow2, import_qcow2
from archipelago.transfer import export_raw, import_raw
from archipelago.volume import Volume

__all__ = [
    "EMPTY_MAP",
    "ArchipelagoError",
    "Catalog",
    "Content",
    "Extent",
    "ExtentKind",
    "InvalidArgument",
    "MapCorrupt",
    "MapRoot",
    "Maps",
    "NameTaken",
    "SealingStopped",
    "SnapshotInfo",
    "Usage",
    "Volume",
    "VolumeBusy",
    "VolumeInfo",
    "VolumeNotFound",
    "VolumeReadOnly",
    "export_qcow2",
    "export_raw",
    "import_qcow2",
    "import_raw",
]
