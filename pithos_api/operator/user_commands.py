"""archipelago user ..., archipelago project ...: who may use the API."""

from __future__ import annotations

import argparse
import getpass
import sys

from pithos_api.identity.records import ADMIN, MEMBER, ROLES
from pithos_api.operator.command import Command, Invocation
from pithos_api.operator.deployment import Deployment
from pithos_api.operator.errors import NOT_FOUND, USAGE, OperatorError
from pithos_api.operator.output import print_json, print_table, time_text


def project_of(deployment: Deployment, user: str) -> str:
    """The id of the user's own project: the account of his files."""
    found = deployment.identity.user(user)
    if found.default_project is None:
        raise OperatorError(
            f"user {user} has no project of his own;"
            f" make a user with one: archipelago user create NAME --project PROJECT",
            NOT_FOUND,
        )
    return found.default_project


def _password(options: argparse.Namespace) -> str:
    """From standard input or a prompt; never from the command line, where others see it."""
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise OperatorError(
            "no terminal to ask for the password; give it with --password-stdin", USAGE
        )
    password = getpass.getpass("New password: ")
    if getpass.getpass("Again: ") != password:
        raise OperatorError("the two passwords differ; nothing was changed", USAGE)
    return password


def _user_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER")


def _password_arguments(parser: argparse.ArgumentParser) -> None:
    _user_argument(parser)
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )


def _create_arguments(parser: argparse.ArgumentParser) -> None:
    _password_arguments(parser)
    parser.add_argument("--project", help="an existing project; default: a new one, named so too")
    parser.add_argument("--role", choices=ROLES, default=MEMBER, help=f"default: {MEMBER}")


def _create(invocation: Invocation) -> None:
    options = invocation.options
    user = invocation.deployment.identity.create_user(
        options.user, _password(options), options.project, options.role
    )
    if options.json:
        print_json(user)


def _list(invocation: Invocation) -> None:
    identity = invocation.deployment.identity
    users = identity.users()
    if invocation.options.json:
        print_json(users)
        return
    names = {project.id: project.name for project in identity.projects()}
    rows = [
        (
            user.name,
            names.get(user.default_project or "", ""),
            "yes" if user.enabled else "no",
            time_text(user.created),
        )
        for user in users
    ]
    print_table(("USER", "PROJECT", "ENABLED", "CREATED"), rows)


def _delete(invocation: Invocation) -> None:
    invocation.deployment.identity.delete_user(invocation.options.user)


def _passwd(invocation: Invocation) -> None:
    identity, options = invocation.deployment.identity, invocation.options
    identity.user(options.user)
    identity.set_password(options.user, _password(options))


def _project_create_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--description", default="")
    parser.add_argument("--user", help="give this user a role in it")
    parser.add_argument("--role", choices=ROLES, default=MEMBER, help=f"default: {MEMBER}")


def _project_create(invocation: Invocation) -> None:
    identity, options = invocation.deployment.identity, invocation.options
    if options.user is not None:
        identity.user(options.user)
    project = identity.create_project(options.project, options.description)
    if options.user is not None:
        identity.assign(options.user, project.id, options.role)
    if options.json:
        print_json(project)
    else:
        print(project.id)


def _project_list(invocation: Invocation) -> None:
    projects = invocation.deployment.identity.projects()
    if invocation.options.json:
        print_json(projects)
        return
    print_table(
        ("PROJECT", "ID", "CREATED", "DESCRIPTION"),
        [(p.name, p.id, time_text(p.created), p.description) for p in projects],
    )


COMMANDS = (
    Command(
        ("user", "create"),
        "let somebody in",
        _create,
        f"""archipelago user create alice
pass show alice | archipelago user create alice --password-stdin
archipelago user create bob --project research --role {ADMIN}""",
        _create_arguments,
        "The password is asked for, or read from standard input.",
    ),
    Command(
        ("user", "list"),
        "list users",
        _list,
        "archipelago user list\narchipelago user list --json",
    ),
    Command(
        ("user", "delete"),
        "let somebody in no more",
        _delete,
        "archipelago user delete alice",
        _user_argument,
        "Tokens end at once. The project and its files stay.",
    ),
    Command(
        ("user", "passwd"),
        "change a password",
        _passwd,
        "archipelago user passwd alice",
        _password_arguments,
        "All tokens of the user end.",
    ),
    Command(
        ("project", "create"),
        "make a project: an account for files and images",
        _project_create,
        "archipelago project create research --user alice",
        _project_create_arguments,
    ),
    Command(
        ("project", "list"),
        "list projects",
        _project_list,
        "archipelago project list\narchipelago project list --json",
    ),
)
