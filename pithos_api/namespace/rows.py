"""Rows of the database as records, and the spans of a listing as conditions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Select, select

from archipelago import MapRoot
from pithos_api.database.tables import objects
from pithos_api.namespace.listing import Span
from pithos_api.namespace.records import ContainerInfo, NewObject, ObjectInfo

ObjectKey = tuple[str, str]
"""Account and container."""


def select_objects() -> Select[Any]:
    """All columns that `object_of` reads."""
    return select(objects)


def object_of(row: Row[Any], where: ObjectKey) -> ObjectInfo:
    """The record of a row of `objects`."""
    return ObjectInfo(
        id=row.id,
        account=where[0],
        container=where[1],
        name=row.name,
        uuid=row.uuid,
        size=row.size,
        root=MapRoot.unpack(row.root),
        merkle_hash=row.merkle_hash,
        md5=row.md5,
        content_type=row.content_type,
        metadata=row.metadata,
        headers=row.headers,
        created=row.created,
        modified=row.modified,
        kind=row.kind,
    )


def container_of(row: Row[Any]) -> ContainerInfo:
    """The record of a row of `containers`."""
    return ContainerInfo(
        id=row.id,
        account=row.account,
        name=row.name,
        object_count=row.object_count,
        bytes_used=row.bytes_used,
        metadata=row.metadata,
        headers=row.headers,
        created=row.created,
        modified=row.modified,
    )


def object_values(new: NewObject) -> dict[str, Any]:
    """The columns that come from new content."""
    return {
        "size": new.size,
        "root": new.root.pack(),
        "merkle_hash": new.merkle_hash,
        "md5": new.md5,
        "content_type": new.content_type,
        "metadata": dict(new.metadata),
        "headers": dict(new.headers),
        "kind": new.kind,
    }


def within(column: Column[Any], span: Span) -> list[ColumnElement[bool]]:
    """The conditions that a name lies in a span."""
    bounds = [column >= span.lower if span.lower_inclusive else column > span.lower]
    if span.upper is not None:
        bounds.append(column <= span.upper if span.upper_inclusive else column < span.upper)
    return bounds
