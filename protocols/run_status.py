"""Where a run stands, in one object that its own thread changes and others may look at: states, progress, warnings."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aeqlab.protocols.progress import OnProgress, Progress
from aeqlab.protocols.run_state import ENDED, Requests, RunState

if TYPE_CHECKING:
    from aeqlab.protocols.record import Record
    from aeqlab.protocols.run_session import RunSession

SHOW_S = 0.1  #: wall time between two calls of `on_progress`
_RATE_OVER_S = 5.0


class RunStatus:
    """State, progress and warnings of a run; `on_progress` is called by the run's own thread."""

    def __init__(self, requests: Requests, on_progress: OnProgress | None = None) -> None:
        self.requests = requests
        self.state = RunState.PREPARING
        self.reason = ""
        self.values: dict[str, Any] = {}  #: what stages reported last, by name
        self.warnings: list[str] = []
        self.latest = Progress(RunState.PREPARING, "")  #: replaced as a whole, so that any thread may read it
        self.done: float = 0  #: training steps, samples, or so many of `unit`, in this stage
        self.total: float | None = None
        self.unit = ""
        self.rounds: tuple[tuple[int, int], ...] = ()  #: of each repetition under way, the outermost first: round, of how many
        self.cost_name = ""
        self._on_progress = on_progress
        self._costs: deque[float] = deque(maxlen=100)
        self._stage = ""
        self._path = ""
        self._rate: deque[tuple[float, float]] = deque()
        self._next_show = 0.0
        self.on_change: Callable[[RunState, str], None] | None = None  #: hears of every change of state, with its reason

    def change(self, record: Record, step: int, state: str, reason: str, *, only_from: str | None = None) -> None:
        """Enter a state and record it; the same state again, or one that is not entered from here, changes nothing."""
        new = RunState(state)
        if new is self.state or self.state in ENDED or (only_from is not None and self.state != only_from):
            return
        record.state(step, new, reason, ended=new in ENDED)
        if self.on_change is not None:
            self.on_change(new, reason)
        if RunState.PAUSED in (new, self.state):  # nothing is done in a pause, which says nothing of the time that is left
            self._rate.clear()
        self.state, self.reason = new, reason
        self._next_show = 0.0

    def begin_stage(self, stage: str, path: str) -> None:
        """Begin to count anew."""
        self._stage, self._path = stage, path
        self.count(0, None)
        self.latest = replace(  # whoever asks hears of it at once, though the first sample may take long
            self.latest, stage=stage, path=path, done=0, total=None, unit="", cost=None, rate_per_s=None, remaining_s=None
        )

    def count(self, done: float, total: float | None, unit: str = "") -> None:
        """Say how much of the stage is done, and of how much; in samples if no unit is said."""
        self.done, self.total, self.unit = done, total, unit
        self._rate.clear()
        self._costs.clear()

    def cost(self, name: str, value: float) -> None:
        """Add a cost to the mean that is shown; one of another kind begins a new mean."""
        if name != self.cost_name:
            self.cost_name = name
            self._costs.clear()
        self._costs.append(value)

    def show(self, now: float, session: RunSession | None = None, *, at_once: bool = False) -> None:
        """Make a new `latest` and hand it down, ten times a second at most; `now` from time.monotonic."""
        if now < self._next_show and not at_once:
            return
        self._next_show = now + SHOW_S
        self._rate.append((now, self.done))
        while len(self._rate) > 2 and self._rate[0][0] < now - _RATE_OVER_S:
            self._rate.popleft()
        (then, before) = self._rate[0]
        rate = (self.done - before) / (now - then) if now > then and self.done > before else None
        left = None if rate is None or self.total is None else max(0, self.total - self.done) / rate
        self.latest = Progress(
            state=self.state,
            reason=self.reason,
            stage=self._stage,
            path=self._path,
            done=self.done,
            total=self.total,
            unit=self.unit,
            rounds=self.rounds,
            question="" if (question := self.requests.question) is None else question.in_words,
            epoch=0 if session is None else session.epoch,
            cost=sum(self._costs) / len(self._costs) if self._costs else None,
            cost_name=self.cost_name,
            held_rate=None if session is None else session.tally.held_rate,
            rate_per_s=rate,
            remaining_s=left,
            values=dict(self.values),
        )
        if self._on_progress is None:
            return
        try:
            self._on_progress(self.latest)
        except Exception as exc:  # whoever watches may fall over; the run goes on
            self._on_progress = None
            self.warnings.append(f"Progress is not shown any more: {type(exc).__name__}: {exc}")

    def answer(self) -> dict[str, Any]:
        """Say it for the command `status`, plain values; from any thread."""
        latest = self.latest
        return {
            "state": str(self.state),
            "reason": self.reason,
            "stage": latest.stage,
            "path": latest.path,
            "done": latest.done,
            "total": latest.total,
            "unit": latest.unit,
            "question": latest.question,
            "rounds": [list(one) for one in latest.rounds],
            "epoch": latest.epoch,
            "cost": latest.cost,
            "cost_name": latest.cost_name,
            "held_rate": latest.held_rate,
            "rate_per_s": latest.rate_per_s,
            "remaining_s": latest.remaining_s,
            "time": time.time(),
        }
