"""Users, projects, who has which role where, and the tokens they are given.

There is one domain. Users and projects are called by name or by id: no name looks like an id, so
one argument serves for both.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from pithos_api.database.engine import insert_absent, reading, writing
from pithos_api.database.tables import assignments, containers, projects, tokens, users
from pithos_api.identity.errors import (
    IdentityConflict,
    IdentityInvalid,
    NoSuchProject,
    NoSuchUser,
    Unauthorized,
)
from pithos_api.identity.passwords import PASSWORD_SIZE_MAX, Passwords
from pithos_api.identity.records import MEMBER, ROLES, Principal, Project, Token, User
from pithos_api.identity.tokens import TOKEN_SIZE_MAX, new_token_value, token_digest
from pithos_api.settings import DEFAULT_COST, TOKEN_LIFETIME_S, PasswordCost

NAME_SIZE_MAX = 255

LOG_IN_ATTEMPTS = 3
"""The stored hash may be renewed while the password is checked against the old one."""

PURGED_MAX = 100
"""Expired tokens removed whenever one is issued."""

_TOKEN = (
    select(
        tokens.c.user,
        tokens.c.project,
        tokens.c.created,
        tokens.c.expires,
        users.c.name.label("user_name"),
        users.c.enabled,
        projects.c.name.label("project_name"),
        assignments.c.role,
    )
    .join(users, users.c.id == tokens.c.user)
    .outerjoin(projects, projects.c.id == tokens.c.project)
    .outerjoin(
        assignments,
        and_(assignments.c.user == tokens.c.user, assignments.c.project == tokens.c.project),
    )
    .where(tokens.c.digest == bindparam("digest"))
    .order_by(assignments.c.role)
)
"""A token with its owner: a row for each role in its project, or one with none."""

_ID = re.compile(r"[0-9a-fA-F]{32}")


class _ProofGone(Unauthorized):
    """What a token was to be given for holds no more."""


class Identity:
    """All users and projects of one database. Safe for any number of threads."""

    def __init__(
        self,
        engine: Engine,
        cost: PasswordCost = DEFAULT_COST,
        token_lifetime_s: int = TOKEN_LIFETIME_S,
    ) -> None:
        self._engine = engine
        self._passwords = Passwords(cost)
        self._lifetime_s = token_lifetime_s

    # Users

    def create_user(
        self, name: str, password: str, project: str | None = None, role: str = MEMBER
    ) -> User:
        """A user with a role in a project, by default a new project of the same name.

        IdentityInvalid, IdentityConflict, NoSuchProject.
        """
        _check_name(name)
        _check_password(password)
        _check_role(role)
        stored = self._passwords.hash(password)
        user_id, now = uuid.uuid4().hex, time.time()
        try:
            with writing(self._engine) as connection:
                if project is None:
                    project_id = _insert_project(connection, name, "")
                else:
                    project_id = _project_row(connection, project).id
                connection.execute(
                    insert(users).values(
                        id=user_id,
                        name=name,
                        password_hash=stored,
                        default_project=project_id,
                        enabled=True,
                        created=now,
                    )
                )
                _assign(connection, user_id, project_id, role)
        except IntegrityError as error:
            raise IdentityConflict(f"a user or project of this name exists: {name}") from error
        return User(user_id, name, project_id, True, now)

    def user(self, user: str) -> User:
        """NoSuchUser."""
        with reading(self._engine) as connection:
            return _user_of(_user_row(connection, user))

    def users(self) -> list[User]:
        """All, in order of names."""
        with reading(self._engine) as connection:
            return [_user_of(row) for row in connection.execute(_in_order(users))]

    def set_password(self, user: str, password: str) -> None:
        """Change it; all tokens of the user are revoked. NoSuchUser, IdentityInvalid."""
        _check_password(password)
        stored = self._passwords.hash(password)
        with writing(self._engine) as connection:
            row = _user_row(connection, user)
            connection.execute(
                update(users).where(users.c.id == row.id).values(password_hash=stored)
            )
            connection.execute(delete(tokens).where(tokens.c.user == row.id))

    def set_enabled(self, user: str, enabled: bool) -> None:
        """Let a user in or not; tokens of a disabled one are revoked. NoSuchUser."""
        with writing(self._engine) as connection:
            row = _user_row(connection, user)
            connection.execute(update(users).where(users.c.id == row.id).values(enabled=enabled))
            if not enabled:
                connection.execute(delete(tokens).where(tokens.c.user == row.id))

    def delete_user(self, user: str) -> None:
        """With tokens and roles; projects and their data stay. NoSuchUser."""
        with writing(self._engine) as connection:
            row = _user_row(connection, user)
            connection.execute(delete(users).where(users.c.id == row.id))

    # Projects

    def create_project(self, name: str, description: str = "") -> Project:
        """IdentityInvalid, IdentityConflict."""
        _check_name(name)
        try:
            with writing(self._engine) as connection:
                project_id = _insert_project(connection, name, description)
                return _project_of(_project_row(connection, project_id))
        except IntegrityError as error:
            raise IdentityConflict(f"a project of this name exists: {name}") from error

    def project(self, project: str) -> Project:
        """NoSuchProject."""
        with reading(self._engine) as connection:
            return _project_of(_project_row(connection, project))

    def projects(self) -> list[Project]:
        """All, in order of names."""
        with reading(self._engine) as connection:
            return [_project_of(row) for row in connection.execute(_in_order(projects))]

    def projects_of(self, user_id: str) -> list[Project]:
        """Those in which the user has a role, in order of names."""
        mine = select(assignments.c.project).where(assignments.c.user == user_id)
        query = _in_order(projects).where(projects.c.id.in_(mine))
        with reading(self._engine) as connection:
            return [_project_of(row) for row in connection.execute(query)]

    def delete_project(self, project: str) -> None:
        """NoSuchProject; IdentityConflict while it has containers."""
        with writing(self._engine) as connection:
            row = _project_row(connection, project)
            inside = select(containers.c.id).where(containers.c.account == row.id).limit(1)
            if connection.execute(inside).one_or_none() is not None:
                raise IdentityConflict(f"the project has containers: {row.name}")
            connection.execute(
                update(users).where(users.c.default_project == row.id).values(default_project=None)
            )
            connection.execute(delete(projects).where(projects.c.id == row.id))

    def assign(self, user: str, project: str, role: str = MEMBER) -> None:
        """Give a role in a project. NoSuchUser, NoSuchProject, IdentityInvalid."""
        _check_role(role)
        with writing(self._engine) as connection:
            user_id = _user_row(connection, user).id
            _assign(connection, user_id, _project_row(connection, project).id, role)

    def unassign(self, user: str, project: str, role: str = MEMBER) -> None:
        """Take a role away; nothing happens when it was not given. NoSuchUser, NoSuchProject."""
        with writing(self._engine) as connection:
            user_id = _user_row(connection, user).id
            project_id = _project_row(connection, project).id
            connection.execute(
                delete(assignments).where(
                    assignments.c.user == user_id,
                    assignments.c.project == project_id,
                    assignments.c.role == role,
                )
            )

    # Tokens

    def authenticate(self, user: str, password: str, project: str | None = None) -> Token:
        """A new token for a user (name or id) in a project, by default his own.

        Unauthorized, the same for a wrong name, password or project.
        """
        for _ in range(LOG_IN_ATTEMPTS):
            row = self._verified(user, password)
            proof = select(users.c.id).where(
                users.c.id == row.id, users.c.password_hash == row.password_hash
            )
            expires = time.time() + self._lifetime_s
            try:
                token = self._issue(row.id, project or row.default_project, expires, proof)
            except _ProofGone:
                continue
            if self._passwords.outdated(row.password_hash):
                self._renew_hash(row, password)
            return token
        raise Unauthorized

    def rescope(self, value: str, project: str | None) -> Token:
        """Another token for the owner of this one, in another project, expiring with it."""
        token = self.lookup(value)
        proof = select(tokens.c.digest).where(tokens.c.digest == token_digest(value))
        who = token.principal
        return self._issue(who.user_id, project or who.project_id, token.expires, proof)

    def check(self, value: str) -> Principal:
        """Who shows this token. Unauthorized."""
        return self.lookup(value).principal

    def lookup(self, value: str) -> Token:
        """The token and all that is known of it, as of now. Unauthorized."""
        if not value or len(value) > TOKEN_SIZE_MAX:
            raise Unauthorized
        with reading(self._engine) as connection:
            rows = connection.execute(_TOKEN, {"digest": token_digest(value)}).all()
        if not rows or not rows[0].enabled or rows[0].expires <= time.time():
            raise Unauthorized
        first = rows[0]
        roles = tuple(row.role for row in rows if row.role is not None)
        if first.project is not None and not roles:
            raise Unauthorized
        principal = Principal(first.user, first.user_name, first.project, first.project_name, roles)
        return Token(value, principal, first.created, first.expires)

    def revoke(self, value: str) -> None:
        """The token is good no more. Nothing happens when it was not."""
        with writing(self._engine) as connection:
            connection.execute(delete(tokens).where(tokens.c.digest == token_digest(value)))

    def _verified(self, user: str, password: str) -> Row[Any]:
        with reading(self._engine) as connection:
            row = _find(connection, users, user)
        stored = None if row is None else row.password_hash
        if not self._passwords.matches(stored, password) or row is None or not row.enabled:
            raise Unauthorized
        return row

    def _issue(
        self, user_id: str, project: str | None, expires: float, proof: Select[Any]
    ) -> Token:
        """_ProofGone where `proof` finds nothing any more: a token that is given while a password
        is changed or a token revoked must not outlive that."""
        value, now = new_token_value(), time.time()
        with writing(self._engine) as connection:
            if connection.execute(proof).one_or_none() is None:
                raise _ProofGone
            project_id = None
            if project is not None:
                found = _find(connection, projects, project)
                if found is None:
                    raise Unauthorized
                project_id = found.id
            principal = _principal(connection, user_id, project_id)
            _purge_tokens(connection, now)
            connection.execute(
                insert(tokens).values(
                    digest=token_digest(value),
                    user=user_id,
                    project=project_id,
                    created=now,
                    expires=expires,
                )
            )
        return Token(value, principal, now, expires)

    def _renew_hash(self, row: Row[Any], password: str) -> None:
        stored = self._passwords.hash(password)
        with writing(self._engine) as connection:
            connection.execute(
                update(users)
                .where(users.c.id == row.id, users.c.password_hash == row.password_hash)
                .values(password_hash=stored)
            )


def _find(connection: Connection, table: Table, key: str) -> Row[Any] | None:
    """The user or project that is called so, by id or name."""
    called: ColumnElement[bool] = table.c.name == key
    if _ID.fullmatch(key):
        called = or_(called, table.c.id == key.lower())
    if not _is_text(key):
        return None
    return connection.execute(select(table).where(called)).one_or_none()


def _user_row(connection: Connection, user: str) -> Row[Any]:
    row = _find(connection, users, user)
    if row is None:
        raise NoSuchUser(user)
    return row


def _project_row(connection: Connection, project: str) -> Row[Any]:
    row = _find(connection, projects, project)
    if row is None:
        raise NoSuchProject(project)
    return row


def _insert_project(connection: Connection, name: str, description: str) -> str:
    project_id = uuid.uuid4().hex
    values = {"id": project_id, "name": name, "description": description, "created": time.time()}
    connection.execute(insert(projects).values(values))
    return project_id


def _assign(connection: Connection, user_id: str, project_id: str, role: str) -> None:
    row = {"user": user_id, "project": project_id, "role": role}
    insert_absent(connection, assignments, [row])


def _principal(connection: Connection, user_id: str, project_id: str | None) -> Principal:
    """Unauthorized where the user has no role in the project."""
    user = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
    if user is None or not user.enabled:
        raise Unauthorized
    if project_id is None:
        return Principal(user.id, user.name, None, None, ())
    roles = connection.execute(
        select(assignments.c.role)
        .where(assignments.c.user == user_id, assignments.c.project == project_id)
        .order_by(assignments.c.role)
    ).scalars()
    held = tuple(roles)
    if not held:
        raise Unauthorized
    project = _project_row(connection, project_id)
    return Principal(user.id, user.name, project.id, project.name, held)


def _purge_tokens(connection: Connection, now: float) -> None:
    """Some of those that have expired; whoever logs in does not wait for all at once."""
    expired = select(tokens.c.digest).where(tokens.c.expires <= now).limit(PURGED_MAX)
    connection.execute(delete(tokens).where(tokens.c.digest.in_(expired)))


def _in_order(table: Table) -> Select[Any]:
    return select(table).order_by(table.c.name)


def _user_of(row: Row[Any]) -> User:
    return User(row.id, row.name, row.default_project, row.enabled, row.created)


def _project_of(row: Row[Any]) -> Project:
    return Project(row.id, row.name, row.description, row.created)


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _check_name(name: str) -> None:
    if not name or not _is_text(name) or len(name.encode()) > NAME_SIZE_MAX:
        raise IdentityInvalid(f"a name has 1 to {NAME_SIZE_MAX} bytes of UTF-8")
    if not name.isprintable() or name != name.strip():
        raise IdentityInvalid("a name has printing characters, and no blanks around it")
    if ":" in name or "/" in name:
        raise IdentityInvalid("a name has no colon and no slash")
    if _ID.fullmatch(name):
        raise IdentityInvalid("a name does not look like an id (32 hex digits)")


def _check_password(password: str) -> None:
    if not password or not _is_text(password) or len(password.encode()) > PASSWORD_SIZE_MAX:
        raise IdentityInvalid(f"a password has 1 to {PASSWORD_SIZE_MAX} bytes of UTF-8")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise IdentityInvalid(f"a role is one of {', '.join(ROLES)}")
