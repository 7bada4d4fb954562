"""What a front end may offer: names of exports, what is told of them, and how one is attached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from volumes.device import Device


class ExportUnknown(Exception):
    """There is no export of that name."""


class ExportRefused(Exception):
    """The export exists, but cannot be had now; the text says why (in use, damaged, ...)."""


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """What is told of an export before it is attached."""

    name: str
    size: int
    """Bytes."""
    read_only: bool
    description: str


class Attachment(Protocol):
    """One connection's hold on an export."""

    @property
    def info(self) -> ExportInfo: ...

    @property
    def device(self) -> Device: ...

    def close(self) -> None:
        """Let go; the last one closes the device. Idempotent. Logs what fails."""
        ...


class Exports(Protocol):
    """The exports of a server. Used by many threads at once."""

    def names(self, limit: int) -> list[str]:
        """At most `limit` names of volumes, in order."""
        ...

    def describe(self, name: str) -> ExportInfo:
        """ExportUnknown, ExportRefused."""
        ...

    def attach(self, name: str, peer: str, disconnect: Callable[[], None]) -> Attachment:
        """Hold the export for `peer`; the first opens the device. ExportUnknown, ExportRefused.

        `disconnect` may be called from any thread, when the export is to be given up: it makes
        the front end end the connection, which closes the attachment: soon, when what is in
        flight is finished; at once, when it is called again.
        """
        ...
