"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BYTE_ORDER_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_identity()
    _create_namespace()
    _create_images()


def _create_identity() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", BYTE_ORDER_TEXT, nullable=False, unique=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", BYTE_ORDER_TEXT, nullable=False, unique=True),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("default_project", sa.String(32), sa.ForeignKey("projects.id"), nullable=True),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "assignments",
        sa.Column(
            "user", sa.String(32), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column(
            "project",
            sa.String(32),
            sa.ForeignKey("projects.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("role", BYTE_ORDER_TEXT, primary_key=True),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column(
            "user", sa.String(32), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column(
            "project",
            sa.String(32),
            sa.ForeignKey("projects.id", ondelete="CASCADE"),
            nullable=True,
        ),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Index("ix_tokens_user", "user"),
        sa.Index("ix_tokens_expires", "expires"),
    )


def _create_namespace() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", BYTE_ORDER_TEXT, primary_key=True),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "containers",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("account", BYTE_ORDER_TEXT, sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("name", BYTE_ORDER_TEXT, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("object_count", sa.BigInteger, nullable=False),
        sa.Column("bytes_used", sa.BigInteger, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("modified", sa.Float, nullable=False),
        sa.UniqueConstraint("account", "name"),
    )
    op.create_table(
        "objects",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("container", SERIAL, sa.ForeignKey("containers.id"), nullable=False),
        sa.Column("name", BYTE_ORDER_TEXT, nullable=False),
        sa.Column("uuid", sa.String(32), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(33), nullable=False),
        sa.Column("merkle_hash", sa.Text, nullable=True),
        sa.Column("md5", sa.String(32), nullable=True),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("expires", sa.Float, nullable=True),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("modified", sa.Float, nullable=False),
        sa.UniqueConstraint("container", "name"),
        sa.Index("ix_objects_uuid", "uuid"),
        sa.Index("ix_objects_root", "root"),
        sa.Index("ix_objects_expires", "expires"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "possessions",
        sa.Column("account", BYTE_ORDER_TEXT, primary_key=True),
        sa.Column("block", sa.LargeBinary(32), primary_key=True),
        sqlite_with_rowid=False,
    )


def _create_images() -> None:
    op.create_table(
        "images",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("account", BYTE_ORDER_TEXT, nullable=False),
        sa.Column("name", BYTE_ORDER_TEXT, nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("visibility", sa.String(16), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("disk_format", sa.String(32), nullable=True),
        sa.Column("container_format", sa.String(32), nullable=True),
        sa.Column("min_disk", sa.BigInteger, nullable=False),
        sa.Column("min_ram", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=True),
        sa.Column("root", sa.LargeBinary(33), nullable=True),
        sa.Column("checksum", sa.String(32), nullable=True),
        sa.Column("hash_name", sa.String(16), nullable=True),
        sa.Column("hash_value", sa.String(128), nullable=True),
        sa.Column("container", sa.Text, nullable=True),
        sa.Column("object", sa.Text, nullable=True),
        sa.Column("object_uuid", sa.String(32), nullable=True),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("properties", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Index("ix_images_account", "account"),
        sa.Index("ix_images_root", "root"),
    )
