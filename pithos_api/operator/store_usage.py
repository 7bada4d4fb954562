"""What an installation holds: bytes as its users see them, and bytes as they are stored."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select

from blockstore import BlockStats, StoreInfo
from pithos_api.database.engine import reading
from pithos_api.database.tables import images, objects
from pithos_api.namespace.records import OBJECT, SNAPSHOT
from pithos_api.operator.deployment import Deployment


@dataclass(frozen=True, slots=True)
class LogicalBytes:
    """Sizes as users see them, each content counted once for each name it has."""

    files: int
    """Objects that are no images."""
    images: int
    volumes: int
    snapshots: int
    published: int
    """Snapshots that were put among a user's files."""

    @property
    def total(self) -> int:
        return self.files + self.images + self.volumes + self.snapshots + self.published


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """Everything `archipelago info` shows."""

    store: StoreInfo
    blocks: BlockStats
    live_bytes: int
    """In layers of volumes, not yet sealed into blocks."""
    stored_bytes: int
    logical: LogicalBytes
    volume_count: int
    snapshot_count: int


def measure(deployment: Deployment) -> StoreUsage:
    """Count. Each number is exact at some instant; together they are as far apart as this takes."""
    store, catalog = deployment.store, deployment.catalog
    blocks = store.blocks.stats()
    volumes = catalog.list()
    snapshots = [s for volume in volumes for s in catalog.snapshots(volume.name)]
    live = _live_bytes(deployment)
    images_size = _sum_images(deployment)
    is_image = objects.c.uuid.in_(
        select(images.c.object_uuid).where(images.c.object_uuid.is_not(None))
    )
    return StoreUsage(
        store=store.info,
        blocks=blocks,
        live_bytes=live,
        stored_bytes=blocks.disk_bytes + live,
        logical=LogicalBytes(
            files=_sum_objects(deployment, objects.c.kind == OBJECT, ~is_image),
            images=images_size,
            volumes=sum(volume.size for volume in volumes),
            snapshots=sum(snapshot.size for snapshot in snapshots),
            published=_sum_objects(deployment, objects.c.kind == SNAPSHOT, ~is_image),
        ),
        volume_count=len(volumes),
        snapshot_count=len(snapshots),
    )


def _live_bytes(deployment: Deployment) -> int:
    total = 0
    for layer_id in deployment.store.extents.list():
        layer = deployment.store.extents.open(layer_id, writable=False)
        total += layer.stored_bytes()
        layer.close()
    return total


def _sum_images(deployment: Deployment) -> int:
    with reading(deployment.engine) as connection:
        return int(connection.execute(select(func.sum(images.c.size))).scalar() or 0)


def _sum_objects(deployment: Deployment, *conditions: ColumnElement[bool]) -> int:
    query = select(func.sum(objects.c.size)).where(*conditions)
    with reading(deployment.engine) as connection:
        return int(connection.execute(query).scalar() or 0)
