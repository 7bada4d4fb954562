"""Runs of equal bytes, as in an array of page states."""

from typing_extensions import Buffer

def runs(states: Buffer, *, scalar: bool = False) -> list[tuple[int, int, int]]:
    """Maximal runs (start, count, value) of equal bytes, in order; they cover `states` exactly.

    Give a slice (`memoryview(states)[a:b]`) for a range. `scalar` takes the reference kernel.
    """
