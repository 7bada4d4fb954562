"""What can go wrong with a guest."""

from __future__ import annotations


class GuestError(Exception):
    """Base of all errors of this package; its text is one line fit for an operator."""


class GuestTimeout(GuestError):
    """The guest did not do something in time."""


class GuestGone(GuestError):
    """The guest (or the connection to it) ended before it did what was waited for."""


class MonitorError(GuestError):
    """QEMU's monitor refused a command, or answered with something that is not QMP."""
