"""Users, projects, roles and tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, insert, select, update

from pithos_api.database.engine import open_engine, reading, writing
from pithos_api.database.tables import tokens, users
from pithos_api.identity.accounts import PURGED_MAX, Identity
from pithos_api.identity.errors import (
    IdentityConflict,
    IdentityInvalid,
    NoSuchProject,
    NoSuchUser,
    Unauthorized,
)
from pithos_api.identity.records import ADMIN, MEMBER
from pithos_api.identity.tokens import token_digest
from pithos_api.namespace.namespace import Namespace
from pithos_api.settings import PasswordCost

CHEAP = PasswordCost(passes=1, memory_kib=8, lanes=1)
SECRET = "opensesame"


@pytest.fixture
def alice(identity: Identity) -> Identity:
    identity.create_user("alice", SECRET)
    return identity


def test_a_user_gets_a_project_of_his_name(alice: Identity) -> None:
    user = alice.user("alice")
    project = alice.project("alice")
    assert user.default_project == project.id
    assert alice.user(user.id) == user
    assert [p.name for p in alice.projects_of(user.id)] == ["alice"]
    assert user.enabled


def test_log_in_and_check(alice: Identity) -> None:
    token = alice.authenticate("alice", SECRET)
    principal = alice.check(token.value)
    assert principal == token.principal
    assert (principal.user_name, principal.project_name) == ("alice", "alice")
    assert (principal.roles, principal.is_admin) == ((MEMBER,), False)
    assert token.expires > time.time()
    assert alice.lookup(token.value) == token


def test_by_ids(alice: Identity) -> None:
    user, project = alice.user("alice"), alice.project("alice")
    assert alice.authenticate(user.id, SECRET, project.id).principal.project_name == "alice"
    assert alice.authenticate(user.id.upper(), SECRET).principal.user_name == "alice"


@pytest.mark.parametrize(
    ("user", "password", "project"),
    [
        ("alice", "wrong", None),
        ("alice", "", None),
        ("alice", "x" * 5000, None),
        ("alice", "\ud800", None),
        ("nobody", SECRET, None),
        ("", SECRET, None),
        ("\0", SECRET, None),
        ("alice", SECRET, "nothing"),
        ("alice", SECRET, "bob"),
    ],
)
def test_refused_all_in_the_same_words(
    alice: Identity, user: str, password: str, project: str | None
) -> None:
    alice.create_user("bob", SECRET)
    with pytest.raises(Unauthorized) as refused:
        alice.authenticate(user, password, project)
    assert str(refused.value) == str(Unauthorized())


@pytest.mark.parametrize("value", ["", "x", "\ud800", "x" * 100_000, "a\0b"])
def test_tokens_that_are_none(alice: Identity, value: str) -> None:
    with pytest.raises(Unauthorized):
        alice.check(value)


def test_the_database_does_not_know_secrets(
    alice: Identity, engine: Engine, tmp_path: Path
) -> None:
    token = alice.authenticate("alice", SECRET)
    with reading(engine) as connection:
        stored = connection.execute(select(tokens.c.digest)).scalars().one()
        password = connection.execute(select(users.c.password_hash)).scalars().one()
    assert stored == token_digest(token.value)
    assert password.startswith("$argon2id$")
    for path in tmp_path.iterdir():
        content = path.read_bytes() if path.is_file() else b""
        assert token.value.encode() not in content
        assert SECRET.encode() not in content
    assert token.value not in repr(token)


def test_revoked(alice: Identity) -> None:
    token = alice.authenticate("alice", SECRET)
    alice.check(token.value)
    alice.revoke(token.value)
    with pytest.raises(Unauthorized):
        alice.check(token.value)
    alice.revoke(token.value)


def test_expired_is_refused_and_pruned(alice: Identity, engine: Engine) -> None:
    token = alice.authenticate("alice", SECRET)
    with writing(engine) as connection:
        connection.execute(update(tokens).values(expires=time.time() - 1))
    with pytest.raises(Unauthorized):
        alice.check(token.value)
    alice.authenticate("alice", SECRET)
    with reading(engine) as connection:
        digests = connection.execute(select(tokens.c.digest)).scalars().all()
    assert token_digest(token.value) not in digests
    assert len(digests) == 1


def test_a_token_without_a_lifetime_is_expired(engine: Engine) -> None:
    identity = Identity(engine, CHEAP, token_lifetime_s=0)
    identity.create_user("alice", SECRET)
    token = identity.authenticate("alice", SECRET)
    with pytest.raises(Unauthorized):
        identity.check(token.value)


def test_revocation_counts_at_once_for_another_process(alice: Identity, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/api.sqlite")
    other = Identity(engine, CHEAP)
    token = alice.authenticate("alice", SECRET)
    assert other.check(token.value) == token.principal
    alice.revoke(token.value)
    with pytest.raises(Unauthorized):
        other.check(token.value)
    engine.dispose()


def test_all_roles_are_known(alice: Identity) -> None:
    alice.assign("alice", "alice", ADMIN)
    token = alice.authenticate("alice", SECRET)
    assert alice.check(token.value).roles == token.principal.roles == (ADMIN, MEMBER)


def test_rescope(alice: Identity) -> None:
    alice.create_project("lab")
    alice.assign("alice", "lab", ADMIN)
    token = alice.authenticate("alice", SECRET)
    other = alice.rescope(token.value, "lab")
    assert (other.principal.project_name, other.principal.is_admin) == ("lab", True)
    assert other.expires == token.expires
    assert alice.rescope(token.value, None).principal == token.principal
    with pytest.raises(Unauthorized):
        alice.rescope(token.value, "none")


def test_taking_a_role_away(alice: Identity) -> None:
    alice.create_project("lab")
    alice.assign("alice", "lab")
    alice.assign("alice", "lab")
    token = alice.authenticate("alice", SECRET, "lab")
    alice.unassign("alice", "lab")
    alice.unassign("alice", "lab")
    with pytest.raises(Unauthorized):
        alice.check(token.value)
    with pytest.raises(Unauthorized):
        alice.authenticate("alice", SECRET, "lab")


def test_a_new_password_ends_old_tokens(alice: Identity) -> None:
    token = alice.authenticate("alice", SECRET)
    alice.check(token.value)
    alice.set_password("alice", "another")
    with pytest.raises(Unauthorized):
        alice.check(token.value)
    with pytest.raises(Unauthorized):
        alice.authenticate("alice", SECRET)
    alice.authenticate("alice", "another")


def test_disabled(alice: Identity) -> None:
    token = alice.authenticate("alice", SECRET)
    alice.check(token.value)
    alice.set_enabled("alice", False)
    with pytest.raises(Unauthorized):
        alice.check(token.value)
    with pytest.raises(Unauthorized):
        alice.authenticate("alice", SECRET)
    alice.set_enabled("alice", True)
    alice.authenticate("alice", SECRET)


def test_delete_user(alice: Identity) -> None:
    token = alice.authenticate("alice", SECRET)
    alice.check(token.value)
    alice.delete_user("alice")
    with pytest.raises(Unauthorized):
        alice.check(token.value)
    with pytest.raises(NoSuchUser):
        alice.user("alice")
    assert alice.project("alice").name == "alice"


def test_delete_project(alice: Identity, namespace: Namespace) -> None:
    project = alice.project("alice")
    namespace.put_container(project.id, "c", {}, {})
    with pytest.raises(IdentityConflict):
        alice.delete_project("alice")
    namespace.delete_container(project.id, "c")
    alice.delete_project("alice")
    with pytest.raises(NoSuchProject):
        alice.project("alice")
    assert alice.user("alice").default_project is None
    assert alice.authenticate("alice", SECRET).principal.project_id is None


def test_names_are_taken_once(alice: Identity) -> None:
    alice.create_project("lab")
    with pytest.raises(IdentityConflict):
        alice.create_user("alice", SECRET)
    with pytest.raises(IdentityConflict):
        alice.create_project("lab")
    with pytest.raises(IdentityConflict):
        alice.create_user("lab", SECRET)
    with pytest.raises(NoSuchProject):
        alice.create_user("carol", SECRET, project="none")
    assert [user.name for user in alice.users()] == ["alice"]
    assert [project.name for project in alice.projects()] == ["alice", "lab"]


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a:b", "a/b", "a\nb", "\ud800", "a\0", "x" * 256, "ab" * 16]
)
def test_names_that_are_none(identity: Identity, name: str) -> None:
    with pytest.raises(IdentityInvalid):
        identity.create_user(name, SECRET)
    with pytest.raises(IdentityInvalid):
        identity.create_project(name)


@pytest.mark.parametrize("password", ["", "x" * 1025, "\ud800", "a\0b"])
def test_passwords_that_are_none(identity: Identity, password: str) -> None:
    with pytest.raises(IdentityInvalid):
        identity.create_user("alice", password)


def test_roles_that_are_none(alice: Identity) -> None:
    with pytest.raises(IdentityInvalid):
        alice.assign("alice", "alice", "king")


def test_a_hash_of_lesser_cost_is_renewed_at_log_in(alice: Identity, engine: Engine) -> None:
    def stored() -> str:
        with reading(engine) as connection:
            return str(connection.execute(select(users.c.password_hash)).scalars().one())

    before = stored()
    dearer = Identity(engine, PasswordCost(passes=2, memory_kib=16, lanes=1))
    dearer.authenticate("alice", SECRET)
    assert before != stored()
    assert "m=16,t=2" in stored()
    alice.authenticate("alice", SECRET)


def after_first_look(engine: Engine, act: Callable[[], object]) -> None:
    """Let something happen between the first look into the database and what follows from it."""
    todo = [act]

    def ended(_connection: object) -> None:
        if todo:
            todo.pop()()

    event.listen(engine, "commit", ended)


@pytest.fixture
def other(tmp_path: Path, alice: Identity) -> Iterator[Identity]:
    """The same users, through connections of its own."""
    engine = open_engine(f"sqlite:///{tmp_path}/api.sqlite")
    yield Identity(engine, PasswordCost(passes=2, memory_kib=16, lanes=1))
    engine.dispose()


def test_a_password_changed_while_logging_in_lets_nobody_in(
    alice: Identity, other: Identity, engine: Engine
) -> None:
    after_first_look(engine, lambda: other.set_password("alice", "another"))
    with pytest.raises(Unauthorized):
        alice.authenticate("alice", SECRET)
    assert count_tokens(engine) == 0


def test_a_hash_renewed_while_logging_in_does_no_harm(
    alice: Identity, other: Identity, engine: Engine
) -> None:
    after_first_look(engine, lambda: other.authenticate("alice", SECRET))
    assert alice.check(alice.authenticate("alice", SECRET).value).user_name == "alice"


def test_a_token_revoked_while_it_is_traded_gives_none(
    alice: Identity, other: Identity, engine: Engine
) -> None:
    value = alice.authenticate("alice", SECRET).value
    after_first_look(engine, lambda: other.revoke(value))
    with pytest.raises(Unauthorized):
        alice.rescope(value, None)
    assert count_tokens(engine) == 0


def test_expired_tokens_are_removed_some_at_a_time(alice: Identity, engine: Engine) -> None:
    user_id = alice.user("alice").id
    row = {"user": user_id, "project": None, "created": 0.0, "expires": 1.0}
    with writing(engine) as connection:
        rows = [row | {"digest": token_digest(str(n))} for n in range(PURGED_MAX + 1)]
        connection.execute(insert(tokens), rows)
    alice.authenticate("alice", SECRET)
    assert count_tokens(engine) == 2
    alice.authenticate("alice", SECRET)
    assert count_tokens(engine) == 2


def count_tokens(engine: Engine) -> int:
    with reading(engine) as connection:
        return len(connection.execute(select(tokens)).all())
