"""Signals at the edges of the program: a Ctrl-C that fell into a bad moment comes again, and after the end none counts."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

AGAIN_S = 0.05  #: so long after a Ctrl-C that Python could not raise it comes again, in seconds
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


def ignore_signals() -> None:
    """Ignore what would end this process from now on: it is about to end, with a code that says how it went."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers of signals back at the end, in the main thread, where alone they can be set."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _ENDING} if main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt_again() -> None:
    """Let a Ctrl-C that fell where Python can raise nothing, as in the clean-up of an import, come again, with no traceback."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            again = threading.Timer(AGAIN_S, _interrupt)
            again.daemon = True
            again.start()
        else:
            before(unraisable)

    sys.unraisablehook = hook


def _interrupt() -> None:
    """Send Ctrl-C to the main thread; where it waits for something, that is interrupted too."""
    main = threading.main_thread().ident
    if sys.platform == "win32" or main is None:
        _thread.interrupt_main()
    else:
        signal.pthread_kill(main, signal.SIGINT)
