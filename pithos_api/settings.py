"""Everything that can be set about the API, as one value built at the edge and passed down."""

from __future__ import annotations

from dataclasses import dataclass

PORT_MAX = 65535
ARGON2_MEMORY_KIB_MIN = 8
"""For each lane; RFC 9106."""


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """Argon2id parameters for new passwords (RFC 9106, second recommended option)."""

    passes: int = 3
    memory_kib: int = 65536
    lanes: int = 4

    def __post_init__(self) -> None:
        if self.passes < 1 or self.lanes < 1:
            raise ValueError("password cost: passes and lanes are at least 1")
        if self.memory_kib < ARGON2_MEMORY_KIB_MIN * self.lanes:
            raise ValueError(f"password cost: {ARGON2_MEMORY_KIB_MIN} KiB a lane at least")


DEFAULT_COST = PasswordCost()
TOKEN_LIFETIME_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Settings:
    """How one API server runs. ValueError on a value that cannot work."""

    store_url: str
    database_url: str
    """SQLAlchemy's: `sqlite:////absolute/file` or `postgresql://...`."""
    host: str = "127.0.0.1"
    port: int = 5000
    """0 = any free port."""
    workers: int = 2
    threads: int = 16
    """Of each worker: requests served at a time."""
    public_url: str | None = None
    """Root of the URLs told to clients; None = where the request came to."""
    region: str = "RegionOne"
    token_lifetime_s: int = TOKEN_LIFETIME_S
    control_socket: str | None = None
    """Of the volume server on this machine, asked about volumes in use."""
    idle_timeout_s: int = 60
    """How long a client may stop sending or taking in the middle of a request."""
    shutdown_grace_s: int = 30
    """For requests that are under way when the server is told to end."""
    password_cost: PasswordCost = DEFAULT_COST
    debug: bool = False
    """Log at debug level."""

    def __post_init__(self) -> None:
        if ":" not in self.store_url:
            raise ValueError(f"not a store URL: {self.store_url!r}")
        if "://" not in self.database_url:
            raise ValueError(f"not a database URL: {self.database_url!r}")
        if not 0 <= self.port <= PORT_MAX:
            raise ValueError(f"port out of range: {self.port}")
        times = (self.token_lifetime_s, self.idle_timeout_s, self.shutdown_grace_s)
        if min(self.workers, self.threads, *times) < 1:
            raise ValueError("workers, threads, and all times are at least 1")
        url = self.public_url
        if url is not None and (not url.startswith(("http://", "https://")) or url.endswith("/")):
            raise ValueError(f"public_url is http(s)://... without a slash at the end: {url!r}")
