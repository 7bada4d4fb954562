"""Container requests: GET, HEAD, PUT, POST, DELETE."""

from __future__ import annotations

from flask import Response, request

from pithos_api.faults import HttpError
from pithos_api.namespace.errors import NoSuchContainer
from pithos_api.namespace.records import ContainerInfo
from pithos_api.object_store.access import Target
from pithos_api.object_store.answers import TEXT, HeaderList, answer
from pithos_api.object_store.limits import CONTAINER_NAME_SIZE_MAX, POLICY
from pithos_api.object_store.listing import (
    Form,
    listing_query,
    negotiate,
    parse_parameters,
    render_container,
)
from pithos_api.object_store.metadata import (
    Changes,
    check_totals,
    header_text,
    header_value,
    merged,
    metadata_changes,
    metadata_headers,
)
from pithos_api.object_store.timestamps import http_date, swift_timestamp
from pithos_api.services import services

SETTINGS = ("X-Container-Read", "X-Container-Write")
"""Container headers that are kept and shown besides the metadata."""


def get_container(target: Target) -> Response:
    """The objects of the container."""
    parameters = parse_parameters(request.environ.get("QUERY_STRING", ""))
    form = negotiate(parameters, request.accept_mimetypes)
    query = listing_query(parameters)
    namespace = services().namespace
    headers = _container_headers(namespace.container(target.account, target.container))
    entries = namespace.objects(target.account, target.container, query)
    if not entries and form is Form.TEXT:
        return answer(204, headers, content_type=form.content_type)
    body = render_container(target.container, entries, form)
    return answer(200, headers, body, form.content_type)


def head_container(target: Target) -> Response:
    """Counts, metadata and settings."""
    info = services().namespace.container(target.account, target.container)
    return answer(204, _container_headers(info), content_type=TEXT)


def put_container(target: Target) -> Response:
    """Make the container (201), or add to the metadata of the one that is there (202)."""
    _check_new_name(target.container)
    _check_policy(request.headers.get("X-Storage-Policy", ""))
    metadata, settings = _changes()
    namespace = services().namespace
    check_totals(merged(_present_metadata(target), metadata))
    created = namespace.put_container(target.account, target.container, metadata, settings)
    return answer(201 if created else 202)


def post_container(target: Target) -> Response:
    """Set and remove metadata and settings."""
    metadata, settings = _changes()
    namespace = services().namespace
    info = namespace.container(target.account, target.container)
    check_totals(merged(info.metadata, metadata))
    namespace.update_container(target.account, target.container, metadata, settings)
    return answer(204)


def delete_container(target: Target) -> Response:
    """Remove it, if it is empty."""
    services().namespace.delete_container(target.account, target.container)
    return answer(204)


def _changes() -> tuple[Changes, Changes]:
    settings: Changes = {}
    for name in SETTINGS:
        if name in request.headers:
            settings[name] = header_value(name, request.headers[name]) or None
        elif name.replace("X-", "X-Remove-", 1) in request.headers:
            settings[name] = None
    return metadata_changes(request.headers.items(), "Container"), settings


def _present_metadata(target: Target) -> dict[str, str]:
    try:
        return services().namespace.container(target.account, target.container).metadata
    except NoSuchContainer:
        return {}


def _check_new_name(name: str) -> None:
    if len(name.encode()) > CONTAINER_NAME_SIZE_MAX:
        raise HttpError(400, f"Container name length longer than {CONTAINER_NAME_SIZE_MAX}")
    if "/" in name:
        raise HttpError(404, "Container name cannot contain slashes")


def _check_policy(name: str) -> None:
    if name and name.lower() != POLICY:
        raise HttpError(400, "Invalid X-Storage-Policy")


def _container_headers(info: ContainerInfo) -> HeaderList:
    return [
        ("X-Container-Object-Count", str(info.object_count)),
        ("X-Container-Bytes-Used", str(info.bytes_used)),
        ("X-Timestamp", swift_timestamp(info.created)),
        ("Last-Modified", http_date(info.modified)),
        ("Accept-Ranges", "bytes"),
        ("X-Storage-Policy", POLICY),
        *metadata_headers(info.metadata, "Container"),
        *((name, header_text(value)) for name, value in info.headers.items()),
    ]
