"""Routes of the Pithos endpoint: which function serves which method at which level."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, request

from pithos_api.endpoint import Endpoint
from pithos_api.faults import HttpError
from pithos_api.object_store.access import (
    ACCOUNT_PREFIX,
    Target,
    authenticated,
    authorized_account,
)
from pithos_api.paths import raw_path, split_path
from pithos_api.pithos import blocks, containers, hashmap_read, hashmap_write, objects
from pithos_api.pithos.answers import render

PREFIX = "/pithos/object-store/v1"
LONG_PREFIX = f"{PREFIX}.0"
"""The published guide of Pithos writes it so."""

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")

Handler = Callable[[Target], Response]

blueprint = Blueprint("pithos", __name__)


@blueprint.route(f"{PREFIX}<rest:target>", methods=METHODS)
def pithos(target: str) -> Response:
    """Everything below the prefix. The names come from the raw request target."""
    raw = raw_path()
    path = split_path(raw, LONG_PREFIX if raw.startswith(f"{LONG_PREFIX}/") else PREFIX)
    principal = authenticated()
    if path.account is None or path.container is None:
        raise HttpError(404, "This endpoint serves containers and objects.")
    handlers = CONTAINER if path.object is None else OBJECT
    handler = handlers.get(request.method)
    if handler is None:
        raise HttpError(405, "", {"Allow": ", ".join(handlers)})
    element = f"{ACCOUNT_PREFIX}{path.account.removeprefix(ACCOUNT_PREFIX)}"
    return handler(Target(principal, authorized_account(principal, element), path))


def _get_object(target: Target) -> Response:
    by_hashes = "hashmap" in request.args
    return hashmap_read.get_hashmap(target) if by_hashes else objects.get_object(target)


def _put_object(target: Target) -> Response:
    by_hashes = "hashmap" in request.args
    return hashmap_write.put_hashmap(target) if by_hashes else objects.put_object(target)


def _post_container(target: Target) -> Response:
    if blocks.is_block_upload():
        return blocks.post_blocks(target)
    return containers.post_container(target)


CONTAINER: Mapping[str, Handler] = {
    "GET": containers.get_container,
    "HEAD": containers.head_container,
    "PUT": containers.put_container,
    "POST": _post_container,
    "DELETE": containers.delete_container,
}
OBJECT: Mapping[str, Handler] = {
    "GET": _get_object,
    "HEAD": objects.head_object,
    "PUT": _put_object,
    "DELETE": objects.delete_object,
}

ENDPOINT = Endpoint(prefixes=(PREFIX, LONG_PREFIX), blueprint=blueprint, render=render)
