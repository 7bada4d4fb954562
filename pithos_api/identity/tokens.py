"""Tokens: 256 random bits told once. The database keeps their SHA-256, which opens nothing."""

from __future__ import annotations

import hashlib
import secrets

TOKEN_BYTES = 32
TOKEN_SIZE_MAX = 256
"""Characters; more is no token of ours."""


def new_token_value() -> str:
    """A fresh secret, 43 characters fit for a header and a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(value: str) -> bytes:
    """What the database knows it by. It is looked up by this, so no comparison leaks a prefix."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
