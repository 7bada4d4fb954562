"""The first user, and the file that lets the operator work as him: `. DIR/admin.env`."""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path

from pithos_api.identity.errors import NoSuchUser
from pithos_api.identity.records import ADMIN
from pithos_api.operator.deployment import Deployment

FILE_NAME = "admin.env"
NAME = "admin"
PASSWORD_BYTES = 18
URL_PREFIX = "export OS_AUTH_URL="


def ensure_administrator(deployment: Deployment, auth_url: str) -> Path | None:
    """Make user `admin` unless there is one, with a password that only the file knows.

    Returns the file when it has the password. In a file that is there already only the URL is
    changed, since the port may be another now.
    """
    path = deployment.configuration.folder / FILE_NAME
    try:
        deployment.identity.user(NAME)
    except NoSuchUser:
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        # The file first: a user whose password nobody knows would be of no use.
        _write(path, _environment(auth_url, password))
        deployment.identity.create_user(NAME, password, role=ADMIN)
        return path
    if not path.exists():
        return None
    lines = path.read_text("utf-8").splitlines()
    renewed = [_url_line(auth_url) if line.startswith(URL_PREFIX) else line for line in lines]
    if renewed != lines:
        _write(path, "".join(f"{line}\n" for line in renewed))
    return path


def _environment(auth_url: str, password: str) -> str:
    values = {
        "OS_USERNAME": NAME,
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": NAME,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
    }
    lines = [_url_line(auth_url)]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return "".join(f"{line}\n" for line in lines)


def _url_line(auth_url: str) -> str:
    return f"{URL_PREFIX}{shlex.quote(auth_url)}"


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole; never is it readable by others."""
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.unlink(missing_ok=True)
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
