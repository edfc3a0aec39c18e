"""The progress of a run in a terminal: one line that is redrawn, or, where nothing can be redrawn, a plain line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from aeqlab.app.words import cost_in_words, count_in_words, duration_in_words
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run_state import ENDED, RunState

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

REDRAW_S = 0.25  #: wall time between two drawings of the line
PLAIN_S = 15.0  #: wall time between two plain lines


class ProgressLine:
    """Shows what a run hands to `on_progress`; entered while the run goes on.

    On stderr, so that stdout holds results alone. Drawn by the run's own thread, when the run says something: no thread of its
    own takes time from the physics.
    """

    def __init__(self, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._bar: Bar | None = None
        self._next = 0.0
        self._said = ("", "")
        self._why = ("", "")  # state and reason
        self._question = ""

    def __enter__(self) -> ProgressLine:
        if not self._quiet and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
            self._bar = _make_bar()
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show a progress, if it is time to."""
        if self._quiet:
            return
        now = self._clock()
        place = (str(progress.state), progress.path)
        changed = place != self._said or progress.question != self._question
        if now < self._next and not changed:
            return
        self._said = place
        why = (str(progress.state), progress.reason)
        if progress.reason and progress.state in (RunState.RUNNING, RunState.PAUSED) and why != self._why:
            self._tell(f"{progress.state}: {progress.reason}")
        self._why = why
        if progress.question != self._question:
            self._ask(progress.question)
        if progress.question:  # what is typed at the terminal must not be drawn over
            return
        if self._bar is not None:
            self._next = now + REDRAW_S
            draw(self._bar, progress)
        elif changed or progress.done:
            self._next = now + PLAIN_S
            if progress.stage and progress.state not in ENDED:
                print(in_words(progress), file=sys.stderr, flush=True)

    def _ask(self, question: str) -> None:
        """Show a question, or go on as before once it is answered."""
        self._question = question
        if question:
            if self._bar is not None:
                self._bar.stop()
            how = "Type the answer here, or" if _can_be_typed() else "Answer with"
            print(f"waiting for an answer: {question}\n{how} aeqlab answer TEXT", file=sys.stderr, flush=True)
        elif self._bar is not None:
            self._bar.start()

    def _tell(self, text: str) -> None:
        """Say a sentence that stays, above the line if that is redrawn."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


def _can_be_typed() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):
        return False


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


def draw(bar: Bar, progress: Progress) -> None:
    """Redraw the line."""
    word = progress.stage if progress.state in (RunState.RUNNING, RunState.PREPARING) else f"{progress.state} {progress.stage}"
    count = count_in_words(progress.done, progress.total, progress.unit)
    values = {"description": word or str(progress.state), "completed": progress.done, "total": progress.total, "count": count}
    if bar.tasks:
        bar.update(bar.tasks[0].id, details=details(progress), **values)  # type: ignore[arg-type]
    else:
        bar.add_task(details=details(progress), **values)  # type: ignore[arg-type]
    bar.refresh()


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[count]}", markup=False),
        TextColumn("{task.fields[details]}", markup=False),
        console=Console(stderr=True, highlight=False),
        auto_refresh=False,
        transient=True,
    )
