"""Which accelerator: asked for, cached, or found by a trial boot."""

import json
import shutil
from pathlib import Path

import pytest

from compute_glue import accel
from compute_glue.qemu import Machine, RawDisk

MACHINE = Machine(RawDisk("/nonexistent/disk.raw"))


@pytest.fixture
def kvm_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the place of /dev/kvm: enough for the first check, useless to QEMU."""
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accel, "KVM_DEVICE", device)
    return device


def cache(folder: Path, **fields: str) -> None:
    boot_id = accel.BOOT_ID.read_text().strip()
    record = {"boot_id": boot_id, "name": "kvm", "why": "tried"} | fields
    (folder / accel.CACHE_NAME).write_text(json.dumps(record))


@pytest.mark.parametrize("name", ["kvm", "tcg"])
def test_a_request_is_obeyed_without_trial(name: str, tmp_path: Path):
    assert accel.choose(MACHINE, name, tmp_path).name == name
    assert list(tmp_path.iterdir()) == []


def test_without_the_device_it_is_emulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(accel, "KVM_DEVICE", tmp_path / "absent")
    chosen = accel.choose(MACHINE, "auto", tmp_path)
    assert chosen.name == "tcg"
    assert "absent" in chosen.why


def test_a_result_of_this_boot_is_used_again(tmp_path: Path, kvm_device: Path):
    cache(tmp_path)
    assert accel.choose(MACHINE, "auto", tmp_path) == accel.Accelerator("kvm", "tried")


needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None, reason="no qemu-system-x86_64"
)


@pytest.mark.interop
@needs_qemu
@pytest.mark.parametrize("text", ["", "{}", "[]", '{"boot_id": 3, "name": "kvm", "why": ""}'])
def test_a_stale_or_damaged_result_leads_to_a_trial(text: str, tmp_path: Path, kvm_device: Path):
    (tmp_path / accel.CACHE_NAME).write_text(text)
    chosen = accel.choose(MACHINE, "auto", tmp_path)
    assert chosen.name == "tcg"
    assert "failed" in chosen.why


@pytest.mark.interop
@needs_qemu
def test_a_bad_volume_says_nothing_of_the_host(tmp_path: Path, kvm_device: Path):
    chosen = accel.choose(MACHINE, "auto", tmp_path)
    if not chosen.lasting:
        assert not (tmp_path / accel.CACHE_NAME).exists()
    assert "disk.raw" in chosen.why or "kvm" in chosen.why.lower()
