"""Ctrl-C, SIGTERM and SIGHUP as requests: handlers set flags and say what comes next, and nothing else happens in them.

Ctrl-C once: stop at the sample boundary. Twice: abort at the next tick. From the third time on, where no tick comes (user code
that hangs): interrupt whatever Python is doing, at the end of the run too where that runs user code. SIGTERM, SIGHUP (the
terminal is gone) and Ctrl-Break on Windows: stop, and abort if that takes 5 s.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from aeqlab.protocols.run_state import Requests

_BREAKS = 3  # presses from which on Python is interrupted
PATIENCE_S = 5.0  #: time that SIGTERM gives a stop before it becomes an abort
_STOP = "Stopping at the end of this sample. Press Ctrl-C again to abort at the next tick."
_ABORT = "Aborting at the next tick. If nothing happens, Ctrl-C once more interrupts the program itself."
_BREAK = "Interrupting. The device is brought to its declared end; please wait."
_AGAIN = "The run is ending; please wait for the device to be brought to its declared end."
_KEEP = f"{_AGAIN} If that never comes, press Ctrl-C three times in all."
_BREAK_END = "Breaking off how the device is left; the next safer way is tried. Ctrl-C once more breaks that off too."
_TERM = f"stopping at the end of this sample, or aborting after {PATIENCE_S:g} s."


def say_on_stderr(text: str) -> None:
    """Write a line to stderr, in a way that is allowed in a signal handler."""
    with contextlib.suppress(OSError, ValueError):
        os.write(2, f"\n{text}\n".encode())


class Interrupts:
    """While entered, the signals of this process are requests to the run.

    Args:
        requests: where they are put.
        say: shows one sentence at once; called from the handler.
        last: the process ends with the run: signals that come after its end are ignored, and its exit code stays that of the run.
    Only the main thread receives signals; entered in another thread it does nothing.
    """

    def __init__(self, requests: Requests, say: Callable[[str], None] = say_on_stderr, *, last: bool = False) -> None:
        self.requests = requests
        self.say = say
        self.last = last
        self.may_break = True  #: whether a third Ctrl-C may interrupt Python; not where the clean-up must not be left
        self.ending = False  #: the run is over, and what is asked for comes too late
        self._pressed = 0
        self._terminated = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers():
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.last else handler)
        self._before.clear()

    def _handlers(self) -> list[tuple[int, Callable[[int, FrameType | None], None]]]:
        handlers: list[tuple[int, Callable[[int, FrameType | None], None]]] = [
            (int(signal.SIGINT), self._on_interrupt),
            (int(signal.SIGTERM), self._on_terminate),
        ]
        if sys.platform == "win32":
            handlers.append((int(signal.SIGBREAK), self._on_terminate))
        elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup says: go on without the terminal
            handlers.append((int(signal.SIGHUP), self._on_terminate))
        return handlers

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._pressed += 1
        if self.ending:
            if self.may_break and self._pressed >= _BREAKS:
                self.say(_BREAK_END)
                raise KeyboardInterrupt
            self.say(_KEEP if self.may_break else _AGAIN)
        elif self._pressed == 1 and not self.requests.stop:
            self.requests.ask_stop("Ctrl-C")
            self.say(_STOP)
        elif not self.requests.abort:
            self.requests.ask_abort("Ctrl-C, twice")
            self.say(_ABORT)
        elif self.may_break:
            self.say(_BREAK)
            raise KeyboardInterrupt
        else:
            self.say(_AGAIN)

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self._terminated += 1
        name = signal.Signals(number).name
        if self._terminated == 1:
            self.requests.abort_by = min(self.requests.abort_by, time.monotonic() + PATIENCE_S)
            self.requests.ask_stop(name)
            self.say(f"{name}: {_TERM}")
        else:
            self.requests.ask_abort(f"{name}, twice")
