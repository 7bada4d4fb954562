"""What client and server have agreed on so far in a handshake, and the flags that follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from volumes.exports import Attachment, ExportInfo, Exports
from volumes.nbd import wire


@dataclass(slots=True)
class Agreement:
    """Filled in by the options of one handshake."""

    exports: Exports
    peer: str
    disconnect: Callable[[], None]
    no_zeroes: bool = False
    structured_replies: bool = False
    context_export: str = ""
    """The export whose meta contexts were chosen; the choice holds for that one only."""
    allocation_context: bool = False
    aborted: bool = False
    attachment: Attachment | None = None

    @property
    def status_allowed(self) -> bool:
        """Whether block status may be asked of what is attached."""
        return (
            self.allocation_context
            and self.attachment is not None
            and self.attachment.info.name == self.context_export
        )


def transmission_flags(info: ExportInfo, structured_replies: bool) -> int:
    """The flags announced for an export."""
    flags = (
        wire.EXPORT_HAS_FLAGS
        | wire.EXPORT_SEND_FLUSH
        | wire.EXPORT_SEND_FUA
        | wire.EXPORT_CAN_MULTI_CONN
        | wire.EXPORT_SEND_CACHE
    )
    if structured_replies:
        flags |= wire.EXPORT_SEND_DF
    if info.read_only:
        return flags | wire.EXPORT_READ_ONLY
    return (
        flags | wire.EXPORT_SEND_TRIM | wire.EXPORT_SEND_WRITE_ZEROES | wire.EXPORT_SEND_FAST_ZERO
    )
