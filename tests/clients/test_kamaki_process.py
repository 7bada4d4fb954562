"""kamaki as a process: signals, pipes, terminals."""

import contextlib
import os
import pty
import signal
import subprocess
import sys

import pytest
from kamaki_cloud import Kamaki, noise

KAMAKI = [sys.executable, "-m", "clients.cli.main"]


@pytest.fixture
def environment(alice: Kamaki):
    return {"PATH": os.environ["PATH"], **alice.settings}


def test_a_reader_that_goes_away(environment):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "wb") as pipe:
        run = subprocess.run(
            [*KAMAKI, "config", "show"], env=environment, stdout=pipe, stderr=subprocess.PIPE
        )
    assert run.returncode == 141
    assert run.stderr == b""


def test_interrupted(environment, container):
    # Where the tests run in the background of a shell, Ctrl-C is ignored, and that is inherited.
    command = ["env", "--default-signal=INT", *KAMAKI, "file", "upload", "-", f"{container}/o"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(noise(1, 9 * 2**20))  # more than a pipe holds: it reads by now
        process.stdin.flush()
        for _ in range(10):  # a signal just before a read begins is seen when the read ends
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)
                break
        assert process.returncode == 130
        assert process.stderr.read() == b"kamaki: interrupted\n"


def test_a_terminal_sees_progress_and_a_file_does_not(environment, alice, container, tmp_path):
    (tmp_path / "f").write_bytes(noise(2, 100000))
    command = [*KAMAKI, "file", "upload", str(tmp_path / "f"), container]
    controller, terminal = pty.openpty()
    run = subprocess.run(
        command, env={**environment, "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=terminal
    )
    os.close(terminal)
    shown = os.read(controller, 65536)
    os.close(controller)
    assert run.returncode == 0
    assert b"hashing" in shown or b"sending" in shown
    assert run.stdout.startswith(b"total 97.7 KiB")
    quiet = subprocess.run(command, env=environment, capture_output=True)
    assert quiet.stderr == b""


def test_standard_input_and_output(environment, container):
    content = noise(3, 300000) + bytes(200000) + b"end"
    upload = [*KAMAKI, "file", "upload", "-", f"{container}/o"]
    subprocess.run(upload, env=environment, input=content, check=True, capture_output=True)
    download = [*KAMAKI, "file", "download", f"{container}/o", "-"]
    run = subprocess.run(download, env=environment, check=True, capture_output=True)
    assert run.stdout == content
