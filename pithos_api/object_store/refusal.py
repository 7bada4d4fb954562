"""An HTTP answer raised as an exception by the rules of this endpoint."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """The request can't be served: `status` says why to a program, `message` to a person."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
