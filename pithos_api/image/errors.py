"""What can go wrong with images; each message is one line fit for a client."""

from __future__ import annotations


class ImageError(Exception):
    """Base of all errors of this package."""


class NoSuchImage(ImageError):
    """None of that name or id, or none that the asker may know of. Field: `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no such image: {name}")
        self.name = name


class ImageExists(ImageError):
    """The account has an image of that name already. Field: `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"an image of this name exists: {name}")
        self.name = name


class ImageAmbiguous(ImageError):
    """Several images have that name; only an id will do. Field: `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"several images have the name {name}: use an id")
        self.name = name


class ImageForbidden(ImageError):
    """The image can be seen, but belongs to another account, or is protected."""


class ImageInvalid(ImageError):
    """A name or attribute that breaks the rules; the text says which."""
