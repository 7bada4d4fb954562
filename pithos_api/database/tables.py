"""The tables of the API database, as they are in the newest revision.

Names are text compared by code points, which is the byte order of UTF-8: SQLite's BINARY and
PostgreSQL's "C". Times are seconds since 1970. Metadata are JSON objects of strings. Ids of users,
projects and images are 32 hex digits, or canonical UUIDs for images; an account is a project id.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

BYTE_ORDER_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
SERIAL = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only where the column is called INTEGER."""

metadata = MetaData()

projects = Table(
    "projects",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", BYTE_ORDER_TEXT, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("created", Float, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", BYTE_ORDER_TEXT, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("default_project", String(32), ForeignKey("projects.id"), nullable=True),
    Column("enabled", Boolean, nullable=False),
    Column("created", Float, nullable=False),
)

assignments = Table(
    "assignments",
    metadata,
    Column("user", String(32), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("project", String(32), ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("role", BYTE_ORDER_TEXT, primary_key=True),
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("user", String(32), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project", String(32), ForeignKey("projects.id", ondelete="CASCADE"), nullable=True),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Index("ix_tokens_user", "user"),
    Index("ix_tokens_expires", "expires"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", BYTE_ORDER_TEXT, primary_key=True),
    Column("metadata", JSON, nullable=False),
    Column("created", Float, nullable=False),
)

containers = Table(
    "containers",
    metadata,
    Column("id", SERIAL, primary_key=True),
    Column("account", BYTE_ORDER_TEXT, ForeignKey("accounts.id"), nullable=False),
    Column("name", BYTE_ORDER_TEXT, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("object_count", BigInteger, nullable=False),
    Column("bytes_used", BigInteger, nullable=False),
    Column("created", Float, nullable=False),
    Column("modified", Float, nullable=False),
    UniqueConstraint("account", "name"),
)

objects = Table(
    "objects",
    metadata,
    Column("id", SERIAL, primary_key=True),
    Column("container", SERIAL, ForeignKey("containers.id"), nullable=False),
    Column("name", BYTE_ORDER_TEXT, nullable=False),
    Column("uuid", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(33), nullable=False),
    Column("merkle_hash", Text, nullable=True),
    Column("md5", String(32), nullable=True),
    Column("content_type", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("expires", Float, nullable=True),
    Column("created", Float, nullable=False),
    Column("modified", Float, nullable=False),
    UniqueConstraint("container", "name"),
    Index("ix_objects_uuid", "uuid"),
    Index("ix_objects_root", "root"),
    Index("ix_objects_expires", "expires"),
    sqlite_autoincrement=True,
)

possessions = Table(
    "possessions",
    metadata,
    Column("account", BYTE_ORDER_TEXT, primary_key=True),
    Column("block", LargeBinary(32), primary_key=True),
    sqlite_with_rowid=False,
)

images = Table(
    "images",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account", BYTE_ORDER_TEXT, nullable=False),
    Column("name", BYTE_ORDER_TEXT, nullable=True),
    Column("status", String(16), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("disk_format", String(32), nullable=True),
    Column("container_format", String(32), nullable=True),
    Column("min_disk", BigInteger, nullable=False),
    Column("min_ram", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=True),
    Column("root", LargeBinary(33), nullable=True),
    Column("checksum", String(32), nullable=True),
    Column("hash_name", String(16), nullable=True),
    Column("hash_value", String(128), nullable=True),
    Column("container", Text, nullable=True),
    Column("object", Text, nullable=True),
    Column("object_uuid", String(32), nullable=True),
    Column("tags", JSON, nullable=False),
    Column("properties", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Index("ix_images_account", "account"),
    Index("ix_images_root", "root"),
)
