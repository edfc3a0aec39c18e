"""The progress of a run as one line of text, redrawn in a terminal or below a notebook's cell, printed now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run_state import ENDED, RunState

REDRAW_S = 0.25  #: wall time between two drawings of the line
PLAIN_S = 15.0  #: wall time between two lines where none can be redrawn


class ProgressLine:
    """Shows on stderr what a run hands to `on_progress`; entered while the run goes on.

    Args:
        quiet: show nothing.
        clock: wall time in seconds.
    """

    def __init__(self, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._clock = quiet, clock
        self._stream: TextIO = sys.stderr
        self._redraws = self._stream.isatty() or in_notebook()
        self._next = 0.0
        self._place = ("", "")
        self._drawn = 0  # characters that stand there

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._wipe()

    def __call__(self, progress: Progress) -> None:
        """Show a progress, if it is time to."""
        now, place = self._clock(), (str(progress.state), progress.path)
        if self._quiet or progress.state in ENDED or (now < self._next and place == self._place):
            return
        self._place = place
        self._next = now + (REDRAW_S if self._redraws else PLAIN_S)
        if self._redraws:
            line = in_words(progress)
            self._write("\r" + line.ljust(self._drawn))
            self._drawn = len(line)
        elif progress.stage:
            self._write(in_words(progress) + "\n")

    def say(self, text: str) -> None:
        """Say a sentence that stays."""
        if not self._quiet:
            self._wipe()
            self._write(text + "\n")

    def _wipe(self) -> None:
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # nobody looks any more
            self._quiet = True


def in_words(progress: Progress) -> str:
    """Say where a run is."""
    total = "" if progress.total is None else f"/{progress.total:,}"
    parts = [
        progress.stage or "begins" if progress.state is RunState.RUNNING else f"{progress.state} {progress.stage}".strip(),
        f"{progress.done:,}{total}" if progress.done or progress.total else "",
        "" if progress.cost is None else f"{progress.cost_name} {progress.cost:.4g}",
        "" if progress.held_rate is None else f"held {progress.held_rate:.1%}",
        "" if progress.remaining_s is None else f"{progress.remaining_s:.0f} s left",
        progress.reason if progress.state is RunState.PAUSED else "",
    ]
    return "  ".join(part for part in parts if part)


def in_notebook() -> bool:
    """Tell whether the output of this process goes below the cells of a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and "ipykernel" in sys.modules and shell.get_ipython() is not None
