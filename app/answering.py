"""Answers typed at the terminal of a run: read in a thread while the run asks, so that nothing waits and Ctrl-C is as ever."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import TracebackType

from aeqlab.app.exits import say
from aeqlab.protocols.control import person
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.question import Question
from aeqlab.protocols.run_state import Requests

LOOK_S = 0.2  #: how often the thread sees whether the question still stands


class TerminalAnswers:
    """Takes lines from the terminal as answers to what the run asks, where its standard input is one.

    Args:
        requests: the run's.
        file: number of the file that is read; a terminal, or nothing is read.
    Entered while the run goes on; `look` is to be called with each progress.
    """

    def __init__(self, requests: Requests, file: int | None = None) -> None:
        self.requests = requests
        self._file = _standard_input() if file is None else file
        self._thread: threading.Thread | None = None
        self._left = False
        self._rest = b""

    @property
    def able(self) -> bool:
        """Tell whether there is a terminal to answer at."""
        return self._file is not None

    def __enter__(self) -> TerminalAnswers:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._left = True

    def look(self, progress: Progress) -> None:
        """Begin to read where the run asks something."""
        question = self.requests.question
        reads = self._thread is not None and self._thread.is_alive()
        if question is None or self._file is None or reads:
            return
        self._thread = threading.Thread(target=self._read, args=(self._file, question), name="terminal", daemon=True)
        self._thread.start()

    def _read(self, file: int, question: Question) -> None:
        if hasattr(
            signal, "pthread_sigmask"
        ):  # signals are for the main thread; and a read in the background must not stop the run
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._left and self.requests.question is question and question.taken is None:
            if not _readable(file, LOOK_S):
                continue
            try:
                piece = os.read(file, 4096)
            except OSError:  # in the background, or the terminal is gone
                threading.Event().wait(LOOK_S)
                continue
            if not piece:  # Ctrl-D
                self._file = None
                say("The terminal is closed to answers. Answer with `aeqlab answer`.")
                return
            self._rest += piece
            while b"\n" in self._rest:
                line, _, self._rest = self._rest.partition(b"\n")
                self._take(line.decode("utf-8", errors="replace"), question)

    def _take(self, text: str, question: Question) -> None:
        if not text.strip() or self.requests.question is not question:
            return
        wrong = self.requests.answer(text, person(), "terminal")
        if wrong:
            say(wrong)


def _standard_input() -> int | None:
    try:
        number = sys.stdin.fileno()
        return number if os.isatty(number) else None
    except (AttributeError, OSError, ValueError):  # there is none, or it is no file
        return None


def _readable(file: int, seconds: float) -> bool:
    """Wait until something can be read; on Windows the read itself waits."""
    if sys.platform == "win32":
        return True
    import select

    try:
        return bool(select.select([file], [], [], seconds)[0])
    except (OSError, ValueError):
        return False
