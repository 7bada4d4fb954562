"""The catalog: volumes and snapshots by name, and what happens to them in their lives."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from archipelago.errors import (
    InvalidArgument,
    MapCorrupt,
    NameTaken,
    VolumeBusy,
    VolumeNotFound,
    VolumeReadOnly,
)
from archipelago.extent import Extent, ExtentKind, merge_extents
from archipelago.fit import fit_root
from archipelago.forget import forget_snapshot, forget_volume, mend_name
from archipelago.info import SnapshotInfo, Usage, VolumeInfo, snapshot_info, volume_info
from archipelago.layers import SWEEP_AGE_S, sweep_layers
from archipelago.lifecycle import (
    FROZEN_LAYERS_MAX,
    add_clone,
    add_snapshot,
    add_volume,
    find_snapshot,
    find_volume,
    freeze_top,
    new_volume,
    remove_snapshot,
    remove_volume,
    rename_snapshot,
    rename_volume,
    roll_back,
)
from archipelago.map import Maps
from archipelago.map_format import EMPTY_MAP, MapRoot
from archipelago.names import SECTOR_SIZE, check_name, check_size, split_name, split_snapshot_name
from archipelago.ownership import Ownership, this_process
from archipelago.records import (
    NAME_PREFIX,
    VOLUME_PREFIX,
    SnapshotRecord,
    VolumeRecord,
    snapname_prefix,
)
from archipelago.roots import iterate_records, iterate_roots
from archipelago.seal import Sealer
from archipelago.transaction import Transaction, transact
from archipelago.usage import measure_usage
from archipelago.volume import Result, Volume, VolumeParts
from blockstore import ZERO_ID, Corrupt, Lease, NotFound, Store


class Catalog:
    """All volumes and snapshots of a store. Thread-safe; no state of its own beyond caches.

    Names are `VOLUME` and `VOLUME@SNAPSHOT`. Every change is durable on return, and happens wholly
    or not at all. What needs a volume at rest takes its lease for that time: VolumeBusy while
    somebody has it open. Errors: those of `archipelago.errors`; those of the store pass through.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.maps = Maps(store.blocks, store.info.block_size)
        self._sealer = Sealer(store, self.maps, self._refresh)
        self._ownership = Ownership(store)
        self._open: dict[str, list[Volume]] = {}
        self._open_lock = threading.Lock()

    def create(self, name: str, size: int) -> VolumeInfo:
        """An empty volume of `size` bytes. NameTaken."""
        record = new_volume(name, size, EMPTY_MAP, "")
        transact(self.store, lambda step: add_volume(step, record))
        return volume_info(record)

    def clone(self, source: str, name: str, size: int | None = None) -> VolumeInfo:
        """A volume with the content of a volume or snapshot, without copying; independent of it.

        `size` may be more than the source has: the rest is NULs.
        """
        check_name(name)
        volume_name, snapshot = split_name(source)
        if snapshot is None:
            here = self._writable_here(volume_name)
            return here.clone(name, size) if here else self._clone_volume(source, name, size)

        def body(step: Transaction) -> VolumeRecord:
            _, record = find_snapshot(step, source)
            wanted = record.size if size is None else size
            return add_clone(step, record, new_volume(name, wanted, EMPTY_MAP, source))

        return volume_info(transact(self.store, body))

    def clone_root(self, root: MapRoot, size: int, name: str, origin: str = "") -> VolumeInfo:
        """A volume with the content of a map that is `size` bytes long, without copying.

        The volume ends at the next multiple of 512. `origin` says what the map was, for people.
        The caller keeps the map from being collected until this returns.
        """
        record = new_volume(name, size + -size % SECTOR_SIZE, EMPTY_MAP, origin)
        if self._volume_info(name) is not None:
            raise NameTaken(name)
        [present] = self.store.blocks.touch([root.block_id])
        if not present:
            raise NotFound("block", root.block_id.hex())
        record = replace(record, root=fit_root(self.store, self.maps, root, size))
        transact(self.store, lambda step: add_volume(step, record))
        return volume_info(record)

    def snapshot(self, name: str) -> SnapshotInfo:
        """Make the snapshot `VOLUME@SNAPSHOT` of a volume that nobody has open."""
        volume_name, snap_name = split_snapshot_name(name)
        snapshot = self._freeze(
            volume_name, lambda step, record: add_snapshot(step, record, snap_name)
        )
        return snapshot_info(volume_name, snapshot)

    def rollback(self, name: str) -> None:
        """Give a volume that nobody has open the content and size of its snapshot `name`. What it
        had since is gone for good."""
        volume_name, _ = split_snapshot_name(name)
        with self._ownership.leased(volume_name) as (lease, _):

            def body(step: Transaction) -> None:
                self.store.leases.check(lease)
                roll_back(step, *find_snapshot(step, name))

            transact(self.store, body)

    def resize(self, name: str, size: int, shrink: bool = False) -> None:
        """Change the size of a volume that nobody has open; see `Volume.resize`."""
        check_size(size)
        with self._ownership.leased(name) as (lease, record):
            if size < record.size and not shrink:
                raise InvalidArgument(
                    f"{name} has {record.size} bytes; making it {size} loses what is beyond"
                )
            self._ownership.settle_top(lease, record)
            root: MapRoot | None = None
            if size < record.size:
                self._sealer.seal(record.head_name)
                record = self._ownership.held(Transaction(self.store.heads), lease, record)
                root = fit_root(self.store, self.maps, record.root, size)

            def body(step: Transaction) -> VolumeRecord:
                own = self._ownership.held(step, lease, record)
                resized = replace(own, size=size, root=root or own.root)
                step.put(resized)
                return resized

            self._ownership.settle_top(lease, transact(self.store, body))

    def rename(self, old: str, new: str) -> None:
        """Give a volume that nobody has open another name (its snapshots follow), or a snapshot
        another name of the same volume."""
        volume_name, snap_name = split_name(old)
        new_volume_name, new_snap_name = split_name(new)
        if snap_name is None:
            if new_snap_name is not None:
                raise InvalidArgument(f"a volume can't become a snapshot: {new!r}")
            self._rename_volume(old, new)
            return
        if new_snap_name is None or new_volume_name != volume_name:
            raise InvalidArgument(f"a snapshot stays with its volume: {volume_name}@..., not {new}")
        self._check_not_open_here(old)
        transact(
            self.store,
            lambda step: rename_snapshot(step, *find_snapshot(step, old), new_snap_name),
        )

    def delete(self, name: str, with_snapshots: bool = False) -> None:
        """Delete a volume that nobody has open, or a snapshot that this process has not open.

        A volume with snapshots is refused (VolumeBusy) unless `with_snapshots`. Clones of either
        are not affected. What has a damaged record is deleted all the same.
        """
        _, snap_name = split_name(name)
        try:
            if snap_name is not None:
                self._check_not_open_here(name)
                transact(self.store, lambda step: remove_snapshot(step, *find_snapshot(step, name)))
            else:
                self._delete_volume(name, with_snapshots)
        except Corrupt:
            if snap_name is not None:
                transact(self.store, lambda step: forget_snapshot(step, self.store.heads, name))
            else:
                self._forget_volume(name, with_snapshots)

    def list(
        self, prefix: str = "", after: str = "", limit: int | None = None
    ) -> builtins.list[VolumeInfo]:
        """Volumes whose name begins with `prefix` and comes after `after`, in byte order.

        One whose record is damaged is in it, with `damage` set.
        """
        head_names = self.store.heads.names(
            NAME_PREFIX + prefix, NAME_PREFIX + after if after else "", limit
        )
        found = []
        for head_name in head_names:
            name = head_name.removeprefix(NAME_PREFIX)
            try:
                info = self._volume_info(name)
            except Corrupt as error:
                info = VolumeInfo("", name, 0, 0, "", damage=str(error))
            if info is not None:
                found.append(info)
        return found

    def snapshots(self, name: str) -> builtins.list[SnapshotInfo]:
        """The snapshots of a volume, oldest first; a damaged one has `damage` set."""
        check_name(name)
        volume = transact(self.store, lambda step: find_volume(step, name))
        found = []
        for snap_name in self._snapshot_names(volume.id):
            try:
                found.append(self._snapshot_info(f"{name}@{snap_name}"))
            except Corrupt as error:
                found.append(SnapshotInfo("", name, snap_name, 0, 0, damage=str(error)))
            except VolumeNotFound:
                continue  # deleted since the names were read
        return sorted(found, key=lambda info: (info.created, info.name))

    def info(self, name: str) -> VolumeInfo | SnapshotInfo:
        """A volume or snapshot."""
        _, snap_name = split_name(name)
        if snap_name is not None:
            return self._snapshot_info(name)
        info = self._volume_info(name)
        if info is None:
            raise VolumeNotFound(name)
        return info

    def usage(self, name: str, roots_elsewhere: Iterable[MapRoot] = ()) -> Usage:
        """The space it takes, beside all volumes, snapshots and `roots_elsewhere`: objects'."""
        record = self._record(name)
        records = iterate_records(self.store.heads)
        others = (other.root for other in records if other.id != record.id)
        return measure_usage(self.store, self.maps, record, chain(others, roots_elsewhere))

    def open(
        self, name: str, *, read_only: bool = False, holder: str = "", seize: bool = False
    ) -> Volume:
        """Open a volume, alone, or a snapshot, read-only, with others.

        `holder` describes the opener to whom it keeps waiting. `seize` takes the volume from
        whoever has it: what they have flushed is in it, what they write from now on is not.
        """
        _, snap_name = split_name(name)
        if snap_name is not None:
            if not read_only:
                raise VolumeReadOnly(name)
            _, snapshot = transact(self.store, lambda step: find_snapshot(step, name))
            return self._opened(name, snapshot.head_name, None, read_only=True)
        lease, record = self._ownership.acquire(name, holder, seize)
        try:
            if not read_only:
                self._ownership.prepare_top(lease, record)
            return self._opened(name, record.head_name, lease, read_only=read_only)
        except BaseException:
            self.store.leases.release(lease)
            raise

    def seal(self, name: str, stop: Callable[[], bool] = lambda: False) -> None:
        """Turn the frozen layers of a volume or snapshot into blocks.

        `stop` is asked now and then; SealingStopped once it says yes.
        """
        self._sealer.seal(self._record(name).head_name, stop)

    def seal_pending(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Seal what there is to seal, except below volumes that only other processes have open;
        return how many stacks. Damage in one does not keep the others; it is raised last.

        `stop` is asked now and then; SealingStopped once it says yes.
        """
        damage: builtins.list[Corrupt | NotFound | MapCorrupt] = []
        with self._open_lock:
            open_here = tuple(self._open)
        for head_name in open_here:
            try:
                self._refresh((head_name,))
            except (Corrupt, NotFound) as error:
                damage.append(error)
        total = 0
        # A layer may lie above one that is sealed for the sake of another volume.
        while sealed := self._seal_bottoms(stop, damage):
            total += sealed
        if damage:
            raise damage[-1]
        return total

    def sealed_root(self, name: str) -> tuple[MapRoot, int]:
        """The map root and size of the snapshot `VOLUME@SNAPSHOT`, sealing it if need be."""
        split_snapshot_name(name)
        self.seal(name)
        record = self._record(name)
        return record.root, record.size

    def diff(self, a: str, b: str) -> Iterator[Extent]:
        """Where `b` differs from `a`: extents of data, or of holes where `b` has NULs.

        The grain is the block. Snapshots are sealed for it; a volume is frozen first, as for a
        snapshot, so nobody may have it open elsewhere.
        """
        size_a, root_a = self._sealed(a)
        size_b, root_b = self._sealed(b)
        end = max(size_a, size_b)
        return merge_extents(self._diff(root_a, root_b, end))

    def roots(self) -> Iterator[MapRoot]:
        """Every map root that a volume or snapshot names; for collection. Corrupt."""
        return iterate_roots(self.store.heads)

    def sweep_layers(self, age_s: int = SWEEP_AGE_S) -> int:
        """Remove layers that crashes left behind; return how many. See `layers.sweep_layers`."""
        return sweep_layers(self.store, age_s)

    def _seal_bottoms(
        self,
        stop: Callable[[], bool],
        damage: builtins.list[Corrupt | NotFound | MapCorrupt],
    ) -> int:
        """Seal each stack whose bottom can be sealed now; return how many."""
        sealed = 0
        for layer_id in self._sealer.layer_ids():
            try:
                users = self._sealer.pending(layer_id)
                if users and not self._is_elsewhere(users):
                    self._sealer.seal(users[0], stop)
                    sealed += 1
            except (Corrupt, NotFound, MapCorrupt) as error:
                damage.append(error)
        return sealed

    def _delete_volume(self, name: str, with_snapshots: bool) -> None:
        with self._ownership.leased(name) as (lease, record):

            def body(step: Transaction) -> None:
                own = self._ownership.held(step, lease, record)
                for snapshot in self._snapshots_to_delete(own.name, own.id, with_snapshots):
                    self._check_not_open_here(f"{name}@{snapshot}")
                    remove_snapshot(step, *find_snapshot(step, f"{name}@{snapshot}"))
                remove_volume(step, own)

            transact(self.store, body)

    def _forget_volume(self, name: str, with_snapshots: bool) -> None:
        """Delete a volume with a damaged record, or with a damaged snapshot."""
        heads = self.store.heads
        volume_id = transact(self.store, lambda step: mend_name(step, heads, name))
        if volume_id is None:
            transact(self.store, lambda step: step.put_name(name, None))
            return
        with self._ownership.leased_damaged(name, volume_id) as lease:

            def body(step: Transaction) -> None:
                self.store.leases.check(lease)
                snapshots = self._snapshots_to_delete(name, volume_id, with_snapshots)
                forget_volume(step, heads, name, volume_id, snapshots)

            transact(self.store, body)

    def _snapshots_to_delete(
        self, name: str, volume_id: str, with_snapshots: bool
    ) -> builtins.list[str]:
        snapshots = self._snapshot_names(volume_id)
        if snapshots and not with_snapshots:
            raise VolumeBusy(name, "its snapshots", _snapshots_reason(name, snapshots))
        return snapshots

    def _rename_volume(self, old: str, new: str) -> None:
        with self._ownership.leased(old) as (lease, record):

            def body(step: Transaction) -> None:
                rename_volume(step, self._ownership.held(step, lease, record), new)

            transact(self.store, body)

    def _clone_volume(self, source: str, name: str, size: int | None) -> VolumeInfo:
        def attach(step: Transaction, record: VolumeRecord) -> VolumeRecord:
            wanted = record.size if size is None else size
            return add_clone(step, record, new_volume(name, wanted, EMPTY_MAP, source))

        return volume_info(self._freeze(source, attach))

    def _freeze(self, name: str, attach: Callable[[Transaction, VolumeRecord], Result]) -> Result:
        """Freeze the live layer of a volume that nobody has open; see `Volume._freeze`."""
        with self._ownership.leased(name) as (lease, record):
            touched = self._ownership.settle_top(lease, record)
            if len(record.frozen) >= FROZEN_LAYERS_MAX:
                self._sealer.seal(record.head_name)

            def body(step: Transaction) -> Result:
                own = self._ownership.held(step, lease, record)
                return attach(step, freeze_top(step, own, None) if touched else own)

            return transact(self.store, body)

    def _sealed(self, name: str) -> tuple[int, MapRoot]:
        """(size, root) of a snapshot, or of a volume as it is now."""
        _, snap_name = split_name(name)
        if snap_name is None:
            here = self._writable_here(name)
            if here is not None:
                here.freeze()
            else:
                self._freeze(name, lambda step, record: None)
        self.seal(name)
        record = self._record(name)
        return record.size, record.root

    def _diff(self, a: MapRoot, b: MapRoot, end: int) -> Iterator[Extent]:
        block_size = self.maps.block_size
        for index, _, id_b in self.maps.diff(a, b):
            start = index * block_size
            kind = ExtentKind.HOLE if id_b == ZERO_ID else ExtentKind.DATA
            yield Extent(start, min(block_size, end - start), kind)

    def _opened(self, name: str, head_name: str, lease: Lease | None, read_only: bool) -> Volume:
        parts = VolumeParts(self.store, self.maps, self._sealer, self._forget)
        volume = Volume(parts, name, head_name, lease, read_only=read_only)
        with self._open_lock:
            self._open.setdefault(head_name, []).append(volume)
        # What was sealed between its first look and its entry above, it was not told of.
        try:
            volume.refresh()
        except BaseException:
            volume.close()
            raise
        return volume

    def _forget(self, volume: Volume) -> None:
        with self._open_lock:
            others = [other for other in self._open[volume.head_name] if other is not volume]
            self._open[volume.head_name] = others
            if not others:
                del self._open[volume.head_name]

    def _refresh(self, head_names: Sequence[str]) -> None:
        with self._open_lock:
            volumes = [volume for name in head_names for volume in self._open.get(name, ())]
        for volume in volumes:
            volume.refresh()

    def _writable_here(self, name: str) -> Volume | None:
        """The volume, if this catalog has it open for writing."""
        head_name = transact(self.store, lambda step: find_volume(step, name)).head_name
        with self._open_lock:
            volumes = self._open.get(head_name, ())
            return next((volume for volume in volumes if not volume.read_only), None)

    def _check_not_open_here(self, name: str) -> None:
        """VolumeBusy while this catalog has the snapshot open: there is no lease to ask."""
        _, snapshot = transact(self.store, lambda step: find_snapshot(step, name))
        with self._open_lock:
            if snapshot.head_name in self._open:
                raise VolumeBusy(name, this_process())

    def _is_elsewhere(self, users: Sequence[str]) -> bool:
        """Whether only other processes have volumes open that use a layer."""
        with self._open_lock:
            if any(user in self._open for user in users):
                return False
        held = (self.store.leases.holder(user) for user in users if user.startswith(VOLUME_PREFIX))
        return any(holder is not None for holder in held)

    def _volume_info(self, name: str) -> VolumeInfo | None:
        try:
            record = transact(self.store, lambda step: find_volume(step, name))
        except VolumeNotFound:
            return None
        return volume_info(record, self.store.leases.holder(record.head_name))

    def _snapshot_info(self, name: str) -> SnapshotInfo:
        volume, snapshot = transact(self.store, lambda step: find_snapshot(step, name))
        return snapshot_info(volume.name, snapshot)

    def _snapshot_names(self, volume_id: str) -> builtins.list[str]:
        prefix = snapname_prefix(volume_id)
        return [name.removeprefix(prefix) for name in self.store.heads.names(prefix)]

    def _record(self, name: str) -> VolumeRecord | SnapshotRecord:
        _, snap_name = split_name(name)
        if snap_name is None:
            return transact(self.store, lambda step: find_volume(step, name))
        return transact(self.store, lambda step: find_snapshot(step, name))[1]


def _snapshots_reason(name: str, snapshots: Sequence[str]) -> str:
    shown = ", ".join(snapshots[:3]) + (", ..." if len(snapshots) > 3 else "")
    return (
        f"{name} has {len(snapshots)} snapshots ({shown}): delete them first, or delete the volume"
        " together with its snapshots"
    )
