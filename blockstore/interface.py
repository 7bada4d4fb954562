"""The contracts of a store: blocks, heads, extents, leases. The docstrings are the specification.

Every implementation passes the suite in `tests/contracts/`. Rules that hold for all four:

* Sizes and offsets are bytes unless the name says otherwise. Data arguments are any C-contiguous
  buffer; an implementation never keeps a reference to one after it returns.
* Objects may be used by any number of threads at once. They do not survive `fork`: a child opens
  the store again.
* "Durable" means: survives kill -9 of every process and loss of power. What is not said to be
  durable may be lost, but is never half there and never turns into other bytes.
* Errors are those of `blockstore.errors`. `StoreFull` and `StoreUnavailable` leave the store as it
  was; `Corrupt` names the thing; an OSError of the device (EIO) is passed on as it is, since a
  failing device is not damage.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on
else:
    Buffer = object

PAGE_SIZE = 4096
"""The grain of live extents: the state of a volume layer is kept for pages of this size."""

HEAD_NAME_SIZE_MAX = 480
"""UTF-8 bytes of a head's name (LMDB takes keys of 511)."""

HEAD_VALUE_SIZE_MAX = 16 * 2**20
"""Bytes of a head's value."""


class BlockKind(enum.IntEnum):
    """What a block was first stored as: for statistics, not identity. On disk: do not renumber."""

    DATA = 0
    MAP = 1


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What is fixed when a store is made."""

    store_id: str
    """32 hex digits."""
    format_version: int
    hash_name: str
    block_size: int
    """Power of two, 64 KiB to 4 MiB."""
    created: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """What the index knows of one block."""

    block_id: bytes
    length: int
    """Bytes of content, without trailing NULs: 1 to the block size (map pages may be shorter)."""
    stored_length: int
    """Bytes it takes on the medium."""
    kind: BlockKind
    touched: int
    """Last put or dedup hit, seconds since 1970, at the grain of an hour."""


@dataclass(frozen=True, slots=True)
class BlockStats:
    """Totals over the whole store."""

    count: int
    map_count: int
    content_bytes: int
    map_bytes: int
    """Part of content_bytes that is map pages."""
    disk_bytes: int
    """Allocated on the medium by the payload files, dead space included."""


class Blocks(Protocol):
    """Immutable content, named by its digest."""

    def put_many(self, data: Buffer, kind: BlockKind = BlockKind.DATA) -> list[bytes]:
        """Cut `data` at multiples of the block size and store each piece; return the ids in order.

        The last piece may be short. A piece of NULs is not stored and gives `ZERO_ID`. A piece
        that the store has already is not written again, but touched. **Not durable, and not
        visible to other processes, before `commit`**; visible to `get` of this process at once.
        Idempotent. A block known to be damaged is written anew, which heals it. A store that has
        the id with a wrong length refuses to count that as a hit (`BlockCorrupt`).
        """
        ...

    def commit(self) -> None:
        """Return when everything put in this process before the call is durable and indexed.

        Callers that wait at the same time share one flush (group commit). On error nothing of
        what was not yet committed counts as stored: the caller's operation failed, and putting
        the same data again is the way to retry. A failed flush is never retried on the same file.
        """
        ...

    def get(self, block_id: bytes) -> bytes:
        """The content without trailing NULs, verified. `ZERO_ID`: b"". NotFound, BlockCorrupt."""
        ...

    def get_into(self, block_id: bytes, offset: int, out: memoryview) -> None:
        """Fill `out` with the block's bytes from `offset` on, padded with NULs.

        The digest is checked at least the first time a process reads the block; never are bytes
        of a block that failed returned. NotFound, BlockCorrupt.
        """
        ...

    def contains_many(self, block_ids: Sequence[bytes]) -> list[bool]:
        """Which of them can be read here; `ZERO_ID` always. Damaged blocks count as missing."""
        ...

    def touch(self, block_ids: Sequence[bytes]) -> list[bool]:
        """As `contains_many`, and note the time on each, so that a collection leaves them alone."""
        ...

    def discard(self, block_ids: Sequence[bytes]) -> int:
        """Forget these blocks; return how many there were. For collection only."""
        ...

    def scan(self, after: bytes = b"") -> Iterator[BlockRecord]:
        """All committed blocks with an id above `after`, in order. Holds no long transaction."""
        ...

    def verify(self, block_id: bytes) -> None:
        """Read from the medium, past every cache, and check. NotFound, BlockCorrupt."""
        ...

    def stats(self) -> BlockStats:
        """Totals; O(1) or one pass over the index."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """A named record at one version."""

    name: str
    version: int
    value: bytes


@dataclass(frozen=True, slots=True)
class HeadChange:
    """One step of `Heads.update`: write `value`, or remove the head where it is None."""

    name: str
    expected_version: int
    """The version it must have now; 0 = it must not exist."""
    value: bytes | None


class Heads(Protocol):
    """Small named records, replaced by compare-and-swap.

    Names: UTF-8 without NUL, at most HEAD_NAME_SIZE_MAX bytes.
    """

    def get(self, name: str) -> Head | None:
        """The current record, or None. Corrupt when its checksum fails."""
        ...

    def update(self, changes: Sequence[HeadChange]) -> list[int]:
        """Apply all changes or none, durably; return the new versions (0 for a removal).

        HeadConflict names the first that did not have the expected version. Versions of one name
        grow strictly, also over removal and re-creation.
        """
        ...

    def list(self, prefix: str = "", after: str = "", limit: int | None = None) -> list[Head]:
        """Heads whose name begins with `prefix` and is above `after`, in byte order of names."""
        ...

    def names(self, prefix: str = "", after: str = "", limit: int | None = None) -> Sequence[str]:
        """The names of what `list` gives; a damaged head is among them, where `list` is Corrupt."""
        ...


class PageState(enum.IntEnum):
    """Where the content of a page of a layer comes from. On disk: do not renumber."""

    INHERIT = 0
    """From below: an older layer or the map."""
    DATA = 1
    """From this layer's own bytes."""
    ZERO = 2
    """NULs, whatever is below."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring pages of one state: `offset` and `length` in bytes, multiples of PAGE_SIZE."""

    offset: int
    length: int
    state: PageState


class Layer(Protocol):
    """One mutable sparse space with a state for each page. Opened by one writer or many readers.

    All offsets and lengths are multiples of PAGE_SIZE and inside `size`, else StoreUsageError.
    A page state is never durable before the data it speaks of.
    """

    layer_id: str
    size: int
    """Bytes, a multiple of PAGE_SIZE."""

    def read_into(self, offset: int, out: memoryview) -> None:
        """The layer's own bytes. Only meaningful on DATA pages; unspecified elsewhere."""
        ...

    def write(self, offset: int, data: Buffer) -> None:
        """Store whole pages and make them DATA. Not durable before `flush`."""
        ...

    def zero(self, offset: int, length: int) -> None:
        """Make pages ZERO and give their space back. Not durable before `flush`."""
        ...

    def allocate(self, offset: int, length: int) -> None:
        """Write NULs with space behind them (DATA), so that a later write finds no full disk."""
        ...

    def runs(self, offset: int, length: int) -> list[Run]:
        """The states of the range, as maximal runs in order that cover it exactly."""
        ...

    def flush(self) -> None:
        """Return when every write and zero that returned before the call is durable."""
        ...

    def resize(self, size: int) -> None:
        """Grow (new pages INHERIT) or shrink (states beyond are forgotten). Durable on return."""
        ...

    def stored_bytes(self) -> int:
        """Bytes of DATA pages."""
        ...

    def close(self) -> None:
        """Release files. Does not flush. Idempotent."""
        ...


class Extents(Protocol):
    """The layers of a store, by id (hex or other plain ASCII, at most 64 characters)."""

    def create(self, layer_id: str, size: int) -> None:
        """An empty layer, all INHERIT; durable on return. StoreUsageError when it exists."""
        ...

    def open(self, layer_id: str, *, writable: bool) -> Layer:
        """NotFound when absent, Corrupt (named by the layer) when its states fail their check."""
        ...

    def fork(self, layer_id: str, new_id: str) -> None:
        """A durable copy of the layer's flushed state under another id, for the owner that takes
        over from one who may still be writing: nothing written to the old one reaches the new."""
        ...

    def delete(self, layer_id: str) -> None:
        """Remove it and its space. Absent: nothing happens. An open reader may go on reading."""
        ...

    def list(self) -> list[str]:
        """All layer ids, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """A token of ownership. `epoch` grows with each acquisition of the name."""

    name: str
    holder: str
    epoch: int
    seized: bool
    """It was taken from a holder that may still be alive: its layers must be forked, not shared."""


class Leases(Protocol):
    """Exclusive ownership of names, between threads, processes and, where shared, hosts."""

    def acquire(self, name: str, holder: str, *, seize: bool = False) -> Lease:
        """Take it, or LeaseHeld at once. A dead holder's lease is free. `seize` takes it anyway."""
        ...

    def check(self, lease: Lease) -> None:
        """LeaseLost unless it is still the newest of its name. Cheap: called for every flush."""
        ...

    def release(self, lease: Lease) -> None:
        """Give it up. A lost one: nothing happens."""
        ...

    def holder(self, name: str) -> str | None:
        """Who has it now, or None."""
        ...


class Store(Protocol):
    """An open store. Close it when done; a process that dies without leaves nothing to clean."""

    info: StoreInfo
    url: str
    read_only: bool
    blocks: Blocks
    heads: Heads
    extents: Extents
    leases: Leases

    def close(self) -> None:
        """Release everything. Uncommitted puts are dropped. Idempotent."""
        ...
