"""`kamaki container`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from clients.cli.command import Command, Context, Group, argument
from clients.cli.output import print_fields, print_json, print_table, size_text
from clients.cli.settings import UsageError


def run_list(context: Context, args: Namespace) -> None:
    """List containers."""
    found = context.objects.containers(args.prefix or "")
    if context.json:
        print_json([asdict(entry) for entry in found])
        return
    rows = [(str(entry.object_count), size_text(entry.bytes_used), entry.name) for entry in found]
    if rows:
        print_table(("OBJECTS", "SIZE", "NAME"), rows)


def run_create(context: Context, args: Namespace) -> None:
    """Create containers; existing ones stay as they are."""
    for name in args.names:
        context.objects.create_container(_checked(name))


def run_delete(context: Context, args: Namespace) -> None:
    """Delete empty containers."""
    for name in args.names:
        context.objects.delete_container(_checked(name))


def run_info(context: Context, args: Namespace) -> None:
    """Show one container."""
    name = _checked(args.name)
    entry = context.objects.container(name)
    rules = context.pithos.block_rules(name)
    if context.json:
        print_json({**asdict(entry), **asdict(rules)})
        return
    print_fields(
        [
            ("name", entry.name),
            ("objects", str(entry.object_count)),
            ("size", f"{size_text(entry.bytes_used)} ({entry.bytes_used} bytes)"),
            ("block size", size_text(rules.block_size)),
            ("block hash", rules.hash_name),
        ]
    )


def _checked(name: str) -> str:
    if not name or "/" in name:
        raise UsageError(f"not the name of a container: {name!r}")
    return name


_NAMES = argument("names", metavar="CONTAINER", nargs="+")

GROUP = Group(
    "container",
    "list, create and delete containers",
    (
        Command(
            "list",
            "list containers",
            run_list,
            (argument("prefix", metavar="PREFIX", nargs="?", help="only names that begin so"),),
            examples="  kamaki container list\n  kamaki container list --json",
        ),
        Command(
            "create",
            "create containers",
            run_create,
            (_NAMES,),
            examples="  kamaki container create images backups",
        ),
        Command(
            "delete",
            "delete empty containers",
            run_delete,
            (_NAMES,),
            examples="  kamaki container delete backups",
        ),
        Command(
            "info",
            "show object count, size and block size of a container",
            run_info,
            (argument("name", metavar="CONTAINER"),),
            examples="  kamaki container info images",
        ),
    ),
    examples="  kamaki container create images\n  kamaki container list",
)
