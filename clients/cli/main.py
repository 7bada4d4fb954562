"""Entry point of `kamaki`: the table of commands, and what an error becomes."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from clients.cli import container, file, image
from clients.cli.account import COMMANDS, CONFIG
from clients.cli.command import EXIT_USAGE, Command, Context, Group, Parser
from clients.cli.output import note
from clients.cli.settings import SETTINGS, UsageError, load_settings
from clients.errors import (
    ClientError,
    Conflict,
    DataMismatch,
    Denied,
    NotFound,
    Refused,
    ServerFailed,
    Unreachable,
)

GROUPS: tuple[Group, ...] = (file.GROUP, container.GROUP, image.GROUP, CONFIG)

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (UsageError, EXIT_USAGE),
    (NotFound, 3),
    (Denied, 4),
    (Conflict, 5),
    (Unreachable, 6),
    (ServerFailed, 6),
    (DataMismatch, 7),
    (Refused, EXIT_ERROR),
    (ClientError, EXIT_ERROR),
    (UnicodeEncodeError, EXIT_USAGE),
    (OSError, EXIT_ERROR),
)
"""The first class that matches counts."""

_EXIT_HELP = """exit status:
  0  done              1  refused, or a local error   2  wrong command line or settings
  3  not found         4  not logged in, or not allowed
  5  exists, not empty, or changed meanwhile
  6  server not reachable, or it failed               7  content does not match its hash
  130  interrupted     141  nobody reads the output any more"""

_EXAMPLES = """  kamaki config set auth_url https://cloud.example/v3
  kamaki login --username alice
  kamaki container create images
  kamaki file upload disk.img images/disk.img
  kamaki image register debian images/disk.img"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    args = _parser().parse_args(arguments)
    try:
        _run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        note("kamaki: interrupted")
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)  # not to wait for requests that are under way
    except BrokenPipeError:
        # What is left in the buffer can go nowhere, and must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except tuple(kind for kind, _ in EXIT_CODES) as error:
        if args.debug:
            traceback.print_exc()
        note(f"kamaki: {_text(error)}")
        return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
    return 0


def _run(args: argparse.Namespace) -> None:
    flags = {s.key: getattr(args, s.key) for s in SETTINGS if getattr(args, s.key, None)}
    settings = load_settings(args.config, flags)
    context = Context(settings, json=args.json, password_stdin=args.password_stdin)
    try:
        args.command.run(context, args)
    finally:
        context.close()


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fspath(error.filename)}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    if isinstance(error, UnicodeEncodeError):
        return f"not {error.encoding}: {error.object!r}"
    return " ".join(str(error).split())


def _parser() -> Parser:
    parser = Parser(
        prog="kamaki",
        description="Files and images in an Archipelago cloud.",
        epilog=f"examples:\n{_EXAMPLES}\n\n{_EXIT_HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_common(parser, top=True)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for group in GROUPS:
        _add_group(commands, group)
    for command in COMMANDS:
        _add_command(commands, command)
    return parser


def _add_group(commands: argparse._SubParsersAction[Parser], group: Group) -> None:
    parser = commands.add_parser(
        group.name,
        help=group.summary,
        description=group.summary.capitalize() + ".",
        epilog=f"examples:\n{group.examples}\n\n{_EXIT_HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_common(parser, top=False)
    inner = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for command in group.commands:
        _add_command(inner, command)


def _add_command(commands: argparse._SubParsersAction[Parser], command: Command) -> None:
    about = command.summary[0].upper() + command.summary[1:] + "."
    parser = commands.add_parser(
        command.name,
        help=command.summary,
        description=about + (f"\n\n{command.details}" if command.details else ""),
        epilog=f"examples:\n{command.examples}\n\n{_EXIT_HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for item in command.arguments:
        parser.add_argument(*item.names, **item.options)  # type: ignore[arg-type]
    _add_common(parser, top=False)
    parser.set_defaults(command=command)


def _add_common(parser: argparse.ArgumentParser, *, top: bool) -> None:
    """The flags of every command; they may stand before or after its name."""
    flags = parser.add_argument_group("common options")

    def default(value: object) -> object:
        return value if top else argparse.SUPPRESS  # a default below must not undo a flag above

    flags.add_argument("--json", action="store_true", default=default(False), help="print JSON")
    flags.add_argument("--config", metavar="FILE", default=default(None), help="settings file")
    for setting in SETTINGS:
        if not setting.secret:
            name = "--" + setting.key.replace("_", "-")
            text = setting.help.replace("%", "%%")
            flags.add_argument(name, metavar="VALUE", default=default(None), help=text)
    flags.add_argument(
        "--password-stdin",
        action="store_true",
        default=default(False),
        help="read the password from the first line of standard input",
    )
    flags.add_argument(
        "--debug", action="store_true", default=default(False), help="show where an error arose"
    )


if __name__ == "__main__":
    sys.exit(main())
