"""What can go wrong in the namespace; each message is one line fit for a client."""

from __future__ import annotations


class NamespaceError(Exception):
    """Base of all errors of this package."""


class NoSuchAccount(NamespaceError):
    """The account has not been created. Field: `account`."""

    def __init__(self, account: str) -> None:
        super().__init__(f"no such account: {account}")
        self.account = account


class NoSuchContainer(NamespaceError):
    """Fields: `account`, `container`."""

    def __init__(self, account: str, container: str) -> None:
        super().__init__(f"no such container: {container}")
        self.account = account
        self.container = container


class NoSuchObject(NamespaceError):
    """Fields: `container`, `name`."""

    def __init__(self, container: str, name: str) -> None:
        super().__init__(f"no such object: {container}/{name}")
        self.container = container
        self.name = name


class ContainerNotEmpty(NamespaceError):
    """Field: `container`."""

    def __init__(self, container: str) -> None:
        super().__init__(f"container is not empty: {container}")
        self.container = container


class NameInvalid(NamespaceError):
    """An account, container or object name that breaks the rules; the text says which."""


class PreconditionFailed(NamespaceError):
    """`if_match` named another content than is there, or nothing is there."""


class AlreadyExists(NamespaceError):
    """`if_absent` was asked, and the name is taken."""


class UploadInterrupted(NamespaceError):
    """The sender went away before all of the announced body had come. Nothing was stored."""
