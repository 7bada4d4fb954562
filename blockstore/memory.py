"""A store in the memory of this process, for tests of what is built above the contracts.

Stores have names. Opening a name twice gives two handles on one state, as two processes have with
a `files:` store: what one handle has put is not seen by the other before `commit`, and closing a
handle drops what it did not commit and frees its leases, as the death of a process does.
"""

from __future__ import annotations

import threading
import time
import uuid
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockstore.argument_checks import (
    check_head_changes,
    check_layer_id,
    check_layer_size,
    head_key,
    lease_holder,
    lease_key,
    name_bound,
)
from blockstore.block_id import HASH_NAMES, ZERO_ID
from blockstore.errors import (
    BlockCorrupt,
    HeadConflict,
    LeaseHeld,
    LeaseLost,
    NotFound,
    StoreUnavailable,
    StoreUsageError,
)
from blockstore.interface import (
    BlockKind,
    BlockRecord,
    Blocks,
    BlockStats,
    Extents,
    Head,
    HeadChange,
    Heads,
    Lease,
    Leases,
    StoreInfo,
)
from blockstore.memory_layer import LayerState, MemoryLayer
from native.digest import digest

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]  # Python 3.12
else:
    Buffer = object

FORMAT_VERSION = 1
BLOCK_SIZE_MIN = 64 * 2**10
BLOCK_SIZE_MAX = 4 * 2**20
TOUCH_GRAIN_S = 3600


@dataclass(slots=True)
class _Block:
    content: bytes
    kind: BlockKind
    touched: int


@dataclass(slots=True)
class _Holding:
    lease: Lease
    owner: object


@dataclass(slots=True)
class _State:
    """What the handles of one name share, all under `lock`."""

    info: StoreInfo
    lock: threading.RLock = field(default_factory=threading.RLock)
    blocks: dict[bytes, _Block] = field(default_factory=dict)
    heads: dict[bytes, Head] = field(default_factory=dict)
    head_version: int = 0
    layers: dict[str, LayerState] = field(default_factory=dict)
    leases: dict[bytes, _Holding] = field(default_factory=dict)
    lease_epoch: int = 0


_stores: dict[str, _State] = {}
_stores_lock = threading.Lock()


def create_memory(name: str, hash_name: str, block_size: int) -> StoreInfo:
    """Make an empty store of that name. StoreUsageError for bad options, or when it exists."""
    if hash_name not in HASH_NAMES:
        raise StoreUsageError(f"no such hash: {hash_name}")
    if not BLOCK_SIZE_MIN <= block_size <= BLOCK_SIZE_MAX or block_size & (block_size - 1):
        raise StoreUsageError(f"the block size cannot be {block_size}")
    info = StoreInfo(uuid.uuid4().hex, FORMAT_VERSION, hash_name, block_size, int(time.time()))
    with _stores_lock:
        if name in _stores:
            raise StoreUsageError(f"memory:{name} exists already")
        _stores[name] = _State(info)
    return info


def open_memory(name: str, read_only: bool = False) -> MemoryStore:
    """One more handle on it. StoreUnavailable when it was never created."""
    with _stores_lock:
        state = _stores.get(name)
    if state is None:
        raise StoreUnavailable(f"there is no store memory:{name} in this process")
    return MemoryStore(name, state, read_only)


class MemoryStore:
    """`interface.Store` in memory; from `open_memory`."""

    def __init__(self, name: str, state: _State, read_only: bool) -> None:
        self.info = state.info
        self.url = f"memory:{name}"
        self.read_only = read_only
        handle = _Handle(state, self.url, read_only)
        self._handle = handle
        self._blocks = MemoryBlocks(handle)
        self._leases = MemoryLeases(handle)
        self.blocks: Blocks = self._blocks
        self.heads: Heads = MemoryHeads(handle)
        self.extents: Extents = MemoryExtents(handle)
        self.leases: Leases = self._leases

    def close(self) -> None:
        """Drop what was not committed, free the leases of this handle."""
        self._blocks.drop()
        self._leases.drop()
        self._handle.closed = True


class _Handle:
    """What the four parts of one open store know of it."""

    def __init__(self, state: _State, url: str, read_only: bool) -> None:
        self.state = state
        self.lock = state.lock
        self.url = url
        self.read_only = read_only
        self.closed = False

    def check_open(self) -> None:
        if self.closed:
            raise StoreUsageError(f"{self.url} was closed")

    def check_writable(self) -> None:
        self.check_open()
        if self.read_only:
            raise StoreUnavailable(f"{self.url} is open read-only")


class MemoryBlocks:
    """`interface.Blocks`: committed ones are shared, staged ones belong to the handle."""

    def __init__(self, handle: _Handle) -> None:
        self._handle = handle
        self._state = handle.state
        self._staged: dict[bytes, _Block] = {}
        self._hash_name = handle.state.info.hash_name

    def put_many(self, data: Buffer, kind: BlockKind = BlockKind.DATA) -> list[bytes]:
        self._handle.check_writable()
        view = memoryview(data).cast("B")
        size = self._state.info.block_size
        return [self._put(view[at : at + size], kind) for at in range(0, len(view), size)]

    def commit(self) -> None:
        self._handle.check_open()
        with self._handle.lock:
            self._state.blocks.update(self._staged)
            self._staged.clear()

    def get(self, block_id: bytes) -> bytes:
        self._handle.check_open()
        if block_id == ZERO_ID:
            return b""
        block = self._find(block_id)
        if block is None:
            raise NotFound("block", block_id.hex())
        return block.content

    def get_into(self, block_id: bytes, offset: int, out: memoryview) -> None:
        if offset < 0:
            raise StoreUsageError(f"a block has no byte {offset}")
        content = self.get(block_id)[offset : offset + len(out)]
        out[: len(content)] = content
        out[len(content) :] = bytes(len(out) - len(content))

    def contains_many(self, block_ids: Sequence[bytes]) -> list[bool]:
        self._handle.check_open()
        return [block_id == ZERO_ID or self._find(block_id) is not None for block_id in block_ids]

    def touch(self, block_ids: Sequence[bytes]) -> list[bool]:
        self._handle.check_writable()
        now = _touch_time()
        for block_id in block_ids:
            block = self._find(block_id)
            if block is not None:
                block.touched = now
        return self.contains_many(block_ids)

    def discard(self, block_ids: Sequence[bytes]) -> int:
        self._handle.check_writable()
        with self._handle.lock:
            found = [self._state.blocks.pop(block_id, None) for block_id in block_ids]
        return sum(block is not None for block in found)

    def scan(self, after: bytes = b"") -> Iterator[BlockRecord]:
        self._handle.check_open()
        with self._handle.lock:
            block_ids = sorted(self._state.blocks)
        for block_id in block_ids[bisect_right(block_ids, after) :]:
            block = self._state.blocks.get(block_id)
            if block is not None:
                size = len(block.content)
                yield BlockRecord(block_id, size, size, block.kind, block.touched)

    def verify(self, block_id: bytes) -> None:
        content = self.get(block_id)
        if block_id != ZERO_ID and digest(content, self._hash_name) != block_id:
            raise BlockCorrupt(block_id, self._handle.url, "its digest differs")

    def stats(self) -> BlockStats:
        self._handle.check_open()
        with self._handle.lock:
            sizes = [(len(block.content), block.kind) for block in self._state.blocks.values()]
        map_sizes = [size for size, kind in sizes if kind is BlockKind.MAP]
        total = sum(size for size, _ in sizes)
        return BlockStats(len(sizes), len(map_sizes), total, sum(map_sizes), total)

    def drop(self) -> None:
        """Forget what was not committed."""
        with self._handle.lock:
            self._staged.clear()

    def _put(self, piece: memoryview, kind: BlockKind) -> bytes:
        content = bytes(piece).rstrip(b"\0")
        if not content:
            return ZERO_ID
        block_id = digest(content, self._hash_name)
        with self._handle.lock:
            block = self._find(block_id)
            if block is None:
                self._staged[block_id] = _Block(content, kind, _touch_time())
            elif len(block.content) != len(content):
                raise BlockCorrupt(block_id, self._handle.url, "its length differs")
            else:
                block.touched = _touch_time()
        return block_id

    def _find(self, block_id: bytes) -> _Block | None:
        with self._handle.lock:
            return self._staged.get(block_id) or self._state.blocks.get(block_id)


class MemoryHeads:
    """`interface.Heads`, keyed by the UTF-8 of the name."""

    def __init__(self, handle: _Handle) -> None:
        self._handle = handle
        self._state = handle.state

    def get(self, name: str) -> Head | None:
        self._handle.check_open()
        with self._handle.lock:
            return self._state.heads.get(head_key(name))

    def update(self, changes: Sequence[HeadChange]) -> list[int]:
        self._handle.check_writable()
        keys = check_head_changes(changes)
        with self._handle.lock:
            for key, change in zip(keys, changes, strict=True):
                head = self._state.heads.get(key)
                found = head.version if head else 0
                if found != change.expected_version:
                    raise HeadConflict(change.name, change.expected_version, found)
            return [self._apply(key, change) for key, change in zip(keys, changes, strict=True)]

    def list(self, prefix: str = "", after: str = "", limit: int | None = None) -> list[Head]:
        self._handle.check_open()
        prefix_key, after_key = name_bound(prefix), name_bound(after)
        with self._handle.lock:
            found = [
                self._state.heads[key]
                for key in sorted(self._state.heads)
                if key.startswith(prefix_key) and key > after_key
            ]
        return found[:limit]

    def names(self, prefix: str = "", after: str = "", limit: int | None = None) -> Sequence[str]:
        return [head.name for head in self.list(prefix, after, limit)]

    def _apply(self, key: bytes, change: HeadChange) -> int:
        if change.value is None:
            self._state.heads.pop(key, None)
            return 0
        self._state.head_version += 1
        version = self._state.head_version
        self._state.heads[key] = Head(change.name, version, bytes(change.value))
        return version


class MemoryExtents:
    """`interface.Extents`: everything is as good as flushed at once."""

    def __init__(self, handle: _Handle) -> None:
        self._handle = handle
        self._layers = handle.state.layers

    def create(self, layer_id: str, size: int) -> None:
        self._handle.check_writable()
        check_layer_id(layer_id)
        check_layer_size(size)
        self._add(layer_id, LayerState(size))

    def open(self, layer_id: str, *, writable: bool) -> MemoryLayer:
        if writable:
            self._handle.check_writable()
        self._handle.check_open()
        return MemoryLayer(layer_id, self._find(layer_id), self._handle.lock, writable)

    def fork(self, layer_id: str, new_id: str) -> None:
        self._handle.check_writable()
        check_layer_id(new_id)
        with self._handle.lock:
            source = self._find(layer_id)
            copy = LayerState(source.size, pages=dict(source.pages))
            for first, count, state in source.states.changed_runs():
                copy.states.set(first, count, state)
            self._add(new_id, copy)

    def delete(self, layer_id: str) -> None:
        self._handle.check_writable()
        check_layer_id(layer_id)
        with self._handle.lock:
            self._layers.pop(layer_id, None)

    def list(self) -> list[str]:
        self._handle.check_open()
        with self._handle.lock:
            return sorted(self._layers)

    def _add(self, layer_id: str, layer: LayerState) -> None:
        with self._handle.lock:
            if layer_id in self._layers:
                raise StoreUsageError(f"layer {layer_id} exists already")
            self._layers[layer_id] = layer

    def _find(self, layer_id: str) -> LayerState:
        check_layer_id(layer_id)
        with self._handle.lock:
            layer = self._layers.get(layer_id)
        if layer is None:
            raise NotFound("layer", layer_id)
        return layer


class MemoryLeases:
    """`interface.Leases`: a lease lives as long as the handle that took it is open."""

    def __init__(self, handle: _Handle) -> None:
        self._handle = handle
        self._state = handle.state

    def acquire(self, name: str, holder: str, *, seize: bool = False) -> Lease:
        self._handle.check_writable()
        key = lease_key(name)
        lease_holder(holder)
        with self._handle.lock:
            held = self._state.leases.get(key)
            if held is not None and not seize:
                raise LeaseHeld(name, held.lease.holder)
            self._state.lease_epoch += 1
            lease = Lease(name, holder, self._state.lease_epoch, seized=held is not None)
            self._state.leases[key] = _Holding(lease, self._handle)
        return lease

    def check(self, lease: Lease) -> None:
        self._handle.check_open()
        with self._handle.lock:
            if not self._is_newest(lease):
                raise LeaseLost(lease.name)

    def release(self, lease: Lease) -> None:
        with self._handle.lock:
            if self._is_newest(lease):
                del self._state.leases[lease_key(lease.name)]

    def holder(self, name: str) -> str | None:
        self._handle.check_open()
        with self._handle.lock:
            held = self._state.leases.get(lease_key(name))
        return held.lease.holder if held else None

    def drop(self) -> None:
        """Free what this handle holds."""
        with self._handle.lock:
            leases = self._state.leases
            for key in [key for key in leases if leases[key].owner is self._handle]:
                del leases[key]

    def _is_newest(self, lease: Lease) -> bool:
        held = self._state.leases.get(lease_key(lease.name))
        return held is not None and held.lease.epoch == lease.epoch


def _touch_time() -> int:
    return int(time.time()) // TOUCH_GRAIN_S * TOUCH_GRAIN_S
