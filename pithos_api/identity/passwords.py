"""Passwords: Argon2id, with the parameters inside each hash, so that they may grow later."""

from __future__ import annotations

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from pithos_api.settings import PasswordCost

PASSWORD_SIZE_MAX = 1024
"""UTF-8 bytes; more is refused unhashed."""

CONCURRENT_MAX = 2
"""Hashes computed at a time in one process: each takes `memory_kib`."""


class Passwords:
    """Hashing and checking. Safe for any number of threads."""

    def __init__(self, cost: PasswordCost) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.passes,
            memory_cost=cost.memory_kib,
            parallelism=cost.lanes,
            type=Type.ID,
        )
        self._turns = threading.BoundedSemaphore(CONCURRENT_MAX)
        self._nobodys = self.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """The text to store."""
        with self._turns:
            return self._hasher.hash(password)

    def matches(self, stored: str | None, password: str) -> bool:
        """Whether the password is the one stored. As slow for nobody (None) as for somebody."""
        if len(password.encode("utf-8", "surrogatepass")) > PASSWORD_SIZE_MAX:
            return False
        try:
            with self._turns:
                self._hasher.verify(self._nobodys if stored is None else stored, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False
        return stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)
