"""What a command is: a name, its arguments, a plain function; and what it is given to work with."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from clients.cli.settings import Settings, UsageError
from clients.http import Login, Session
from clients.images import Images
from clients.objects import ObjectStore
from clients.pithos import Pithos
from clients.token_cache import TokenCache

EXIT_USAGE = 2


class Parser(argparse.ArgumentParser):
    """Answers a wrong command line with one line, not with the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with the status of a usage error."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see '{self.prog} --help')\n")


class Context:
    """The settings of this run, and sessions made from them when they are first needed."""

    def __init__(self, settings: Settings, *, json: bool, password_stdin: bool) -> None:
        self.settings = settings
        self.json = json
        self._password_stdin = password_stdin

    @cached_property
    def session(self) -> Session:
        """UsageError when it is not set where and as whom to log in."""
        settings = self.settings
        user = settings.need("username")
        login = Login(
            auth_url=settings.need("auth_url"),
            user_name=user,
            project_name=settings.get("project"),
            domain=settings.get("domain"),
            password=self._password,
        )
        if not login.auth_url.startswith(("http://", "https://")):
            raise UsageError(f"auth_url is not a http(s) URL: {login.auth_url!r}")
        return Session(
            login,
            TokenCache(Path(settings.get("state_dir"))),
            timeout_s=settings.timeout_s,
            ca_file=settings.get("cacert") or None,
        )

    def close(self) -> None:
        """Close the session, if there is one."""
        if "session" in self.__dict__:
            self.session.close()

    @property
    def objects(self) -> ObjectStore:
        """Names and attributes."""
        return ObjectStore(self.session)

    @property
    def pithos(self) -> Pithos:
        """Content."""
        return Pithos(self.session)

    @property
    def images(self) -> Images:
        """The image registry."""
        return Images(self.session)

    def _password(self) -> str:
        if self._password_stdin:
            return sys.stdin.readline().rstrip("\r\n")
        text = self.settings.get("password")
        if text:
            return text
        if sys.stdin.isatty():
            return getpass.getpass(f"password of {self.settings.get('username')}: ")
        raise UsageError(
            "not logged in, and no password:"
            " use 'kamaki login', --password-stdin or $KAMAKI_PASSWORD"
        )


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument or flag, as `add_argument` takes it."""

    names: tuple[str, ...]
    options: dict[str, object]


def argument(*names: str, **options: object) -> Argument:
    """For tables of commands."""
    return Argument(names, options)


@dataclass(frozen=True, slots=True)
class Command:
    """`kamaki GROUP NAME`. `run` raises what went wrong; it returns when all went well."""

    name: str
    summary: str
    run: Callable[[Context, argparse.Namespace], None]
    arguments: tuple[Argument, ...] = ()
    details: str = ""
    examples: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """`kamaki NAME ...`."""

    name: str
    summary: str
    commands: tuple[Command, ...]
    examples: str = field(default="")


def split_object(text: str) -> tuple[str, str]:
    """`CONTAINER/OBJECT` as a pair; UsageError when either is missing."""
    container, _, name = text.removeprefix("/").partition("/")
    if not container or not name:
        raise UsageError(f"not CONTAINER/OBJECT: {text!r}")
    return container, name
