"""The heads of volumes, snapshots and layers: their names and bytes. FORMAT.md shows samples.

Values are JSON objects with a `format` number. They are small, rarely written, and worth reading
with other tools when something is broken; the store checks them with a checksum of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from archipelago.map_format import MapRoot
from archipelago.names import SECTOR_SIZE, VOLUME_SIZE_MAX
from blockstore import Corrupt

FORMAT = 1

VOLUME_PREFIX = "volume/"
SNAPSHOT_PREFIX = "snapshot/"
LAYER_PREFIX = "layer/"
NAME_PREFIX = "name/"


def snapname_prefix(volume_id: str) -> str:
    """The beginning of the heads that list the snapshots of a volume by name."""
    return f"snapname/{volume_id}/"


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """`volume/<id>`."""

    id: str
    name: str
    size: int
    """Bytes."""
    root: MapRoot
    """The map below all layers."""
    top: str | None
    """The live layer; None until somebody opens the volume for writing."""
    frozen: tuple[str, ...]
    """Layers between, newest first. Never written again; shared with snapshots and clones."""
    created: int
    """Seconds since 1970."""
    origin: str
    """What it was made from, for people."""
    contested: bool = False
    """Somebody set out to seize the lease: the live layer may have another writer, and must be
    forked before anybody else writes to it."""

    @property
    def head_name(self) -> str:
        return VOLUME_PREFIX + self.id

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers, newest first."""
        return ((self.top,) if self.top else ()) + self.frozen


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """`snapshot/<id>`; the fields mean the same as in a volume."""

    id: str
    name: str
    """Without the volume's part."""
    volume: str
    """The volume's id."""
    size: int
    root: MapRoot
    frozen: tuple[str, ...]
    created: int

    @property
    def head_name(self) -> str:
        return SNAPSHOT_PREFIX + self.id

    @property
    def layers(self) -> tuple[str, ...]:
        return self.frozen


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """`layer/<id>`: exists before the layer in the store does, and goes before it."""

    id: str
    created: int
    users: tuple[str, ...]
    """Names of the heads of volumes and snapshots whose stack it is in. Empty: being made."""

    @property
    def head_name(self) -> str:
        return LAYER_PREFIX + self.id


Record = VolumeRecord | SnapshotRecord | LayerRecord


def encode_record(record: Record) -> bytes:
    """The value of the record's head."""
    fields: dict[str, object] = {"format": FORMAT, "id": record.id, "created": record.created}
    if isinstance(record, LayerRecord):
        fields["users"] = list(record.users)
        return _encode(fields)
    fields |= {
        "name": record.name,
        "size": record.size,
        "root": record.root.pack().hex(),
        "frozen": list(record.frozen),
    }
    if isinstance(record, VolumeRecord):
        fields |= {"top": record.top, "origin": record.origin, "contested": record.contested}
    else:
        fields["volume"] = record.volume
    return _encode(fields)


def decode_volume(head_name: str, value: bytes) -> VolumeRecord:
    """Corrupt, naming the head, for anything `encode_record` would not have written."""
    fields = _Fields(head_name, value)
    return VolumeRecord(
        id=fields.own_id(VOLUME_PREFIX),
        name=fields.text("name"),
        size=fields.size("size"),
        root=fields.root("root"),
        top=fields.optional_text("top"),
        frozen=fields.texts("frozen"),
        created=fields.number("created"),
        origin=fields.text("origin"),
        contested=fields.flag("contested"),
    )


def decode_snapshot(head_name: str, value: bytes) -> SnapshotRecord:
    """As `decode_volume`."""
    fields = _Fields(head_name, value)
    return SnapshotRecord(
        id=fields.own_id(SNAPSHOT_PREFIX),
        name=fields.text("name"),
        volume=fields.text("volume"),
        size=fields.size("size"),
        root=fields.root("root"),
        frozen=fields.texts("frozen"),
        created=fields.number("created"),
    )


def decode_layer(head_name: str, value: bytes) -> LayerRecord:
    """As `decode_volume`."""
    fields = _Fields(head_name, value)
    return LayerRecord(
        id=fields.own_id(LAYER_PREFIX),
        created=fields.number("created"),
        users=fields.texts("users"),
    )


def encode_id(record_id: str) -> bytes:
    """The value of a `name/` or `snapname/` head."""
    return _encode({"format": FORMAT, "id": record_id})


def decode_id(head_name: str, value: bytes) -> str:
    """The inverse of `encode_id`; Corrupt for anything else."""
    return _Fields(head_name, value).text("id")


def _encode(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class _Fields:
    """The fields of one value, each checked for its type as it is taken."""

    def __init__(self, head_name: str, value: bytes) -> None:
        self._head_name = head_name
        try:
            fields = json.loads(value)
        except ValueError:
            raise self._corrupt("it is not JSON") from None
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise self._corrupt(f"it is not a record of format {FORMAT}")
        self._fields = fields

    def own_id(self, prefix: str) -> str:
        """The id, which the name of the head repeats."""
        found = self.text("id")
        if prefix + found != self._head_name:
            raise self._corrupt(f"it is the record of {found!r}")
        return found

    def text(self, key: str) -> str:
        value = self._fields.get(key)
        if not isinstance(value, str):
            raise self._corrupt(f"{key} is no text")
        return value

    def optional_text(self, key: str) -> str | None:
        return None if self._fields.get(key, "") is None else self.text(key)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._fields.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._corrupt(f"{key} is no list of texts")
        return tuple(value)

    def number(self, key: str) -> int:
        value = self._fields.get(key)
        if type(value) is not int or value < 0:
            raise self._corrupt(f"{key} is no number")
        return value

    def flag(self, key: str) -> bool:
        value = self._fields.get(key)
        if not isinstance(value, bool):
            raise self._corrupt(f"{key} is neither true nor false")
        return value

    def size(self, key: str) -> int:
        value = self.number(key)
        if not 0 < value <= VOLUME_SIZE_MAX or value % SECTOR_SIZE:
            raise self._corrupt(f"no volume has {value} bytes")
        return value

    def root(self, key: str) -> MapRoot:
        try:
            return MapRoot.unpack(bytes.fromhex(self.text(key)))
        except ValueError:
            raise self._corrupt(f"{key} is no map root") from None

    def _corrupt(self, why: str) -> Corrupt:
        return Corrupt(f"head {self._head_name!r}", "its value", why)
