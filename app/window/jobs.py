"""Work away from the window's thread, and its way back: nothing in that thread ever waits for a device, a file or a run.

`do(owner, work, then)` runs `work` in a thread of its own and gives what it returns to `then`, in the window's thread, if the
owner is there still. A thread that goes on and on has a `Post` instead. Threads hold no Qt object, not even for a moment: whoever
lets go of the last reference to one destroys it, and that must be the window's thread.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal
from shiboken6 import isValid

log = logging.getLogger("aeqlab.window")
Done = Callable[[Any], None]
Failed = Callable[[Exception], None]


class Job:
    """One piece of work. `running` until it was delivered."""

    def __init__(self, owner: QObject, work: Callable[[], Any], then: Done | None, failed: Failed | None) -> None:
        self.owner, self.work, self.then, self.failed = owner, work, then, failed
        self.running = True
        self.found: Any = None
        self.wrong: Exception | None = None

    def deliver(self) -> None:
        """Give what was found, or what went wrong, to whoever asked; in the window's thread."""
        self.running = False
        if not isValid(self.owner):
            return
        if self.wrong is None:
            if self.then is not None:
                self.then(self.found)
        elif self.failed is not None:
            self.failed(self.wrong)
        else:
            log.error("%s", self.wrong, exc_info=self.wrong)


class _Office(QObject):
    """Where threads leave word; lives in the window's thread, as long as the program."""

    arrived = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[int, Job] = {}
        self.posts: weakref.WeakValueDictionary[int, _Box] = weakref.WeakValueDictionary()
        self.numbers = itertools.count(1)
        self.arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def _deliver(self, number: int) -> None:
        job = self.jobs.pop(number, None)
        if job is not None:
            job.deliver()
        box = self.posts.get(number)
        if box is not None:
            box.deliver()


_OFFICE: list[_Office] = []


def _office() -> _Office:
    """Get the one office; the first to ask must be the window's thread."""
    if not _OFFICE:
        if threading.current_thread() is not threading.main_thread() or QCoreApplication.instance() is None:
            raise RuntimeError("work beside the window begins in the window's thread, once there is an application")
        _OFFICE.append(_Office())
    return _OFFICE[0]


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
    office = _office()
    number, job = next(office.numbers), Job(owner, work, then, failed)
    office.jobs[number] = job
    threading.Thread(target=_go, args=(number,), name=name, daemon=True).start()
    return job


def _go(number: int) -> None:
    """Do the work of a thread; all that it refers to stays with the office."""
    office = _OFFICE[0]
    try:
        office.jobs[number].found = office.jobs[number].work()
    except Exception as exc:
        office.jobs[number].wrong = exc
    with contextlib.suppress(RuntimeError):  # the program ends, and the office is closed
        office.arrived.emit(number)


class _Box:
    """The end of a post that is in the window's thread."""

    def __init__(self, owner: QObject, take: Done, values: deque[Any]) -> None:
        self._owner, self._take, self._values = weakref.ref(owner), weakref.WeakMethod(take), values

    def deliver(self) -> None:
        """Hand over what has come."""
        owner, take = self._owner(), self._take()
        while self._values:
            value = self._values.popleft()
            if owner is not None and take is not None and isValid(owner):
                take(value)


class Post:
    """What a thread sends its values with; it holds no Qt object.

    Args:
        owner: of `take`, a Qt object; it keeps the post's other end, and when it is gone values are dropped.
        take: a method of the owner, called with each value in the window's thread.
        latest: where the window is slower than the thread, only the newest value is delivered.
    """

    def __init__(self, owner: QObject, take: Done, *, latest: bool = False) -> None:
        office = _office()
        self._number = next(office.numbers)
        self._values: deque[Any] = deque(maxlen=1 if latest else None)
        self._emit = office.arrived.emit
        box = _Box(owner, take, self._values)
        office.posts[self._number] = box
        kept = owner.__dict__.setdefault("_boxes", [])
        kept.append(box)
        del kept[:-8]  # those of threads that ended long ago

    def __call__(self, value: Any) -> None:
        """Send a value, from any thread."""
        self._values.append(value)
        with contextlib.suppress(RuntimeError):  # the program ends, and the office is closed
            self._emit(self._number)
