"""A command as a value, and the parser made from a table of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from pithos_api.operator.deployment import Deployment
from pithos_api.operator.errors import EXIT_CODES_HELP, USAGE

GLOBAL_FLAGS = ("data", "config", "json", "debug")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command gets: its parsed options, and the installation it works on."""

    options: argparse.Namespace
    deployment: Deployment


def no_arguments(_parser: argparse.ArgumentParser) -> None:
    """For commands that take none."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `run` returns its exit code, None meaning 0."""

    path: tuple[str, ...]
    """("volume", "create")."""
    summary: str
    run: Callable[[Invocation], int | None]
    examples: str
    arguments: Callable[[argparse.ArgumentParser], None] = no_arguments
    detail: str = ""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where to read on."""

    def error(self, message: str) -> NoReturn:
        """Exit with the code for a bad command line."""
        print(f"archipelago: {message}; see: {self.prog} --help", file=sys.stderr)
        sys.exit(USAGE)


def build_parser(commands: Sequence[Command], groups: Mapping[str, tuple[str, str]]) -> Parser:
    """The whole parser; `groups` gives each first word its summary and detail."""
    parser = _parser_of(
        None, "archipelago", groups[""][0], groups[""][1], _first_examples(commands)
    )
    words = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    group_words: dict[str, argparse._SubParsersAction[Parser]] = {}
    for command in commands:
        name, place = command.path[-1], words
        if len(command.path) > 1:
            group = command.path[0]
            if group not in group_words:
                members = [c for c in commands if c.path[0] == group]
                made = _parser_of(words, group, *groups[group], _first_examples(members))
                group_words[group] = made.add_subparsers(
                    dest=f"{group}_command", metavar="COMMAND", required=True
                )
            place = group_words[group]
        leaf = _parser_of(place, name, command.summary, command.detail, command.examples)
        command.arguments(leaf)
        leaf.set_defaults(perform=command.run)
    return parser


def _parser_of(
    place: argparse._SubParsersAction[Parser] | None,
    name: str,
    summary: str,
    detail: str,
    examples: str,
) -> Parser:
    description = f"{summary[:1].upper()}{summary[1:]}.\n\n{detail}".strip()
    epilog = f"examples:\n{_indented(examples)}\n\n{EXIT_CODES_HELP}"
    looks = argparse.RawDescriptionHelpFormatter
    if place is None:
        parser = Parser(name, description=description, epilog=epilog, formatter_class=looks)
    else:
        parser = place.add_parser(
            name, help=summary, description=description, epilog=epilog, formatter_class=looks
        )
    _add_global_flags(parser)
    return parser


def _add_global_flags(parser: argparse.ArgumentParser) -> None:
    """The same at every level; absent ones leave no trace, so that the outer level's survive."""
    absent = argparse.SUPPRESS
    group = parser.add_argument_group("for every command")
    group.add_argument(
        "--data", metavar="DIR", default=absent, help="directory of the installation (./data)"
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        default=absent,
        help="TOML settings (DIR/archipelago.toml); $ARCHIPELAGO_<NAME> and flags win over it",
    )
    group.add_argument("--json", action="store_true", default=absent, help="print JSON")
    group.add_argument(
        "--debug", action="store_true", default=absent, help="show a traceback with an error"
    )


def _first_examples(commands: Sequence[Command]) -> str:
    return "\n".join(command.examples.strip().splitlines()[0] for command in commands)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())
