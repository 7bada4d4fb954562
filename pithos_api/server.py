"""The server: gunicorn with several processes of several threads, configured here and nowhere else.

The parent migrates the database and checks the store, then forks; each child opens both for
itself, since neither connections nor stores survive a fork.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from blockstore import open_store
from pithos_api.app import close_app, create_app
from pithos_api.database.migrations import upgrade
from pithos_api.housekeeping import Housekeeper
from pithos_api.services import EXTENSION
from pithos_api.settings import Settings
from pithos_api.worker import Worker

REQUEST_LINE_SIZE_MAX = 8190
"""gunicorn's own ceiling. A percent-encoded name of the greatest length takes 3.8 KiB of it."""

HEADER_COUNT_MAX = 256
HEADER_SIZE_MAX = 9 * 1024
"""Name and value: 8 KiB of value, and room for a name."""

KEEP_ALIVE_S = 30
WORKER_SILENCE_S = 120
"""A worker whose main loop does not stir for so long is killed and replaced."""


def run_api_server(settings: Settings, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; ends with SystemExit. Call it in the main thread.

    `ready` is called with the URL once connections are accepted. StoreError, DatabaseUnusable:
    nothing was started.
    """
    level = logging.DEBUG if settings.debug else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    open_store(settings.store_url).close()
    upgrade(settings.database_url)
    _Server(settings, ready).run()


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's view of us."""

    def __init__(self, settings: Settings, ready: Callable[[str], None] | None) -> None:
        self.settings = settings
        self._ready = ready
        self._app: Flask | None = None
        self._housekeeper: Housekeeper | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options().items():
            if name in self.cfg.settings:  # some are younger than the oldest gunicorn we take
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in each worker after fork."""
        self._app = create_app(self.settings)
        self._housekeeper = Housekeeper(self._app.extensions[EXTENSION].namespace)
        return self._app

    def _options(self) -> dict[str, Any]:
        settings = self.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return {
            "bind": [f"{host}:{settings.port}"],
            "worker_class": Worker,
            "workers": settings.workers,
            "threads": settings.threads,
            "keepalive": KEEP_ALIVE_S,
            "timeout": WORKER_SILENCE_S,
            "graceful_timeout": settings.shutdown_grace_s,
            "limit_request_line": REQUEST_LINE_SIZE_MAX,
            "limit_request_fields": HEADER_COUNT_MAX,
            "limit_request_field_size": HEADER_SIZE_MAX,
            "permit_unconventional_http_method": True,
            "control_socket_disable": True,
            "loglevel": "debug" if settings.debug else "warning",
            "when_ready": self._when_ready,
            "worker_exit": self._worker_exit,
        }

    def _when_ready(self, arbiter: Arbiter) -> None:
        if self._ready is not None:
            host, port = arbiter.LISTENERS[0].sock.getsockname()[:2]
            self._ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    def _worker_exit(self, _arbiter: Arbiter, _worker: Worker) -> None:
        if self._housekeeper is not None:
            self._housekeeper.stop()
        if self._app is not None:
            close_app(self._app)
