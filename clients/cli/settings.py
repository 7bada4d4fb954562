"""Where and as whom kamaki works: a TOML file, then the environment, then flags; the last one wins.

This is the only module that reads the environment.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class UsageError(Exception):
    """The command, its settings or its arguments make no sense."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set. `variables`: of the environment, the first that is set counts."""

    key: str
    variables: tuple[str, ...]
    help: str
    default: str = ""
    secret: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting("auth_url", ("KAMAKI_AUTH_URL", "OS_AUTH_URL"), "Keystone v3 URL of the cloud"),
    Setting("username", ("KAMAKI_USERNAME", "OS_USERNAME"), "user name"),
    Setting("password", ("KAMAKI_PASSWORD", "OS_PASSWORD"), "password", secret=True),
    Setting("project", ("KAMAKI_PROJECT", "OS_PROJECT_NAME"), "project (default: the user's own)"),
    Setting(
        "domain", ("KAMAKI_DOMAIN", "OS_USER_DOMAIN_NAME"), "domain of user and project", "Default"
    ),
    Setting("cacert", ("KAMAKI_CACERT", "OS_CACERT"), "file of certificate authorities to trust"),
    Setting("timeout", ("KAMAKI_TIMEOUT",), "seconds to wait for an answer", "120"),
    Setting("state_dir", ("KAMAKI_STATE_DIR",), "directory where tokens are kept"),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value and where it was found: a file name, `$VARIABLE`, `flag` or `default`."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All values, by key."""

    path: Path
    values: Mapping[str, Value]

    def get(self, key: str) -> str:
        """The text; "" where nothing is set."""
        return self.values[key].text

    def need(self, key: str) -> str:
        """The text; UsageError where nothing is set."""
        if not self.get(key):
            variable = next(s.variables[0] for s in SETTINGS if s.key == key)
            flag = "--" + key.replace("_", "-")
            raise UsageError(
                f"no {key} is set: use {flag}, ${variable}, or 'kamaki config set {key} VALUE'"
            )
        return self.get(key)

    @property
    def timeout_s(self) -> float:
        """Seconds; UsageError when it is no positive number."""
        try:
            timeout = float(self.get("timeout"))
        except ValueError:
            timeout = 0.0
        if not 0 < timeout < float("inf"):
            raise UsageError(f"timeout is not a number of seconds: {self.get('timeout')!r}")
        return timeout


def load_settings(config: str | None, flags: Mapping[str, str]) -> Settings:
    """Read everything. UsageError: a file named but absent, not TOML, or with unknown keys."""
    environ = os.environ
    path = Path(config or environ.get("KAMAKI_CONFIG") or _default_path(environ))
    named = bool(config or environ.get("KAMAKI_CONFIG"))
    values = {s.key: Value(s.default, "default") for s in SETTINGS}
    values["state_dir"] = Value(str(_default_state_dir(environ)), "default")
    for key, text in _read_file(path, must_exist=named).items():
        values[key] = Value(text, str(path))
    for setting in SETTINGS:
        variable = next((v for v in setting.variables if environ.get(v)), None)
        if variable is not None:
            values[setting.key] = Value(environ[variable], f"${variable}")
    values.update({key: Value(text, "flag") for key, text in flags.items()})
    return Settings(path, values)


def save_setting(path: Path, key: str, text: str) -> None:
    """Set one key of the file, keeping its other lines; the file is made, for its owner only."""
    known = {s.key: s for s in SETTINGS}
    if key not in known:
        raise UsageError(f"unknown setting {key!r}; there are {', '.join(known)}")
    if known[key].secret:
        raise UsageError(
            f"the {key} is not taken from the command line, where others see it:"
            f" set ${known[key].variables[0]}, or write it into {path}"
        )
    _read_file(path, must_exist=False)
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    pattern = re.compile(rf"\s*{key}\s*=")
    kept = [line for line in lines if not pattern.match(line)]
    _replace_file(path, "\n".join([*kept, f"{key} = {_toml_string(text)}"]) + "\n")


def _read_file(path: Path, *, must_exist: bool) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
            open_to_others = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
    except FileNotFoundError as error:
        if must_exist:
            raise UsageError(f"no settings file {path}") from error
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    known = {s.key for s in SETTINGS}
    for key, value in found.items():
        if key not in known:
            raise UsageError(
                f"{path}: unknown setting {key!r}; there are {', '.join(sorted(known))}"
            )
        if not isinstance(value, str | int | float):
            raise UsageError(f"{path}: {key} is not a plain value")
    if open_to_others and "password" in found:
        raise UsageError(f"{path} holds a password and is open to others: chmod 600 {path}")
    return {key: str(value) for key, value in found.items()}


def _replace_file(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # made with mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


def _toml_string(text: str) -> str:
    escaped = "".join(
        f"\\u{ord(c):04x}" if ord(c) < ord(" ") or ord(c) == 0x7F else c
        for c in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped}"'


def _default_path(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "kamaki" / "config.toml"


def _default_state_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "kamaki"
