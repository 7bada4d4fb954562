"""What can go wrong for a client, by what its user can do about it; the text is one line."""

from __future__ import annotations


class ClientError(Exception):
    """Base of all errors of this package."""


class NotFound(ClientError):
    """The server has no such account, container, object or image (404)."""


class Denied(ClientError):
    """Not logged in, wrong password, or not allowed (401, 403)."""


class Conflict(ClientError):
    """The thing exists already, is not empty, or is not the version expected (409, 412)."""


class Refused(ClientError):
    """The server will not do it as asked (other 4xx). Field: `status`."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(ClientError):
    """No answer: name, connection, TLS or time-out."""


class ServerFailed(ClientError):
    """The server broke (5xx), or answered what the protocol does not know."""


class DataMismatch(ClientError):
    """Content is not what its hash says: damaged under way, or the local file changed meanwhile."""
