"""The progress of a run as one line of text, redrawn in a terminal or below a notebook's cell, printed now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run_folder import DEFAULT_RUNS
from aeqlab.protocols.run_state import ENDED, RunState
from aeqlab.protocols.words import cost_in_words, count_in_words, duration_in_words

REDRAW_S = 0.25  #: wall time between two drawings of the line
PLAIN_S = 15.0  #: wall time between two lines where none can be redrawn


class ProgressLine:
    """Shows on stderr what a run hands to `on_progress`; entered while the run goes on.

    Drawn by the run's own thread, when the run says something: no thread of its own takes time from the physics.

    Args:
        quiet: show nothing.
        runs: folder of the run folders, for the command that answers a question.
        clock: wall time in seconds.
    """

    typed = False  #: whether an answer may be typed here

    def __init__(self, *, quiet: bool = False, runs: Path = DEFAULT_RUNS, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._runs, self._clock = quiet, runs, clock
        self._stream: TextIO = sys.stderr
        terminal = self._stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self.redraws = not quiet and (terminal or in_notebook())
        self._next = 0.0
        self._place = ("", "")
        self._why = ("", "")  # state and reason
        self._question = ""
        self._drawn = 0  # characters that stand there

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.wipe()

    def __call__(self, progress: Progress) -> None:
        """Show a progress, if it is time to."""
        if self._quiet or progress.state in ENDED:
            return
        now, place = self._clock(), (str(progress.state), progress.path)
        changed = place != self._place or progress.question != self._question
        if now < self._next and not changed:
            return
        self._place = place
        self._say_why(progress)
        if progress.question != self._question:
            self._question = progress.question
            self.ask(progress.question)
        if progress.question:  # what is typed at the terminal must not be drawn over
            return
        if self.redraws:
            self._next = now + REDRAW_S
            self.draw(progress)
        elif progress.stage and (changed or progress.done):
            self._next = now + PLAIN_S
            self._write(in_words(progress) + "\n")

    def say(self, text: str) -> None:
        """Say a sentence that stays."""
        if not self._quiet:
            self.wipe()
            self._write(text + "\n")

    def ask(self, question: str) -> None:
        """Show a question and how to answer it; empty: it was answered."""
        if question:
            where = "" if self._runs == DEFAULT_RUNS else f' --runs "{self._runs}"'
            how = "Type the answer here, or" if self.typed else "Answer it in a terminal:"
            self.say(f"waiting for an answer: {question}\n{how} aeqlab answer TEXT{where}")

    def draw(self, progress: Progress) -> None:
        """Redraw the line."""
        line = in_words(progress)
        self._write("\r" + line.ljust(self._drawn))
        self._drawn = len(line)

    def wipe(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _say_why(self, progress: Progress) -> None:
        """Say once why a run is paused, or from where it goes on."""
        why = (str(progress.state), progress.reason)
        if progress.reason and progress.state in (RunState.RUNNING, RunState.PAUSED) and why != self._why:
            self.say(f"{progress.state}: {progress.reason}")
        self._why = why

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # nobody looks any more
            self._quiet = True


def in_words(progress: Progress) -> str:
    """Say where a run is, on one line without colours."""
    stage = progress.stage or "begin"
    count = count_in_words(progress.done, progress.total, progress.unit) if progress.done or progress.total else ""
    return "  ".join(part for part in (f"{progress.state}: {stage}", count, details(progress)) if part)


def details(progress: Progress) -> str:
    """Say round, cost, held rate, rate and time left, as far as they are known."""
    parts = [f"round {turn:,}/{times:,}" for turn, times in progress.rounds]
    if progress.cost is not None:
        parts.append(f"{cost_in_words(progress.cost_name)} {progress.cost:.4g}")
    if progress.held_rate is not None:
        parts.append(f"held {progress.held_rate:.1%}")
    if progress.rate_per_s is not None:
        parts.append(f"{progress.rate_per_s:.3g}/s")
    if progress.remaining_s is not None:
        parts.append(f"{duration_in_words(progress.remaining_s)} left")
    return "  ".join(parts)


def in_notebook() -> bool:
    """Tell whether the output of this process goes below the cells of a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and "ipykernel" in sys.modules and shell.get_ipython() is not None
