"""Rows of the database as records, and the spans of a listing as conditions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Select, Table, select

from archipelago import MapRoot
from pithos_api.namespace.listing import Span
from pithos_api.namespace.records import EXPIRY_HEADER, ContainerInfo, NewObject, ObjectInfo

ObjectKey = tuple[str, str]
"""Account and container."""


_LONG = ("metadata", "headers")
"""Columns that a listing does without: ten thousand of them would take hundreds of MB."""


def select_listed(table: Table) -> Select[Any]:
    """What `listed_object_of` or `listed_container_of` reads of `objects` or `containers`."""
    return select(*(column for column in table.columns if column.name not in _LONG))


def object_of(row: Row[Any], where: ObjectKey) -> ObjectInfo:
    """The record of a row of `objects`."""
    return _object(row, where, row.metadata, row.headers)


def listed_object_of(row: Row[Any], where: ObjectKey) -> ObjectInfo:
    """The same without metadata, and with no header but the expiry."""
    headers = {} if row.expires is None else {EXPIRY_HEADER: str(int(row.expires))}
    return _object(row, where, {}, headers)


def container_of(row: Row[Any]) -> ContainerInfo:
    """The record of a row of `containers`."""
    return _container(row, row.metadata, row.headers)


def listed_container_of(row: Row[Any]) -> ContainerInfo:
    """The same without metadata and headers."""
    return _container(row, {}, {})


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


def _object(
    row: Row[Any], where: ObjectKey, metadata: dict[str, str], headers: dict[str, str]
) -> ObjectInfo:
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
        metadata=metadata,
        headers=headers,
        created=row.created,
        modified=row.modified,
        kind=row.kind,
    )


def _container(row: Row[Any], metadata: dict[str, str], headers: dict[str, str]) -> ContainerInfo:
    return ContainerInfo(
        id=row.id,
        account=row.account,
        name=row.name,
        object_count=row.object_count,
        bytes_used=row.bytes_used,
        metadata=metadata,
        headers=headers,
        created=row.created,
        modified=row.modified,
    )
