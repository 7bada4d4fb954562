"""The database: migrations lead to the tables, transactions are what they say."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import IntegrityError

from pithos_api.database.engine import (
    DatabaseUnusable,
    insert_absent,
    open_engine,
    reading,
    writing,
)
from pithos_api.database.migrations import revision, upgrade
from pithos_api.database.tables import containers, metadata, possessions, projects


def project(number: int, name: str) -> dict[str, object]:
    return {"id": f"{number:032x}", "name": name, "description": "", "created": 0.0}


def test_migrations_lead_to_the_tables(engine: Engine) -> None:
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_upgrade_again_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/db"
    upgrade(url)
    first = revision(url)
    upgrade(url)
    assert revision(url) == first
    assert first is not None


def test_a_database_of_a_newer_revision_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/db"
    upgrade(url)
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(DatabaseUnusable, match="newer"):
        upgrade(url)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"something else, and long enough to look at" * 100)
    with pytest.raises(DatabaseUnusable):
        upgrade(f"sqlite:///{tmp_path}/db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "nonsense://x", "nothing"])
def test_urls_that_cannot_work_are_refused(url: str) -> None:
    with pytest.raises(DatabaseUnusable):
        open_engine(url)


def test_a_folder_with_a_percent_sign_works(tmp_path: Path) -> None:
    folder = tmp_path / "100%(s)"
    folder.mkdir()
    upgrade(f"sqlite:///{folder}/db")
    assert revision(f"sqlite:///{folder}/db") is not None


def test_commits_are_synced_and_logged_ahead(engine: Engine) -> None:
    with reading(engine) as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 3
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_an_exception_undoes_the_transaction(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(insert(projects).values(project(1, "one")))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with reading(engine) as connection:
        assert connection.execute(select(projects)).all() == []


def test_foreign_keys_hold(engine: Engine) -> None:
    row = {"account": "nobody", "name": "c", "metadata": {}, "headers": {}}
    counters = {"object_count": 0, "bytes_used": 0, "created": 0.0, "modified": 0.0}
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(insert(containers).values(row | counters))


def test_insert_absent_leaves_what_is_there(engine: Engine) -> None:
    rows = [{"account": "a", "block": bytes([n]) * 32} for n in (1, 2, 2, 3)]
    with writing(engine) as connection:
        insert_absent(connection, possessions, rows[:2])
        insert_absent(connection, possessions, rows)
        insert_absent(connection, possessions, [])
    with reading(engine) as connection:
        assert len(connection.execute(select(possessions)).all()) == 3


def test_names_are_ordered_by_their_utf8_bytes(engine: Engine) -> None:
    names = ["a", "B", "ä", "z", "\uffee", "\U0001f600", "Z", "aa", "a b"]
    with writing(engine) as connection:
        for number, name in enumerate(names):
            connection.execute(insert(projects).values(project(number, name)))
    with reading(engine) as connection:
        found = list(
            connection.execute(select(projects.c.name).order_by(projects.c.name)).scalars()
        )
    assert found == sorted(names, key=lambda name: name.encode())


def test_a_reader_sees_one_state_while_a_writer_commits(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(insert(projects).values(project(1, "one")))
    with reading(engine) as reader:
        assert len(reader.execute(select(projects)).all()) == 1
        with writing(engine) as writer:
            writer.execute(insert(projects).values(project(2, "two")))
        assert len(reader.execute(select(projects)).all()) == 1


def test_no_files_stay_open(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    upgrade(f"sqlite:///{tmp_path}/db")
    engine = open_engine(f"sqlite:///{tmp_path}/db")
    with writing(engine) as one, reading(engine) as two:
        assert one.connection is not two.connection
    engine.dispose()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_writer_that_fails_gives_its_turn_away(engine: Engine) -> None:
    for _ in range(3):
        with pytest.raises(IntegrityError):
            insert_twice(engine)
    with writing(engine) as connection:
        connection.execute(insert(projects).values(project(1, "one")))


def insert_twice(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(insert(projects).values(project(1, "one")))
        connection.execute(insert(projects).values(project(1, "one")))


def test_writers_take_turns(engine: Engine) -> None:
    def add(number: int) -> None:
        with writing(engine) as connection:
            taken = len(connection.execute(select(projects)).all())
            connection.execute(insert(projects).values(project(number, f"p{taken}")))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as connection:
        names = set(connection.execute(select(projects.c.name)).scalars())
    assert names == {f"p{number}" for number in range(8)}
