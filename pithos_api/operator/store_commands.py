"""archipelago init, info, rebuild-index: the installation as a whole."""

from __future__ import annotations

import argparse
from dataclasses import replace

from blockstore import HASH_NAMES, StoreOptions, create_store, rebuild_index
from pithos_api.database.migrations import upgrade
from pithos_api.operator.command import Command, Invocation
from pithos_api.operator.deployment import Deployment
from pithos_api.operator.errors import CONFLICT, STORAGE, OperatorError
from pithos_api.operator.output import note, print_fields, print_json, time_text
from pithos_api.operator.sizes import parse_size, size_text
from pithos_api.operator.store_usage import measure


def _init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hash", choices=HASH_NAMES, help="names blocks; default: blake3")
    parser.add_argument("--block-size", metavar="SIZE", help="64K to 4M, a power of two")


def _init(invocation: Invocation) -> None:
    deployment, options = invocation.deployment, invocation.options
    if deployment.is_made():
        raise OperatorError(
            f"{deployment.configuration.folder} has an installation already;"
            " start it with: archipelago serve",
            CONFLICT,
        )
    make_installation(deployment, options.hash, options.block_size)
    info = deployment.store.info
    if options.json:
        print_json(info)
        return
    note(
        f"made {deployment.configuration.folder}: blocks of {size_text(info.block_size)}"
        f" named by {info.hash_name}; next: archipelago serve"
    )


def make_installation(
    deployment: Deployment, hash_name: str | None = None, block_size: str | None = None
) -> None:
    """The store, the database and the folder of sockets. What is there already is left alone."""
    options = StoreOptions()
    if hash_name is not None:
        options = replace(options, hash_name=hash_name)
    if block_size is not None:
        options = replace(options, block_size=parse_size(block_size))
    configuration = deployment.configuration
    configuration.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration.run_folder.mkdir(mode=0o700, exist_ok=True)
    # The database first: the store's folder is what says that the installation is complete.
    upgrade(configuration.api_database_url)
    if not deployment.is_made():
        create_store(configuration.store_url, options)


def _info(invocation: Invocation) -> None:
    deployment = invocation.deployment
    usage = measure(deployment)
    if invocation.options.json:
        print_json(usage)
        return
    logical, total = usage.logical, usage.logical.total
    ratio = f"{total / usage.stored_bytes:.1f}" if usage.stored_bytes else "-"
    print_fields(
        [
            ("store", f"{deployment.configuration.store_folder} ({usage.store.store_id})"),
            ("created", time_text(usage.store.created)),
            ("blocks", f"{size_text(usage.store.block_size)}, named by {usage.store.hash_name}"),
            ("logical: files", size_text(logical.files)),
            ("logical: images", size_text(logical.images)),
            ("logical: volumes", f"{size_text(logical.volumes)} in {usage.volume_count}"),
            ("logical: snapshots", f"{size_text(logical.snapshots)} in {usage.snapshot_count}"),
            ("logical: published", size_text(logical.published)),
            ("logical: in all", size_text(total)),
            ("stored: blocks", f"{size_text(usage.blocks.disk_bytes)} in {usage.blocks.count}"),
            ("stored: live layers", size_text(usage.live_bytes)),
            ("stored: in all", size_text(usage.stored_bytes)),
            ("ratio", ratio),
        ]
    )


def _rebuild_index(invocation: Invocation) -> int:
    configuration = invocation.deployment.configuration
    invocation.deployment.require_made()
    report = rebuild_index(configuration.store_url)
    if invocation.options.json:
        print_json(report)
    else:
        note(
            f"found {report.block_count} blocks in {report.pack_count} packs,"
            f" and {report.head_count} heads"
        )
    for damage in report.damaged:
        note(f"damaged: {damage}")
    return STORAGE if report.damaged else 0


COMMANDS = (
    Command(
        ("init",),
        "make an installation in the data directory",
        _init,
        """archipelago init
archipelago init --data /srv/archipelago --hash sha256 --block-size 256K""",
        _init_arguments,
        "Hash and block size are for ever. It makes DIR/store, DIR/api.sqlite and DIR/run.",
    ),
    Command(
        ("info",),
        "show what is stored, and what it would be without sharing",
        _info,
        "archipelago info\narchipelago info --json",
    ),
    Command(
        ("rebuild-index",),
        "make the index of blocks and heads anew from the files of the store",
        _rebuild_index,
        "archipelago rebuild-index",
        detail="For an index that is damaged or lost. Nothing else may use the store meanwhile.",
    ),
)
