"""The states of a run, and what people may ask of it while it runs."""

from __future__ import annotations

import contextlib
import queue
import time
from dataclasses import dataclass, field
from enum import StrEnum

from aeqlab.protocols.question import Question


class RunState(StrEnum):
    """Where a run is; each change is recorded with its reason and time."""

    PREPARING = "preparing"  #: reading data, opening the device; nothing has moved
    RUNNING = "running"
    PAUSING = "pausing"  #: pauses at the next sample boundary
    PAUSED = "paused"
    STOPPING = "stopping"  #: ends at the next sample boundary
    FINISHED = "finished"  #: did everything it was asked to
    STOPPED = "stopped"  #: ended at a sample boundary because someone asked
    ABORTED = "aborted"  #: ended at a tick because someone asked
    DIVERGED = "diverged"  #: the physics ran away: a result
    FAILED = "failed"  #: an error of the device, of user code, or of the computer


#: Exit code of each way of ending; 2 (bad input) is for what never became a run.
EXIT_CODES = {
    RunState.FINISHED: 0,
    RunState.FAILED: 1,
    RunState.STOPPED: 3,
    RunState.ABORTED: 4,
    RunState.DIVERGED: 5,
}
ENDED = frozenset(EXIT_CODES)
SOMEONE = "someone"  #: who asks where nothing else is said


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person wrote down during a run."""

    author: str
    text: str


@dataclass(slots=True)
class Requests:
    """What was asked of a run, set from any thread or signal handler, looked at by the run between ticks.

    `stop`, `pause` and `skip` count at the next sample boundary; `abort` and `freeze` at the next tick. `why` says who asked for
    the one that was asked last; `by` who asked for a freeze or SAFE and `standing` why: it stands until someone continues it.
    `abort_by` is a time (time.monotonic) from which on a stop counts as an abort.
    """

    stop: bool = False
    abort: bool = False
    pause: bool = False
    freeze: bool = False
    skip: bool = False  # leave the present stage, the innermost one where stages contain others
    safe: bool = False  # end in SAFE, whatever the experiment says
    why: str = ""
    by: str = ""
    standing: str = ""
    abort_by: float = float("inf")
    question: Question | None = None  # that the run asks now
    notes: queue.SimpleQueue[Note] = field(default_factory=queue.SimpleQueue)
    _wake: queue.SimpleQueue[None] = field(
        default_factory=queue.SimpleQueue
    )  # may be put to in a signal handler, unlike an Event
    _commands: queue.SimpleQueue[tuple[str, str]] = field(default_factory=queue.SimpleQueue)

    def ask_stop(self, why: str) -> None:
        """Ask to end at the next sample boundary."""
        self._set(why, "stop")
        self.stop = True
        self._wake.put(None)

    def ask_abort(self, why: str, *, safe: bool = False, by: str = SOMEONE) -> None:
        """Ask to end at the next tick; with `safe` the device ends in SAFE, `by` whom."""
        self._set(why, "safe" if safe else "abort")
        if safe:
            self.by, self.standing = by, why
        self.safe = self.safe or safe
        self.abort = True
        self._wake.put(None)

    def ask_pause(self, why: str) -> None:
        """Ask to pause at the next sample boundary."""
        self._set(why, "pause")
        self.pause = True
        self._wake.put(None)

    def ask_freeze(self, why: str, *, by: str = SOMEONE) -> None:
        """Ask to freeze the device at the next tick and to pause, `by` whom."""
        self._set(why, "freeze")
        self.by, self.standing = by, why
        self.pause = True
        self.freeze = True
        self._wake.put(None)

    def ask_skip(self, why: str) -> None:
        """Ask to leave the present stage at the next sample boundary, and to go on with the next stage."""
        self._set(why, "skip")
        self.skip = True
        self._wake.put(None)

    def tell(self, command: str, text: str) -> None:
        """Write down something that was done at a person's request, and that needs nothing more of the run."""
        self._commands.put((command, text))

    def ask_continue(self, why: str) -> None:
        """Ask to go on after a pause, or to forget one that has not begun."""
        self._set(why, "continue")
        self.freeze = False
        self.pause = False
        self._wake.put(None)

    def answer(self, text: str, who: str, how: str) -> str:
        """Answer the question that the run asks now; returns why the answer is not taken, empty if it is."""
        question = self.question
        if question is None:
            return "Nothing is asked now."
        wrong = question.answer(text, who, how)
        self._wake.put(None)
        return wrong

    def wait(self, timeout_s: float) -> None:
        """Wait until something is asked, or the time is over."""
        with contextlib.suppress(queue.Empty):
            self._wake.get(timeout=timeout_s)

    def take_commands(self) -> list[tuple[str, str]]:
        """Take what was asked since the last call, as pairs of command and reason, for the record."""
        taken = []
        while not self._commands.empty():
            taken.append(self._commands.get_nowait())
        return taken

    @property
    def at_tick(self) -> bool:
        """True if something was asked that counts at the next tick."""
        return self.abort or self.freeze or (self.stop and time.monotonic() > self.abort_by)

    @property
    def at_boundary(self) -> bool:
        """True if something was asked that counts at the next sample boundary."""
        return self.stop or self.pause or self.abort or self.skip

    def _set(self, why: str, command: str) -> None:
        self.why = why
        self._commands.put((command, why))
