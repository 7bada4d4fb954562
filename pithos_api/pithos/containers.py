"""Container requests. The answer to each tells how the store cuts and names blocks."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from flask import Response, request

from pithos_api.faults import HttpError
from pithos_api.namespace.errors import NoSuchContainer
from pithos_api.namespace.records import ContainerInfo, ListQuery, ObjectInfo, Subdir
from pithos_api.object_store.access import Target
from pithos_api.object_store.answers import HeaderList
from pithos_api.object_store.limits import LISTING_LIMIT_MAX
from pithos_api.object_store.listing import parse_parameters
from pithos_api.object_store.metadata import (
    Changes,
    check_totals,
    merged,
    metadata_changes,
    metadata_headers,
)
from pithos_api.object_store.timestamps import http_date
from pithos_api.pithos.answers import json_answer, private
from pithos_api.services import services
from pithos_api.wire import BLOCK_HASH_HEADER, BLOCK_SIZE_HEADER


def head_container(target: Target) -> Response:
    """Counts, hashing parameters, metadata."""
    info = services().namespace.container(target.account, target.container)
    return private(204, _container_headers(info))


def get_container(target: Target) -> Response:
    """The objects of the container."""
    parameters = parse_parameters(request.environ.get("QUERY_STRING", ""))
    namespace = services().namespace
    headers = _container_headers(namespace.container(target.account, target.container))
    entries = namespace.objects(target.account, target.container, _query(parameters))
    if _wants_json(parameters):
        return json_answer(200, [_item(entry) for entry in entries], headers)
    if not entries:
        return private(204, headers)
    return private(200, headers, "".join(f"{entry.name}\n" for entry in entries).encode())


def put_container(target: Target) -> Response:
    """Make the container (201), or add to the metadata of the one that is there (202)."""
    changes = metadata_changes(request.headers.items(), "Container")
    namespace = services().namespace
    check_totals(merged(_present_metadata(target), changes))
    created = namespace.put_container(target.account, target.container, changes, {})
    return private(201 if created else 202, ())


def post_container(target: Target) -> Response:
    """Set metadata: with `update` merged into what is there, else in its place."""
    changes: Changes = metadata_changes(request.headers.items(), "Container")
    namespace = services().namespace
    info = namespace.container(target.account, target.container)
    if "update" not in request.args:
        changes = {**dict.fromkeys(info.metadata), **changes}
    check_totals(merged(info.metadata, changes))
    namespace.update_container(target.account, target.container, changes, {})
    return private(202, ())


def delete_container(target: Target) -> Response:
    """Remove it, if it is empty."""
    if request.args.get("delimiter") or request.args.get("until"):
        raise HttpError(400, "Deleting what a container holds is not offered here.")
    services().namespace.delete_container(target.account, target.container)
    return private(204, ())


def _present_metadata(target: Target) -> dict[str, str]:
    try:
        return services().namespace.container(target.account, target.container).metadata
    except NoSuchContainer:
        return {}


def _container_headers(info: ContainerInfo) -> HeaderList:
    store = services().store.info
    return [
        ("X-Container-Object-Count", str(info.object_count)),
        ("X-Container-Bytes-Used", str(info.bytes_used)),
        (BLOCK_SIZE_HEADER, str(store.block_size)),
        (BLOCK_HASH_HEADER, store.hash_name),
        ("Last-Modified", http_date(info.modified)),
        *metadata_headers(info.metadata, "Container"),
    ]


def _wants_json(parameters: dict[str, str]) -> bool:
    asked = parameters.get("format")
    if asked is not None:
        return asked == "json"
    accept = request.accept_mimetypes
    return accept["application/json"] > accept["text/plain"]


def _query(parameters: dict[str, str]) -> ListQuery:
    text = parameters.get("limit", "")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    prefix = parameters.get("prefix", "").lstrip("/")
    delimiter = parameters.get("delimiter", "")
    if prefix and delimiter and not prefix.endswith(delimiter):
        prefix += delimiter
    return ListQuery(
        limit=min(limit, LISTING_LIMIT_MAX) if limit else LISTING_LIMIT_MAX,
        marker=parameters.get("marker", ""),
        prefix=prefix,
        delimiter=delimiter,
        path=parameters.get("path"),
        directory_objects=True,
    )


def _item(entry: ObjectInfo | Subdir) -> dict[str, str | int]:
    if isinstance(entry, Subdir):
        return {"subdir": entry.name}
    return {
        "name": entry.name,
        "bytes": entry.size,
        "hash": entry.md5 or "",
        "content_type": entry.content_type,
        "last_modified": datetime.fromtimestamp(entry.modified, UTC).isoformat(),
        "x_object_hash": entry.merkle_hash or "",
        "x_object_uuid": str(uuid.UUID(entry.uuid)),
        "x_object_version": entry.id,
        "x_object_version_timestamp": f"{entry.modified:.6f}",
        "available": 1,
    }
