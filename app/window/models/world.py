"""What the window shows as a whole: one run, one session, and who follows whom.

Where a run is shown its session is found and shown with it; where a session is shown and a run controls it, so is that run.
"""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.commander import Answer, Commander
from aeqlab.app.window.models.launcher import Started
from aeqlab.app.window.models.run_feed import RunFeed, RunView
from aeqlab.app.window.models.session_feed import SessionFeed, SessionList, SessionView
from aeqlab.protocols.client import FoundSession, LostSession

log = logging.getLogger("aeqlab.window")
AGAIN_MS = 2_000  #: after so long it is looked again for the session of a run, where that failed
_RUN_IN_CONTROL = re.compile(r"run (.+) \(process \d+\)")

QUIET = ("console",)  #: answers that whoever asked shows


class World(QObject):
    """The run and the session that are shown.

    Signals:
        changed: anything of them changed; whoever shows something asks `run` and `session`.
        run_shown, session_shown: another one is shown, or none (None).
        said: a sentence for the line of messages, and whether it is about something that went wrong.
        answered: an Answer came to a command.
    """

    changed = Signal()
    run_shown = Signal(object)
    session_shown = Signal(object)
    said = Signal(str, bool)
    answered = Signal(object)
    sessions_changed = Signal()

    def __init__(self, runs: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runs = runs  #: folder of run folders
        self.run: RunView | None = None
        self.session: SessionView | None = None
        self._chosen: FoundSession | None = None  # a session that was asked for by name
        self._attached: FoundSession | None = None  # that the run works with, or did: it is its device still
        self._sought = "", 0.0  # run in control whose folder was looked for last, and when it may be again, by time.monotonic
        self._again = QTimer(self, singleShot=True, interval=AGAIN_MS)
        self._again.timeout.connect(self._see_sessions)
        self.run_feed, self.session_feed, self.sessions = RunFeed(self), SessionFeed(self), SessionList(self)
        self.commander = Commander(self)
        self.run_feed.changed.connect(self._take_run)
        self.run_feed.failed.connect(lambda text: self.said.emit(text, True))
        self.session_feed.changed.connect(self._take_session)
        self.sessions.changed.connect(self._see_sessions)
        self.commander.answered.connect(self._take_answer)

    def start(self) -> None:
        """Begin to look around."""
        self.sessions.start()

    def close(self) -> None:
        """Let go of everything. What runs goes on."""
        self.sessions.close()
        self.run_feed.close()
        self.session_feed.close()
        self.commander.close()

    # what is shown
    def show_run(self, folder: Path | None) -> None:
        """Show a run; its session is shown with it, where it has one that runs."""
        folder = None if folder is None else folder.absolute()
        if folder == self.run_feed.folder:
            return
        self.run = None
        self.run_feed.follow(folder)
        self._chosen = self._attached = None
        self._see_sessions()
        self.run_shown.emit(folder)
        self.changed.emit()

    def show_session(self, found: FoundSession | None) -> None:
        """Show a session; where a run controls it that run is shown too."""
        self._chosen = found
        self._follow(found)

    def choose_session(self, found: FoundSession) -> None:
        """Show a session in place of what is shown: a run of another device goes with its session."""
        view = self.session_feed.view
        if view is None or view.found != found:
            self.show_run(None)
            self.show_session(found)

    def take_started(self, started: Started) -> None:
        """Show what was just started."""
        if started.run is not None:
            self.show_run(started.run)
        if started.session is not None:
            self.show_session(started.session)

    @property
    def lost(self) -> tuple[LostSession, ...]:
        """Get the devices whose state nobody knows."""
        return tuple(one for one in self.sessions.lost if not one.taken)

    # what comes in
    def _take_run(self, view: RunView) -> None:
        before, self.run = self.run, view
        if before is not None and (before.alive, before.state) != (view.alive, view.state) and self.session_feed.view is None:
            self._see_sessions()  # it may control a session now
        self.changed.emit()

    def _take_session(self, view: SessionView) -> None:
        if view.ended:  # nothing is unknown of a device that its session left as it should
            self._chosen = self._attached = None
            self._follow(None)
            self.said.emit(f"{view.found.device}: its session has ended.", False)
            return
        self.session = view
        self.sessions.doubt(view.found if view.lost else None)
        self.commander.standing = None if view.status is None else view.status.standing
        if self.run_feed.folder is None and view.status is not None and (match := _RUN_IN_CONTROL.match(view.status.control)):
            self._show_run_named(match[1], view)
        self.changed.emit()

    def _show_run_named(self, name: str, view: SessionView) -> None:
        """Show the run that controls a session, once its folder was found; it is looked for in a thread."""
        if name == self._sought[0] and time.monotonic() < self._sought[1]:
            return
        self._sought, beside = (name, time.monotonic() + AGAIN_MS / 1000), Path(view.found.folder).parent
        places = (self.runs / name, beside if beside.name == name else beside / name)

        def find() -> Path | None:
            return next((folder.absolute() for folder in places if (folder / "record.sqlite").exists()), None)

        def found(folder: Path | None) -> None:
            now = self.session_feed.view
            if folder is not None and self.run_feed.folder is None and now is not None and now.found == view.found:
                self.run_feed.follow(folder)
                self._attached = view.found
                self.commander.serve(folder, view.found)
                self.run_shown.emit(folder)

        do(self, find, found, lambda exc: log.info("where the run is cannot be told: %s", exc), name="where the run is")

    def _take_answer(self, answer: Answer) -> None:
        if answer.command not in QUIET or not answer.done:
            self.said.emit(answer.text, not answer.done)
        self.answered.emit(answer)
        self.run_feed.look()
        self.session_feed.look()

    def _see_sessions(self, *_: object) -> None:
        """Find the session of what is shown, as they come and go."""
        self.sessions_changed.emit()
        folder = self.run_feed.folder
        if self._chosen is not None:
            there = next((one for one in self.sessions.running if one.address == self._chosen.address), None)
            self._follow(there or self._chosen)
        elif folder is not None:
            own = folder / "session"
            there = next((one for one in self.sessions.running if Path(one.folder) == own or one == self._attached), None)
            if there is not None or not self._was_of(folder):
                self._follow(there)
            if there is None:
                self._look_who_is_controlled(folder)
        elif self.session_feed.view is None and len(self.sessions.running) == 1:
            self._follow(self.sessions.running[0])  # the only one there is
        self.commander.serve(folder, None if self.session_feed.view is None else self.session_feed.view.found)

    def _was_of(self, folder: Path) -> bool:
        """Tell whether the session that is watched was the run's: what became of it is shown on.

        Whether it died or ended as it should is told by whoever watches it, maybe after it is no longer among those that run.
        """
        view = self.session_feed.view
        return view is not None and (view.found == self._attached or Path(view.found.folder) == folder / "session")

    def _look_who_is_controlled(self, folder: Path) -> None:
        """Find a session that the run attached to, by who controls it; it is asked in a thread."""
        sessions = self.sessions.running

        def find() -> FoundSession | None:
            from aeqlab.app.commanding import session_of_run

            return session_of_run(folder, sessions)

        def found(session: FoundSession | None) -> None:
            if session is not None and folder == self.run_feed.folder and self._chosen is None:
                self._attached = session
                self._follow(session)
                self.commander.serve(folder, session)

        def failed(exc: Exception) -> None:
            log.info("whose session it is cannot be told: %s", exc)
            self._again.start()

        if sessions:
            do(self, find, found, failed, name="whose session is it")

    def _follow(self, found: FoundSession | None) -> None:
        view = self.session_feed.view
        if (None if view is None else view.found) == found:
            return
        self.session, self._sought = None, ("", 0.0)
        self.sessions.doubt(None)
        self.session_feed.follow(found)
        self.commander.serve(self.run_feed.folder, found)
        self.session_shown.emit(found)
        self.changed.emit()
