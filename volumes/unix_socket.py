"""Listening Unix sockets of which there is one living owner.

A lock file beside the socket (`PATH.lock`, held while the process lives) decides who owns the
path, so a socket left by a dead server is replaced, and that of a living one never is. The lock
file stays; removing it would let two owners hold locks on two files of one name.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat

PATH_SIZE_MAX = 107
"""Bytes of a Unix socket's path: the system's limit."""

BACKLOG = 64
"""Connections that wait to be accepted."""

SOCKET_MODE = 0o600
"""Whoever can connect can read and write every volume: the owner only."""


_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class SocketUnavailable(Exception):
    """The path cannot be listened on; the text says why."""


class UnixListener:
    """A bound and listening Unix socket. Close it to remove the path."""

    def __init__(self, path: str) -> None:
        """SocketUnavailable when a living server has the path, or it cannot be used."""
        if len(os.fsencode(path)) > PATH_SIZE_MAX:
            raise SocketUnavailable(f"{path}: a socket's path has at most {PATH_SIZE_MAX} bytes")
        self.path = path
        try:
            self._lock = os.open(f"{path}.lock", _LOCK_FLAGS, 0o600)
        except OSError as error:
            raise SocketUnavailable(f"{path}: {error.strerror}") from error
        try:
            self._claim()
            self.socket = self._listen()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Stop listening and remove the socket from the file system. Idempotent."""
        if self._lock < 0:
            return
        self.socket.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass  # somebody cleaned up before us
        finally:
            os.close(self._lock)
            self._lock = -1

    def _claim(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SocketUnavailable(f"{self.path}: already running: a server owns it") from error
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise SocketUnavailable(f"{self.path}: exists and is not a socket")
        if _answers(self.path):
            raise SocketUnavailable(f"{self.path}: already running: somebody answers there")
        os.unlink(self.path)

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Before bind, which gives the mode to the path: there is no moment with a wider one,
            # and no second look at a path that somebody else may have replaced.
            os.fchmod(listener.fileno(), SOCKET_MODE)
            listener.bind(self.path)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise SocketUnavailable(f"{self.path}: {error.strerror}") from error
        return listener


def _answers(path: str) -> bool:
    """Whether a process listens on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # a full backlog is a living server too
        return True
