"""The one table from errors to HTTP answers. How an answer is worded is each endpoint's `render`.

An endpoint raises the errors of the floor that it calls, or `HttpError` where only HTTP is at
fault; `app.py` turns what was raised into a `Fault` and lets the dialect render it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from archipelago import (
    ArchipelagoError,
    InvalidArgument,
    NameTaken,
    VolumeBusy,
    VolumeNotFound,
    VolumeReadOnly,
)
from blockstore import NotFound, StoreError, StoreFull, StoreUnavailable, StoreUsageError
from pithos_api.database.engine import lacks_room
from pithos_api.identity.errors import (
    Forbidden,
    IdentityConflict,
    IdentityError,
    IdentityInvalid,
    Unauthorized,
)
from pithos_api.namespace.errors import (
    AlreadyExists,
    ContainerNotEmpty,
    NameInvalid,
    NamespaceError,
    NoSuchAccount,
    NoSuchContainer,
    NoSuchObject,
    PreconditionFailed,
    UploadInterrupted,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer that is an error. `message` is fit for the client, or empty: then the phrase of the
    status says enough."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpError(Exception):
    """Raised by an endpoint: this status, this text, these headers."""

    def __init__(
        self, status: int, message: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message or f"HTTP {status}")
        self.fault = Fault(status, message, headers or {})


INTERNAL_STATUS = 500
FULL_STATUS = 507

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unauthorized, 401),
    (Forbidden, 403),
    (IdentityConflict, 409),
    (IdentityInvalid, 400),
    (IdentityError, 404),
    (NoSuchAccount, 404),
    (NoSuchContainer, 404),
    (NoSuchObject, 404),
    (ContainerNotEmpty, 409),
    (NameInvalid, 400),
    (PreconditionFailed, 412),
    (AlreadyExists, 412),
    (UploadInterrupted, 400),
    (NamespaceError, 500),
    (StoreFull, FULL_STATUS),
    (StoreUnavailable, 503),
    (StoreUsageError, 500),
    (NotFound, 500),
    (StoreError, 500),
    (InvalidArgument, 400),
    (VolumeNotFound, 404),
    (NameTaken, 409),
    (VolumeBusy, 409),
    (VolumeReadOnly, 503),
    (ArchipelagoError, 500),
    (PoolTimeout, 503),
    (OperationalError, 503),
)
"""The first class that matches gives the status; what is not here is a 500."""


def fault_of(error: Exception) -> Fault:
    """The answer to an error. What broke in the server, and in which files, only its log tells."""
    if isinstance(error, HttpError):
        return error.fault
    if isinstance(error, HTTPException):
        return _fault_of_http_exception(error)
    if isinstance(error, OperationalError) and lacks_room(error):
        return Fault(FULL_STATUS, "")
    for kind, status in STATUS:
        if isinstance(error, kind):
            return Fault(status, "" if status >= INTERNAL_STATUS else str(error))
    return Fault(INTERNAL_STATUS, "")


def _fault_of_http_exception(error: HTTPException) -> Fault:
    """Flask's own: no such route, method not allowed, unreadable body."""
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    }
    return Fault(error.code or INTERNAL_STATUS, error.description or "", headers)
