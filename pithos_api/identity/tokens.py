"""Tokens: 256 random bits told once. The database keeps their SHA-256: a copy of it opens nothing.

A process remembers what it looked up for a few seconds. So a token that another process revoked
may be good here for that long; one revoked in this process is gone at once.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict

from pithos_api.identity.records import Token

TOKEN_BYTES = 32
TOKEN_SIZE_MAX = 256
"""Characters; more is no token of ours."""

CACHE_TIME_S = 5.0
CACHE_COUNT_MAX = 4096


def new_token_value() -> str:
    """A fresh secret, 43 characters fit for a header and a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(value: str) -> bytes:
    """What the database knows it by."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


class TokenCache:
    """The last tokens seen, each for a short time. Safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[float, Token]] = OrderedDict()

    def get(self, digest: bytes) -> Token | None:
        """What was remembered, unless it is too old or the token has expired."""
        with self._lock:
            entry = self._entries.get(digest)
            if entry is None:
                return None
            until, token = entry
            if time.monotonic() >= until or time.time() >= token.expires:
                del self._entries[digest]
                return None
            return token

    def put(self, digest: bytes, token: Token) -> None:
        """Remember; the oldest is forgotten when there are too many."""
        with self._lock:
            self._entries[digest] = (time.monotonic() + CACHE_TIME_S, token)
            self._entries.move_to_end(digest)
            if len(self._entries) > CACHE_COUNT_MAX:
                self._entries.popitem(last=False)

    def forget(self, digest: bytes | None = None) -> None:
        """Forget one, or all."""
        with self._lock:
            if digest is None:
                self._entries.clear()
            else:
                self._entries.pop(digest, None)
