"""JSON of images, both ways, and the location of an object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pithos_api.faults import HttpError
from pithos_api.image.records import PRIVATE, VISIBILITIES, ImageInfo, NewImage
from pithos_api.wire import (
    LOCATION,
    LOCATION_SCHEME,
    WireError,
    object_location,
    parse_location,
)

DISK_FORMATS = ("raw", "iso")
CONTAINER_FORMAT = "bare"

PROPERTY_COUNT_MAX = 64
TEXT_LENGTH_MAX = 255
NUMBER_MAX = 2**31 - 1

_READ_ONLY = {
    *("checksum", "os_hash_algo", "os_hash_value", "pithos_hash", "size", "virtual_size"),
    *("status", "created_at", "updated_at"),
    *("self", "file", "schema", "locations", "direct_url"),
}
_KNOWN = {
    *("id", "owner", "name", "visibility", "protected", "os_hidden", "tags"),
    *("disk_format", "container_format", "min_disk", "min_ram", LOCATION),
}


def image_body(image: ImageInfo) -> dict[str, Any]:
    """As Glance v2 shows it; `pithos_hash` and `pithos_location` are ours."""
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "owner": image.account,
        "status": image.status,
        "visibility": image.visibility,
        "protected": image.protected,
        "os_hidden": False,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "virtual_size": image.size,
        "checksum": image.checksum,
        "os_hash_algo": None,
        "os_hash_value": None,
        "pithos_hash": image.hash_value,
        LOCATION: object_location(image.account, image.container, image.object),
        "tags": image.tags,
        "created_at": _time(image.created),
        "updated_at": _time(image.updated),
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
    }


def new_image(body: object) -> tuple[NewImage, str]:
    """What a POST asks to register, and the location of its object. HttpError 400, 403."""
    if not isinstance(body, dict):
        raise HttpError(400, "The body is no JSON object.")
    found: dict[str, Any] = body
    forbidden = sorted(_READ_ONLY & found.keys())
    if forbidden:
        raise HttpError(403, f"Attribute '{forbidden[0]}' is read-only.")
    for key in ("id", "owner"):
        if key in found:
            raise HttpError(403, f"Attribute '{key}' cannot be chosen.")
    location = found.get(LOCATION)
    if not isinstance(location, str):
        raise HttpError(
            400, f"{LOCATION} must name an object: {LOCATION_SCHEME}AUTH_x/container/object"
        )
    new = NewImage(
        name=_text(found, "name", None),
        visibility=_choice(found, "visibility", VISIBILITIES, PRIVATE),
        protected=_flag(found, "protected"),
        disk_format=_choice(found, "disk_format", DISK_FORMATS, DISK_FORMATS[0]),
        container_format=_choice(found, "container_format", (CONTAINER_FORMAT,), CONTAINER_FORMAT),
        min_disk=_number(found, "min_disk"),
        min_ram=_number(found, "min_ram"),
        tags=_tags(found),
        properties=_properties(found),
    )
    return new, location


def split_location(location: str) -> tuple[str, str, str]:
    """Account (with its prefix), container and object. HttpError 400."""
    try:
        return parse_location(location)
    except WireError as error:
        raise HttpError(400, str(error)) from error


def _text(found: Mapping[str, Any], key: str, default: str | None) -> str:
    value = found.get(key, default)
    if not isinstance(value, str) or len(value) > TEXT_LENGTH_MAX:
        raise HttpError(400, f"{key} is no text of at most {TEXT_LENGTH_MAX} characters")
    return value


def _choice(found: Mapping[str, Any], key: str, choices: tuple[str, ...], default: str) -> str:
    value = _text(found, key, default)
    if value not in choices:
        raise HttpError(400, f"{key} is none of {', '.join(choices)}: {value!r}")
    return value


def _flag(found: Mapping[str, Any], key: str) -> bool:
    value = found.get(key, False)
    if not isinstance(value, bool):
        raise HttpError(400, f"{key} is neither true nor false")
    return value


def _number(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NUMBER_MAX:
        raise HttpError(400, f"{key} is no number from 0 on")
    return value


def _tags(found: Mapping[str, Any]) -> tuple[str, ...]:
    tags = found.get("tags", [])
    if not isinstance(tags, list) or len(tags) > PROPERTY_COUNT_MAX:
        raise HttpError(400, f"tags is no list of at most {PROPERTY_COUNT_MAX} texts")
    return tuple(sorted({_text({"tags": tag}, "tags", None) for tag in tags}))


def _properties(found: Mapping[str, Any]) -> dict[str, str]:
    keys = [key for key in found if key not in _KNOWN]
    if len(keys) > PROPERTY_COUNT_MAX or any(len(key) > TEXT_LENGTH_MAX for key in keys):
        raise HttpError(400, "too many properties, or too long names")
    return {key: _text(found, key, None) for key in keys}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
