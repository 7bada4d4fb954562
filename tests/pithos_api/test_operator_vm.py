"""archipelago vm boot: what is refused, and one real machine where a template is at hand."""

import shutil
import subprocess
from pathlib import Path

import pytest
from operator_session import bare_operator, operator
from test_operator_serve import COMMAND, Serving, run

__all__ = ["bare_operator", "operator"]

TEMPLATES = sorted((Path(__file__).resolve().parents[2] / "build/demo").glob("template-*.raw"))


@pytest.fixture
def volume(operator):
    operator.ok("volume", "create", "v", "--size", "1M")


def test_without_a_volume_server(operator, volume):
    assert "archipelago serve" in operator.refused(1, "vm", "boot", "v")


def test_unknown_volumes(operator):
    assert "volume list" in operator.refused(3, "vm", "boot", "none")


@pytest.mark.parametrize(
    "flags",
    [
        ("--memory", "1M"),
        ("--memory", "lots"),
        ("--initrd", "/i"),
        ("--append", "quiet"),
        ("--prompt", "("),
        ("--accel", "xen"),
    ],
)
def test_machines_that_cannot_be(operator, volume, flags):
    operator.refused(2, "vm", "boot", "v", *flags)


@pytest.mark.parametrize(
    "flags", [("--kernel", "/none"), ("--kernel", "/bin/sh", "--initrd", "/n")]
)
def test_kernels_that_are_not_there(operator, volume, flags):
    assert "no such file" in operator.refused(3, "vm", "boot", "v", *flags)


@pytest.mark.interop
@pytest.mark.skipif(not TEMPLATES, reason="no template in build/demo; make demo makes it")
@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no qemu-system-x86_64")
def test_a_machine_runs_a_command_and_powers_off(tmp_path):
    serving = Serving(tmp_path / "data", "--init")
    try:
        data = serving.data
        run(data, "volume", "import", "v", str(TEMPLATES[-1]))
        boot = [*COMMAND, "vm", "boot", "v", "--data", data, "--accel", "tcg", "--memory", "256M"]
        done = subprocess.run(
            [*boot, "--run", "echo it''self > /name; sync", "--run", "cat /name; (exit 3)"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 3, done.stderr
        assert "itself" in done.stdout
        assert "Power down" in done.stdout
        assert "runs under tcg: as asked" in done.stderr
    finally:
        serving.close()
