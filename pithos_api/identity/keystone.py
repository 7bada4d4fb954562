"""Keystone v3, as far as the ordinary clients ask: tokens, the catalogue, and who one is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request

from pithos_api.endpoint import Endpoint
from pithos_api.faults import Fault, HttpError
from pithos_api.identity.bodies import (
    DOMAIN_ID,
    DOMAIN_NAME,
    domain_body,
    list_body,
    project_body,
    read_login,
    token_body,
    user_body,
    version_body,
)
from pithos_api.identity.catalogue import catalogue, public_url
from pithos_api.identity.errors import Forbidden, NoSuchProject, NoSuchUser, Unauthorized
from pithos_api.identity.records import Principal, Project, Token, User
from pithos_api.services import services

BODY_SIZE_MAX = 64 * 1024
"""Bytes of JSON in a request."""

blueprint = Blueprint("keystone", __name__)


def render(fault: Fault) -> Response:
    """{"error": {code, message, title}}"""
    title = _title(fault.status)
    error = {"code": fault.status, "message": fault.message or title, "title": title}
    headers = dict(fault.headers)
    if fault.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = f'Keystone uri="{public_url()}/v3"'
    return _answer({"error": error}, fault.status, headers)


@blueprint.get("/")
def versions() -> Response:
    """The version document for clients that were given no version."""
    return _answer({"versions": {"values": [version_body()]}}, HTTPStatus.MULTIPLE_CHOICES)


@blueprint.get("/v3", strict_slashes=False)
@blueprint.get("/v3/", strict_slashes=False)
def version() -> Response:
    """The version document of v3."""
    return _answer({"version": version_body()})


@blueprint.post("/v3/auth/tokens")
def issue_token() -> Response:
    """Log in."""
    login = read_login(_json_body())
    identity = services().identity
    if login.user is None:
        token = identity.rescope(login.secret, login.project)
    else:
        token = identity.authenticate(login.user, login.secret, login.project)
    return _answer_token(token, login.method, HTTPStatus.CREATED)


@blueprint.get("/v3/auth/tokens")
def validate_token() -> Response:
    """Tell what a token stands for; HEAD too."""
    return _answer_token(_subject(), "password")


@blueprint.delete("/v3/auth/tokens")
def revoke_token() -> Response:
    """Log out."""
    services().identity.revoke(_subject().value)
    return Response(status=HTTPStatus.NO_CONTENT)


@blueprint.get("/v3/auth/catalog")
def show_catalogue() -> Response:
    """The catalogue of the token's project."""
    links = {"self": f"{public_url()}/v3/auth/catalog", "next": None, "previous": None}
    return _answer({"catalog": catalogue(_caller()), "links": links})


@blueprint.get("/v3/auth/projects")
def own_projects() -> Response:
    """Where the caller has a role."""
    mine = services().identity.projects_of(_caller().user_id)
    return _answer(list_body("projects", [project_body(project) for project in mine]))


@blueprint.get("/v3/projects")
def list_projects() -> Response:
    """The caller's own; all for an administrator. `name` filters."""
    found = [project_body(p) for p in _visible_projects(_caller()) if _is_asked(p.name)]
    return _answer(list_body("projects", found))


@blueprint.get("/v3/projects/<project_id>")
def show_project(project_id: str) -> Response:
    """One by id."""
    for project in _visible_projects(_caller()):
        if project.id == project_id:
            return _answer({"project": project_body(project)})
    raise NoSuchProject(project_id)


@blueprint.get("/v3/users/<user_id>/projects")
def list_projects_of(user_id: str) -> Response:
    """Where a user has a role; oneself, or anybody for an administrator."""
    caller = _caller()
    if user_id != caller.user_id and not caller.is_admin:
        raise Forbidden
    found = [project_body(p) for p in services().identity.projects_of(user_id)]
    return _answer(list_body("projects", found))


@blueprint.get("/v3/users")
def list_users() -> Response:
    """Oneself; all for an administrator. `name` filters."""
    found = [user_body(user) for user in _visible_users(_caller()) if _is_asked(user.name)]
    return _answer(list_body("users", found))


@blueprint.get("/v3/users/<user_id>")
def show_user(user_id: str) -> Response:
    """One by id."""
    for user in _visible_users(_caller()):
        if user.id == user_id:
            return _answer({"user": user_body(user)})
    raise NoSuchUser(user_id)


@blueprint.get("/v3/domains")
def list_domains() -> Response:
    """The one domain."""
    _caller()
    return _answer(list_body("domains", [domain_body()] if _is_asked(DOMAIN_NAME) else []))


@blueprint.get("/v3/domains/<domain_id>")
def show_domain(domain_id: str) -> Response:
    """The one domain by id."""
    _caller()
    if domain_id != DOMAIN_ID:
        raise HttpError(404, f"Could not find domain: {domain_id}.")
    return _answer({"domain": domain_body()})


ENDPOINT = Endpoint(("/", "/v3"), blueprint, render)


def _caller() -> Principal:
    return services().identity.check(_caller_token())


def _caller_token() -> str:
    token = request.headers.get("X-Auth-Token")
    if not token:
        raise Unauthorized
    return token


def _subject() -> Token:
    """The token that is asked about: one's own, or anybody's for an administrator."""
    identity = services().identity
    caller = identity.check(_caller_token())
    value = request.headers.get("X-Subject-Token")
    if not value:
        raise HttpError(400, "X-Subject-Token is missing")
    try:
        token = identity.lookup(value)
    except Unauthorized:
        raise HttpError(404, "Could not find token.") from None
    if token.principal.user_id != caller.user_id and not caller.is_admin:
        raise Forbidden
    return token


def _visible_projects(caller: Principal) -> list[Project]:
    identity = services().identity
    return identity.projects() if caller.is_admin else identity.projects_of(caller.user_id)


def _visible_users(caller: Principal) -> list[User]:
    identity = services().identity
    return identity.users() if caller.is_admin else [identity.user(caller.user_id)]


def _is_asked(name: str) -> bool:
    return request.args.get("name", name) == name


def _json_body() -> object:
    request.max_content_length = BODY_SIZE_MAX
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise HttpError(400, "the body is not JSON") from error


def _answer_token(token: Token, method: str, status: int = HTTPStatus.OK) -> Response:
    body = token_body(token, method, with_catalogue="nocatalog" not in request.args)
    return _answer(body, status, {"X-Subject-Token": token.value})


def _answer(
    body: Mapping[str, Any], status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    response = Response(json.dumps(body), status=status, mimetype="application/json")
    response.headers.update({"Vary": "X-Auth-Token", **(headers or {})})
    return response


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
