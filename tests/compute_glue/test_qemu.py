"""QEMU's arguments, and a guest that ends."""

import shutil

import pytest

from compute_glue.errors import GuestError
from compute_glue.qemu import DirectKernel, Guest, Machine, NbdDisk, RawDisk, command_line

DISK = NbdDisk("/run/a.sock", "web-1")


def option(line: list[str], name: str) -> str:
    return line[line.index(name) + 1]


def test_an_nbd_disk_outlives_a_restart_of_the_server():
    blockdev = option(command_line(Machine(DISK), 3), "-blockdev")
    for part in (
        "driver=nbd",
        "server.type=unix",
        "server.path=/run/a.sock",
        "export=web-1",
        "discard=unmap",
        "cache.direct=on",
        "reconnect-delay=30",
    ):
        assert part in blockdev.split(",")


def test_commas_in_values_cannot_become_options():
    machine = Machine(NbdDisk("/a,b", "v,readonly=on"))
    blockdev = option(command_line(machine, 3), "-blockdev")
    assert "server.path=/a,,b," in blockdev
    assert "export=v,,readonly=on," in blockdev


def test_a_raw_disk():
    blockdev = option(command_line(Machine(RawDisk("/x.raw")), 3), "-blockdev")
    assert "file.filename=/x.raw" in blockdev


def test_throw_away_puts_an_overlay_over_the_disk():
    line = command_line(Machine(DISK, throw_away=True), 3)
    assert "-blockdev" not in line
    assert "snapshot=on" in option(line, "-drive").split(",")


@pytest.mark.parametrize(("accel", "argument"), [("kvm", "kvm"), ("tcg", "tcg,thread=multi")])
def test_accelerators(accel: str, argument: str):
    assert option(command_line(Machine(DISK, accel=accel), 3), "-accel") == argument


def test_memory_and_monitor():
    line = command_line(Machine(DISK, memory_mib=768), 17)
    assert option(line, "-m") == "768"
    assert option(line, "-chardev").endswith("fd=17")


def test_a_kernel_of_ones_own():
    kernel = DirectKernel("/k", "/i", "console=ttyS0 root=/dev/vda")
    line = command_line(Machine(DISK, kernel=kernel), 3)
    assert option(line, "-kernel") == "/k"
    assert option(line, "-initrd") == "/i"
    assert option(line, "-append") == "console=ttyS0 root=/dev/vda"


def test_a_kernel_without_initrd():
    assert "-initrd" not in command_line(Machine(DISK, kernel=DirectKernel("/k")), 3)


@pytest.mark.parametrize("bad", [{"accel": "xen"}, {"memory_mib": 1}, {"memory_mib": -5}])
def test_what_cannot_run_is_refused(bad: dict):
    with pytest.raises(GuestError):
        Machine(DISK, **bad)


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no qemu-system-x86_64")
def test_a_guest_answers_on_its_monitor_and_quits(tmp_path):
    disk = tmp_path / "empty.raw"
    disk.write_bytes(bytes(1 << 20))
    with Guest(Machine(RawDisk(str(disk)), memory_mib=64)) as guest:
        assert guest.monitor.execute("query-status")["status"] in ("running", "prelaunch")
        guest.monitor.quit()
        assert guest.wait(20) == 0


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no qemu-system-x86_64")
def test_a_disk_that_is_not_there_is_told(tmp_path):
    with Guest(Machine(RawDisk(str(tmp_path / "none.raw")))) as guest:
        assert guest.wait(20) == 1
        assert "none.raw" in guest.errors()
