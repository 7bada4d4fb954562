"""What can go wrong with volumes and maps. Errors of the store (`blockstore`) pass through."""

from __future__ import annotations


class ArchipelagoError(Exception):
    """Base of all errors of this package; its text is one line fit for an operator."""


class InvalidArgument(ArchipelagoError):
    """A name, size, offset or file that breaks a rule; the text says which."""


class VolumeNotFound(ArchipelagoError):
    """No volume or snapshot of that name. Field: `name`."""

    def __init__(self, name: str) -> None:
        kind = "snapshot" if "@" in name else "volume"
        super().__init__(f"no such {kind}: {name}")
        self.name = name


class NameTaken(ArchipelagoError):
    """The name belongs to another volume or snapshot. Field: `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name} is taken")
        self.name = name


class VolumeBusy(ArchipelagoError):
    """The volume can't be changed now. Fields: `name`, `holder` (who has it, or what keeps it)."""

    def __init__(self, name: str, holder: str, reason: str = "") -> None:
        super().__init__(reason or f"{name} is in use by {holder}")
        self.name = name
        self.holder = holder


class VolumeReadOnly(ArchipelagoError):
    """A change was asked of a snapshot, or of a volume opened for reading. Field: `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is open for reading only")
        self.name = name


class SealingStopped(ArchipelagoError):
    """Who asked for sealing told it to stop. What is frozen stays so, and can be sealed later."""

    def __init__(self) -> None:
        super().__init__("sealing was stopped before it was done; nothing is lost")


class MapCorrupt(ArchipelagoError):
    """A map page that is missing or is not what its place demands.

    Fields: `page_id`, `path` (the slots from the root to it), `why`.
    """

    def __init__(self, page_id: bytes, path: tuple[int, ...], why: str) -> None:
        place = "/".join(str(slot) for slot in path) or "root"
        super().__init__(f"map page {page_id.hex()} at {place}: {why}")
        self.page_id = page_id
        self.path = path
        self.why = why
