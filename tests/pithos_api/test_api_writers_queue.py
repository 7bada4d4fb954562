"""Writers of the database take turns; one that is stopped in its turn does not stop the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select

from pithos_api.database.engine import TURN_SUFFIX, DatabaseUnusable, open_engine, reading, writing
from pithos_api.database.migrations import upgrade
from pithos_api.database.tables import projects
from pithos_api.database.writers_queue import WritersQueue

HOLD = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDONLY | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def stopped_holder(path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the turn and is stopped."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        try:
            yield process
        finally:
            process.kill()


def add(engine: Engine, number: int) -> None:
    row = {"id": f"{number:032x}", "name": f"p{number}", "description": "", "created": 0.0}
    with writing(engine) as connection:
        connection.execute(insert(projects).values(row))


def count(engine: Engine) -> int:
    with reading(engine) as connection:
        return len(connection.execute(select(projects)).all())


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/db"
    upgrade(url)
    engine = open_engine(url, turn_timeout_s=0.05)
    yield engine
    engine.dispose()


def test_a_stopped_process_does_not_hold_up_the_others(impatient: Engine, tmp_path: Path) -> None:
    with stopped_holder(f"{tmp_path}/db{TURN_SUFFIX}"):
        threads = [threading.Thread(target=add, args=(impatient, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert count(impatient) == 4
    add(impatient, 5)
    assert count(impatient) == 5


def test_a_killed_process_gives_its_turn_away(tmp_path: Path) -> None:
    path = f"{tmp_path}/turn"
    queue = WritersQueue(path, timeout_s=60)
    taken = threading.Event()

    def take() -> None:
        file = queue.open()
        with queue.turn(file):
            taken.set()
        os.close(file)

    with stopped_holder(path) as process:
        thread = threading.Thread(target=take)
        thread.start()
        assert not taken.wait(0.1)
        process.kill()
        assert taken.wait(30)
        thread.join()


def test_one_at_a_time_and_nobody_is_left_out(tmp_path: Path) -> None:
    queues = [WritersQueue(f"{tmp_path}/turn", timeout_s=60) for _ in range(2)]
    inside: list[int] = []
    overlaps: list[int] = []
    done: list[int] = []

    def work(queue: WritersQueue, number: int) -> None:
        file = queue.open()
        for _ in range(50):
            with queue.turn(file):
                inside.append(number)
                overlaps.append(len(inside) - 1)
                inside.pop()
                done.append(number)
        os.close(file)

    threads = [threading.Thread(target=work, args=(queues[n % 2], n)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(overlaps) == {0}
    assert {number: done.count(number) for number in range(6)} == dict.fromkeys(range(6), 50)


def test_an_error_in_a_turn_that_was_waited_for_ends_it(tmp_path: Path) -> None:
    queue = WritersQueue(f"{tmp_path}/turn", timeout_s=60)
    first, second = queue.open(), queue.open()
    waits = threading.Event()
    failed: list[str] = []

    def fail() -> None:
        waits.set()
        try:
            with queue.turn(second):
                raise ValueError("in its turn")
        except ValueError as error:
            failed.append(str(error))

    with queue.turn(first):
        thread = threading.Thread(target=fail)
        thread.start()
        waits.wait()
    thread.join(30)
    assert failed == ["in its turn"]
    with queue.turn(first):
        pass
    os.close(first)
    os.close(second)


def test_a_database_that_cannot_have_a_queue_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"db{TURN_SUFFIX}").mkdir()
    with pytest.raises(DatabaseUnusable, match="turn"):
        upgrade(f"sqlite:///{tmp_path}/db")
