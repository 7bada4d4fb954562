"""Bringing the database to the newest revision, with Alembic and the scripts beside this file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from pithos_api.database.engine import (
    DatabaseFull,
    DatabaseUnusable,
    lacks_room,
    open_engine,
    reading,
    writing,
)


def upgrade(url: str) -> None:
    """Create or upgrade the database. Nothing happens when it is at the newest revision.

    All in one transaction; processes may call it at once, since each takes the writers' lock
    first. DatabaseUnusable: it cannot be opened, or was made by a newer version of this program.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = open_engine(url)
    try:
        with writing(engine) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        if lacks_room(error):
            raise DatabaseFull(f"no room for the database {url}") from error
        raise DatabaseUnusable(f"cannot open the database {url}: {error.orig}") from error
    except OSError as error:
        raise DatabaseUnusable(f"cannot open the database {url}: {error}") from error
    except CommandError as error:
        raise DatabaseUnusable(f"the database is newer than this program: {error}") from error
    finally:
        engine.dispose()


def revision(url: str) -> str | None:
    """The revision that the database is at; None = empty."""
    engine = open_engine(url)
    try:
        with reading(engine) as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
