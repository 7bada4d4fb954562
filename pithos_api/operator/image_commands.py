"""archipelago image ...: what is registered, and finding one by id or name."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from archipelago import MapRoot
from pithos_api.database.engine import reading
from pithos_api.database.tables import images
from pithos_api.operator.command import Command, Invocation
from pithos_api.operator.deployment import Deployment
from pithos_api.operator.errors import CONFLICT, NOT_FOUND, USAGE, OperatorError
from pithos_api.operator.output import print_json, print_table, time_text
from pithos_api.operator.sizes import SECTOR_BYTES, size_text

RAW = "raw"
ACTIVE = "active"
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Image:
    """A registered image with content, of whatever project."""

    id: str
    name: str | None
    status: str
    visibility: str
    project: str
    disk_format: str | None
    size: int
    min_disk: int
    """GiB."""
    root: MapRoot | None
    created: float

    @property
    def label(self) -> str:
        """For people."""
        return self.name or self.id

    @property
    def volume_size(self) -> int:
        """Bytes of a volume made from it: the content, whole sectors, at least its min_disk."""
        return max(-(-self.size // SECTOR_BYTES) * SECTOR_BYTES, self.min_disk * GIB)


@dataclass(frozen=True, slots=True)
class BootableImage:
    """An image that a volume can be made of."""

    id: str
    label: str
    size: int
    volume_size: int
    root: MapRoot


def all_images(deployment: Deployment) -> list[Image]:
    """Every image, in order of names."""
    query = select(images).order_by(images.c.name, images.c.id)
    with reading(deployment.engine) as connection:
        rows = connection.execute(query).all()
    return [
        Image(
            id=row.id,
            name=row.name,
            status=row.status,
            visibility=row.visibility,
            project=row.account,
            disk_format=row.disk_format,
            size=row.size or 0,
            min_disk=row.min_disk,
            root=None if row.root is None else MapRoot.unpack(row.root),
            created=row.created,
        )
        for row in rows
    ]


def find_image(deployment: Deployment, key: str) -> BootableImage:
    """The raw, active image of that id, or else of that name. OperatorError when it is not one."""
    found = all_images(deployment)
    matches = [i for i in found if i.id == key] or [i for i in found if i.name == key]
    if not matches:
        raise OperatorError(f"no such image: {key}; see: archipelago image list", NOT_FOUND)
    if len(matches) > 1:
        raise OperatorError(
            f"{len(matches)} images are called {key}; use an id of: archipelago image list",
            CONFLICT,
        )
    image = matches[0]
    if image.status != ACTIVE or image.root is None:
        raise OperatorError(f"image {key} is {image.status}: it has no content yet", CONFLICT)
    if image.disk_format != RAW:
        raise OperatorError(
            f"image {key} is {image.disk_format}, and volumes are made of raw ones;"
            " convert it with qemu-img convert -O raw, and upload that",
            USAGE,
        )
    return BootableImage(image.id, image.label, image.size, image.volume_size, image.root)


def _list(invocation: Invocation) -> None:
    found = all_images(invocation.deployment)
    if invocation.options.json:
        fields = [name for name in Image.__slots__ if name != "root"]
        print_json([{name: getattr(image, name) for name in fields} for image in found])
        return
    print_table(
        ("ID", "NAME", "STATUS", "VISIBILITY", "FORMAT", "SIZE", "CREATED"),
        [
            (
                image.id,
                image.name or "",
                image.status,
                image.visibility,
                image.disk_format or "",
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
