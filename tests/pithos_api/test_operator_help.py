"""What --help teaches, and how errors look."""

import shlex
import subprocess
import sys

import pytest
from operator_session import bare_operator, operator

from pithos_api.operator import main as main_module
from pithos_api.operator.command import build_parser
from pithos_api.operator.errors import EXIT_CODES_HELP
from pithos_api.operator.main import COMMANDS, GROUPS

__all__ = ["bare_operator", "operator"]

LEVELS = sorted({command.path[:depth] for command in COMMANDS for depth in (0, 1, 2)})


@pytest.mark.parametrize("level", LEVELS, ids=" ".join)
def test_help_at_every_level(bare_operator, level):
    shown = bare_operator.ok(*level, "--help").out
    assert "examples:\n  archipelago " in shown or "examples:\n  pass show" in shown
    assert EXIT_CODES_HELP in shown
    assert "--json" in shown


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.path))
def test_the_examples_are_commands(command):
    parser = build_parser(COMMANDS, GROUPS)
    for line in command.examples.strip().splitlines():
        words = shlex.split(line.split("archipelago ", 1)[1].split("#")[0].split(" | ")[0])
        parsed = vars(parser.parse_args(words))
        assert parsed["perform"] is command.run


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("none",),
        ("volume",),
        ("volume", "none"),
        ("volume", "list", "--none"),
        ("volume", "info"),
    ],
)
def test_a_bad_command_line_is_one_line(bare_operator, words):
    assert "--help" in bare_operator.refused(2, *words)


def test_flags_are_taken_before_and_after_the_command(operator):
    assert operator.ok("--json", "volume", "list").json == []
    assert operator.ok("volume", "--json", "list").json == []
    assert operator.ok("volume", "list", "--json").json == []


def test_a_traceback_only_for_debugging(operator):
    assert "Traceback" not in operator("volume", "info", "none").err
    done = operator("volume", "info", "none", "--debug")
    assert done.code == 3
    assert "Traceback" in done.err


def test_ctrl_c_ends_with_130(operator, monkeypatch):
    def interrupted(invocation):
        raise KeyboardInterrupt

    commands = tuple(
        command if command.path != ("volume", "list") else _with_run(command, interrupted)
        for command in COMMANDS
    )
    monkeypatch.setattr(main_module, "COMMANDS", commands)
    assert "interrupted" in operator.refused(130, "volume", "list")


def test_a_defect_of_ours_is_said_to_be_one(operator, monkeypatch):
    def broken(invocation):
        raise ZeroDivisionError("by zero")

    commands = tuple(_with_run(command, broken) for command in COMMANDS)
    monkeypatch.setattr(main_module, "COMMANDS", commands)
    line = operator.refused(1, "volume", "list")
    assert "unexpected ZeroDivisionError" in line
    assert "--debug" in line


def _with_run(command, run):
    return type(command)(
        command.path, command.summary, run, command.examples, command.arguments, command.detail
    )


def test_a_reader_that_has_seen_enough(operator):
    operator.ok(
        "volume", "create", "a-volume-with-a-long-name" * 4, "--size", "1M", "--count", "900"
    )
    command = [sys.executable, "-m", "pithos_api.operator.main", "volume", "list"]
    with subprocess.Popen(
        [*command, "--data", operator.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""


def test_names_cannot_drive_the_terminal(operator):
    done = operator("volume", "info", "a\x1b[2J")
    assert "\x1b" not in done.err
