"""Listings of an account or container: the query that asks, and the three forms of the answer."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape, quoteattr

from werkzeug.datastructures import MIMEAccept

from pithos_api.faults import HttpError
from pithos_api.namespace.records import ContainerInfo, ListQuery, ObjectInfo, Subdir
from pithos_api.object_store.limits import LISTING_LIMIT_MAX, POLICY
from pithos_api.object_store.object_headers import is_true
from pithos_api.object_store.timestamps import listing_date

_XML_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKERS = ("marker", "end_marker")
_LIMIT = re.compile(r"[0-9]{1,18}")


class Form(enum.Enum):
    """A serialisation; the value is its media type."""

    TEXT = "text/plain"
    JSON = "application/json"
    XML = "application/xml"
    TEXT_XML = "text/xml"

    @property
    def content_type(self) -> str:
        """Value of the Content-Type header."""
        return f"{self.value}; charset=utf-8"


_FORMATS = {"json": Form.JSON, "xml": Form.XML}


def parse_parameters(query_string: str) -> dict[str, str]:
    """The query as UTF-8 text, first value of each name. HttpError 412 when it is not UTF-8."""
    try:
        text = query_string.encode("latin-1").decode("utf-8")  # some clients quote nothing
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:  # also UnicodeDecodeError, and too many fields
        raise HttpError(412, "Invalid query string") from error
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if "\0" in value and name not in _MARKERS:
            raise HttpError(412, "Invalid query string")
        parameters.setdefault(name, value)
    return parameters


def negotiate(parameters: Mapping[str, str], accept: MIMEAccept) -> Form:
    """`format=` decides, else Accept. HttpError 406 when nothing fits."""
    asked = parameters.get("format")
    if asked:
        return _FORMATS.get(asked.lower(), Form.TEXT)
    if not accept:
        return Form.TEXT
    best = accept.best_match([form.value for form in Form])
    if best is None:
        raise HttpError(406, "No acceptable format")
    return Form(best)


def listing_query(parameters: Mapping[str, str]) -> ListQuery:
    """What is asked for. HttpError 412 when the limit is over the announced one."""
    reverse = is_true(parameters.get("reverse", ""))
    return ListQuery(
        limit=_limit(parameters.get("limit", "")),
        marker=_bound(parameters.get("marker", ""), upper=reverse),
        end_marker=_bound(parameters.get("end_marker", ""), upper=not reverse),
        prefix=parameters.get("prefix", ""),
        delimiter=parameters.get("delimiter", ""),
        path=parameters.get("path"),
        reverse=reverse,
    )


def render_account(account: str, entries: Sequence[ContainerInfo | Subdir], form: Form) -> bytes:
    """Bytes of an account's listing; `account` as in the URL."""
    if form is Form.TEXT:
        return _text(entries)
    if form is Form.JSON:
        return _json([_container_fields(entry) for entry in entries])
    body = "".join(_element("container", _container_fields(entry)) for entry in entries)
    return _document("account", account, body)


def render_container(container: str, entries: Sequence[ObjectInfo | Subdir], form: Form) -> bytes:
    """Bytes of a container's listing."""
    if form is Form.TEXT:
        return _text(entries)
    if form is Form.JSON:
        return _json([_object_fields(entry) for entry in entries])
    body = "".join(_element("object", _object_fields(entry)) for entry in entries)
    return _document("container", container, body)


def _limit(text: str) -> int:
    if not _LIMIT.fullmatch(text):
        return LISTING_LIMIT_MAX
    if int(text) > LISTING_LIMIT_MAX:
        raise HttpError(412, f"Maximum limit is {LISTING_LIMIT_MAX}")
    return int(text)


def _bound(marker: str, *, upper: bool) -> str:
    """A marker without NUL that leaves out the same names.

    Clients append a NUL to make a marker inclusive. No name has one, so those below `x\\0...` are
    those up to `x`, and those above it are those above `x`.
    """
    head, nul, _ = marker.partition("\0")
    return head + "\x01" if nul and upper else head


def _container_fields(entry: ContainerInfo | Subdir) -> dict[str, str | int]:
    if isinstance(entry, Subdir):
        return {"subdir": entry.name}
    return {
        "name": entry.name,
        "count": entry.object_count,
        "bytes": entry.bytes_used,
        "last_modified": listing_date(entry.modified),
        "storage_policy": POLICY,
    }


def _object_fields(entry: ObjectInfo | Subdir) -> dict[str, str | int]:
    if isinstance(entry, Subdir):
        return {"subdir": entry.name}
    return {
        "name": entry.name,
        # Empty where the bytes never passed by: a listing does not read contents.
        "hash": entry.md5 or "",
        "bytes": entry.size,
        "content_type": entry.content_type,
        "last_modified": listing_date(entry.modified),
    }


def _text(entries: Sequence[ContainerInfo | ObjectInfo | Subdir]) -> bytes:
    return "".join(f"{entry.name}\n" for entry in entries).encode()


def _json(items: Sequence[Mapping[str, str | int]]) -> bytes:
    return json.dumps(items).encode()


def _element(tag: str, fields: Mapping[str, str | int]) -> str:
    if "subdir" in fields:
        name = _xml_text(str(fields["subdir"]))
        return f"<subdir name={quoteattr(name)}><name>{escape(name)}</name></subdir>"
    inner = "".join(
        f"<{key}>{escape(_xml_text(str(value)))}</{key}>" for key, value in fields.items()
    )
    return f"<{tag}>{inner}</{tag}>"


def _document(root: str, name: str, body: str) -> bytes:
    # No white space between the elements: Swift's clients take the first child for an entry.
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} name={quoteattr(_xml_text(name))}>'
    return f"{head}{body}</{root}>".encode()


def _xml_text(text: str) -> str:
    """XML 1.0 has no way to write most control characters; a mark stands for them."""
    return _XML_FORBIDDEN.sub("�", text)
