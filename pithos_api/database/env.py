"""Alembic runs this for each upgrade; the connection and its transaction come from `migrations`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
