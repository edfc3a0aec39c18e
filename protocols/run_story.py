"""The story of a run in plain data: one sentence, then what went wrong by its first causes, then the rest.

story = story_of_run("runs/20261123-062105-linear-regression-k3f9")
story.sentence      since 21:40: 1,204 samples, cost 0.41 to 0.06, adc did not answer 14 s at 03:12 (frozen); finished 06:02
story.causes[0].what, story.causes[0].moments[0].step, story.safety, story.notes, story.provenance, story.missing
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from aeqlab.protocols.load import Run, load_run
from aeqlab.protocols.record_reader import opened
from aeqlab.protocols.record_walk import Walk
from aeqlab.protocols.run_list import INTERRUPTED
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.story_causes import Cause, Left, causes_of
from aeqlab.protocols.story_course import Course, course_of, left_of
from aeqlab.protocols.story_events import read_events
from aeqlab.protocols.story_marks import (
    ENDED,
    LATE,
    SMALL,
    UNSURE,
    Mark,
    Part,
    alarm_mark,
    clause,
    command_mark,
    marks_of_session,
    rig_mark,
    standing_mark,
    state_mark,
)
from aeqlab.protocols.story_sentence import sentence_of
from aeqlab.protocols.verdict import guardian_verdict

T = TypeVar("T")
#: What reading a damaged record may raise: bytes where a number should be, a row that is not there.
_DAMAGED = (sqlite3.Error, TypeError, ValueError, KeyError, IndexError, OverflowError)


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote down, and when, in s since 1970."""

    at: float
    author: str
    step: int
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, in plain data. Times in s since 1970; None: not known.

    Attributes:
        path: folder of the run or session.
        kind: `run` or `session`.
        state, reason: as they were recorded last.
        sentence: everything in one sentence.
        causes: what went wrong and what people asked for, by first causes, the one that matters most first.
        began, ended: begin, and end; None: it goes on, or nobody knows.
        course: samples and costs of a run.
        safety: how the device was left, line by line.
        notes: of people.
        provenance: name and value of what the run came from.
        missing: what could not be read, in sentences.
    """

    path: Path
    kind: str
    state: str
    reason: str
    sentence: str
    causes: tuple[Cause, ...]
    began: float | None
    ended: float | None
    course: Course | None = None
    safety: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = field(default=())


def story_of_run(path: str | Path, *, now: float | None = None) -> Story:
    """Tell the story of a run, live, ended, killed or damaged.

    Args:
        path: the run folder.
        now: the present, in s since 1970; None: the clock's.
    Raises:
        RecordError: there is no such folder, or nothing in it that a run leaves.
    """
    return _RunTeller(load_run(path), time.time() if now is None else now).tell()


class _RunTeller:
    """Reads what the story of one run needs; what cannot be read costs its own part."""

    def __init__(self, run: Run, now: float) -> None:
        self.run, self.now = run, now
        self.missing: list[str] = []
        self.left: list[Left] = []
        self.course = Course()
        self.state, self.reason = run.state, run.reason

    def tell(self) -> Story:
        run = self.run
        self._read_steps()
        attempts = self._attempts()
        last = self._last_written()
        alive = self.state not in (INTERRUPTED, *_ENDS)
        ended = attempts[-1][1] if attempts and self.state in _ENDS else None
        marks = [*self._marks(), *self._deaths(attempts, last), *self._of_its_session(last)]
        causes = causes_of(marks, self.left, self.now if alive else last, self.course.steps)
        began = attempts[0][0] if attempts else None
        told = any(cause.weight >= ENDED for cause in causes)
        sentence = sentence_of(began, self.course, causes, *self._end(ended, last, told), now=self.now, resumed=len(attempts) - 1)
        verdict = guardian_verdict(run.path / "session")
        guarded = () if verdict is None else (verdict.sentence(), *verdict.lines)
        return Story(
            run.path, "run", self.state, self.reason, self._whole(sentence), causes, began, ended, self.course,
            (*self._safety(), *guarded), tuple(self._notes()), tuple(self._provenance()),
            tuple(dict.fromkeys((*run.missing, *self.missing))),
        )  # fmt: skip

    # the record
    def _read_steps(self) -> None:
        record = self.run.path / "record.sqlite"
        if not record.exists():
            self.missing.append("There is no record.sqlite here: what the run did is not known.")
            return
        try:
            with opened(record) as connection:
                walk = Walk(connection, "steps")
                self.course = self._try(lambda: course_of(walk, connection), Course())
                self.left = self._try(lambda: left_of(walk, connection), self.left)
        except _DAMAGED as exc:
            self.missing.append(f"record.sqlite, steps: {exc}.")

    def _try(self, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except _DAMAGED as exc:
            if "no such" not in str(exc):  # a record of another version has other columns; `load_run` says of which it lacks some
                self.missing.append(f"record.sqlite, steps: {exc}.")
            return otherwise

    def _marks(self) -> Iterator[Mark]:
        events = self.run.events.read("id", "at", "step", "kind", "word", "text")
        told_by_table = len(self.run.alarms) > 0
        for at, step, kind, word, text in zip(*(events[name] for name in ("at", "step", "kind", "word", "text")), strict=True):
            mark = _mark_of_event(float(at), _whole(step), kind, word, text, told_by_table) if _is_time(at) else None
            if mark is not None:
                yield mark
        alarms = self.run.alarms.read("raised_at", "cleared_at", "name", "text")
        steps = self._steps_at(alarms["raised_at"].tolist())
        rows = zip(*(alarms[key] for key in ("raised_at", "cleared_at", "name", "text")), steps, strict=True)
        for at, until, name, text, number in rows:
            if _is_time(at):
                yield alarm_mark(float(at), name, text, number, float(until) if _is_time(until) else None)

    def _steps_at(self, times: list[float]) -> list[int | None]:
        """Get the last training step before each time."""
        if not times or not self.course.steps:
            return [None] * len(times)
        try:
            with opened(self.run.path / "record.sqlite") as connection:
                walk = Walk(connection, "steps")
                places = [walk.last_with("at", at) for at in times]
                return [0 if place < 0 else int(walk.value(place, "step")) for place in places]
        except _DAMAGED as exc:
            self.missing.append(f"record.sqlite, steps: {exc}.")
            return [None] * len(times)

    def _attempts(self) -> list[tuple[float, float | None, str, int]]:
        rows = self.run.attempts.read("started_at", "ended_at", "state", "from_step")
        return [
            (float(began), float(ended) if _is_time(ended) else None, str(state), _whole(step))
            for began, ended, state, step in zip(
                *(rows[name] for name in ("started_at", "ended_at", "state", "from_step")), strict=True
            )
            if _is_time(began)
        ]

    def _last_written(self) -> float | None:
        """Get when the run wrote something last."""
        events = self.run.events["at"]
        times = [float(at) for at in events[-1:] if _is_time(at)]
        return max([*times, *([self.course.last] if self.course.last is not None else [])], default=None)

    def _deaths(self, attempts: list[tuple[float, float | None, str, int]], last: float | None) -> Iterator[Mark]:
        """Make the marks of attempts that ended without a word, and of those that went on after them."""
        at, attempt = (self.run.events[name] for name in ("at", "attempt"))
        for k, (began, ended, _, _) in enumerate(attempts):
            follows = attempts[k + 1] if k + 1 < len(attempts) else None
            if ended is not None or (follows is None and self.state != INTERRUPTED):
                continue
            own = at[attempt == k + 1]
            wrote = max(
                [
                    began,
                    *(float(one) for one in own[-1:] if _is_time(one)),
                    *([last] if follows is None and last is not None else []),
                ]
            )
            step = self.course.steps if follows is None else follows[3]
            what = "the process of the run ended without a word"
            text = "The process that did the run ended without a word: it was killed, or the computer went down."
            yield Mark(wrote, Part.CAUSE, what, text, f"attempt {k + 1}", step, ENDED, lasts=True)
            if follows is not None:
                done = f"resumed from step {follows[3]:,}"
                yield Mark(follows[0], Part.MEND, done, done, f"attempt {k + 1}", follows[3], until=follows[0])

    def _of_its_session(self, last: float | None) -> Iterator[Mark]:
        """Make the marks of what a session of its own told after the run could not listen any more, and of its guardian."""
        folder = self.run.path / "session"
        if not folder.is_dir():
            return
        events = list(read_events(folder, self.missing))
        end = self.run.events["at"][-1] if len(self.run.events["at"]) else 0.0
        for event in events:
            if event.who.startswith("guardian ") or (event.t > end + 1e-3 and self.state == INTERRUPTED):
                yield from marks_of_session([event])

    # the rest
    def _end(self, ended: float | None, last: float | None, told: bool) -> tuple[str, float | None]:
        """Say how it stands at the end, {} for the time; why only where no cause tells it."""
        reason = self.reason
        match self.state:
            case RunState.FINISHED:
                return "finished {}", ended
            case RunState.STOPPED | RunState.ABORTED:
                why = clause(reason.partition(": ")[2] or reason)
                return f"{self.state} {{}}" + (f" ({why})" if why else ""), ended
            case RunState.FAILED | RunState.DIVERGED:
                return f"{self.state} {{}}" + ("" if told else f": {clause(reason, 140)}"), ended
            case "interrupted":
                return "interrupted, its last word was {}", last
            case "unknown":
                return "how it ended is not known", None
        return f"still {self.state} {{}}", self.now

    def _whole(self, sentence: str) -> str:
        missing = [*self.run.missing, *self.missing]
        return f"{sentence}; not all of the record can be read" if missing else sentence

    def _safety(self) -> Iterator[str]:
        events = self.run.events.read("kind", "word", "text")
        for kind, word, text in zip(*(reversed(events[name]) for name in ("kind", "word", "text")), strict=True):
            if (kind, word) == ("device", "end"):
                yield from str(text).splitlines()
                return

    def _notes(self) -> Iterator[Note]:
        meta = self.run.meta
        if meta.get("notes"):
            yield Note(0.0, str(meta.get("operator") or "the experiment"), 0, str(meta["notes"]))
        rows = self.run.notes.read("at", "author", "step", "text")
        for at, author, step, text in zip(*(rows[name] for name in ("at", "author", "step", "text")), strict=True):
            yield Note(float(at) if _is_time(at) else 0.0, author, _whole(step), text)

    def _provenance(self) -> Iterator[tuple[str, str]]:
        facts, meta = self.run.provenance, self.run.meta
        attempts = facts.get("attempts")
        attempts = attempts if isinstance(attempts, list) and attempts else [{}]
        last = attempts[-1] if isinstance(attempts[-1], dict) else {}
        yield "name", str(meta.get("name", ""))
        yield "operator", str(facts.get("operator") or "")
        yield "seed", str(facts.get("seed", ""))
        yield "tags", ", ".join(map(str, meta.get("tags") or []))
        yield "computer", str(last.get("host", ""))
        yield "command", " ".join(map(str, last.get("command") or []))
        yield "software", ", ".join(f"{name} {version}" for name, version in (last.get("versions") or {}).items())
        commit = facts.get("commit")
        if isinstance(commit, dict):
            yield "commit", f"{commit.get('commit', '')}{', files changed' if commit.get('changed') else ''}"
        device = facts.get("device")
        if isinstance(device, dict):
            yield "device", f"{device.get('name', '')} ({device.get('kind', '')})"
            for note in device.get("notes") or []:
                yield "device says", str(note)
        data = facts.get("data")
        if isinstance(data, dict):
            yield "data", f"{data.get('name', '')}, {data.get('train_samples', 0):,} training samples"


_ENDS = (RunState.FINISHED, RunState.STOPPED, RunState.ABORTED, RunState.DIVERGED, RunState.FAILED, "unknown")


def _is_time(at: float) -> bool:
    """Tell whether a number can be a time: a damaged record may have anything in its place."""
    return 0.0 <= at < 1e11


def _whole(step: float) -> int:
    return int(step) if abs(step) < 2**53 else 0


def _mark_of_event(at: float, step: int, kind: str, word: str, text: str, told_by_table: bool) -> Mark | None:
    match kind, word:
        case "session", "rig":
            return rig_mark(at, text, step)
        case "session", "frozen" | "safe" | "unknown":
            return standing_mark(at, word, text, step)
        case "session", "continue":
            return Mark(at, Part.MEND, "", text, "standing", step, until=at)
        case "session", "alarm" if not told_by_table:
            kind_, _, said = text.partition(": ")[2].partition(": ")
            return alarm_mark(at, kind_, said, step)
        case "device", "late":
            return Mark(at, Part.CAUSE, "this computer was late", text, "late", step, LATE)
        case "command", _:
            return command_mark(at, word, text, step)
        case "state", _:
            return state_mark(at, word, text, step)
        case "warning", "partial" | "jump" | "disk":  # an alarm says so too
            return None
        case "warning", _:
            return Mark(at, Part.WARNING, clause(text), text, "", step, SMALL)
        case "device", "end" if text.startswith(("State of the device unknown", "Not left as declared")):
            return Mark(at, Part.EFFECT, clause(text.splitlines()[0]), text, "", step, UNSURE)
    return None
