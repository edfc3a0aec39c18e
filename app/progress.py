"""The progress of a run in a terminal: the line of `protocols/progress_line.py`, with a bar where it can be redrawn."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from aeqlab.protocols import progress_line
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.progress_line import details
from aeqlab.protocols.run_folder import DEFAULT_RUNS
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.words import count_in_words

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class ProgressLine(progress_line.ProgressLine):
    """Shows a bar and the same words behind it; on stderr, so that stdout holds results alone."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        runs: Path = DEFAULT_RUNS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(quiet=quiet, runs=runs, clock=clock)
        self.typed = _can_be_typed()
        self._bar: Bar | None = None

    def __enter__(self) -> ProgressLine:
        if self.redraws:
            self._bar = _make_bar()
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Say a sentence that stays, above the bar."""
        if self._bar is None:
            super().say(text)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def ask(self, question: str) -> None:
        """Show a question without the bar, or go on with it once it is answered."""
        if self._bar is not None and question:
            self._bar.stop()
        super().ask(question)
        if self._bar is not None and not question:
            self._bar.start()

    def draw(self, progress: Progress) -> None:
        """Redraw the bar."""
        assert self._bar is not None
        draw(self._bar, progress)


def _can_be_typed() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):
        return False


def draw(bar: Bar, progress: Progress) -> None:
    """Redraw a bar."""
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
