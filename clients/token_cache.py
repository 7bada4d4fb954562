"""Tokens kept between commands, one file for each login, readable by their owner only."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

CACHE_FILE_SIZE_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Token:
    """What a login gave: the secret, until when, for whom, and where the services are."""

    value: str
    expires: float
    """Seconds since 1970."""
    user_name: str
    project_id: str
    project_name: str
    endpoints: dict[str, str]
    """Service type to public URL."""


class TokenCache:
    """A directory of tokens. What cannot be read counts as absent: logging in again is cheap."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, key: tuple[str, ...]) -> Token | None:
        """The token kept for this login, expired or not."""
        try:
            with self._path(key).open("rb") as file:
                fields = json.loads(file.read(CACHE_FILE_SIZE_MAX))
            return Token(**fields)
        except (OSError, ValueError, TypeError):
            return None

    def save(self, key: tuple[str, ...], token: Token) -> None:
        """Replace the token kept for this login; OSError when the directory cannot be written."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._directory)  # made with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(token), file)
            Path(name).replace(self._path(key))
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def forget(self, key: tuple[str, ...]) -> None:
        """Remove the token kept for this login, if any."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: tuple[str, ...]) -> Path:
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
        return self._directory / f"token-{digest}.json"
