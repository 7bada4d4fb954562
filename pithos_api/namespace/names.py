"""Which names are names."""

from __future__ import annotations

from pithos_api.namespace.errors import NameInvalid
from pithos_api.namespace.records import CONTAINER_NAME_SIZE_MAX, NAME_SIZE_MAX

ACCOUNT_SIZE_MAX = 64


def check_account(account: str) -> None:
    """NameInvalid unless this can be the id of an account."""
    _check("account", account, ACCOUNT_SIZE_MAX)
    if "/" in account:
        raise NameInvalid("account name has a slash")


def check_container(name: str) -> None:
    """NameInvalid unless this can be the name of a container."""
    _check("container", name, CONTAINER_NAME_SIZE_MAX)
    if "/" in name:
        raise NameInvalid("container name has a slash")


def check_object(name: str) -> None:
    """NameInvalid unless this can be the name of an object: anything but NUL, also slashes only."""
    _check("object", name, NAME_SIZE_MAX)


def check_text(what: str, text: str) -> int:
    """The UTF-8 bytes of a text that may go into the database, or NameInvalid."""
    if "\0" in text:
        raise NameInvalid(f"{what} has a NUL")
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise NameInvalid(f"{what} is not UTF-8") from error


def _check(what: str, name: str, size_max: int) -> None:
    if not name:
        raise NameInvalid(f"{what} name is empty")
    size = check_text(f"{what} name", name)
    if size > size_max:
        raise NameInvalid(f"{what} name length of {size} longer than {size_max}")
