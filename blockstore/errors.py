"""What can go wrong in a store: by the caller, the machine, or the data itself."""

from __future__ import annotations


class StoreError(Exception):
    """Base of all errors of this package; its text is one line fit for an operator."""


class StoreUsageError(StoreError):
    """The caller asked for something that has no meaning: a bad size, name, option or URL."""


class StoreUnavailable(StoreError):
    """No usable store at the place named: absent, not a store, a newer format, read-only."""


class StoreFull(StoreError):
    """The medium has no room (ENOSPC, EDQUOT, EFBIG). Nothing was acknowledged; reads go on."""


class NotFound(StoreError):
    """No block, head, layer or lease of that name. Fields: `kind`, `name`."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"no such {kind}: {name}")
        self.kind = kind
        self.name = name


class HeadConflict(StoreError):
    """A compare-and-swap found another version than expected. Nothing of the batch was applied."""

    def __init__(self, name: str, expected: int, found: int) -> None:
        super().__init__(f"head {name!r} is at version {found}, not {expected}")
        self.name = name
        self.expected = expected
        self.found = found


class LeaseHeld(StoreError):
    """Somebody else holds the lease. Fields: `name`, `holder`."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"{name} is in use by {holder}")
        self.name = name
        self.holder = holder


class LeaseLost(StoreError):
    """The lease was seized or has lapsed; its former holder must not write any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the lease on {name} was lost; another process owns it now")
        self.name = name


class Corrupt(StoreError):
    """Stored bytes fail their check. `what` names the thing, `where` the file and offset."""

    def __init__(self, what: str, where: str, why: str) -> None:
        super().__init__(f"{what} is damaged at {where}: {why}")
        self.what = what
        self.where = where
        self.why = why


class BlockCorrupt(Corrupt):
    """A block whose bytes do not give its id (or its checksum). Field: `block_id`."""

    def __init__(self, block_id: bytes, where: str, why: str) -> None:
        super().__init__(f"block {block_id.hex()}", where, why)
        self.block_id = block_id
