"""What the log is told of failed requests of one connection: each change, but no flood."""

from __future__ import annotations

import logging
import threading
import time

from volumes.nbd.faults import DEVICE_ERRORS, Fault, RequestRefused

log = logging.getLogger(__name__)

LINES_MAX = 20
"""Lines in one period: a client can make each request fail with another text."""

PERIOD_SECONDS = 60.0
"""After this, faults are logged again, and how many were not is told."""


class FaultLog:
    """Thread-safe. `label` names the export and the client."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._lock = threading.Lock()
        self._last_message = ""
        self._lines = 0
        self._unsaid = 0
        self._since = time.monotonic()

    def note(self, error: Exception, fault: Fault) -> None:
        """Log the fault, unless it is the last one again (a guest repeats a failing request
        without end) or there were too many of late."""
        with self._lock:
            if fault.message == self._last_message:
                return
            self._last_message = fault.message
            if not self._may_speak():
                return
        if isinstance(error, RequestRefused):
            log.info("%s: refused: %s", self._label, fault.message)
        elif isinstance(error, DEVICE_ERRORS):
            log.error("%s: %s: %s", self._label, fault.number.name, fault.message)
        else:
            log.error("%s: defect in serving a request", self._label, exc_info=error)

    def _may_speak(self) -> bool:
        now = time.monotonic()
        if now - self._since >= PERIOD_SECONDS:
            if self._unsaid:
                log.warning("%s: %d more faults were not logged", self._label, self._unsaid)
            self._since, self._lines, self._unsaid = now, 0, 0
        if self._lines < LINES_MAX:
            self._lines += 1
            return True
        if not self._unsaid:
            log.warning("%s: too many faults: some are not logged", self._label)
        self._unsaid += 1
        return False
