"""How long work reports how far it is, without knowing who looks on."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """One stage at a time: `start` names it, `advance` counts its bytes."""

    def start(self, label: str, total: int) -> None:
        """Begin a stage of `total` bytes."""
        ...

    def advance(self, count: int) -> None:
        """`count` more bytes are done."""
        ...


class Silent:
    """Nobody looks on."""

    def start(self, label: str, total: int) -> None:
        """Nothing."""

    def advance(self, count: int) -> None:
        """Nothing."""
