"""The registry of images. No HTTP: the operator's command line uses it as well.

An image holds the map root of its object as it was when it was registered, so content never
changes under a name, and no bytes are copied. The root keeps the blocks from being collected.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, insert, or_, select, tuple_

from archipelago import MapRoot
from pithos_api.database.engine import reading, writing
from pithos_api.database.tables import accounts, images
from pithos_api.image.errors import (
    ImageAmbiguous,
    ImageExists,
    ImageForbidden,
    ImageInvalid,
    NoSuchImage,
)
from pithos_api.image.records import ACTIVE, PUBLIC, ImageInfo, ImageQuery, NewImage
from pithos_api.namespace.records import ObjectInfo

NAME_LENGTH_MAX = 255
LIST_LIMIT_MAX = 1000
HASH_NAME = "pithos"
"""What `hash_value` is: the Merkle hash over block digests."""


class Images:
    """All images of one database. Safe for any number of threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(self, account: str, source: ObjectInfo, new: NewImage) -> ImageInfo:
        """Name the present content of an object. ImageExists, ImageInvalid.

        The caller has made sure that the account may read the object.
        """
        _check_name(new.name)
        now = time.time()
        values = _values(source, new) | {
            "id": str(uuid.uuid4()),
            "account": account,
            "created": now,
            "updated": now,
        }
        with writing(self._engine) as connection:
            # Two registrations of one account wait for each other here.
            connection.execute(
                select(accounts.c.id).where(accounts.c.id == account).with_for_update()
            )
            if _rows(connection, images.c.account == account, images.c.name == new.name):
                raise ImageExists(new.name)
            connection.execute(insert(images).values(values))
            (row,) = _rows(connection, images.c.id == values["id"])
        return _info(row)

    def find(self, name_or_id: str, account: str | None = None) -> ImageInfo:
        """By id, else an own image by name, else a public one. None as account: any image.

        NoSuchImage; ImageAmbiguous when several that are not one's own have the name.
        """
        with reading(self._engine) as connection:
            rows = _rows(connection, images.c.id == name_or_id, *_visible(account))
            if not rows and account is not None:
                rows = _rows(connection, images.c.name == name_or_id, images.c.account == account)
            if not rows:
                rows = _rows(connection, images.c.name == name_or_id, *_visible(account))
        if not rows:
            raise NoSuchImage(name_or_id)
        if len(rows) > 1:
            raise ImageAmbiguous(name_or_id)
        return _info(rows[0])

    def list(self, query: ImageQuery, account: str | None = None) -> list[ImageInfo]:
        """The account's own and public images; None as account: all. NoSuchImage: the marker."""
        wanted = _visible(account)
        if query.name is not None:
            wanted.append(images.c.name == query.name)
        if query.visibility is not None:
            wanted.append(images.c.visibility == query.visibility)
        if query.owner is not None:
            wanted.append(images.c.account == query.owner)
        position = (images.c.created, images.c.id)
        with reading(self._engine) as connection:
            if query.marker:
                last = _rows(connection, images.c.id == query.marker, *_visible(account))
                if not last:
                    raise NoSuchImage(query.marker)
                wanted.append(tuple_(*position) < tuple_(last[0].created, last[0].id))
            rows = connection.execute(
                select(images)
                .where(*wanted)
                .order_by(*(column.desc() for column in position))
                .limit(min(query.limit, LIST_LIMIT_MAX))
            )
            return [_info(row) for row in rows]

    def delete(self, image_id: str, account: str | None = None) -> None:
        """Remove the entry; the object stays. NoSuchImage, ImageForbidden."""
        image = self.find(image_id, account)
        if account is not None and image.account != account:
            raise ImageForbidden("this image belongs to another project")
        if image.protected:
            raise ImageForbidden("this image is protected")
        with writing(self._engine) as connection:
            connection.execute(delete(images).where(images.c.id == image.id))


def _visible(account: str | None) -> list[ColumnElement[bool]]:
    if account is None:
        return []
    return [or_(images.c.account == account, images.c.visibility == PUBLIC)]


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> list[Row[Any]]:
    """Images that were registered here: those of other makers may have no content yet."""
    present = (images.c.root.is_not(None), images.c.size.is_not(None))
    return list(connection.execute(select(images).where(*conditions, *present)))


def _values(source: ObjectInfo, new: NewImage) -> dict[str, Any]:
    return {
        "name": new.name,
        "status": ACTIVE,
        "visibility": new.visibility,
        "protected": new.protected,
        "hidden": False,
        "disk_format": new.disk_format,
        "container_format": new.container_format,
        "min_disk": new.min_disk,
        "min_ram": new.min_ram,
        "size": source.size,
        "root": source.root.pack(),
        "checksum": source.md5,
        "hash_name": HASH_NAME if source.merkle_hash else None,
        "hash_value": source.merkle_hash,
        "container": source.container,
        "object": source.name,
        "object_uuid": source.uuid,
        "tags": list(new.tags),
        "properties": dict(new.properties),
    }


def _info(row: Row[Any]) -> ImageInfo:
    return ImageInfo(
        id=row.id,
        account=row.account,
        name=row.name or "",
        status=row.status,
        visibility=row.visibility,
        protected=row.protected,
        disk_format=row.disk_format or "raw",
        container_format=row.container_format or "bare",
        min_disk=row.min_disk,
        min_ram=row.min_ram,
        size=row.size,
        root=MapRoot.unpack(bytes(row.root)),
        checksum=row.checksum,
        hash_value=row.hash_value,
        container=row.container or "",
        object=row.object or "",
        tags=list(row.tags),
        properties=dict(row.properties),
        created=row.created,
        updated=row.updated,
    )


def _check_name(name: str) -> None:
    if not name or len(name) > NAME_LENGTH_MAX:
        raise ImageInvalid(f"the name of an image has 1 to {NAME_LENGTH_MAX} characters")
    if not name.isprintable():
        raise ImageInvalid("the name of an image has only printable characters")
