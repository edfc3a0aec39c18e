"""One command at a time on its way to a device, and what a device that is lost under way means for its session."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from aeqlab.backends.errors import DeviceLostError


class OneCommand:
    """Entered for one command: holds the lock, and tells where the device was lost.

    Args:
        lock: held by whoever calls the device.
        on_lost: called under the lock with what the device raised.
    """

    __slots__ = ("lock", "on_lost")

    def __init__(self, lock: threading.RLock, on_lost: Callable[[BaseException], None]) -> None:
        self.lock = lock
        self.on_lost = on_lost

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if isinstance(exc, DeviceLostError):
                self.on_lost(exc)
        finally:
            self.lock.release()
