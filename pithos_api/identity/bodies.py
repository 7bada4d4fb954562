"""Keystone's JSON: how users, projects and tokens are written, and how a login is read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pithos_api.faults import HttpError
from pithos_api.identity.catalogue import catalogue, public_url, stable_id
from pithos_api.identity.errors import Unauthorized
from pithos_api.identity.records import Project, Token, User

DOMAIN_ID = "default"
DOMAIN_NAME = "Default"
DOMAIN = {"id": DOMAIN_ID, "name": DOMAIN_NAME}


@dataclass(frozen=True, slots=True)
class Login:
    """What was asked of POST /v3/auth/tokens: by password (a user) or by token."""

    user: str | None
    secret: str
    """The password, or the token."""
    project: str | None

    @property
    def method(self) -> str:
        """Keystone's name of the way in."""
        return "token" if self.user is None else "password"


def read_login(body: object) -> Login:
    """HttpError 400: not a login; Unauthorized: another domain, or a method we do not have."""
    auth = _member(body, "auth")
    identity = _member(auth, "identity")
    methods = identity.get("methods")
    project = _read_scope(auth.get("scope"))
    if methods == ["password"]:
        user = _member(_member(identity, "password"), "user")
        return Login(_read_name(user, "user"), _text(user, "password"), project)
    if methods == ["token"]:
        return Login(None, _text(_member(identity, "token"), "id"), project)
    if isinstance(methods, list) and methods:
        raise Unauthorized
    raise _bad("auth.identity.methods is not a list of methods")


def token_body(token: Token, method: str, *, with_catalogue: bool) -> dict[str, Any]:
    """{"token": ...}"""
    who = token.principal
    body: dict[str, Any] = {
        "methods": [method],
        "user": {
            "id": who.user_id,
            "name": who.user_name,
            "domain": DOMAIN,
            "password_expires_at": None,
        },
        "audit_ids": [stable_id(f"{who.user_id}/{token.issued}")[:22]],
        "issued_at": iso_time(token.issued),
        "expires_at": iso_time(token.expires),
    }
    if who.project_id is not None:
        body |= {
            "project": {"id": who.project_id, "name": who.project_name, "domain": DOMAIN},
            "is_domain": False,
            "roles": [{"id": stable_id(f"role/{role}"), "name": role} for role in who.roles],
        }
    if with_catalogue:
        body["catalog"] = catalogue(who)
    return {"token": body}


def version_body() -> dict[str, Any]:
    """The one version that there is."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{public_url()}/v3/"}],
        "media-types": [
            {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}
        ],
    }


def project_body(project: Project) -> dict[str, Any]:
    """One project."""
    return {
        "id": project.id,
        "name": project.name,
        "description": project.description,
        "domain_id": DOMAIN_ID,
        "parent_id": DOMAIN_ID,
        "enabled": True,
        "is_domain": False,
        "options": {},
        "tags": [],
        "links": {"self": f"{public_url()}/v3/projects/{project.id}"},
    }


def user_body(user: User) -> dict[str, Any]:
    """One user."""
    return {
        "id": user.id,
        "name": user.name,
        "domain_id": DOMAIN_ID,
        "default_project_id": user.default_project,
        "enabled": user.enabled,
        "options": {},
        "password_expires_at": None,
        "links": {"self": f"{public_url()}/v3/users/{user.id}"},
    }


def domain_body() -> dict[str, Any]:
    """The only domain."""
    return {
        "id": DOMAIN_ID,
        "name": DOMAIN_NAME,
        "description": "The only domain",
        "enabled": True,
        "options": {},
        "tags": [],
        "links": {"self": f"{public_url()}/v3/domains/{DOMAIN_ID}"},
    }


def list_body(name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """A collection, all on one page."""
    links = {"self": f"{public_url()}/v3/{name}", "next": None, "previous": None}
    return {name: entries, "links": links}


def iso_time(seconds: float) -> str:
    """UTC with microseconds and a Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _read_scope(scope: object) -> str | None:
    """The project asked for, or None. A domain as scope gives no token: nobody has a role there."""
    if scope is None or scope == "unscoped":
        return None
    if not isinstance(scope, dict):
        raise _bad("auth.scope is not an object")
    if "project" not in scope:
        raise Unauthorized
    return _read_name(_member(scope, "project"), "project")


def _read_name(value: dict[str, Any], what: str) -> str:
    """The id, or the name in our domain."""
    if "id" in value:
        return _text(value, "id")
    name = _text(value, "name")
    domain = value.get("domain", DOMAIN)
    if not isinstance(domain, dict):
        raise _bad(f"the domain of the {what} is not an object")
    if domain.get("id", DOMAIN_ID) != DOMAIN_ID or domain.get("name", DOMAIN_NAME) != DOMAIN_NAME:
        raise Unauthorized
    return name


def _member(value: object, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise _bad(f"{name!r} is missing or not an object")
    return found


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise _bad(f"{name!r} is missing or not a string")
    return found


def _bad(message: str) -> HttpError:
    return HttpError(400, message)
