"""Images into volumes and out of them: what an operator's paths and formats come to."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from archipelago import (
    Catalog,
    VolumeBusy,
    VolumeInfo,
    export_qcow2,
    export_raw,
    import_qcow2,
    import_raw,
)
from pithos_api.operator.errors import CONFLICT, NOT_FOUND, USAGE, OperatorError

RAW = "raw"
QCOW2 = "qcow2"
FORMATS = (RAW, QCOW2)

STANDARD_OUTPUT = "-"

Progress = Callable[[int, int | None], None]
"""Called with the bytes done and the bytes in all."""

MAGIC = {b"QFI\xfb": QCOW2, b"KDMV": "vmdk", b"vhdxfile": "vhdx", b"conectix": "vpc"}
MAGIC_LENGTH_MAX = 8


def import_file(
    catalog: Catalog, path: str, name: str, image_format: str | None, progress: Progress
) -> VolumeInfo:
    """Make volume `name` with the file's content; its size is rounded up to a whole sector.

    The format is never guessed: a raw disk whose guest wrote another format's first bytes would be
    taken for what it isn't. Without a format it is raw, and refused where it looks like another.
    """
    start = _start_of(path)
    if image_format is None:
        _refuse_other_formats(start, path)
    if image_format == QCOW2:
        return import_qcow2(catalog, Path(path), name, progress)
    return import_raw(catalog, Path(path), name, progress)


def export_file(
    catalog: Catalog, name: str, path: str, image_format: str | None, progress: Progress
) -> None:
    """Write the volume or snapshot to a new file, leaving holes; "-" = standard output (raw)."""
    if path == STANDARD_OUTPUT and image_format == QCOW2:
        raise OperatorError("qcow2 needs a file, not a pipe; name one", USAGE)
    try:
        if path == STANDARD_OUTPUT:
            export_raw(catalog, name, sys.stdout.buffer, progress)
        elif os.path.lexists(path):
            raise FileExistsError(path)
        elif image_format == QCOW2:
            export_qcow2(catalog, name, Path(path), progress)
        else:
            export_raw(catalog, name, Path(path), progress)
    except VolumeBusy as error:
        raise OperatorError(
            f"{error}; take a snapshot, and export that: archipelago snapshot create {name}@NAME",
            CONFLICT,
        ) from error
    except FileExistsError as error:
        raise OperatorError(f"{path} exists; name another file", CONFLICT) from error


def _start_of(path: str) -> bytes:
    """The first bytes. OperatorError for what is neither a file nor a block device, or empty."""
    try:
        source = open(path, "rb")  # noqa: SIM115 - closed by the block below
    except FileNotFoundError as error:
        raise OperatorError(f"no such file: {path}", NOT_FOUND) from error
    with source:
        mode = os.fstat(source.fileno()).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise OperatorError(f"{path} is neither a file nor a block device", USAGE)
        start = source.read(MAGIC_LENGTH_MAX)
    if not start:
        raise OperatorError(f"{path} is empty", USAGE)
    return start


def _refuse_other_formats(start: bytes, path: str) -> None:
    for magic, kind in MAGIC.items():
        if start.startswith(magic):
            advice = (
                "say so: --format qcow2"
                if kind == QCOW2
                else f"convert it first: qemu-img convert -O raw {path} disk.raw"
            )
            raise OperatorError(
                f"{path} looks like {kind}, not raw; {advice}"
                " (or --format raw, to take it as it is)",
                USAGE,
            )
