"""Routes of the Swift endpoint: which function serves which method at which level."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, jsonify, request

from pithos_api.endpoint import Endpoint
from pithos_api.faults import HttpError
from pithos_api.object_store.access import Target, authenticated, authorized_account
from pithos_api.object_store.account_requests import get_account, head_account, post_account
from pithos_api.object_store.answers import TEXT, answer, render
from pithos_api.object_store.bulk_delete import bulk_delete
from pithos_api.object_store.container_requests import (
    delete_container,
    get_container,
    head_container,
    post_container,
    put_container,
)
from pithos_api.object_store.limits import HEADER_SIZE_MAX, announced
from pithos_api.object_store.object_copy import copy_object, put_copy
from pithos_api.object_store.object_read import get_object, head_object
from pithos_api.object_store.object_write import delete_object, post_object, put_object
from pithos_api.paths import Path, raw_path, split_path

PREFIX = "/v1"
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS")

Handler = Callable[[Target], Response]


def put_or_copy(target: Target) -> Response:
    """PUT of an object: a body, or with X-Copy-From the content of another object."""
    return put_copy(target) if "X-Copy-From" in request.headers else put_object(target)


def post_or_bulk_delete(target: Target) -> Response:
    """POST of an account: metadata, or with ?bulk-delete a list of what to delete."""
    return bulk_delete(target) if "bulk-delete" in request.args else post_account(target)


def only_bulk_delete(target: Target) -> Response:
    """DELETE of an account, which nobody may; with ?bulk-delete as POST."""
    if "bulk-delete" not in request.args:
        raise HttpError(405, "", {"Allow": _allowed(ACCOUNT)})
    return bulk_delete(target)


ACCOUNT: Mapping[str, Handler] = {
    "GET": get_account,
    "HEAD": head_account,
    "POST": post_or_bulk_delete,
    "DELETE": only_bulk_delete,
}
CONTAINER: Mapping[str, Handler] = {
    "GET": get_container,
    "HEAD": head_container,
    "PUT": put_container,
    "POST": post_container,
    "DELETE": delete_container,
}
OBJECT: Mapping[str, Handler] = {
    "GET": get_object,
    "HEAD": head_object,
    "PUT": put_or_copy,
    "POST": post_object,
    "DELETE": delete_object,
    "COPY": copy_object,
}

blueprint = Blueprint("object_store", __name__)


@blueprint.route("/v1<rest:target>", methods=METHODS, provide_automatic_options=False)
def swift(target: str) -> Response:
    """Everything below /v1. The names come from the raw request target, not from `target`."""
    path = split_path(raw_path(), PREFIX)
    if path.account is None:
        raise HttpError(412, "Bad URL")
    handlers = _level(path)
    if request.method == "OPTIONS":
        return answer(200, [("Allow", _allowed(handlers))])
    principal = authenticated()
    _check_header_sizes()
    handler = handlers.get(request.method)
    if handler is None:
        raise HttpError(405, "", {"Allow": _allowed(handlers)})
    account = authorized_account(principal, path.account)
    return handler(Target(principal, account, path))


@blueprint.get("/info<rest:target>")
def info(target: str) -> Response:
    """Capabilities and limits, for anybody."""
    if target:
        raise HttpError(412, "Bad URL")
    return jsonify(announced())


@blueprint.get("/healthcheck")
def healthcheck() -> Response:
    """That a process answers."""
    return answer(200, body=b"OK", content_type=TEXT)


def _check_header_sizes() -> None:
    for name, value in request.headers.items():
        if len(value) > HEADER_SIZE_MAX:
            raise HttpError(400, f"Header {name} longer than {HEADER_SIZE_MAX}")


def _level(path: Path) -> Mapping[str, Handler]:
    if path.object is not None:
        return OBJECT
    return ACCOUNT if path.container is None else CONTAINER


def _allowed(handlers: Mapping[str, Handler]) -> str:
    return ", ".join([*handlers, "OPTIONS"])


ENDPOINT = Endpoint(prefixes=(PREFIX, "/info", "/healthcheck"), blueprint=blueprint, render=render)
