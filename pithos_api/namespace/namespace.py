"""Accounts, containers and objects, with their counters, in short transactions.

Content never passes here: an object is put when its blocks are committed, and holds a map root.
Safe for any number of threads; other processes see a change when the call has returned.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from archipelago import MapRoot, Maps
from blockstore import Store
from pithos_api.database.engine import insert_absent, reading, writing
from pithos_api.database.tables import accounts, containers, images, objects
from pithos_api.namespace import possession
from pithos_api.namespace.errors import (
    AlreadyExists,
    ContainerNotEmpty,
    NoSuchAccount,
    NoSuchContainer,
    NoSuchObject,
    PreconditionFailed,
)
from pithos_api.namespace.listing import Span, scan
from pithos_api.namespace.names import check_account, check_container, check_object, check_text
from pithos_api.namespace.records import (
    EXPIRY_HEADER,
    AccountInfo,
    ContainerInfo,
    ListQuery,
    NewObject,
    ObjectInfo,
    Subdir,
)
from pithos_api.namespace.rows import (
    container_of,
    listed_container_of,
    listed_object_of,
    object_of,
    object_values,
    select_listed,
    within,
)

Changes = Mapping[str, str | None]
"""Metadata or headers to set; None removes."""

ROOTS_PAGE = 1000


class Namespace:
    """All accounts of one database over one store."""

    def __init__(self, engine: Engine, store: Store, maps: Maps | None = None) -> None:
        self._engine = engine
        self._store = store
        self._maps = Maps(store.blocks, store.info.block_size) if maps is None else maps

    # Accounts

    def account(self, account: str) -> AccountInfo:
        """NoSuchAccount."""
        totals = select(
            func.count(),
            func.coalesce(func.sum(containers.c.object_count), 0),
            func.coalesce(func.sum(containers.c.bytes_used), 0),
        ).where(containers.c.account == account)
        with reading(self._engine) as connection:
            row = _account_row(connection, account)
            count, object_count, bytes_used = connection.execute(totals).one()
        return AccountInfo(
            id=account,
            container_count=count,
            object_count=int(object_count),
            bytes_used=int(bytes_used),
            metadata=row.metadata,
            created=row.created,
        )

    def account_exists(self, account: str) -> bool:
        """Whether it has been created."""
        with reading(self._engine) as connection:
            query = select(accounts.c.id).where(accounts.c.id == account)
            return connection.execute(query).one_or_none() is not None

    def ensure_account(self, account: str) -> None:
        """Create the account where it is absent. NameInvalid."""
        check_account(account)
        if not self.account_exists(account):
            with writing(self._engine) as connection:
                _insert_account(connection, account)

    def update_account_metadata(self, account: str, changes: Changes) -> None:
        """Set and remove metadata; others stay. NoSuchAccount."""
        with writing(self._engine) as connection:
            row = _account_row(connection, account)
            connection.execute(
                update(accounts)
                .where(accounts.c.id == account)
                .values(metadata=_merged(row.metadata, changes))
            )

    # Containers

    def containers(self, account: str, query: ListQuery) -> list[ContainerInfo | Subdir]:
        """The containers in order of names, without metadata and headers.

        NoSuchAccount, NameInvalid.
        """
        _check_query(query)
        with reading(self._engine) as connection:
            _account_row(connection, account)

            def fetch(span: Span, count: int) -> list[ContainerInfo]:
                name = containers.c.name
                rows = connection.execute(
                    select_listed(containers)
                    .where(containers.c.account == account, *within(name, span))
                    .order_by(name.desc() if query.reverse else name)
                    .limit(count)
                )
                return [listed_container_of(row) for row in rows]

            return scan(query, fetch)

    def container(self, account: str, name: str) -> ContainerInfo:
        """NoSuchContainer."""
        with reading(self._engine) as connection:
            return container_of(_container_row(connection, account, name))

    def put_container(self, account: str, name: str, metadata: Changes, headers: Changes) -> bool:
        """Create, or merge into one that is there; whether it was created. NameInvalid.

        An absent account is created.
        """
        check_account(account)
        check_container(name)
        now = time.time()
        with writing(self._engine) as connection:
            row = _find_container(connection, account, name)
            if row is not None:
                _merge_container(connection, row, metadata, headers)
                return False
            _insert_account(connection, account)
            connection.execute(
                insert(containers).values(
                    account=account,
                    name=name,
                    metadata=_merged({}, metadata),
                    headers=_merged({}, headers),
                    object_count=0,
                    bytes_used=0,
                    created=now,
                    modified=now,
                )
            )
            return True

    def update_container(
        self, account: str, name: str, metadata: Changes, headers: Changes
    ) -> None:
        """Set and remove metadata and headers; others stay. NoSuchContainer."""
        with writing(self._engine) as connection:
            row = _container_row(connection, account, name)
            _merge_container(connection, row, metadata, headers)

    def delete_container(self, account: str, name: str) -> None:
        """NoSuchContainer, ContainerNotEmpty."""
        with writing(self._engine) as connection:
            row = _container_row(connection, account, name)
            inside = select(objects.c.id).where(objects.c.container == row.id).limit(1)
            if connection.execute(inside).one_or_none() is not None:
                raise ContainerNotEmpty(name)
            connection.execute(delete(containers).where(containers.c.id == row.id))

    # Objects

    def objects(self, account: str, container: str, query: ListQuery) -> list[ObjectInfo | Subdir]:
        """The objects in order of names, without metadata, and of the headers only the expiry.

        NoSuchContainer, NameInvalid.
        """
        _check_query(query)
        with reading(self._engine) as connection:
            holder = _container_row(connection, account, container)

            def fetch(span: Span, count: int) -> list[ObjectInfo]:
                name = objects.c.name
                rows = connection.execute(
                    select_listed(objects)
                    .where(objects.c.container == holder.id, *within(name, span))
                    .order_by(name.desc() if query.reverse else name)
                    .limit(count)
                )
                return [listed_object_of(row, (account, container)) for row in rows]

            return scan(query, fetch)

    def object(self, account: str, container: str, name: str) -> ObjectInfo:
        """NoSuchContainer, NoSuchObject."""
        with reading(self._engine) as connection:
            holder = _container_row(connection, account, container)
            row = _find_object(connection, holder.id, name)
        if row is None:
            raise NoSuchObject(container, name)
        return object_of(row, (account, container))

    def put_object(
        self,
        account: str,
        container: str,
        name: str,
        new: NewObject,
        *,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Put content under a name, in place of what was there. Its blocks are committed.

        `if_match` is the MD5 or Merkle hash that must be there now, "*" = any. An object whose
        time is over is not there. NoSuchContainer, NameInvalid, AlreadyExists,
        PreconditionFailed.
        """
        check_object(name)
        now = time.time()
        modified = now if new.modified is None else new.modified
        values = object_values(new) | {"name": name, "modified": modified, "expires": _expiry(new)}
        possession.record(self._engine, account, new.block_ids[possession.RECORD_BATCH :])
        with writing(self._engine) as connection:
            possession.record_batch(connection, account, new.block_ids[: possession.RECORD_BATCH])
            holder = _container_row(connection, account, container)
            old = _find_object(connection, holder.id, name)
            live = None if old is None or _is_expired(old, now) else old
            _check_conditions(live, name, if_absent=if_absent, if_match=if_match)
            if old is not None:
                connection.execute(delete(objects).where(objects.c.id == old.id))
            values |= {
                "container": holder.id,
                "uuid": uuid.uuid4().hex if live is None else live.uuid,
                "created": modified if live is None else live.created,
            }
            connection.execute(insert(objects).values(values))
            row = _find_object(connection, holder.id, name)
            assert row is not None
            old_size = 0 if old is None else old.size
            _count(connection, holder.id, 1 if old is None else 0, new.size - old_size)
        return object_of(row, (account, container))

    def update_object(
        self,
        account: str,
        container: str,
        name: str,
        metadata: Mapping[str, str],
        headers: Mapping[str, str],
        content_type: str | None = None,
    ) -> ObjectInfo:
        """Replace metadata and headers; the content type too, unless None. NoSuchObject."""
        now = time.time()
        values: dict[str, Any] = {
            "metadata": dict(metadata),
            "headers": dict(headers),
            "modified": now,
            "expires": _expiry_of(headers),
        }
        if content_type is not None:
            values["content_type"] = content_type
        with writing(self._engine) as connection:
            holder = _container_row(connection, account, container)
            changed = connection.execute(
                update(objects)
                .where(objects.c.container == holder.id, objects.c.name == name)
                .values(values)
            )
            if changed.rowcount == 0:
                raise NoSuchObject(container, name)
            _count(connection, holder.id, 0, 0)
            row = _find_object(connection, holder.id, name)
            assert row is not None
        return object_of(row, (account, container))

    def copy_object(
        self,
        source: ObjectInfo,
        account: str,
        container: str,
        name: str,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Put the content of `source` under another name; no data is touched. As `put_object`.

        None keeps the source's. For another content type: `dataclasses.replace(source, ...)`.
        """
        if account != source.account:
            self.record_map(account, source.root)
        new = NewObject(
            size=source.size,
            root=source.root,
            merkle_hash=source.merkle_hash,
            md5=source.md5,
            content_type=source.content_type,
            metadata=source.metadata if metadata is None else metadata,
            headers=source.headers if headers is None else headers,
            kind=source.kind,
        )
        return self.put_object(account, container, name, new)

    def delete_object(
        self, account: str, container: str, name: str, *, if_expiry: int | None = None
    ) -> None:
        """NoSuchContainer, NoSuchObject; PreconditionFailed: its X-Delete-At is not `if_expiry`."""
        with writing(self._engine) as connection:
            holder = _container_row(connection, account, container)
            row = _find_object(connection, holder.id, name)
            if row is None:
                raise NoSuchObject(container, name)
            if if_expiry is not None and row.expires != if_expiry:
                raise PreconditionFailed(f"the object expires at another time, or never: {name}")
            connection.execute(delete(objects).where(objects.c.id == row.id))
            _count(connection, holder.id, -1, -row.size)

    def delete_expired(self, now: float, limit: int) -> int:
        """Remove up to `limit` objects whose X-Delete-At is not after `now`; return how many."""
        expired = select(objects).where(objects.c.expires <= now).limit(limit)
        with writing(self._engine) as connection:
            rows = connection.execute(expired).all()
            for row in rows:
                connection.execute(delete(objects).where(objects.c.id == row.id))
                _count(connection, row.container, -1, -row.size)
        return len(rows)

    def set_md5(self, object_id: int, md5: str) -> None:
        """Keep the MD5 of an object's content. Nothing happens when the content is another now."""
        with writing(self._engine) as connection:
            connection.execute(update(objects).where(objects.c.id == object_id).values(md5=md5))

    # Blocks

    def record_possession(self, account: str, block_ids: Iterable[bytes]) -> None:
        """Note that the account has sent these blocks."""
        possession.record(self._engine, account, block_ids)

    def record_map(self, account: str, root: MapRoot) -> None:
        """Note that the account possesses every block of a map that it was given."""
        present = (block_id for _index, block_id in self._maps.iterate(root))
        possession.record(self._engine, account, present)

    def missing(self, account: str, block_ids: Sequence[bytes]) -> list[bytes]:
        """Those not possessed by the account or not in the store; in order, each once."""
        return possession.missing(self._engine, self._store.blocks, account, block_ids)

    def roots(self) -> Iterator[MapRoot]:
        """Every map that an object or image holds, for collection. Some may come twice."""
        for column in (objects.c.root, images.c.root):
            last = b""
            while True:
                query = select(column).distinct().where(column > last)
                with reading(self._engine) as connection:
                    page = connection.execute(query.order_by(column).limit(ROOTS_PAGE))
                    packed = [bytes(root) for root in page.scalars()]
                if not packed:
                    break
                yield from map(MapRoot.unpack, packed)
                last = packed[-1]


def _account_row(connection: Connection, account: str) -> Row[Any]:
    row = connection.execute(select(accounts).where(accounts.c.id == account)).one_or_none()
    if row is None:
        raise NoSuchAccount(account)
    return row


def _insert_account(connection: Connection, account: str) -> None:
    row = {"id": account, "metadata": {}, "created": time.time()}
    insert_absent(connection, accounts, [row])


def _find_container(connection: Connection, account: str, name: str) -> Row[Any] | None:
    query = select(containers).where(containers.c.account == account, containers.c.name == name)
    return connection.execute(query).one_or_none()


def _container_row(connection: Connection, account: str, name: str) -> Row[Any]:
    row = _find_container(connection, account, name)
    if row is None:
        raise NoSuchContainer(account, name)
    return row


def _merge_container(
    connection: Connection, row: Row[Any], metadata: Changes, headers: Changes
) -> None:
    connection.execute(
        update(containers)
        .where(containers.c.id == row.id)
        .values(
            metadata=_merged(row.metadata, metadata),
            headers=_merged(row.headers, headers),
            modified=time.time(),
        )
    )


def _find_object(connection: Connection, container_id: int, name: str) -> Row[Any] | None:
    query = select(objects).where(objects.c.container == container_id, objects.c.name == name)
    return connection.execute(query).one_or_none()


def _count(connection: Connection, container_id: int, count: int, size: int) -> None:
    """Keep the container's totals and its time, in the transaction that changes an object."""
    connection.execute(
        update(containers)
        .where(containers.c.id == container_id)
        .values(
            object_count=containers.c.object_count + count,
            bytes_used=containers.c.bytes_used + size,
            modified=time.time(),
        )
    )


def _check_conditions(
    old: Row[Any] | None, name: str, *, if_absent: bool, if_match: str | None
) -> None:
    if if_absent and old is not None:
        raise AlreadyExists(f"an object of this name exists: {name}")
    if if_match is None:
        return
    if old is None or if_match not in ("*", old.md5, old.merkle_hash):
        raise PreconditionFailed(f"the object is not the expected one: {name}")


def _check_query(query: ListQuery) -> None:
    for text in (query.marker, query.end_marker, query.prefix, query.delimiter, query.path or ""):
        check_text("listing parameter", text)


def _merged(old: Mapping[str, str], changes: Changes) -> dict[str, str]:
    merged: dict[str, str | None] = {**old, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def _is_expired(row: Row[Any], now: float) -> bool:
    return row.expires is not None and bool(row.expires <= now)


def _expiry(new: NewObject) -> float | None:
    return _expiry_of(new.headers)


def _expiry_of(headers: Mapping[str, str]) -> float | None:
    value = headers.get(EXPIRY_HEADER, "")
    return float(value) if value.isdigit() else None
