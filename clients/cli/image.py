"""`kamaki image`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from clients.cli.command import Command, Context, Group, argument, split_object
from clients.cli.output import print_fields, print_json, print_table, size_text
from clients.images import Image


def run_register(context: Context, args: Namespace) -> None:
    """Register an object as an image."""
    image = context.images.register(args.name, *split_object(args.object), public=args.public)
    _show(context, image)


def run_list(context: Context, args: Namespace) -> None:
    """List images."""
    found = context.images.list(args.name or "")
    if context.json:
        print_json([asdict(image) for image in found])
        return
    rows = [(image.id, size_text(image.size), image.visibility, image.name) for image in found]
    if rows:
        print_table(("ID", "SIZE", "VISIBILITY", "NAME"), rows)


def run_show(context: Context, args: Namespace) -> None:
    """Show one image."""
    _show(context, context.images.find(args.image))


def run_unregister(context: Context, args: Namespace) -> None:
    """Remove images from the registry."""
    for name in args.images:
        context.images.unregister(context.images.find(name))


def _show(context: Context, image: Image) -> None:
    if context.json:
        print_json(asdict(image))
        return
    print_fields(
        [
            ("id", image.id),
            ("name", image.name),
            ("size", f"{size_text(image.size)} ({image.size} bytes)"),
            ("visibility", image.visibility),
            ("status", image.status),
            ("format", image.disk_format),
            ("owner", image.owner),
            ("created", image.created),
        ]
    )


_IMAGE = "name or id of an image"

GROUP = Group(
    "image",
    "register objects as images that volumes can be made from",
    (
        Command(
            "register",
            "register an object as an image; no content moves",
            run_register,
            (
                argument("name", metavar="NAME", help="name of the image"),
                argument("object", metavar="CONTAINER/OBJECT", help="a raw disk image"),
                argument("--public", action="store_true", help="usable by every project"),
            ),
            details="The image keeps the content that the object has now, also when the object is\n"
            "replaced or deleted later.",
            examples="  kamaki image register debian-13 images/debian-13.img --public",
        ),
        Command(
            "list",
            "list own and public images",
            run_list,
            (argument("--name", metavar="NAME", help="only images of this name"),),
            examples="  kamaki image list --json",
        ),
        Command(
            "show",
            "show one image",
            run_show,
            (argument("image", metavar="IMAGE", help=_IMAGE),),
            examples="  kamaki image show debian-13",
        ),
        Command(
            "unregister",
            "remove images from the registry; objects and volumes stay",
            run_unregister,
            (argument("images", metavar="IMAGE", nargs="+", help=_IMAGE),),
            examples="  kamaki image unregister debian-12",
        ),
    ),
    examples="  kamaki image register debian-13 images/debian-13.img\n  kamaki image list",
)
