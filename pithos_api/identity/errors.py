"""What can go wrong with users, projects and tokens."""

from __future__ import annotations


class IdentityError(Exception):
    """Base of all errors of this package."""


class Unauthorized(IdentityError):
    """No token, an unknown or expired one, a wrong password: all the same to the client."""

    def __init__(self, message: str = "The request you have made requires authentication.") -> None:
        super().__init__(message)


class Forbidden(IdentityError):
    """The token is good, but its owner may not do this."""

    def __init__(self, message: str = "You are not authorized to perform this action.") -> None:
        super().__init__(message)


class NoSuchUser(IdentityError):
    """Field: `user`."""

    def __init__(self, user: str) -> None:
        super().__init__(f"no such user: {user}")
        self.user = user


class NoSuchProject(IdentityError):
    """Field: `project`."""

    def __init__(self, project: str) -> None:
        super().__init__(f"no such project: {project}")
        self.project = project


class IdentityConflict(IdentityError):
    """A user or project of that name exists already, or is still needed."""


class IdentityInvalid(IdentityError):
    """A name or password that breaks the rules; the text says which."""
