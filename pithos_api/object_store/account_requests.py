"""Account requests: GET, HEAD, POST."""

from __future__ import annotations

from flask import Response, request

from pithos_api.namespace.records import AccountInfo
from pithos_api.object_store.access import Target
from pithos_api.object_store.answers import TEXT, HeaderList, answer
from pithos_api.object_store.listing import (
    Form,
    listing_query,
    negotiate,
    parse_parameters,
    render_account,
)
from pithos_api.object_store.metadata import (
    check_totals,
    merged,
    metadata_changes,
    metadata_headers,
)
from pithos_api.object_store.timestamps import swift_timestamp
from pithos_api.services import services


def get_account(target: Target) -> Response:
    """The containers of the account."""
    parameters = parse_parameters(request.environ.get("QUERY_STRING", ""))
    form = negotiate(parameters, request.accept_mimetypes)
    query = listing_query(parameters)
    namespace = services().namespace
    headers = _account_headers(namespace.account(target.account))
    entries = namespace.containers(target.account, query)
    if not entries and form is Form.TEXT:
        return answer(204, headers, content_type=form.content_type)
    body = render_account(target.path.account or "", entries, form)
    return answer(200, headers, body, form.content_type)


def head_account(target: Target) -> Response:
    """Counts and metadata."""
    info = services().namespace.account(target.account)
    return answer(204, _account_headers(info), content_type=TEXT)


def post_account(target: Target) -> Response:
    """Set and remove metadata."""
    changes = metadata_changes(request.headers.items(), "Account")
    namespace = services().namespace
    check_totals(merged(namespace.account(target.account).metadata, changes))
    namespace.update_account_metadata(target.account, changes)
    return answer(204)


def _account_headers(info: AccountInfo) -> HeaderList:
    return [
        ("X-Account-Container-Count", str(info.container_count)),
        ("X-Account-Object-Count", str(info.object_count)),
        ("X-Account-Bytes-Used", str(info.bytes_used)),
        ("X-Timestamp", swift_timestamp(info.created)),
        ("Accept-Ranges", "bytes"),
        *metadata_headers(info.metadata, "Account"),
    ]
