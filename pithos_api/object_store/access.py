"""Who asks, and whether the account of the path is theirs."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request

from pithos_api import wire
from pithos_api.faults import HttpError
from pithos_api.identity.errors import Forbidden, Unauthorized
from pithos_api.identity.records import ADMIN, MEMBER, Principal
from pithos_api.paths import Path
from pithos_api.services import services

ACCOUNT_PREFIX = wire.ACCOUNT_PREFIX
READING = ("GET", "HEAD")
WRITERS = {ADMIN, MEMBER}


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about, once its sender may act on it."""

    principal: Principal
    account: str
    """Project id."""
    path: Path
    """As in the URL, so `path.account` has the prefix."""

    @property
    def container(self) -> str:
        """The container's name; only for requests that have one."""
        assert self.path.container is not None
        return self.path.container

    @property
    def object(self) -> str:
        """The object's name; only for requests that have one."""
        assert self.path.object is not None
        return self.path.object


def authenticated() -> Principal:
    """The owner of the request's token, or Unauthorized. Forbidden: a reader who would write."""
    token = request.headers.get("X-Auth-Token") or request.headers.get("X-Storage-Token")
    if not token:
        raise Unauthorized
    principal = services().identity.check(token)
    if request.method not in READING and not WRITERS.intersection(principal.roles):
        raise Forbidden
    return principal


def authorized_account(principal: Principal, element: str) -> str:
    """The project id behind an account element of a URL or header.

    Forbidden unless it is the principal's own project; an administrator reaches all that exist. An
    own account is made at its first use.
    """
    own = f"{ACCOUNT_PREFIX}{principal.project_id}"
    namespace = services().namespace
    if principal.project_id and element == own:
        namespace.ensure_account(principal.project_id)
        return principal.project_id
    if not principal.is_admin:
        raise Forbidden
    account = element.removeprefix(ACCOUNT_PREFIX)
    if account == element or not namespace.account_exists(account):
        raise HttpError(404)
    return account
