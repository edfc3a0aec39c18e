"""The lock of a run folder: one process works in it, and the system takes the lock back however that process ends."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from aeqlab.protocols.errors import RecordError

_PATIENCE_S = 0.3  # whoever only looks whether the lock is held, holds it for a moment
_BYTE = 1 << 20  # the byte that is locked on Windows, beyond the text, so that the text stays readable


class RunLock:
    """An exclusive lock on a file, held from `take` to `release` or to the end of the process.

    The file says who holds it; whether it is held is known by the system alone, so a process that was killed leaves none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            RecordError: another process holds it, which is named; or the file cannot be written.
        """
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as exc:
            raise RecordError(f"{self.path.parent} cannot be written: {exc.strerror or exc}.") from exc
        end = time.monotonic() + _PATIENCE_S
        while not (locked := _lock(handle)) and time.monotonic() < end:
            time.sleep(0.02)
        if not locked:
            os.close(handle)
            raise RecordError(f"{self.path.parent} is in use{_by(holder(self.path))}. Wait for it to end, or stop it first.")
        self._handle = handle
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        try:
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps(who).encode())
        except OSError:  # a full disk: the lock holds all the same, only its text is missing
            pass

    def release(self) -> None:
        """Give the lock back. May be called twice."""
        if self._handle is not None:
            _unlock(self._handle)
            os.close(self._handle)
            self._handle = None


def is_held(path: Path) -> bool:
    """Find out whether some process holds the lock of a file now."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        if not _lock(handle, look=True):
            return True
        _unlock(handle)
        return False
    finally:
        os.close(handle)


def holder(path: Path) -> dict[str, Any]:
    """Read who took the lock last: pid, host, since; empty where the file does not say."""
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return who if isinstance(who, dict) else {}


def _by(who: dict[str, Any]) -> str:
    if "pid" not in who:
        return ""
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(who.get("since", 0))))
    return f" by process {who['pid']} on {who.get('host', 'this computer')} since {since}"


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int, *, look: bool = False) -> bool:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: int, *, look: bool = False) -> bool:
        """Lock it; who only looks does so together with others who look, or each would take another one for a holder."""
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if look else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
