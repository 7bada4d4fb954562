"""The kernels let other threads run: with switching by time off, only a released GIL can."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from native import digest, pages, zeros

SIZE = 64 * 2**20
CALL_COUNT_MAX = 500
"""So many calls another thread may sleep through, on a machine busy with other things."""
NEVER_S = 1e6
BLOCK_SIZE = 256 * 2**10
NULS = bytearray(SIZE)
ONES = b"\1" * SIZE


@pytest.fixture(autouse=True)
def _no_switching_by_time() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(NEVER_S)
    yield
    sys.setswitchinterval(before)


def call_until_another_thread_ran(call: Callable[[], object], call_count_max: int) -> bool:
    """Whether a thread that could run before the first call did so in any of the calls."""
    ready, gate = threading.Event(), threading.Lock()
    ran: list[bool] = []

    def other() -> None:
        ready.set()
        with gate:
            ran.append(True)

    gate.acquire()
    thread = threading.Thread(target=other)
    thread.start()
    ready.wait()
    # The other thread keeps the GIL until it sleeps at the gate; from here on we keep it.
    gate.release()
    count = 0
    while not ran and count < call_count_max:
        call()
        count += 1
    seen = bool(ran)
    thread.join()
    return seen


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: digest.digest(ONES, "blake3"), id="digest-blake3"),
        pytest.param(lambda: digest.digest(ONES, "sha256"), id="digest-sha256"),
        pytest.param(lambda: digest.checksum(ONES), id="checksum"),
        pytest.param(lambda: digest.scan_blocks(ONES, BLOCK_SIZE, "blake3"), id="scan-blake3"),
        pytest.param(lambda: digest.scan_blocks(ONES, BLOCK_SIZE, "sha256"), id="scan-sha256"),
        pytest.param(lambda: digest.scan_blocks(NULS, BLOCK_SIZE, "blake3"), id="scan-nuls"),
        pytest.param(lambda: zeros.is_zero(NULS), id="is_zero"),
        pytest.param(lambda: zeros.is_zero(NULS, scalar=True), id="is_zero-scalar"),
        pytest.param(lambda: zeros.trimmed_length(NULS), id="trimmed_length"),
        pytest.param(lambda: zeros.trimmed_length(NULS, scalar=True), id="trimmed_length-scalar"),
        pytest.param(lambda: zeros.zero_runs(NULS, BLOCK_SIZE), id="zero_runs"),
    ],
)
def test_another_thread_runs_during_a_call(call: Callable[[], object]) -> None:
    assert call_until_another_thread_ran(call, CALL_COUNT_MAX)


def test_no_other_thread_runs_while_page_states_are_read() -> None:
    """They are their owner's mutable array. Also shows that the test above could fail."""
    assert not call_until_another_thread_ran(lambda: pages.runs(NULS), 100)
