"""The console: patterns, deadlines, ends. The guest is a pair of pipes, or a shell."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from compute_glue import console as console_module
from compute_glue.console import Console
from compute_glue.errors import GuestGone, GuestTimeout


class Pipes:
    def __init__(self) -> None:
        self.output_read, self.output_write = os.pipe()
        self.input_read, self.input_write = os.pipe()
        self.teed = b""
        self.console = Console(self.output_read, self.input_write, self.tee)

    def tee(self, data: bytes) -> None:
        self.teed += data

    def close(self) -> None:
        for name in ("output_read", "output_write", "input_read", "input_write"):
            self.drop(name)

    def drop(self, name: str) -> None:
        fd = getattr(self, name)
        if fd >= 0:
            os.close(fd)
        setattr(self, name, -1)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    made.close()


def test_finds_a_pattern_over_several_reads(pipes: Pipes):
    os.write(pipes.output_write, b"boot\r\nlog")
    assert pipes.console.expect(b"boot", 5)
    os.write(pipes.output_write, b"in: ")
    assert pipes.console.expect(rb"login: $", 5)


def test_consumes_up_to_the_match(pipes: Pipes):
    os.write(pipes.output_write, b"one two one three")
    pipes.console.expect(b"one", 5)
    assert pipes.console.expect(rb"one (\w+)", 5)[1] == b"three"


def test_all_output_goes_to_the_tee(pipes: Pipes):
    os.write(pipes.output_write, b"abc")
    pipes.console.expect(b"b", 5)
    assert pipes.teed == b"abc"


def test_a_timeout_quotes_what_was_there(pipes: Pipes):
    os.write(pipes.output_write, b"kernel panic")
    with pytest.raises(GuestTimeout, match="kernel panic"):
        pipes.console.expect(b"login", 0.05)


def test_the_end_of_output_is_an_error(pipes: Pipes):
    os.write(pipes.output_write, b"bye")
    pipes.drop("output_write")
    with pytest.raises(GuestGone, match="bye"):
        pipes.console.expect(b"login", 5)


def test_output_that_nobody_waits_for_is_bounded(pipes: Pipes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(console_module, "UNMATCHED_BYTES_MAX", 1000)
    os.write(pipes.output_write, b"early" + b"x" * 2000)
    with pytest.raises(GuestTimeout):
        pipes.console.expect(b"early.*never", 0.05)
    with pytest.raises(GuestTimeout):
        pipes.console.expect(b"early", 0.05)


def test_lines_are_typed_with_enter(pipes: Pipes):
    pipes.console.send_line("ls")
    assert os.read(pipes.input_read, 10) == b"ls\n"


def test_typing_into_a_closed_console_is_an_error(pipes: Pipes):
    pipes.drop("input_read")
    with pytest.raises(GuestGone):
        pipes.console.send_line("ls")


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("(exit 3)", 3)])
def test_runs_a_command_and_returns_its_code(command: str, code: int):
    with subprocess.Popen(["sh"], stdin=-1, stdout=-1, bufsize=0) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        console = Console(shell.stdout.fileno(), shell.stdin.fileno())
        assert console.run(command, 10) == code
        shell.stdin.close()
        shell.wait(10)


def test_an_echoed_command_is_not_taken_for_its_result(pipes: Pipes):
    os.write(pipes.output_write, b"$ true; echo archipelago-exit-$?\r\narchipelago-exit-7\r\n$ ")
    assert pipes.console.run("true", 5) == 7
