"""Where and how the operator's commands work: a TOML file, the environment, flags; the last wins.

This is the only module of the package that reads the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from pithos_api.operator.errors import USAGE, OperatorError
from pithos_api.settings import Settings

FILE_NAME = "archipelago.toml"
VARIABLE_PREFIX = "ARCHIPELAGO_"
CONFIG_VARIABLE = "ARCHIPELAGO_CONFIG"
SOCKET_PATH_BYTES_MAX = 107
"""Of a Unix socket (sun_path, without the NUL at its end)."""

_TYPE_NAMES: dict[type, str] = {int: "a whole number", str: "a text"}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every setting; each can be in the file, in ARCHIPELAGO_<NAME>, or (most) a flag."""

    data: str = "data"
    """The directory of everything."""
    database_url: str = ""
    """SQLAlchemy's; empty = api.sqlite in the data directory."""
    host: str = "127.0.0.1"
    port: int = 5000
    workers: int = 2
    threads: int = 16
    public_url: str = ""
    region: str = "RegionOne"
    token_lifetime_s: int = 24 * 3600
    nbd_listen: str = ""
    """HOST:PORT to serve NBD on besides the Unix socket; empty = none."""

    @property
    def folder(self) -> Path:
        """The data directory, absolute."""
        return Path(self.data).absolute()

    @property
    def store_folder(self) -> Path:
        """The blocks, volumes and maps."""
        return self.folder / "store"

    @property
    def store_url(self) -> str:
        """As the store's own functions want it."""
        return f"files:{self.store_folder}"

    @property
    def api_database_url(self) -> str:
        """As SQLAlchemy wants it."""
        return self.database_url or f"sqlite:///{self.folder / 'api.sqlite'}"

    @property
    def run_folder(self) -> Path:
        """Sockets, locks: what is only of interest while something runs."""
        return self.folder / "run"

    @property
    def nbd_socket(self) -> Path:
        """Where the volume server serves NBD."""
        return self._socket("nbd.sock")

    @property
    def control_socket(self) -> Path:
        """Where the volume server takes requests about attached volumes."""
        return self._socket("control.sock")

    def api_settings(self) -> Settings:
        """What the API is told. OperatorError (usage) when a value cannot work."""
        try:
            return Settings(
                store_url=self.store_url,
                database_url=self.api_database_url,
                host=self.host,
                port=self.port,
                workers=self.workers,
                threads=self.threads,
                public_url=self.public_url or None,
                region=self.region,
                token_lifetime_s=self.token_lifetime_s,
                control_socket=str(self.control_socket),
            )
        except ValueError as error:
            raise OperatorError(f"{error}; see: archipelago serve --help", USAGE) from error

    def _socket(self, name: str) -> Path:
        path = self.run_folder / name
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            raise OperatorError(
                f"{path} is too long for a Unix socket (at most {SOCKET_PATH_BYTES_MAX} bytes);"
                " use a data directory with a shorter path",
                USAGE,
            )
        return path


_TYPES: dict[str, type[int] | type[str]] = {
    field.name: int if field.type == "int" else str for field in fields(Configuration)
}


def load_configuration(config: str | None, flags: Mapping[str, object]) -> Configuration:
    """Read everything; `flags` has only those that were given. OperatorError (usage)."""
    found: dict[str, object] = {}
    environment = _from_environment(os.environ)
    named = config or os.environ.get(CONFIG_VARIABLE)
    data = str(flags.get("data") or environment.get("data") or Configuration().data)
    path = Path(named) if named else Path(data) / FILE_NAME
    found.update(_from_file(path, must_exist=named is not None))
    if not named:
        # The file was found by the directory, so it cannot name another one.
        found.pop("data", None)
    found.update(environment)
    found.update(flags)
    return Configuration(**found)  # type: ignore[arg-type]  # checked against _TYPES above


def child_environment(configuration: Configuration) -> dict[str, str]:
    """Our environment, with every setting in it as a child process will read it."""
    environment = dict(os.environ)
    environment.pop(CONFIG_VARIABLE, None)
    for name in _TYPES:
        variable = VARIABLE_PREFIX + name.upper()
        environment[variable] = str(getattr(configuration, name))
    environment[VARIABLE_PREFIX + "DATA"] = str(configuration.folder)
    return environment


def _from_file(path: Path, *, must_exist: bool) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        if must_exist:
            raise OperatorError(f"no settings file {path}; --config names one", USAGE) from error
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path} is not TOML: {error}", USAGE) from error
    for name, value in values.items():
        if name not in _TYPES:
            raise OperatorError(f"{path}: unknown setting {name!r}; {_known()}", USAGE)
        if type(value) is not _TYPES[name]:
            kind = _TYPE_NAMES[_TYPES[name]]
            raise OperatorError(f"{path}: {name} must be {kind}, not {value!r}", USAGE)
    if "data" in values:
        # Relative to the file, not to where the command happens to run.
        values["data"] = str(path.absolute().parent / values["data"])
    return values


def _from_environment(variables: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, kind in _TYPES.items():
        text = variables.get(VARIABLE_PREFIX + name.upper())
        if text is None or (text == "" and (kind is int or name == "data")):
            continue
        try:
            found[name] = kind(text)
        except ValueError as error:
            raise OperatorError(
                f"{VARIABLE_PREFIX}{name.upper()} must be {_TYPE_NAMES[kind]}, not {text!r}", USAGE
            ) from error
    return found


def _known() -> str:
    return f"there are {', '.join(_TYPES)}"
