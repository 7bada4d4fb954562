"""Exit codes, and the one table from errors to them."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from archipelago import (
    ArchipelagoError,
    InvalidArgument,
    MapCorrupt,
    NameTaken,
    VolumeBusy,
    VolumeNotFound,
)
from blockstore import Corrupt, StoreError, StoreFull, StoreUnavailable, StoreUsageError
from compute_glue.errors import GuestError
from pithos_api.database.engine import DatabaseFull, DatabaseUnusable, lacks_room
from pithos_api.identity.errors import (
    IdentityConflict,
    IdentityError,
    IdentityInvalid,
    NoSuchProject,
    NoSuchUser,
)
from pithos_api.image.errors import ImageAmbiguous, ImageError, NoSuchImage
from pithos_api.namespace.errors import NameInvalid, NamespaceError
from volumes.control import ControlError, ServerUnreachable
from volumes.unix_socket import SocketUnavailable

FAILED = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4
STORAGE = 5
INTERRUPTED = 130

EXIT_CODES_HELP = """exit codes:
  0    done
  1    it failed; the line on standard error says why
  2    the command line or a setting makes no sense
  3    there is no such volume, snapshot, image, user, project or data directory
  4    the name is taken, or the thing is in use
  5    the store is damaged, full or cannot be opened
  130  interrupted with Ctrl-C"""


class OperatorError(Exception):
    """One line for the operator, ending with what to do next; `exit_code` is one of the above."""

    def __init__(self, text: str, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (VolumeNotFound, NOT_FOUND),
    (NoSuchUser, NOT_FOUND),
    (NoSuchProject, NOT_FOUND),
    (NoSuchImage, NOT_FOUND),
    (ImageAmbiguous, CONFLICT),
    (ImageError, FAILED),
    (NameTaken, CONFLICT),
    (VolumeBusy, CONFLICT),
    (IdentityConflict, CONFLICT),
    (InvalidArgument, USAGE),
    (IdentityInvalid, USAGE),
    (NameInvalid, USAGE),
    (StoreUsageError, USAGE),
    (StoreError, STORAGE),
    (MapCorrupt, STORAGE),
    (ArchipelagoError, FAILED),
    (IdentityError, FAILED),
    (NamespaceError, FAILED),
    (GuestError, FAILED),
    (ControlError, FAILED),
    (SocketUnavailable, CONFLICT),
    (DatabaseUnusable, STORAGE),
    (SQLAlchemyError, STORAGE),
    (OSError, FAILED),
)
"""The first class that matches gives the code; what is not here is a defect of ours."""


def exit_code_of(error: Exception) -> int | None:
    """The code for an error that an operator may meet, or None."""
    if isinstance(error, OperatorError):
        return error.exit_code
    for kind, code in EXIT_CODES:
        if isinstance(error, kind):
            return code
    return None


DAMAGED_HINT = "do not delete anything; look at the disk, and restore that piece from a copy"
FULL_HINT = "free space on the medium, then do it again; nothing was lost"

HINTS: tuple[tuple[type[Exception], str], ...] = (
    (VolumeNotFound, "see: archipelago volume list"),
    (NoSuchUser, "see: archipelago user list"),
    (NoSuchProject, "see: archipelago project list"),
    (NoSuchImage, "see: archipelago image list"),
    (ImageAmbiguous, "see: archipelago image list"),
    (NameTaken, "choose another name, or delete that one first"),
    (VolumeBusy, "stop what uses it first, or try again later"),
    (ServerUnreachable, "start one with: archipelago serve"),
    (StoreFull, FULL_HINT),
    (DatabaseFull, FULL_HINT),
    (Corrupt, DAMAGED_HINT),
    (MapCorrupt, DAMAGED_HINT),
    (StoreUnavailable, "stop what uses it, or check --data and who may read that directory"),
    (DatabaseUnusable, "check --data, or database_url in the settings"),
    (SQLAlchemyError, "check --data, or database_url in the settings"),
)
"""What to do next, for errors of the floors below: the first class that matches."""


REBUILDABLE = "rebuild-index"
"""The store says so of what it can make anew from its other files."""


def text_of(error: Exception) -> str:
    """The error in one line."""
    if isinstance(error, DBAPIError):
        if lacks_room(error):
            return "the API database: no room on its medium"
        return f"the API database: {error.orig}"
    return " ".join(str(error).split()) or type(error).__name__


def hint_of(error: Exception) -> str:
    """The advice that goes with an error; "" where there is none (or it has its own)."""
    if isinstance(error, VolumeBusy) and "first" in str(error):
        return ""
    if isinstance(error, Corrupt) and REBUILDABLE in str(error):
        return "stop archipelago serve, then run: archipelago rebuild-index"
    if isinstance(error, DBAPIError) and lacks_room(error):
        return FULL_HINT
    return next((hint for kind, hint in HINTS if isinstance(error, kind)), "")
