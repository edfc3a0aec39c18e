"""Reads a replay beside the window's thread: whoever drags a slider gets the newest moment that was asked for, and no other.

reader = ReplayReader(owner); reader.open(folder, at=None)      its signals bring Opened, then Marked, and Shown after each wish
reader.go_to_time(at); reader.go_to_place(place); reader.close()
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from aeqlab.app.window.jobs import Post
from aeqlab.app.window.models.replay import Moment, Replay
from aeqlab.app.window.models.replay_view import Course, course_of, missing_of, view_at
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.protocols.errors import ProtocolError
from aeqlab.protocols.run_folder import is_alive
from aeqlab.protocols.run_story import Story, story_of_run

log = logging.getLogger("aeqlab.window")
LIVE_S = 2.0  #: how often a run that goes on is read anew


@dataclass(frozen=True, slots=True)
class Opened:
    """A run whose replay is open.

    Attributes:
        folder: of the run.
        begin, end: of its time line, in s since 1970; nan where nothing tells a time.
        count: places on it.
        steps: training steps; 0 where it has points alone. Sham steps have places, and no number of their own.
        every: steps that one point of the drawn costs stands for.
        alive: it goes on, and is read anew every two seconds.
        missing: what could not be read, in sentences.
    """

    folder: Path
    begin: float
    end: float
    count: int
    steps: int
    every: int
    alive: bool
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A moment that was asked for, and what the views show of it."""

    folder: Path
    moment: Moment = field(repr=False)
    view: RunView = field(repr=False)
    missing: tuple[str, ...] = ()


class ReplayReader(QObject):
    """Reads one run at a time.

    Signals:
        opened: Opened; of a run that goes on again and again.
        marked: Story, when what happened was read.
        shown: Shown.
        failed: a sentence: nothing of the run can be read.
    """

    opened = Signal(object)
    marked = Signal(object)
    shown = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: _Reader | None = None
        self.folder: Path | None = None

    def open(self, folder: Path, at: float | None = None) -> None:
        """Read another run, or the same anew, and show it at a time in s since 1970; None: at its end."""
        self.close()
        self.folder = folder
        posts = {"shown": Post(self, self._take_shown, latest=True), "other": Post(self, self._take)}
        self._thread = _Reader(folder, posts["other"], posts["shown"])
        self._thread.wish("time", math.inf if at is None else at)
        self._thread.start()

    def go_to_time(self, at: float) -> None:
        """Show what was at a time in s since 1970."""
        self._wish("time", at)

    def go_to_place(self, place: int) -> None:
        """Show what was when a row was written."""
        self._wish("place", place)

    def close(self) -> None:
        """Read no more."""
        if self._thread is not None:
            self._thread.stop()
        self._thread = self.folder = None

    # inside
    def _wish(self, kind: str, value: float) -> None:
        if self._thread is not None:
            self._thread.wish(kind, value)

    def _take_shown(self, shown: Shown) -> None:
        if shown.folder == self.folder:
            self.shown.emit(shown)

    def _take(self, told: tuple[Path, object]) -> None:
        folder, what = told
        if folder != self.folder:
            return
        if isinstance(what, Opened):
            self.opened.emit(what)
        elif isinstance(what, Story):
            self.marked.emit(what)
        else:
            self.failed.emit(str(what))


class _Reader(threading.Thread):
    """Reads one run until it is stopped."""

    def __init__(self, folder: Path, tell: Post, show: Post) -> None:
        super().__init__(name=f"replays {folder.name}", daemon=True)
        self.folder, self._tell, self._show = folder, tell, show
        self._wished = threading.Condition()
        self._wish: tuple[str, float] | None = None
        self._over = False
        self._end = math.nan  # of the time line
        self._at_end = False  # whether that was asked for last
        self._alive = False  # whether it was told that the run goes on

    def wish(self, kind: str, value: float) -> None:
        """Ask for a moment, in place of the one asked for before."""
        with self._wished:
            self._wish = kind, value
            self._wished.notify()

    def stop(self) -> None:
        """Ask it to end."""
        with self._wished:
            self._over = True
            self._wished.notify()

    def run(self) -> None:
        """Read until it is stopped; whatever goes wrong is told."""
        try:
            self._alive = is_alive(self.folder)  # before it is read: what is written until it ends is read then
            with Replay(self.folder) as replay:
                self._read(replay)
        except ProtocolError as exc:
            self._tell((self.folder, str(exc)))
        except Exception as exc:
            log.error("%s cannot be replayed: %s", self.folder, exc, exc_info=exc)
            self._tell((self.folder, f"{self.folder.name} cannot be replayed: {exc}."))

    def _read(self, replay: Replay) -> None:
        course = self._open(replay, None)
        self._answer(replay, course)
        story = self._story()
        if story is not None:
            self._open(replay, story, course)
            self._tell((self.folder, story))
            with self._wished:
                if self._at_end and self._wish is None:
                    self._wish = "time", math.inf  # its end is known better now
        looked = time.monotonic()
        while not self._over:
            with self._wished:
                if self._wish is None and not self._over:
                    self._wished.wait(LIVE_S)
            self._answer(replay, course)
            if self._over or time.monotonic() - looked < LIVE_S:
                continue
            before, self._alive = self._alive, is_alive(self.folder)
            looked = time.monotonic()
            if before or self._alive:  # once more after it ended, which is told then; and where somebody resumed it
                replay.refresh()
                story = self._story() or story
                course = self._open(replay, story)
                if story is not None:
                    self._tell((self.folder, story))
                looked = time.monotonic()  # from the end of reading: a long run must not be read all the time

    def _open(self, replay: Replay, story: Story | None, course: Course | None = None) -> Course:
        """Tell from when to when it goes, as far as its rows and its story tell."""
        course = course or course_of(replay)
        times = list(replay.span)
        if story is not None:
            times += [at for at in (story.began, story.ended) if at is not None]
            times += [moment.at for cause in story.causes for moment in cause.moments]
        times = [at for at in times if math.isfinite(at)]
        begin, self._end = (min(times), max(times)) if times else (math.nan, math.nan)
        missing = tuple(dict.fromkeys((*missing_of(replay), *(story.missing if story is not None else ()))))
        told = Opened(self.folder, begin, self._end, replay.count, replay.last_step, course.every, self._alive, missing)
        self._tell((self.folder, told))
        return course

    def _story(self) -> Story | None:
        try:
            return story_of_run(self.folder)
        except ProtocolError as exc:  # the moments can be shown all the same
            log.warning("%s: its story cannot be told: %s", self.folder, exc)
            return None

    def _answer(self, replay: Replay, course: Course) -> None:
        with self._wished:
            wish, self._wish = self._wish, None
        if wish is None or self._over:
            return
        kind, value = wish
        self._at_end = kind == "time" and value == math.inf
        if self._at_end:
            value = self._end
        moment = replay.at_time(value) if kind == "time" else replay.at_place(int(value))
        view = view_at(replay, course, moment)
        self._show(Shown(self.folder, moment, view, missing_of(replay)))
