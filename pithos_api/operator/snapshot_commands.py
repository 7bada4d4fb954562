"""archipelago snapshot ...: VOLUME@NAME."""

from __future__ import annotations

import argparse

from pithos_api.image.publish import CONTAINER, publish_snapshot
from pithos_api.operator.command import Command, Invocation
from pithos_api.operator.errors import USAGE, OperatorError
from pithos_api.operator.output import print_json, print_table, time_text
from pithos_api.operator.sizes import size_text
from pithos_api.operator.user_commands import project_of


def _snapshot_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="VOLUME@SNAP", type=_snapshot_name)


def _snapshot_name(text: str) -> str:
    volume, at, snapshot = text.partition("@")
    if not (volume and at and snapshot):
        raise argparse.ArgumentTypeError(f"{text!r} is not VOLUME@SNAP, as db1@before")
    return text


def _create(invocation: Invocation) -> None:
    info = invocation.deployment.operations.snapshot(invocation.options.name)
    if invocation.options.json:
        print_json(info)


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("volume", nargs="?", metavar="VOLUME", help="of one volume; else of all")


def _list(invocation: Invocation) -> None:
    catalog, volume = invocation.deployment.catalog, invocation.options.volume
    volumes = [volume] if volume is not None else [v.name for v in catalog.list()]
    snapshots = [snapshot for name in volumes for snapshot in catalog.snapshots(name)]
    if invocation.options.json:
        print_json(snapshots)
        return
    rows = [(s.full_name, size_text(s.size), time_text(s.created)) for s in snapshots]
    print_table(("NAME", "SIZE", "CREATED"), rows)


def _delete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="VOLUME@SNAP", type=_snapshot_name)


def _delete(invocation: Invocation) -> None:
    for name in invocation.options.names:
        invocation.deployment.catalog.delete(name)


def _rollback(invocation: Invocation) -> None:
    invocation.deployment.catalog.rollback(invocation.options.name)


def _publish_arguments(parser: argparse.ArgumentParser) -> None:
    _snapshot_argument(parser)
    parser.add_argument("--user", required=True, help="whose files it shall appear among")
    parser.add_argument("--container", default=CONTAINER, help=f"default: {CONTAINER}")
    parser.add_argument("--object", metavar="NAME", help="default: VOLUME@SNAP")


def _publish(invocation: Invocation) -> None:
    options, deployment = invocation.options, invocation.deployment
    account = project_of(deployment, options.user)
    if options.object == "":
        raise OperatorError("--object cannot be empty", USAGE)
    deployment.seal(options.name)
    deployment.namespace.ensure_account(account)
    made = publish_snapshot(
        deployment.services, options.name, account, options.container, options.object
    )
    if options.json:
        print_json({"account": account, "container": made.container, "object": made.name})
    else:
        print(f"{made.container}/{made.name}")


COMMANDS = (
    Command(
        ("snapshot", "create"),
        "take a snapshot, also of a volume in use",
        _create,
        "archipelago snapshot create db1@before-upgrade",
        _snapshot_argument,
        "Crash-consistent: as if the power had failed at that instant.",
    ),
    Command(
        ("snapshot", "list"),
        "list snapshots",
        _list,
        "archipelago snapshot list db1\narchipelago snapshot list --json",
        _list_arguments,
    ),
    Command(
        ("snapshot", "delete"),
        "delete snapshots",
        _delete,
        "archipelago snapshot delete db1@monday db1@tuesday",
        _delete_arguments,
    ),
    Command(
        ("snapshot", "rollback"),
        "make a volume again what it was at a snapshot",
        _rollback,
        "archipelago snapshot rollback db1@before-upgrade",
        _snapshot_argument,
        "What was written since is lost. The volume must not be in use.",
    ),
    Command(
        ("snapshot", "publish"),
        "put a snapshot among a user's files",
        _publish,
        """archipelago snapshot publish db1@monday --user alice
archipelago snapshot publish db1@monday --user alice --container images --object db.raw""",
        _publish_arguments,
        "Copies no data. The user then downloads it, or registers it as an image.",
    ),
)
