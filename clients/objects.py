"""Containers and objects through the Swift API: names and attributes. Content: `clients.pithos`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from clients.errors import ServerFailed
from clients.http import Request, Session, json_body

SERVICE = "object-store"
PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class ContainerEntry:
    """A container in a list, or its details."""

    name: str
    object_count: int
    bytes_used: int


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """An object in a list; a directory (`is_prefix`) has a name only."""

    name: str
    size: int = 0
    content_type: str = ""
    modified: str = ""
    """ISO 8601, UTC."""
    is_prefix: bool = False


class ObjectStore:
    """The containers of the session's project."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def containers(self, prefix: str = "") -> Iterator[ContainerEntry]:
        """All containers in order of names."""
        for item in self._pages("/", {"prefix": prefix} if prefix else {}):
            yield ContainerEntry(_name(item), item.get("count", 0), item.get("bytes", 0))

    def container(self, name: str) -> ContainerEntry:
        """NotFound when there is none."""
        found = self._session.send(Request("HEAD", SERVICE, container_path(name))).headers
        return ContainerEntry(
            name,
            _count(found.get("X-Container-Object-Count")),
            _count(found.get("X-Container-Bytes-Used")),
        )

    def create_container(self, name: str) -> bool:
        """Whether it is new; an existing one is left as it is."""
        response = self._session.send(Request("PUT", SERVICE, container_path(name)))
        return response.status_code == 201

    def delete_container(self, name: str) -> None:
        """NotFound; Conflict when it holds objects."""
        self._session.send(Request("DELETE", SERVICE, container_path(name)))

    def objects(
        self, container: str, prefix: str = "", *, recursive: bool = True
    ) -> Iterator[ObjectEntry]:
        """Objects whose names begin with `prefix`; not recursive = rolled up at the next "/"."""
        query = {"prefix": prefix} if prefix else {}
        if not recursive:
            query["delimiter"] = "/"
        for item in self._pages(container_path(container), query):
            if "subdir" in item:
                yield ObjectEntry(_name(item), is_prefix=True)
            else:
                yield ObjectEntry(
                    _name(item),
                    item.get("bytes", 0),
                    item.get("content_type", ""),
                    item.get("last_modified", ""),
                )

    def delete_object(self, container: str, name: str) -> None:
        """NotFound when there is none."""
        self._session.send(Request("DELETE", SERVICE, object_path(container, name)))

    def copy_object(self, source: tuple[str, str], target: tuple[str, str]) -> None:
        """Copy on the server: no content moves. Replaces the target. NotFound."""
        headers = {"X-Copy-From": object_path(*source), "Content-Length": "0"}
        self._session.send(Request("PUT", SERVICE, object_path(*target), headers=headers))

    def _pages(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        marker = ""
        while True:
            asked = {**query, "format": "json", "limit": str(PAGE_SIZE)}
            if marker:
                asked["marker"] = marker
            page = json_body(self._session.send(Request("GET", SERVICE, path, asked)))
            if not isinstance(page, list):
                raise ServerFailed("the server answered no list")
            if not page:
                return
            yield from page
            last = _name(page[-1])
            if last <= marker:
                raise ServerFailed("the server's listing does not advance")
            marker = last


def container_path(container: str) -> str:
    """Percent-encoded, with a leading slash."""
    return "/" + quote(container, safe="")


def object_path(container: str, name: str) -> str:
    """Percent-encoded, with a leading slash; slashes of the name stay."""
    return f"{container_path(container)}/{quote(name)}"


def _name(item: object) -> str:
    """Of an object, container or directory in a listing."""
    name = item.get("name", item.get("subdir")) if isinstance(item, dict) else None
    if not isinstance(name, str):
        raise ServerFailed("the server answered a list of things without names")
    return name


def _count(value: str | None) -> int:
    return int(value) if value is not None and value.isascii() and value.isdigit() else 0
