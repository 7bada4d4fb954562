"""The locks of an open volume: who waits for whom."""

from __future__ import annotations

import threading

import pytest

from archipelago.gate import Gate, PageLocks

SHORT_S = 0.05
"""How long a thread that must wait is watched for not going on."""

LONG_S = 10


def start(body) -> tuple[threading.Thread, threading.Event]:
    done = threading.Event()

    def run() -> None:
        body()
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, done


def pass_through(context) -> None:
    with context:
        pass


@pytest.mark.parametrize(
    ("one", "other", "waits"),
    [
        ((0, 4096, True), (0, 4096, True), True),
        ((0, 4096, True), (0, 8192, False), True),
        ((0, 8192, False), (4096, 8192, True), True),
        ((0, 8192, False), (0, 8192, False), False),
        ((0, 4096, True), (4096, 8192, True), False),
        ((4096, 8192, True), (0, 4096, False), False),
    ],
)
def test_pages_are_held_against_those_in_the_way(one, other, waits):
    locks = PageLocks()
    with locks.hold(one[0], one[1], exclusive=one[2]):
        thread, done = start(
            lambda: pass_through(locks.hold(other[0], other[1], exclusive=other[2]))
        )
        assert done.wait(SHORT_S if waits else LONG_S) is not waits
    thread.join(LONG_S)
    assert done.is_set()


def test_requests_pass_together_and_wait_for_the_exclusive_one():
    gate = Gate()
    with gate.shared():
        pass_through(gate.shared())
        thread, done = start(lambda: pass_through(gate.exclusive()))
        assert not done.wait(SHORT_S)
        late, late_done = start(lambda: pass_through(gate.shared()))
        assert not late_done.wait(SHORT_S)
    for each in (thread, late):
        each.join(LONG_S)
    assert done.is_set()
    assert late_done.is_set()
    with gate.exclusive():
        thread, done = start(lambda: pass_through(gate.shared()))
        assert not done.wait(SHORT_S)
    thread.join(LONG_S)
    assert done.is_set()


def test_an_error_inside_lets_others_on():
    gate, locks = Gate(), PageLocks()
    for context in (gate.shared, gate.exclusive, lambda: locks.hold(0, 1, exclusive=True)):
        with pytest.raises(ValueError, match="inside"), context():
            raise ValueError("inside")
    pass_through(gate.exclusive())
    pass_through(locks.hold(0, 1, exclusive=True))
