"""Which accelerator a guest can use here.

/dev/kvm is no proof: where the host's KVM is itself emulated, it exists and ordinary kernels do not
start on it. So a real boot of the volume at hand decides, once for each boot of the host.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

from compute_glue.errors import GuestError, GuestGone, GuestTimeout
from compute_glue.qemu import Guest, Machine

KVM_DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CACHE_NAME = "accelerator.json"

PROBE_S = 20.0
"""A kernel under working KVM says its first word in a second or two."""

ERROR_LENGTH_MAX = 120
KERNEL_SPEAKS = rb"\[ +\d+\.\d+\]|Linux version|login:"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """`name` is "kvm" or "tcg", `why` a phrase for the operator."""

    name: str
    why: str
    lasting: bool = True
    """It says something of the host, not only of this volume."""


def choose(machine: Machine, requested: str, cache_folder: Path) -> Accelerator:
    """Resolve "auto" for `machine` (its own accelerator is ignored); "kvm" and "tcg" are obeyed.

    A result that speaks of the host is kept in `cache_folder` until the host boots again.
    """
    if requested != "auto":
        return Accelerator(requested, "as asked")
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return Accelerator("tcg", f"no access to {KVM_DEVICE}")
    boot_id = BOOT_ID.read_text().strip()
    cached = _load(cache_folder / CACHE_NAME, boot_id)
    if cached is not None:
        return cached
    chosen = _probe(machine)
    if chosen.lasting:
        _save(cache_folder / CACHE_NAME, boot_id, chosen)
    return chosen


def _probe(machine: Machine) -> Accelerator:
    """Boot it under KVM, keeping its writes off the disk, until the kernel speaks."""
    trial = dataclasses.replace(machine, accel="kvm", throw_away=True)
    with Guest(trial) as guest:
        try:
            guest.console.expect(KERNEL_SPEAKS, PROBE_S)
        except GuestTimeout:
            # It may be KVM, or a volume that nothing boots from.
            why = f"a trial boot under KVM was silent for {PROBE_S:g} s"
            return Accelerator("tcg", why, lasting=False)
        except GuestGone:
            guest.wait()
            last = (guest.errors().splitlines() or ["QEMU ended"])[-1]
            why = f"a trial boot under KVM failed: {last[:ERROR_LENGTH_MAX]}"
            return Accelerator("tcg", why, lasting="kvm" in last.lower())
    return Accelerator("kvm", "a trial boot under KVM worked")


def _load(path: Path, boot_id: str) -> Accelerator | None:
    """The cached result, unless it is of another boot or not readable as one."""
    try:
        record = json.loads(path.read_bytes())
        if record["boot_id"] == boot_id and record["name"] in ("kvm", "tcg"):
            return Accelerator(record["name"], str(record["why"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return None


def _save(path: Path, boot_id: str, chosen: Accelerator) -> None:
    record = {"boot_id": boot_id, "name": chosen.name, "why": chosen.why}
    scratch = path.with_suffix(f".{os.getpid()}")
    try:
        scratch.write_text(json.dumps(record))
        scratch.replace(path)
    except OSError as error:
        raise GuestError(f"cannot write {path}: {error.strerror}") from error
