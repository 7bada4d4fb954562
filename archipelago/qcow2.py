"""qcow2 images in and out, through qemu-img.

An image comes from strangers. Its format is told to qemu-img, never guessed (a raw disk whose
guest wrote a qcow2 header would otherwise make qemu read any file it names), and an image that
refers to other files is refused before it is converted.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archipelago.catalog import Catalog
from archipelago.errors import InvalidArgument
from archipelago.info import VolumeInfo
from archipelago.names import VOLUME_SIZE_MAX, check_name
from archipelago.transfer import Progress, export_raw, import_raw, new_file

INFO_TIMEOUT_S = 30
INFO_CPU_S_MAX = 10
INFO_MEMORY_SIZE_MAX = 2**30
"""Limits for looking at an image that may be made to exhaust who looks at it."""

CHECK_LEAKS = 3
"""What `qemu-img check` ends with when it found lost space only: no harm to a reader."""

ERROR_LENGTH_MAX = 400


def import_qcow2(
    catalog: Catalog,
    source: Path,
    name: str,
    progress: Progress | None = None,
    scratch: Path | None = None,
) -> VolumeInfo:
    """Make the volume `name` of a qcow2 file that stands alone.

    InvalidArgument when it is no qcow2 image, has a backing file or an external data file, or is
    encrypted. `scratch` is where the raw form is kept meanwhile (sparse; the default is beside
    the temporary files of the system).
    """
    check_name(name)
    path = _plain_path(source)
    _check_image(path, _image_info(path))
    # A cut or damaged image would be converted all the same, with zeros where data was.
    _run(["check", "-f", "qcow2", "-q", str(path)], good=(0, CHECK_LEAKS))
    with tempfile.TemporaryDirectory(prefix="archipelago-", dir=scratch) as directory:
        raw = Path(directory) / "image.raw"
        _run(["convert", "-f", "qcow2", "-O", "raw", str(path), str(raw)])
        return import_raw(catalog, raw, name, progress)


def export_qcow2(
    catalog: Catalog,
    name: str,
    target: Path,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
    compress: bool = False,
) -> None:
    """Write a volume or snapshot as a qcow2 file, which appears when it is whole and durable.

    Needs room beside `target` for the data twice.
    """
    path = _plain_path(target)
    _find_qemu_img()
    with new_file(path, overwrite=overwrite) as temporary, _beside(temporary) as raw:
        export_raw(catalog, name, raw, progress)
        options = ["-c"] if compress else []
        _run(["convert", "-f", "raw", "-O", "qcow2", *options, str(raw), str(temporary)])


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    raw = path.with_name(path.name + ".raw")
    try:
        yield raw
    finally:
        raw.unlink(missing_ok=True)


def _plain_path(path: Path) -> Path:
    """The path in a form that qemu-img takes for nothing but a path: absolute, so that no
    protocol (`nbd:`, `json:`) can begin it."""
    return Path(os.path.abspath(path))


def _image_info(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InvalidArgument(f"{path} is not a file")
    output = _run(
        ["info", "--output=json", "-f", "qcow2", str(path)],
        limit=_limit_info,
        timeout_s=INFO_TIMEOUT_S,
    )
    try:
        info = json.loads(output)
    except ValueError:
        info = None
    if not isinstance(info, dict):
        raise InvalidArgument(f"qemu-img says nothing intelligible about {path}")
    return info


def _check_image(path: Path, info: dict[str, Any]) -> None:
    """Refuse an image that leads elsewhere or can't be a volume."""
    specific = info.get("format-specific", {})
    data = specific.get("data", {}) if isinstance(specific, dict) else {}
    if info.get("format") != "qcow2":
        raise InvalidArgument(f"{path} is no qcow2 image")
    for key in ("backing-filename", "full-backing-filename", "backing-image"):
        if info.get(key):
            raise InvalidArgument(f"{path} has a backing file ({info[key]}); flatten it first")
    if not isinstance(data, dict) or data.get("data-file") or data.get("data-file-raw"):
        raise InvalidArgument(f"{path} keeps its data in another file; convert it first")
    if info.get("encrypted") or data.get("encrypt"):
        raise InvalidArgument(f"{path} is encrypted")
    size = info.get("virtual-size")
    if not isinstance(size, int) or not 0 < size <= VOLUME_SIZE_MAX:
        raise InvalidArgument(f"{path} has {size} bytes; a volume has up to {VOLUME_SIZE_MAX}")


def _run(
    arguments: Sequence[str],
    limit: Callable[[int], None] | None = None,
    timeout_s: float | None = None,
    good: Sequence[int] = (0,),
) -> bytes:
    """Run qemu-img; InvalidArgument with its own words when it fails."""
    command = [_find_qemu_img(), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            if limit is not None:
                limit(process.pid)
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise InvalidArgument(f"qemu-img {arguments[0]} takes too long") from None
        except BaseException:
            process.kill()
            raise
    if process.returncode not in good:
        said = " ".join(errors.decode(errors="replace").split())[-ERROR_LENGTH_MAX:]
        reason = said or f"it ended with {process.returncode}"
        raise InvalidArgument(f"qemu-img {arguments[0]}: {reason}")
    return output


def _limit_info(pid: int) -> None:
    for what, most in (
        (resource.RLIMIT_CPU, INFO_CPU_S_MAX),
        (resource.RLIMIT_AS, INFO_MEMORY_SIZE_MAX),
    ):
        try:
            resource.prlimit(pid, what, (most, most))
        except ProcessLookupError:
            return


def _find_qemu_img() -> str:
    found = shutil.which("qemu-img")
    if found is None:
        raise InvalidArgument("qemu-img is not installed; only raw images can be handled")
    return found
