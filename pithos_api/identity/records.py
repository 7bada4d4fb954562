"""Users, projects and tokens as plain values. Ids are 32 hex digits, times seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass, field

ADMIN = "admin"
MEMBER = "member"
READER = "reader"
ROLES = (ADMIN, MEMBER, READER)


@dataclass(frozen=True, slots=True)
class Project:
    """What owns an account; its id is the account's."""

    id: str
    name: str
    description: str
    created: float


@dataclass(frozen=True, slots=True)
class User:
    """Who logs in. `default_project` is the one a token is for where none is asked."""

    id: str
    name: str
    default_project: str | None
    enabled: bool
    created: float


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request, and for which project; both project fields are None when unscoped."""

    user_id: str
    user_name: str
    project_id: str | None
    project_name: str | None
    roles: tuple[str, ...]
    """In the project, in order of names."""

    @property
    def is_admin(self) -> bool:
        """May act on every account."""
        return ADMIN in self.roles


@dataclass(frozen=True, slots=True)
class Token:
    """A token and what it stands for. `value` is known only to who asked for it or showed it."""

    value: str = field(repr=False)
    principal: Principal
    issued: float
    expires: float
