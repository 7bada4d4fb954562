"""archipelago image ...: what is registered, and what a volume can be made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pithos_api.image.records import ImageInfo, ImageQuery
from pithos_api.image.registry import Images
from pithos_api.operator.command import Command, Invocation
from pithos_api.operator.deployment import Deployment
from pithos_api.operator.errors import USAGE, OperatorError
from pithos_api.operator.output import print_json, print_table, time_text
from pithos_api.operator.sizes import size_text

RAW = "raw"
PAGE = 1000


def bootable_image(deployment: Deployment, key: str) -> ImageInfo:
    """The image of that id or name. OperatorError unless it is a raw disk."""
    image = Images(deployment.engine).find(key)
    if image.disk_format != RAW:
        raise OperatorError(
            f"image {key} is {image.disk_format}, and volumes are made of raw ones;"
            " convert it with qemu-img convert -O raw, and upload that",
            USAGE,
        )
    if image.size == 0:
        raise OperatorError(f"image {key} is empty", USAGE)
    return image


def _all_images(deployment: Deployment) -> Iterator[ImageInfo]:
    """Every image, newest first."""
    registry, marker = Images(deployment.engine), ""
    while page := registry.list(ImageQuery(limit=PAGE, marker=marker)):
        yield from page
        marker = page[-1].id


def _list(invocation: Invocation) -> None:
    found = list(_all_images(invocation.deployment))
    if invocation.options.json:
        print_json([dataclasses.asdict(image) for image in found])
        return
    names = {p.id: p.name for p in invocation.deployment.identity.projects()}
    print_table(
        ("ID", "NAME", "PROJECT", "VISIBILITY", "FORMAT", "SIZE", "CREATED"),
        [
            (
                image.id,
                image.name,
                names.get(image.account, image.account),
                image.visibility,
                image.disk_format,
                size_text(image.size),
                time_text(image.created),
            )
            for image in found
        ],
    )


COMMANDS = (
    Command(
        ("image", "list"),
        "list the images of all projects",
        _list,
        "archipelago image list\narchipelago image list --json",
    ),
)
