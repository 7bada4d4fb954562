"""`kamaki file`: objects and their content."""

from __future__ import annotations

import mimetypes
import os
import stat
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from clients.cli.command import Command, Context, Group, argument, split_object
from clients.cli.output import note, print_fields, print_json, print_table, size_text
from clients.cli.progress import shown
from clients.cli.settings import UsageError
from clients.download import DownloadSummary, Source, download, download_stream
from clients.errors import Conflict
from clients.pithos import NewContent
from clients.upload import UploadSummary, upload, upload_stream

STANDARD = "-"
"""A file argument: standard input or output."""


def run_upload(context: Context, args: Namespace) -> None:
    """Upload one file."""
    if args.source == STANDARD and args.password_stdin:
        raise UsageError("standard input cannot be the password and the file")
    container, name = _upload_target(args.source, args.target)
    if args.content_type is not None and not (
        args.content_type.isascii() and args.content_type.isprintable()
    ):
        raise UsageError(f"not a content type: {args.content_type!r}")
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    target = NewContent(container, name, args.content_type or guessed, args.no_replace)
    with shown(quiet=context.json) as progress:
        if args.source == STANDARD:
            summary = upload_stream(context.pithos, sys.stdin.buffer, target, progress)
        else:
            with open(args.source, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if stat.S_ISREG(mode):
                    summary = upload(context.pithos, file, target, progress)
                else:
                    summary = upload_stream(context.pithos, file, target, progress)
    if context.json:
        print_json({"container": container, "name": name, **asdict(summary)})
        return
    print(_upload_line(summary))


def _upload_target(source: str, target: str) -> tuple[str, str]:
    """A container alone, or a name with a slash at its end, takes the file's own name."""
    text = target.removeprefix("/")
    if "/" not in text:
        text += "/"
    if text.endswith("/"):
        if source == STANDARD:
            raise UsageError("what comes from standard input needs a name: CONTAINER/OBJECT")
        text += Path(source).name
    return split_object(text)


def _upload_line(summary: UploadSummary) -> str:
    return (
        f"total {size_text(summary.total)}  sent {size_text(summary.sent)}"
        f"  already there {size_text(summary.already_there)}  zeros {size_text(summary.zeros)}"
    )


def run_download(context: Context, args: Namespace) -> None:
    """Download one object."""
    container, name = split_object(args.source)
    path = _download_path(name, args.target, replace=args.force)
    source = Source.find(context.pithos, container, name)
    with shown(quiet=context.json) as progress:
        if path is None:
            summary = download_stream(source, sys.stdout.buffer, progress)
        else:
            summary = download(source, path, progress)
    if path is None:
        note(_download_line(summary))
    elif context.json:
        print_json({"container": container, "name": name, "path": str(path), **asdict(summary)})
    else:
        print(_download_line(summary))


def _download_path(name: str, target: str | None, *, replace: bool) -> Path | None:
    if target == STANDARD:
        return None
    own_name = Path(name).name
    path = Path(target) if target is not None else Path(own_name)
    if path.is_dir():
        path = path / own_name
    if path.is_dir() or own_name in ("", "..") or "\0" in own_name:
        raise UsageError(f"say which file to write: {name!r} is no file name")
    if path.exists() and not replace:
        raise Conflict(f"{path} exists (use --force to replace it)")
    return path


def _download_line(summary: DownloadSummary) -> str:
    return (
        f"total {size_text(summary.total)}  received {size_text(summary.received)}"
        f"  already there {size_text(summary.already_there)}  zeros {size_text(summary.zeros)}"
    )


def run_list(context: Context, args: Namespace) -> None:
    """List objects."""
    container, _, prefix = args.target.removeprefix("/").partition("/")
    if not container:
        raise UsageError(f"not CONTAINER or CONTAINER/PREFIX: {args.target!r}")
    found = context.objects.objects(container, prefix, recursive=args.recursive)
    if context.json:
        print_json(
            [
                {"name": o.name, "directory": True}
                if o.is_prefix
                else {
                    "name": o.name,
                    "bytes": o.size,
                    "content_type": o.content_type,
                    "last_modified": o.modified,
                    "directory": False,
                }
                for o in found
            ]
        )
        return
    rows = [
        ("" if o.is_prefix else size_text(o.size), o.modified.partition(".")[0], o.name)
        for o in found
    ]
    if rows:
        print_table(("SIZE", "MODIFIED", "NAME"), rows)


def run_info(context: Context, args: Namespace) -> None:
    """Show what is known of an object."""
    details = context.pithos.details(*split_object(args.target))
    if context.json:
        print_json(asdict(details))
        return
    print_fields(
        [
            ("container", details.container),
            ("name", details.name),
            ("size", f"{size_text(details.size)} ({details.size} bytes)"),
            ("type", details.content_type),
            ("modified", details.modified),
            ("hash", details.hash),
            ("uuid", details.uuid),
            *((f"meta {key}", value) for key, value in sorted(details.metadata.items())),
        ]
    )


def run_delete(context: Context, args: Namespace) -> None:
    """Delete objects."""
    targets = [split_object(target) for target in args.targets]
    for container, name in targets:
        context.objects.delete_object(container, name)


def run_copy(context: Context, args: Namespace) -> None:
    """Copy on the server."""
    source = split_object(args.source)
    text = args.target if not args.target.endswith("/") else args.target + source[1]
    context.objects.copy_object(source, split_object(text))


def run_mkdir(context: Context, args: Namespace) -> None:
    """Create a container."""
    context.objects.create_container(args.container)


GROUP = Group(
    "file",
    "upload, download and manage objects",
    (
        Command(
            "upload",
            "upload a file; only what the server lacks is sent",
            run_upload,
            (
                argument("source", metavar="FILE", help="file to upload, or - for standard input"),
                argument("target", metavar="CONTAINER[/OBJECT]", help="where to put it"),
                argument("--content-type", metavar="TYPE", help="default: by the name"),
                argument("--no-replace", action="store_true", help="fail when the object exists"),
            ),
            details="The container must exist. Zeros are not sent, nor blocks\n"
            "that this project has sent before. Standard input is sent whole.",
            examples="  kamaki file upload disk.img images/disk.img\n"
            "  kamaki file upload report.pdf documents\n"
            "  tar c . | kamaki file upload - backups/home.tar",
        ),
        Command(
            "download",
            "download an object; goes on where an earlier attempt stopped",
            run_download,
            (
                argument("source", metavar="CONTAINER/OBJECT", help="what to download"),
                argument(
                    "target",
                    metavar="FILE",
                    nargs="?",
                    help="file or directory to write, or - for standard output"
                    " (default: the object's name, here)",
                ),
                argument("--force", action="store_true", help="replace an existing file"),
            ),
            details="Each block is checked against its hash. The file is written as FILE.part and\n"
            "takes its name when it is complete; zeros become holes.",
            examples="  kamaki file download images/disk.img\n"
            "  kamaki file download images/disk.img /srv/disks/ --force\n"
            "  kamaki file download backups/home.tar - | tar x",
        ),
        Command(
            "list",
            "list objects of a container",
            run_list,
            (
                argument("target", metavar="CONTAINER[/PREFIX]", help="which names"),
                argument(
                    "-r", "--recursive", action="store_true", help="also what lies in directories"
                ),
            ),
            examples="  kamaki file list images\n  kamaki file list documents/2026/ --recursive",
        ),
        Command(
            "info",
            "show size, type, hash and metadata of an object",
            run_info,
            (argument("target", metavar="CONTAINER/OBJECT"),),
            examples="  kamaki file info images/disk.img --json",
        ),
        Command(
            "delete",
            "delete objects",
            run_delete,
            (argument("targets", metavar="CONTAINER/OBJECT", nargs="+"),),
            examples="  kamaki file delete images/old.img images/older.img",
        ),
        Command(
            "copy",
            "copy an object on the server; no content moves",
            run_copy,
            (
                argument("source", metavar="CONTAINER/OBJECT"),
                argument(
                    "target", metavar="CONTAINER/OBJECT", help="ends with / : same name there"
                ),
            ),
            examples="  kamaki file copy images/disk.img backups/disk-monday.img",
        ),
        Command(
            "mkdir",
            "create a container (as 'kamaki container create')",
            run_mkdir,
            (argument("container", metavar="CONTAINER"),),
            examples="  kamaki file mkdir images",
        ),
    ),
    examples="  kamaki file upload disk.img images/disk.img\n  kamaki file list images",
)
