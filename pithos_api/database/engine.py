"""Opening the database, and the two kinds of transaction.

An engine belongs to one process: it is made after fork. On SQLite the log is written ahead (WAL)
and synced at each commit, so an acknowledged change survives loss of power; writers take the lock
when they begin, so none fails half-way for having read first. Before that they queue for it
(`writers_queue`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from pithos_api.database.writers_queue import TURN_TIMEOUT_S, WritersQueue

BUSY_TIMEOUT_MS = 30_000
"""How long a writer of SQLite waits for one that does not queue (another program's)."""

TURN_SUFFIX = "-turn"
"""Of the file on which the writers of a SQLite database queue. It is empty, and may be removed
while nobody writes."""

POOL_SIZE = 32
"""Connections kept; more threads than that wait for one."""

POOL_TIMEOUT_S = 60

PARAMETERS_MAX = 500
"""Values in one IN list; SQLite takes 999 parameters since ever."""

_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "53100")
"""SQLite's names, the second for the index of its log; PostgreSQL's code for disk_full."""

_WRITES = "archipelago_writes"
_QUEUE = "archipelago_queue"
_TURN = "archipelago_turn"


class DatabaseUnusable(Exception):
    """The URL names no database that can be used, or one of a newer revision."""


class DatabaseFull(DatabaseUnusable):
    """The medium has no room, not even for what SQLite needs beside the database to read it."""


def lacks_room(error: DBAPIError) -> bool:
    """Whether the database failed for want of room on its medium."""
    code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
    return code in _NO_ROOM


def open_engine(url: str, turn_timeout_s: float = TURN_TIMEOUT_S) -> Engine:
    """An engine over the database; nothing is connected yet. DatabaseUnusable on a bad URL.

    A writer of SQLite waits `turn_timeout_s` for its turn, and BUSY_TIMEOUT_MS for the lock then.
    """
    try:
        parsed = make_url(url)
        if _is_sqlite(parsed) and parsed.database in (None, "", ":memory:"):
            raise DatabaseUnusable("a SQLite database needs a file: sqlite:////absolute/path")
        engine = create_engine(
            parsed, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=POOL_TIMEOUT_S
        )
    except (ArgumentError, ImportError) as error:
        raise DatabaseUnusable(f"cannot use the database: {error}") from error
    if _is_sqlite(parsed):
        # First what may fail: of a connection that fails to come about, nobody closes the rest.
        event.listen(engine, "connect", _prepare_sqlite)
        _add_queue(engine, WritersQueue(f"{parsed.database}{TURN_SUFFIX}", turn_timeout_s))
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view of the database."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that changes something: committed at the end, undone by any exception."""
    with engine.connect() as connection:
        writer = connection.execution_options(**{_WRITES: True})
        queue, file = connection.info.get(_QUEUE), connection.info.get(_TURN)
        turn = nullcontext() if queue is None or file is None else queue.turn(file)
        with turn, writer.begin():
            yield writer


def insert_absent(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, leaving alone those whose key is there already."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
    else:
        connection.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _add_queue(engine: Engine, queue: WritersQueue) -> None:
    """Each connection has the file open for itself: that is what `flock` tells apart."""

    def open_turn(_connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        entry.info[_QUEUE] = queue
        entry.info[_TURN] = queue.open()

    def close_turn(_connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        file = entry.info.pop(_TURN, None)
        if file is not None:
            os.close(file)

    event.listen(engine, "connect", open_turn)
    event.listen(engine, "close", close_turn)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    # As FULL with the log; where a file system cannot have one, the old journal's removal too.
    cursor.execute("PRAGMA synchronous = EXTRA")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
