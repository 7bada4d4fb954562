"""Timing a call or a command: wall seconds, the best of a few, pairs in turn."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable


def best_of(rounds: int, *calls: Callable[[], object]) -> list[float]:
    """The least wall time of each call, taken in turn so that a drifting machine hits all alike."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for number, call in enumerate(calls):
            started = time.perf_counter()
            call()
            best[number] = min(best[number], time.perf_counter() - started)
    return best


def command(*words: str | os.PathLike[str]) -> Callable[[], object]:
    """A call that runs a program and fails loudly when it fails."""
    return lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
