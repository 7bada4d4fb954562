"""The command `archipelago`: parses, runs, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from pithos_api.operator import (
    image_commands,
    server_commands,
    snapshot_commands,
    store_commands,
    user_commands,
    vm_command,
    volume_commands,
)
from pithos_api.operator.command import Command, Invocation, build_parser
from pithos_api.operator.configuration import Configuration, load_configuration
from pithos_api.operator.deployment import Deployment
from pithos_api.operator.errors import FAILED, INTERRUPTED, exit_code_of, hint_of, text_of
from pithos_api.operator.output import note

COMMANDS: tuple[Command, ...] = (
    *store_commands.COMMANDS,
    *server_commands.COMMANDS,
    *volume_commands.COMMANDS,
    *snapshot_commands.COMMANDS,
    *image_commands.COMMANDS,
    *user_commands.COMMANDS,
    *vm_command.COMMANDS,
)

GROUPS = {
    "": (
        "one pool of blocks for files, images and volumes",
        "Runs on the storage host. Users work with kamaki, or any Swift or Glance client.",
    ),
    "volume": (
        "block devices: make, list, resize, move in and out",
        "A volume is a disk of a virtual machine. VOLUME@SNAP names a snapshot of it.",
    ),
    "snapshot": (
        "immutable states of volumes, VOLUME@NAME",
        "Taken at once, also while a machine writes; costs no space until the volume changes.",
    ),
    "image": ("what machines are made from", "Registered by users with kamaki, or through Glance."),
    "user": ("who may use the API", "A user belongs to a project, whose name he has by default."),
    "project": ("the accounts that own files and images", "Each is one account of the store."),
    "vm": ("run a machine from a volume", "Needs QEMU, and a volume server that runs."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    parser = build_parser(COMMANDS, GROUPS)
    options = parser.parse_args(argv)
    options.json = getattr(options, "json", False)
    try:
        with Deployment(_configuration(options)) as deployment:
            code = options.perform(Invocation(options, deployment))
        sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt:
        note("archipelago: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; the interpreter must not complain of it at its end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - the edge of the process
        return _report(error, debug=getattr(options, "debug", False))


def _configuration(options: argparse.Namespace) -> Configuration:
    given = vars(options)
    names = Configuration.__slots__
    flags = {name: given[name] for name in names if given.get(name) is not None}
    return load_configuration(given.get("config"), flags)


def _report(error: Exception, *, debug: bool) -> int:
    code = exit_code_of(error)
    if debug:
        traceback.print_exception(error)
    text = text_of(error)
    if code is None:
        hint = "" if debug else "; run it again with --debug, and report what it shows"
        note(f"archipelago: unexpected {type(error).__name__}: {text}{hint}")
        return FAILED
    hint = hint_of(error)
    note(f"archipelago: {text}; {hint}" if hint else f"archipelago: {text}")
    return code


if __name__ == "__main__":
    sys.exit(main())
