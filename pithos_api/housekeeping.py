"""What nobody asks for but has to be done: objects whose time is over are removed.

A request never sees such an object; this gives back its name, its share of the counters and, at
the next collection, its blocks.
"""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy.exc import SQLAlchemyError

from pithos_api.namespace.namespace import Namespace

INTERVAL_S = 60
BATCH = 100
"""Objects removed in one transaction."""

_log = logging.getLogger("pithos_api.housekeeping")


class Housekeeper:
    """A thread of each server process. That several do the same does no harm."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            try:
                removed = sweep(self._namespace, time.time())
            except (SQLAlchemyError, OSError) as error:
                _log.warning("could not remove expired objects, will try again: %s", error)
            else:
                _log.debug("removed %d expired objects", removed)


def sweep(namespace: Namespace, now: float) -> int:
    """Remove every object that expired before `now`; return how many."""
    total = 0
    while removed := namespace.delete_expired(now, BATCH):
        total += removed
    return total
