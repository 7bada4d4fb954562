"""Many want the same at once: it is computed once."""

from __future__ import annotations

import sys
import threading
import traceback
from concurrent.futures import Future

import pytest

from pithos_api.object_store.single_flight import SingleFlight

WAIT_S = 30


def is_waiting(thread: threading.Thread) -> bool:
    """Whether the thread waits for the result of another."""
    frame = sys._current_frames().get(thread.ident or 0)
    return any(step.f_code is Future.result.__code__ for step, _ in traceback.walk_stack(frame))


def test_one_computation_for_all() -> None:
    flight: SingleFlight[str] = SingleFlight()
    started, finish = threading.Event(), threading.Event()
    results: list[str] = []

    def compute() -> str:
        started.set()
        assert finish.wait(WAIT_S)
        return "computed once"

    def ask(number: int) -> None:
        results.append(flight.call("key", compute if number == 0 else lambda: "again"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    threads[0].start()
    assert started.wait(WAIT_S)
    for thread in threads[1:]:
        thread.start()
    pause = threading.Event()
    while not all(map(is_waiting, threads[1:])):
        pause.wait(0.001)
    assert flight.call("another key", lambda: "at once") == "at once"
    finish.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert results == ["computed once"] * 4


def test_an_error_is_not_kept() -> None:
    flight: SingleFlight[int] = SingleFlight()

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        flight.call("key", fail)
    assert flight.call("key", lambda: 7) == 7
