"""The background thread that turns frozen layers into blocks, so that nobody waits for it."""

from __future__ import annotations

import logging
import threading

from archipelago import ArchipelagoError, Catalog
from blockstore import StoreError

log = logging.getLogger(__name__)

SEAL_SECONDS = 30.0
"""Between two looks for frozen layers that nobody announced (other processes make some too)."""


class BackgroundSealer:
    """Seals what is frozen, now and then and when woken. Failures are logged and tried again."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._wanted = threading.Event()
        self._closing = False
        self._last_failure = ""
        self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def wake(self) -> None:
        """Something was frozen: seal it soon."""
        self._wanted.set()

    def close(self) -> None:
        """Finish the layer at hand and stop. Idempotent; also when it was never started."""
        self._closing = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            self._seal()
            self._wanted.wait(SEAL_SECONDS)
            self._wanted.clear()

    def _seal(self) -> None:
        try:
            self._catalog.seal_pending()
        except (ArchipelagoError, StoreError, OSError) as error:
            # The layers stay readable as they are; a full pool would say the same each time.
            if str(error) != self._last_failure:
                log.error("sealing failed, to be tried again: %s", error)
            self._last_failure = str(error)
        except Exception:
            log.exception("defect in sealing, to be tried again")
        else:
            self._last_failure = ""
