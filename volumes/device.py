"""What a front end needs of a block device. `archipelago.Volume` fits it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class DeviceExtent(Protocol):
    """A run of one kind; offset and length in bytes."""

    @property
    def offset(self) -> int: ...

    @property
    def length(self) -> int: ...

    @property
    def kind(self) -> str:
        """ "data", or "zero" or "hole", which both read as NULs and take no space."""
        ...


class Device(Protocol):
    """A block device used by any number of threads at once; offsets and lengths are in bytes.

    Nothing needs to be aligned. Callers keep inside `size`. `flush` covers every write, zero and
    discard that returned before it, whichever thread or connection made it; that is what lets a
    server promise multi-connection consistency.
    """

    @property
    def size(self) -> int: ...

    @property
    def read_only(self) -> bool: ...

    @property
    def block_size(self) -> int: ...

    def read_into(self, offset: int, out: memoryview, /) -> None:
        """Fill `out` with the bytes from `offset` on."""
        ...

    def write(self, offset: int, data: memoryview, /) -> None:
        """Store `data`; not kept after return. Durable after the next flush."""
        ...

    def zero(self, offset: int, length: int, *, allocate: bool = False) -> None:
        """Make the range NULs; with `allocate`, with space behind it. Quick without `allocate`."""
        ...

    def discard(self, offset: int, length: int, /) -> None:
        """The caller does not need the content of the range any more."""
        ...

    def flush(self) -> None:
        """Return when what came before is durable."""
        ...

    def extents(self, offset: int, length: int, /) -> Sequence[DeviceExtent]:
        """Runs in order that cover the range exactly."""
        ...
