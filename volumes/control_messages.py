"""The control socket's messages: one JSON object a line, typed on both sides. No sockets here.

A request: {"version": 1, "operation": NAME, "arguments": {...}}. A reply: {"version": 1,
"result": {...}} or {"version": 1, "error": {"type", "message", "fields"}}. Fields are those of
the dataclasses below, all of them, and no others.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, TypeVar, get_origin, get_type_hints

from archipelago import (
    ArchipelagoError,
    InvalidArgument,
    NameTaken,
    VolumeBusy,
    VolumeNotFound,
    VolumeReadOnly,
)
from blockstore import LeaseLost, StoreError, StoreFull, StoreUnavailable

VERSION: Final = 1
"""Grows when a message changes its meaning; the two sides have to have the same."""

LINE_SIZE_MAX: Final = 2**20
"""Bytes of one message: room for the list of all connections a server takes."""


_T = TypeVar("_T")


class ControlError(Exception):
    """The control socket cannot be used, or what came over it makes no sense; text for people."""


class RequestFailed(ControlError):
    """The server could not do it, for a reason that has no class on this side."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Who is there?"""

    operation: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True)
class ListExports:
    """Which exports are attached?"""

    operation: ClassVar[str] = "exports"


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Make the snapshot `VOLUME@NAME`."""

    operation: ClassVar[str] = "snapshot"
    name: str


@dataclass(frozen=True, slots=True)
class MakeClone:
    """Make a volume from another, or from a snapshot; size in bytes, None for the source's."""

    operation: ClassVar[str] = "clone"
    source: str
    name: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Resize:
    """Give a volume another size in bytes."""

    operation: ClassVar[str] = "resize"
    name: str
    size: int
    shrink: bool = False


@dataclass(frozen=True, slots=True)
class Seal:
    """Turn frozen layers into blocks now: of one volume, or of all with an empty name."""

    operation: ClassVar[str] = "seal"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Detach:
    """End all connections of an export."""

    operation: ClassVar[str] = "detach"
    name: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End the server in an orderly way. The reply comes before the end."""

    operation: ClassVar[str] = "shutdown"


Request = Ping | ListExports | TakeSnapshot | MakeClone | Resize | Seal | Detach | Shutdown

_REQUESTS: dict[str, type[Request]] = {
    kind.operation: kind
    for kind in (Ping, ListExports, TakeSnapshot, MakeClone, Resize, Seal, Detach, Shutdown)
}


@dataclass(frozen=True, slots=True)
class Done:
    """It was done; for `Detach`, to how many connections."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class Pong:
    """The server's process id and store."""

    process_id: int
    store_url: str


@dataclass(frozen=True, slots=True)
class ExportEntry:
    """One attached export."""

    name: str
    size: int
    read_only: bool
    peers: list[str]
    """Who is connected, one for each connection."""


@dataclass(frozen=True, slots=True)
class ExportList:
    """All attached exports, by name."""

    exports: list[ExportEntry]


Result = Done | Pong | ExportList


def encode_request(request: Request) -> bytes:
    """One line."""
    return _encode({"operation": request.operation, "arguments": asdict(request)})


def decode_request(line: bytes) -> Request:
    """The reverse of `encode_request`. ControlError says what is wrong with the line."""
    message = _decode(line)
    name = message.get("operation")
    kind = _REQUESTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ControlError(f"unknown operation {name!r}")
    return _build(kind, message.get("arguments"))


def encode_result(result: Result) -> bytes:
    """One line."""
    return _encode({"result": asdict(result)})


def encode_error(error: Exception) -> bytes:
    """One line, from which `decode_reply` makes the same error where it has a class for it."""
    name = type(error).__name__
    values = [getattr(error, field, "") for field in _ERROR_FIELDS.get(name, ())]
    return _encode({"error": {"type": name, "message": str(error), "fields": values}})


def decode_reply(line: bytes, kind: type[_T]) -> _T:
    """The result, or the server's error raised here."""
    message = _decode(line)
    if "error" in message:
        raise _decode_error(message["error"])
    result = message.get("result")
    if kind is ExportList and isinstance(result, dict):
        entries = result.get("exports")
        if not isinstance(entries, list):
            raise ControlError("a list of exports without exports")
        return _build(kind, {"exports": [_build(ExportEntry, entry) for entry in entries]})
    return _build(kind, result)


_ERROR_FIELDS: dict[str, tuple[str, ...]] = {
    "VolumeNotFound": ("name",),
    "NameTaken": ("name",),
    "VolumeBusy": ("name", "holder"),
    "VolumeReadOnly": ("name",),
    "LeaseLost": ("name",),
}
"""The fields that errors with more than a text are made from again."""


def _decode_error(error: object) -> Exception:
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return ControlError("an error reply without a message")
    name, message, values = error.get("type"), error["message"], error.get("fields")
    expected = _ERROR_FIELDS.get(name, ()) if isinstance(name, str) else ()
    if not isinstance(values, list) or [type(value) for value in values] != [str] * len(expected):
        return RequestFailed(message)
    return _make_error(str(name), message, values)


def _make_error(name: str, message: str, values: list[str]) -> Exception:
    if name == "VolumeBusy":
        return VolumeBusy(values[0], values[1], message)
    by_name: dict[str, type[VolumeNotFound | NameTaken | VolumeReadOnly | LeaseLost]] = {
        "VolumeNotFound": VolumeNotFound,
        "NameTaken": NameTaken,
        "VolumeReadOnly": VolumeReadOnly,
        "LeaseLost": LeaseLost,
    }
    by_text: dict[str, type[ArchipelagoError | StoreError | ControlError]] = {
        "InvalidArgument": InvalidArgument,
        "StoreFull": StoreFull,
        "StoreUnavailable": StoreUnavailable,
        "ControlError": ControlError,
    }
    if name in by_name:
        return by_name[name](values[0])
    return by_text.get(name, RequestFailed)(message)


def _encode(message: dict[str, Any]) -> bytes:
    line = json.dumps({"version": VERSION, **message}, separators=(",", ":")).encode() + b"\n"
    if len(line) > LINE_SIZE_MAX:
        raise ControlError(f"a message of {len(line)} bytes; the limit is {LINE_SIZE_MAX}")
    return line


def _decode(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"not a JSON message: {error}") from error
    if not isinstance(message, dict):
        raise ControlError("not a JSON object")
    if message.get("version") != VERSION:
        raise ControlError(
            f"the other side speaks version {message.get('version')!r} of the control protocol,"
            f" this one {VERSION}"
        )
    return message


def _build(kind: type[_T], values: object) -> _T:
    """An instance of a dataclass from a JSON object with exactly its fields."""
    hints = get_type_hints(kind)
    names = [name for name, hint in hints.items() if get_origin(hint) is not ClassVar]
    if not isinstance(values, dict) or sorted(values) != sorted(names):
        raise ControlError(f"{kind.__name__} has the fields {names}")
    for name in names:
        if not _fits(values[name], hints[name]):
            raise ControlError(f"{kind.__name__}: {name} cannot be {values[name]!r:.80}")
    return kind(**values)


def _fits(value: object, hint: object) -> bool:
    if hint == int | None:
        return value is None or type(value) is int
    if hint == list[str]:
        return isinstance(value, list) and all(type(item) is str for item in value)
    if hint == list[ExportEntry]:
        return isinstance(value, list) and all(type(item) is ExportEntry for item in value)
    return type(value) is hint
