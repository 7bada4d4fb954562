"""The image registry (Glance v2 shape): bootable content of objects, under names of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from clients.errors import NotFound, ServerFailed
from clients.http import Request, Session, json_body
from pithos_api.wire import LOCATION, object_location

SERVICE = "image"
PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Image:
    """A registered image. `owner` is a project id."""

    id: str
    name: str
    owner: str
    size: int
    visibility: str
    """`private` or `public`."""
    status: str
    disk_format: str
    created: str


@dataclass(frozen=True, slots=True)
class Images:
    """The images that the session's project may use."""

    session: Session

    def list(self, name: str = "") -> Iterator[Image]:
        """Own images and public ones, all or those of one name."""
        query = {"limit": str(PAGE_SIZE), **({"name": name} if name else {})}
        marker = ""
        while True:
            asked = {**query, **({"marker": marker} if marker else {})}
            found = self._json(Request("GET", SERVICE, "/images", asked))
            page = [_image(item) for item in found.get("images", ())]
            yield from page
            if "next" not in found or not page:
                return
            if page[-1].id == marker:
                raise ServerFailed("the server's list of images does not advance")
            marker = page[-1].id

    def find(self, name_or_id: str) -> Image:
        """By id, or by name. NotFound."""
        if not name_or_id:
            raise NotFound("an image without a name")
        path = f"/images/{quote(name_or_id, safe='')}"
        return _image(self._json(Request("GET", SERVICE, path)))

    def register(self, name: str, container: str, object_name: str, *, public: bool) -> Image:
        """Name the present content of an object. Conflict when the name is taken. NotFound."""
        project = self.session.token().project_id
        fields = {
            "name": name,
            "disk_format": "raw",
            "container_format": "bare",
            "visibility": "public" if public else "private",
            LOCATION: object_location(project, container, object_name),
        }
        headers = {"Content-Type": "application/json"}
        body = json.dumps(fields).encode()
        return _image(self._json(Request("POST", SERVICE, "/images", headers=headers, body=body)))

    def unregister(self, image: Image) -> None:
        """Remove the entry; the object stays."""
        self.session.send(Request("DELETE", SERVICE, f"/images/{image.id}"))

    def _json(self, request: Request) -> dict[str, Any]:
        found = json_body(self.session.send(request))
        if not isinstance(found, dict):
            raise ServerFailed("the server answered no image")
        return found


def _image(item: dict[str, Any]) -> Image:
    try:
        return Image(
            item["id"],
            item["name"] or "",
            item["owner"] or "",
            item["size"] or 0,
            item["visibility"],
            item["status"],
            item["disk_format"] or "",
            item["created_at"],
        )
    except (KeyError, TypeError) as error:
        raise ServerFailed(f"the server answered a malformed image ({error!r})") from error
