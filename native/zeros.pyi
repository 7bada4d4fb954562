"""Scans for NUL bytes, with the GIL released. `data` is any C-contiguous buffer."""

from typing_extensions import Buffer

def is_zero(data: Buffer, *, scalar: bool = False) -> bool:
    """Whether all bytes are NUL (true of an empty buffer). `scalar` takes the reference kernel."""

def trimmed_length(data: Buffer, *, scalar: bool = False) -> int:
    """Bytes up to and including the last that is not NUL; 0 when there is none."""

def zero_runs(data: Buffer, grain: int) -> list[tuple[int, int, bool]]:
    """Maximal runs (offset, length, is_zero) in bytes that cover `data` exactly.

    A run is zero where whole pieces of `grain` bytes (the last may be short) are NULs.
    ValueError unless `grain` > 0.
    """
