"""archipelago volume ...: the life of volumes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

from archipelago import VolumeInfo
from pithos_api.operator import volume_transfer
from pithos_api.operator.command import Command, Invocation
from pithos_api.operator.errors import USAGE, OperatorError
from pithos_api.operator.image_commands import bootable_image
from pithos_api.operator.output import (
    note,
    print_fields,
    print_json,
    print_table,
    progress_bar,
    time_text,
)
from pithos_api.operator.sizes import parse_volume_size, size_text

COUNT_MAX = 10_000
GIB = 1 << 30


def _create_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the new volume")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--image", help="id or name of a registered image to start from")
    source.add_argument(
        "--from", dest="source", metavar="VOLUME[@SNAP]", help="volume or snapshot to clone"
    )
    parser.add_argument("--size", help="10G, 512M, 1TiB; with a source: grow to this")
    parser.add_argument("--count", type=int, help="make so many, NAME-001, NAME-002, ...")


def _create(invocation: Invocation) -> None:
    options = invocation.options
    if options.size is None and options.image is None and options.source is None:
        raise OperatorError("say what is in it: --size, --image or --from", USAGE)
    size = None if options.size is None else parse_volume_size(options.size)
    names = _names(options.name, options.count)
    made: list[VolumeInfo] = []
    try:
        if options.image is not None:
            made.extend(_from_image(invocation, names, size))
        else:
            made.extend(_create_one(invocation, name, size) for name in names)
    except Exception:
        if made:
            note(f"archipelago: {len(made)} of {len(names)} were made, up to {made[-1].name}")
        raise
    if options.json:
        print_json(made if options.count is not None else made[0])
    else:
        for volume in made:
            print(volume.name)


def _names(name: str, count: int | None) -> list[str]:
    if count is None:
        return [name]
    if not 1 <= count <= COUNT_MAX:
        raise OperatorError(f"--count is 1 to {COUNT_MAX}, not {count}", USAGE)
    return [f"{name}-{number:03d}" for number in range(1, count + 1)]


def _from_image(invocation: Invocation, names: list[str], size: int | None) -> Iterator[VolumeInfo]:
    image = bootable_image(invocation.deployment, invocation.options.image)
    wanted = image.min_disk * GIB if size is None else size
    if size is not None and size < image.size:
        raise OperatorError(
            f"image {image.name} has {size_text(image.size)}; --size cannot be less", USAGE
        )
    catalog = invocation.deployment.catalog
    for name in names:
        made = catalog.clone_root(image.root, image.size, name, origin=f"image:{image.id}")
        if wanted > made.size:
            catalog.resize(name, wanted)
            made = replace(made, size=wanted)
        yield made


def _create_one(invocation: Invocation, name: str, size: int | None) -> VolumeInfo:
    source = invocation.options.source
    if source is None:
        assert size is not None
        return invocation.deployment.catalog.create(name, size)
    return invocation.deployment.operations.clone(source, name, size)


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prefix", nargs="?", default="", help="only names that begin so")


def _list(invocation: Invocation) -> None:
    volumes = invocation.deployment.catalog.list(invocation.options.prefix)
    if invocation.options.json:
        print_json(volumes)
        return
    rows = [
        (v.name, size_text(v.size), time_text(v.created), v.origin, v.damage or v.holder or "")
        for v in volumes
    ]
    print_table(("NAME", "SIZE", "CREATED", "ORIGIN", "STATE"), rows)


def _name_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="VOLUME[@SNAP]")


def _info(invocation: Invocation) -> None:
    catalog, name = invocation.deployment.catalog, invocation.options.name
    info = catalog.info(name)
    usage = catalog.usage(name, invocation.deployment.namespace.roots())
    if invocation.options.json:
        print_json({"info": info, "usage": usage})
        return
    fields = [("name", name), ("size", f"{size_text(info.size)} ({info.size} bytes)")]
    fields += [("created", time_text(info.created))]
    if isinstance(info, VolumeInfo):
        snapshots = catalog.snapshots(name)
        fields += [("origin", info.origin), ("snapshots", str(len(snapshots)))]
        fields += [("in use by", info.holder or "nobody")]
    fields += [
        ("mapped", size_text(usage.mapped)),
        ("own", size_text(usage.own)),
        ("shared", size_text(usage.shared)),
        ("stored", size_text(usage.stored)),
    ]
    print_fields(fields)


def _rename_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="VOLUME")
    parser.add_argument("new", metavar="NEW-NAME")


def _rename(invocation: Invocation) -> None:
    invocation.deployment.catalog.rename(invocation.options.old, invocation.options.new)


def _resize_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="VOLUME")
    parser.add_argument("size", metavar="SIZE", help="20G, +5G (5 GiB more), 1TiB")
    parser.add_argument("--shrink", action="store_true", help="allow to cut off what is beyond")


def _resize(invocation: Invocation) -> None:
    options, deployment = invocation.options, invocation.deployment
    size = parse_volume_size(options.size.removeprefix("+"))
    if options.size.startswith("+"):
        size += deployment.catalog.info(options.name).size
    deployment.operations.resize(options.name, size, shrink=options.shrink)


def _delete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="VOLUME")
    parser.add_argument("--snapshots", action="store_true", help="delete its snapshots with it")


def _delete(invocation: Invocation) -> None:
    for name in invocation.options.names:
        if "@" in name:
            raise OperatorError(
                f"{name} is a snapshot; use: archipelago snapshot delete {name}", USAGE
            )
        invocation.deployment.catalog.delete(name, invocation.options.snapshots)


def _detach(invocation: Invocation) -> None:
    count = invocation.deployment.operations.detach(invocation.options.name)
    if invocation.options.json:
        print_json({"name": invocation.options.name, "connections": count})
    else:
        note(f"{count} connections were ended")


def _format_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=volume_transfer.FORMATS,
        help="of the file; default: raw; qcow2 goes through qemu-img",
    )


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the new volume")
    parser.add_argument("file", metavar="FILE", help="image, or block device")
    _format_argument(parser)


def _import(invocation: Invocation) -> None:
    options, catalog = invocation.options, invocation.deployment.catalog
    with progress_bar("importing") as bar:
        info = volume_transfer.import_file(
            catalog, options.file, options.name, options.format, bar.reach
        )
    if options.json:
        print_json(info)


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="VOLUME[@SNAP]")
    parser.add_argument("file", metavar="FILE", help="new file, made sparse; - = standard output")
    _format_argument(parser)


def _export(invocation: Invocation) -> None:
    options, catalog = invocation.options, invocation.deployment.catalog
    with progress_bar("exporting") as bar:
        volume_transfer.export_file(catalog, options.name, options.file, options.format, bar.reach)


def _seal(invocation: Invocation) -> None:
    invocation.deployment.seal(invocation.options.name)


def _diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="A", help="VOLUME or VOLUME@SNAP")
    parser.add_argument("new", metavar="B", help="VOLUME or VOLUME@SNAP")


def _diff(invocation: Invocation) -> None:
    options = invocation.options
    extents = list(invocation.deployment.catalog.diff(options.old, options.new))
    if options.json:
        print_json(extents)
        return
    print_table(
        ("OFFSET", "LENGTH", "KIND"), [(str(e.offset), str(e.length), e.kind) for e in extents]
    )
    note(f"{size_text(sum(extent.length for extent in extents))} differ")


COMMANDS = (
    Command(
        ("volume", "create"),
        "make volumes: empty, from an image, or as clones",
        _create,
        """archipelago volume create db1 --size 20G
archipelago volume create web --image debian-12 --count 100
archipelago volume create test --from web-001@before --size 40G""",
        _create_arguments,
        "Copies no data, whatever the source: a clone is one small record.",
    ),
    Command(
        ("volume", "list"),
        "list volumes",
        _list,
        "archipelago volume list\narchipelago volume list web- --json",
        _list_arguments,
    ),
    Command(
        ("volume", "info"),
        "show a volume or snapshot, and the space it takes",
        _info,
        "archipelago volume info web-001\narchipelago volume info web-001@before --json",
        _name_argument,
    ),
    Command(
        ("volume", "rename"),
        "give a volume another name",
        _rename,
        "archipelago volume rename web-001 frontend",
        _rename_arguments,
    ),
    Command(
        ("volume", "resize"),
        "change a volume's size, also while it is attached",
        _resize,
        "archipelago volume resize db1 +10G\narchipelago volume resize db1 5G --shrink",
        _resize_arguments,
    ),
    Command(
        ("volume", "delete"),
        "delete volumes",
        _delete,
        "archipelago volume delete web-001 web-002\narchipelago volume delete db1 --snapshots",
        _delete_arguments,
        "Clones of it do not need it.",
    ),
    Command(
        ("volume", "detach"),
        "end the connections to a volume",
        _detach,
        "archipelago volume detach web-001",
        _name_argument,
        "A machine that still runs sees its disk fail, or comes back by itself.",
    ),
    Command(
        ("volume", "import"),
        "make a volume from a raw or qcow2 image",
        _import,
        """archipelago volume import db1 disk.raw
archipelago volume import db2 /dev/sdb
archipelago volume import db3 disk.qcow2 --format qcow2""",
        _import_arguments,
        "A qcow2 image is made raw first, in the directory of temporary files ($TMPDIR).",
    ),
    Command(
        ("volume", "export"),
        "write a volume or snapshot into a file",
        _export,
        """archipelago volume export web-001@before disk.raw
archipelago volume export web-001@before disk.qcow2 --format qcow2
archipelago volume export db1@tuesday - | zstd > db1.zst""",
        _export_arguments,
        "An attached volume changes as it is read: take a snapshot, and export that.",
    ),
    Command(
        ("volume", "seal"),
        "turn what was written since the last snapshot into shared blocks, now",
        _seal,
        "archipelago volume seal db1",
        _name_argument,
        "The volume server does so by itself, in the background.",
    ),
    Command(
        ("volume", "diff"),
        "list the ranges in which two volumes or snapshots differ",
        _diff,
        "archipelago volume diff web-001@monday web-001@tuesday",
        _diff_arguments,
    ),
)
