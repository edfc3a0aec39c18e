"""Work away from the window's thread: nothing in it ever waits for a device, a file or a run.

`do(owner, work, then)` runs `work` in a thread of its own and gives what it returns to `then`, in the window's thread, if the
owner is there still. What it raises goes to `failed`, or else to the log and the line of messages.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal

log = logging.getLogger("aeqlab.window")
Done = Callable[[Any], None]
Failed = Callable[[Exception], None]


class Job(QObject):
    """One piece of work; lives as a child of who asked, so that nothing is delivered to a widget that is gone."""

    finished = Signal(object)
    went_wrong = Signal(object)

    def __init__(self, owner: QObject, work: Callable[[], Any], then: Done | None, failed: Failed | None) -> None:
        super().__init__(owner)
        self._work, self._then, self._failed = work, then, failed
        self.running = True
        self.finished.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self.went_wrong.connect(self._tell, Qt.ConnectionType.QueuedConnection)

    def start(self, name: str) -> None:
        """Begin, in a thread that keeps no program from ending."""
        threading.Thread(target=self._go, name=name, daemon=True).start()

    def _go(self) -> None:
        try:
            found = self._work()
        except Exception as exc:
            self._send(self.went_wrong, exc)
        else:
            self._send(self.finished, found)

    def _send(self, signal: Any, value: Any) -> None:
        try:
            signal.emit(value)
        except RuntimeError:  # whoever asked has been deleted meanwhile
            log.debug("nobody waits any more for what %s found", threading.current_thread().name)

    def _deliver(self, found: Any) -> None:
        self.running = False
        self.deleteLater()
        if self._then is not None:
            self._then(found)

    def _tell(self, exc: Exception) -> None:
        self.running = False
        self.deleteLater()
        if self._failed is not None:
            self._failed(exc)
        else:
            log.error("%s", exc, exc_info=exc)


def do(
    owner: QObject, work: Callable[[], Any], then: Done | None = None, failed: Failed | None = None, *, name: str = "job"
) -> Job:
    """Run `work` in a thread; `then` and `failed` are called in the window's thread.

    Args:
        owner: whoever asks; when it is deleted, nothing is delivered any more.
        work: takes no argument, touches no widget.
        then: takes what it returned.
        failed: takes what it raised; left out: it is logged, and shown in the window's line of messages.
        name: of the thread, for logs.
    """
    job = Job(owner, work, then, failed)
    job.start(name)
    return job
