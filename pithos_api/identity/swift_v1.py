"""Swift's first way in: user and key in headers, storage URL and token in the answer."""

from __future__ import annotations

import time
from http import HTTPStatus

from flask import Blueprint, Response, request

from pithos_api.endpoint import Endpoint
from pithos_api.faults import Fault
from pithos_api.identity.catalogue import storage_url
from pithos_api.identity.errors import Unauthorized
from pithos_api.services import services

blueprint = Blueprint("swift_v1", __name__)


def render(fault: Fault) -> Response:
    """Plain text."""
    headers = dict(fault.headers)
    if fault.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Swift realm="unknown"'
    return Response(f"{fault.message}\n", fault.status, headers, mimetype="text/plain")


@blueprint.get("/auth/v1.0", strict_slashes=False)
@blueprint.get("/auth/v1.0/", strict_slashes=False)
@blueprint.get("/auth/v1", strict_slashes=False)
@blueprint.get("/v1.0", strict_slashes=False)
def log_in() -> Response:
    """`X-Auth-User` is a user, or project:user; without a project the user's own is meant."""
    name = request.headers.get("X-Auth-User") or request.headers.get("X-Storage-User") or ""
    key = request.headers.get("X-Auth-Key") or request.headers.get("X-Storage-Pass") or ""
    project, _, user = _text(name).rpartition(":")
    token = services().identity.authenticate(user, _text(key), project or None)
    if token.principal.project_id is None:
        raise Unauthorized
    response = Response(status=HTTPStatus.OK, mimetype="text/plain")
    response.headers["X-Storage-Url"] = storage_url(token.principal.project_id)
    response.headers["X-Auth-Token"] = token.value
    response.headers["X-Storage-Token"] = token.value
    response.headers["X-Auth-Token-Expires"] = str(int(token.expires - time.time()))
    return response


ENDPOINT = Endpoint(("/auth", "/v1.0"), blueprint, render)


def _text(header: str) -> str:
    """UTF-8 that WSGI handed over as latin-1. Unauthorized when it is not."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise Unauthorized from None
