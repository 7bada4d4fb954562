"""The background thread that keeps house: frozen layers become blocks, so that nobody waits for it,
and what crashes left behind is removed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from archipelago import ArchipelagoError, Catalog, SealingStopped
from blockstore import StoreError

log = logging.getLogger(__name__)

SEAL_SECONDS = 30.0
"""Between two looks for frozen layers that nobody announced (other processes make some too)."""

SWEEP_SECONDS = 3600.0
"""Between two looks for layers without users. The first is at the start; what crashed just before
it is too young for that one, since a living process may be about to use such a layer."""


class BackgroundSealer:
    """Seals what is frozen, now and then and when woken. Failures are logged and tried again."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._seal_errors = _Errors("sealing")
        self._sweep_errors = _Errors("removing unused layers")
        self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def wake(self) -> None:
        """Something was frozen: seal it soon."""
        self._wanted.set()

    def stop(self) -> None:
        """End soon, also in the middle of a layer, of which nothing is lost. Does not wait."""
        self._stopped.set()
        self._wanted.set()

    def is_stopped(self) -> bool:
        """Whether `stop` was called: what sealing asks now and then."""
        return self._stopped.is_set()

    def close(self) -> None:
        """Stop and wait for the end. Idempotent; also when it was never started."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        swept: float | None = None
        while not self.is_stopped():
            if swept is None or time.monotonic() - swept >= SWEEP_SECONDS:
                self._sweep()
                swept = time.monotonic()
            self._seal()
            self._wanted.wait(SEAL_SECONDS)
            self._wanted.clear()

    def _seal(self) -> None:
        self._seal_errors.watch(lambda: self._catalog.seal_pending(self.is_stopped))

    def _sweep(self) -> None:
        count = self._sweep_errors.watch(self._catalog.sweep_layers)
        if count:
            log.info("removed %d layers that crashes had left behind", count)


class _Errors:
    """Runs a chore and logs its failures, each once: a full pool would say the same each time."""

    def __init__(self, chore: str) -> None:
        self._chore = chore
        self._last = ""

    def watch(self, work: Callable[[], int]) -> int:
        """The result, or 0 after a failure."""
        try:
            count = work()
        except SealingStopped as error:
            log.info("%s", error)
        except (ArchipelagoError, StoreError, OSError) as error:
            if str(error) != self._last:
                log.error("%s failed, to be tried again: %s", self._chore, error)
            self._last = str(error)
        except Exception:
            log.exception("defect in %s, to be tried again", self._chore)
        else:
            self._last = ""
            return count
        return 0
