"""Volumes, snapshots and clones against byte strings, through any order of what can be done."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from archipelago_stores import new_files_store, new_memory_store
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from archipelago import Catalog, ExtentKind, NameTaken, Volume, VolumeBusy, VolumeReadOnly
from archipelago.records import LAYER_PREFIX, decode_layer, decode_snapshot, decode_volume
from blockstore import LeaseLost

SIZE_MAX = 400 * 2**10

names = st.sampled_from(["a", "b", "c"])
snap_names = st.sampled_from(["x", "y"])
sizes = st.one_of(
    st.integers(1, SIZE_MAX // 512).map(lambda sectors: sectors * 512),
    st.integers(SIZE_MAX // 1024, SIZE_MAX // 512).map(lambda sectors: sectors * 512),
    st.sampled_from([4096, 65536, 2 * 65536, 131072 + 512]),
)
offsets = st.one_of(
    st.integers(0, 6).map(lambda block: block * 65536),
    st.integers(0, SIZE_MAX),
    st.integers(0, SIZE_MAX // 4096).map(lambda page: page * 4096),
)
lengths = st.one_of(
    st.integers(0, 9000), st.sampled_from([4096, 65536, 69632, 131072, 200000, SIZE_MAX])
)
fills = st.integers(0, 255)


class Model:
    def __init__(self, size: int) -> None:
        self.bytes = bytearray(size)
        self.snapshots: dict[str, bytes] = {}
        self.open: Volume | None = None


class VolumesMachine(RuleBasedStateMachine):
    block_size = 65536
    files = False

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory() if self.files else None
        if self.directory is not None:
            self.store = new_files_store(Path(self.directory.name) / "store", self.block_size)
        else:
            self.store = new_memory_store(self.block_size)
        self.catalog = Catalog(self.store)
        self.models: dict[str, Model] = {}
        self.steps = 0

    def teardown(self) -> None:
        for name, model in self.models.items():
            if model.open is not None:
                model.open.close()
            self.check_content(name, model)
        self.store.close()
        if self.directory is not None:
            self.directory.cleanup()

    def check_content(self, name: str, model: Model) -> None:
        with self.catalog.open(name, read_only=True) as volume:
            assert volume.read(0, volume.size) == model.bytes, name
        for snap_name, expected in model.snapshots.items():
            with self.catalog.open(f"{name}@{snap_name}", read_only=True) as snapshot:
                assert snapshot.read(0, snapshot.size) == expected, (name, snap_name)

    def opened(self, name: str) -> Volume:
        model = self.models[name]
        if model.open is None:
            model.open = self.catalog.open(name)
        return model.open

    def pick(self, name: str) -> str:
        return name if name in self.models else next(iter(self.models))

    @initialize(size=sizes)
    def first(self, size: int) -> None:
        self.create("a", size)

    @rule(name=names, size=sizes)
    def create_another(self, name: str, size: int) -> None:
        self.create(name, size)

    def create(self, name: str, size: int) -> None:
        if name in self.models:
            with pytest.raises(NameTaken):
                self.catalog.create(name, size)
            return
        self.catalog.create(name, size)
        self.models[name] = Model(size)

    @rule(name=names, offset=offsets, length=lengths, fill=fills)
    def write(self, name: str, offset: int, length: int, fill: int) -> None:
        name = self.pick(name)
        model = self.models[name]
        offset %= len(model.bytes)
        self.steps += 1
        data = bytes((fill, self.steps % 256)) * length
        data = data[: min(length, len(model.bytes) - offset)]
        self.opened(name).write(offset, data)
        model.bytes[offset : offset + len(data)] = data

    @rule(name=names, offset=offsets, length=lengths, how=st.sampled_from(["zero", "keep", "trim"]))
    def zero(self, name: str, offset: int, length: int, how: str) -> None:
        name = self.pick(name)
        model = self.models[name]
        offset %= len(model.bytes)
        length = min(length, len(model.bytes) - offset)
        volume = self.opened(name)
        if how == "trim":
            volume.discard(offset, length)
        else:
            volume.zero(offset, length, allocate=how == "keep")
        model.bytes[offset : offset + length] = bytes(length)
        if how == "keep" and length:
            kinds = {extent.kind for extent in volume.extents(offset, length)}
            assert kinds == {ExtentKind.DATA}

    @rule(name=names, offset=offsets, length=lengths)
    def read_range(self, name: str, offset: int, length: int) -> None:
        self.read(name, offset, length)

    def read(self, name: str, offset: int, length: int) -> None:
        name = self.pick(name)
        model = self.models[name]
        offset %= len(model.bytes)
        length = min(length, len(model.bytes) - offset)
        volume = self.opened(name)
        assert volume.read(offset, length) == model.bytes[offset : offset + length]
        position = offset
        for extent in volume.extents(offset, length):
            assert extent.offset == position
            assert extent.length > 0
            position += extent.length
            if extent.kind is not ExtentKind.DATA:
                assert not any(model.bytes[extent.offset : position])
        assert position == offset + length

    @rule(name=names)
    def flush(self, name: str) -> None:
        self.opened(self.pick(name)).flush()

    @rule(name=names)
    def close(self, name: str) -> None:
        model = self.models[self.pick(name)]
        if model.open is not None:
            model.open.close()
            model.open = None

    @rule(name=names, snap_name=snap_names)
    def snapshot(self, name: str, snap_name: str) -> None:
        name = self.pick(name)
        model = self.models[name]
        full_name = f"{name}@{snap_name}"

        def take() -> None:
            if model.open is not None:
                model.open.snapshot(snap_name)
            else:
                self.catalog.snapshot(full_name)

        if snap_name in model.snapshots:
            with pytest.raises(NameTaken):
                take()
            return
        take()
        model.snapshots[snap_name] = bytes(model.bytes)
        with pytest.raises(VolumeReadOnly):
            self.catalog.open(full_name)

    @rule(name=names, snap_name=snap_names, new_name=names, grow=st.sampled_from([0, 512, 70144]))
    def clone(self, name: str, snap_name: str, new_name: str, grow: int) -> None:
        name = self.pick(name)
        model = self.models[name]
        content = bytes(model.snapshots.get(snap_name, model.bytes))
        source = f"{name}@{snap_name}" if snap_name in model.snapshots else name
        size = len(content) + grow
        if new_name in self.models:
            with pytest.raises(NameTaken):
                self.catalog.clone(source, new_name, size)
            return
        self.catalog.clone(source, new_name, size if grow else None)
        self.models[new_name] = Model(0)
        self.models[new_name].bytes[:] = content + bytes(grow)

    @rule(name=names, all_of_them=st.booleans())
    def seal(self, name: str, all_of_them: bool) -> None:
        if all_of_them:
            self.catalog.seal_pending()
            assert not [info for info in self.catalog.list() if info.frozen]
            return
        name = self.pick(name)
        self.catalog.seal(name)
        assert self.catalog.info(name).frozen == 0

    @rule(name=names, size=sizes, while_open=st.booleans())
    def resize_once(self, name: str, size: int, while_open: bool) -> None:
        self.resize(name, size, while_open)

    def resize(self, name: str, size: int, while_open: bool) -> None:
        name = self.pick(name)
        model = self.models[name]
        if while_open:
            self.opened(name).resize(size, shrink=True)
        elif model.open is not None:
            with pytest.raises(VolumeBusy):
                self.catalog.resize(name, size, shrink=True)
            return
        else:
            self.catalog.resize(name, size, shrink=True)
        kept = model.bytes[:size]
        model.bytes[:] = kept + bytes(size - len(kept))

    @rule(name=names, sizes=st.lists(sizes, min_size=2, max_size=2))
    def resize_twice(self, name: str, sizes: list[int]) -> None:
        for size in sizes:
            self.resize(name, size, while_open=True)

    @rule(name=names)
    def freeze_and_seal(self, name: str) -> None:
        name = self.pick(name)
        self.opened(name).freeze()
        self.catalog.seal(name)
        assert self.catalog.info(name).frozen == 0
        self.read(name, 0, SIZE_MAX)

    @rule(name=names, snap_name=snap_names)
    def rollback(self, name: str, snap_name: str) -> None:
        name = self.pick(name)
        model = self.models[name]
        if snap_name not in model.snapshots:
            return
        if model.open is not None:
            with pytest.raises(VolumeBusy):
                self.catalog.rollback(f"{name}@{snap_name}")
            return
        self.catalog.rollback(f"{name}@{snap_name}")
        model.bytes[:] = model.snapshots[snap_name]

    @rule(name=names, new_name=names)
    def rename(self, name: str, new_name: str) -> None:
        name = self.pick(name)
        model = self.models[name]
        if model.open is not None:
            with pytest.raises(VolumeBusy):
                self.catalog.rename(name, new_name)
            return
        if new_name in self.models:
            with pytest.raises(NameTaken):
                self.catalog.rename(name, new_name)
            return
        self.catalog.rename(name, new_name)
        self.models[new_name] = self.models.pop(name)

    @rule(name=names, snap_name=st.one_of(st.none(), snap_names), with_snapshots=st.booleans())
    def delete(self, name: str, snap_name: str | None, with_snapshots: bool) -> None:
        name = self.pick(name)
        model = self.models[name]
        if snap_name is not None:
            if model.snapshots.pop(snap_name, None) is not None:
                self.catalog.delete(f"{name}@{snap_name}")
            return
        if len(self.models) == 1:
            return
        if model.open is not None or (model.snapshots and not with_snapshots):
            with pytest.raises(VolumeBusy):
                self.catalog.delete(name)
            return
        self.catalog.delete(name, with_snapshots=with_snapshots)
        del self.models[name]

    @rule(name=names)
    def seize(self, name: str) -> None:
        name = self.pick(name)
        model = self.models[name]
        old = model.open
        if old is None:
            return
        old.flush()
        model.open = self.catalog.open(name, seize=True)
        with suppress(LeaseLost):
            old.write(0, b"never acknowledged")
        with pytest.raises(LeaseLost):
            old.flush()
        old.close()

    @invariant()
    def names_and_layers_are_consistent(self) -> None:
        assert [info.name for info in self.catalog.list()] == sorted(self.models)
        users: dict[str, set[str]] = {}
        decoders = {"volume/": decode_volume, "snapshot/": decode_snapshot}
        for prefix, decode in decoders.items():
            for head in self.store.heads.list(prefix):
                for layer_id in decode(head.name, head.value).layers:
                    users.setdefault(layer_id, set()).add(head.name)
        layers = self.store.heads.list(LAYER_PREFIX)
        found = {
            layer.id: set(layer.users) for layer in (decode_layer(h.name, h.value) for h in layers)
        }
        assert found == users
        assert self.store.extents.list() == sorted(users)


class WideBlocksMachine(VolumesMachine):
    block_size = 131072


class FilesMachine(VolumesMachine):
    files = True


TestVolumes = VolumesMachine.TestCase
TestVolumes.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestWideBlocks = WideBlocksMachine.TestCase
TestWideBlocks.settings = settings(TestVolumes.settings, max_examples=50)
TestFiles = FilesMachine.TestCase
TestFiles.settings = settings(TestVolumes.settings, max_examples=20, stateful_step_count=30)
