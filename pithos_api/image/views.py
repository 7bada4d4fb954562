"""Routes of the image registry."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, request

from archipelago import Content
from pithos_api.endpoint import Endpoint
from pithos_api.faults import Fault, HttpError
from pithos_api.identity.errors import Forbidden
from pithos_api.identity.records import Principal
from pithos_api.image.bodies import image_body, new_image, split_location
from pithos_api.image.errors import (
    ImageAmbiguous,
    ImageError,
    ImageExists,
    ImageForbidden,
    ImageInvalid,
    NoSuchImage,
)
from pithos_api.image.records import VISIBILITIES, ImageInfo, ImageQuery
from pithos_api.image.registry import LIST_LIMIT_MAX, Images
from pithos_api.object_store.access import authenticated, authorized_account
from pithos_api.object_store.object_lookup import live_object
from pithos_api.object_store.ranges import ByteRange, RangeNotSatisfiable, parse_range
from pithos_api.paths import decode_element, raw_path
from pithos_api.services import services

PREFIX = "/image"
IMAGES = f"{PREFIX}/v2/images"
BODY_SIZE_MAX = 2**20
LIST_LIMIT = 25
OCTETS = "application/octet-stream"

STATUS: Mapping[type[ImageError], int] = {
    NoSuchImage: 404,
    ImageExists: 409,
    ImageAmbiguous: 409,
    ImageForbidden: 403,
    ImageInvalid: 400,
}

blueprint = Blueprint("image", __name__)


@blueprint.get(PREFIX)
@blueprint.get(f"{PREFIX}/")
@blueprint.get(f"{PREFIX}/versions")
def versions() -> Response:
    """Which versions of the protocol are spoken, for anybody."""
    link = {"rel": "self", "href": f"{request.host_url.rstrip('/')}{PREFIX}/v2/"}
    answer = jsonify({"versions": [{"id": "v2.2", "status": "CURRENT", "links": [link]}]})
    answer.status_code = HTTPStatus.OK if request.path.endswith("versions") else 300
    return answer


@blueprint.get(IMAGES)
def list_images() -> Response:
    """Own and public images, newest first."""
    account = _account(authenticated())
    query = _query()
    with _refusals():
        found = _images().list(query, account)
    body = {
        "images": [image_body(image) for image in found],
        "schema": "/v2/schemas/images",
        "first": _link(query, ""),
    }
    if found and len(found) == query.limit:
        body["next"] = _link(query, found[-1].id)
    return jsonify(body)


@blueprint.post(IMAGES)
def create_image() -> Response:
    """Register an object."""
    principal = authenticated()
    account = _account(principal)
    new, location = new_image(_json())
    owner, container, name = split_location(location)
    source = live_object(authorized_account(principal, owner), container, name)
    with _refusals():
        image = _images().register(account, source, new)
    answer = jsonify(image_body(image))
    answer.status_code = HTTPStatus.CREATED
    answer.headers["Location"] = f"{request.host_url.rstrip('/')}{IMAGES}/{image.id}"
    return answer


@blueprint.route(f"{IMAGES}/<rest:target>", methods=["GET", "HEAD", "DELETE"])
def one_image(target: str) -> Response:
    """An image by id or name, or with /file its content."""
    account = _account(authenticated())
    element, _, part = raw_path().removeprefix(f"{IMAGES}/").partition("/")
    if part not in ("", "file"):
        raise HttpError(404)
    with _refusals():
        if request.method == "DELETE" and not part:
            _images().delete(_images().find(decode_element(element), account).id, account)
            return Response(status=HTTPStatus.NO_CONTENT)
        image = _images().find(decode_element(element), account)
    if part:
        if request.method == "DELETE":
            raise HttpError(405, "", {"Allow": "GET, HEAD"})
        return _file(image)
    return jsonify(image_body(image))


def render(fault: Fault) -> Response:
    """An error as JSON."""
    try:
        title = HTTPStatus(fault.status).phrase
    except ValueError:
        title = "The client went away"
    message = fault.message or title
    answer = jsonify({"error": {"code": fault.status, "title": title, "message": message}})
    answer.status_code = fault.status
    answer.headers.update(dict(fault.headers))
    return answer


def _file(image: ImageInfo) -> Response:
    found = services()
    content = Content(found.maps, found.store.blocks, image.root, image.size)
    wanted, status = _range(image.size)
    headers = {"Content-Length": str(wanted.length), "Accept-Ranges": "bytes"}
    if image.checksum is not None:
        headers["Content-MD5"] = image.checksum
    if status == HTTPStatus.PARTIAL_CONTENT:
        headers["Content-Range"] = wanted.content_range(image.size)
        headers.pop("Content-MD5", None)
    body: Iterator[bytes] = iter(())
    if wanted.length and request.method != "HEAD":
        pieces = content.stream(wanted.offset, wanted.length)
        body = itertools.chain([next(pieces)], pieces)  # damage at once is answered with a status
    return Response(body, status, headers, content_type=OCTETS, direct_passthrough=True)


def _range(size: int) -> tuple[ByteRange, HTTPStatus]:
    """The first range asked for, or all."""
    header = request.headers.get("Range")
    try:
        ranges = None if header is None else parse_range(header, size)
    except RangeNotSatisfiable as error:
        headers = {"Content-Range": f"bytes */{size}"}
        raise HttpError(416, "The range is not inside the image.", headers) from error
    if ranges is None or len(ranges) != 1:
        return ByteRange(0, size), HTTPStatus.OK
    return ranges[0], HTTPStatus.PARTIAL_CONTENT


@contextmanager
def _refusals() -> Iterator[None]:
    """Errors of the registry as answers."""
    try:
        yield
    except ImageError as error:
        raise HttpError(STATUS[type(error)], str(error)) from error


def _images() -> Images:
    return Images(services().engine)


def _account(principal: Principal) -> str:
    """The project that asks. Forbidden for who has none."""
    if principal.project_id is None:
        raise Forbidden
    return principal.project_id


def _json() -> object:
    if (request.content_length or 0) > BODY_SIZE_MAX:
        raise HttpError(413, f"A body of more than {BODY_SIZE_MAX} bytes.")
    request.max_content_length = BODY_SIZE_MAX
    try:
        return request.get_json(force=True)
    except RecursionError as error:
        raise HttpError(400, "The body is nested too deep.") from error


def _query() -> ImageQuery:
    arguments = request.args
    if any("\0" in value for value in arguments.values()):
        raise HttpError(400, "a NUL in the query")
    text = arguments.get("limit", str(LIST_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise HttpError(400, f"limit is no number: {text!r}")
    visibility = arguments.get("visibility")
    return ImageQuery(
        limit=min(int(text), LIST_LIMIT_MAX),
        marker=arguments.get("marker", ""),
        name=arguments.get("name"),
        visibility=visibility if visibility in VISIBILITIES else None,
        owner=arguments.get("owner"),
    )


def _link(query: ImageQuery, marker: str) -> str:
    arguments = {
        key: value for key, value in request.args.items() if key not in ("marker", "limit")
    }
    arguments["limit"] = str(query.limit)
    if marker:
        arguments["marker"] = marker
    return f"/v2/images?{urlencode(arguments)}"


ENDPOINT = Endpoint(prefixes=(PREFIX,), blueprint=blueprint, render=render)
