"""Commands from the window to a run and to its session, each in a thread of its own; FREEZE and MAKE SAFE wait for nobody.

A connection to the session stands open for these two, so that they reach it at once. They go to the run and to the session side
by side: a run that hangs keeps nobody from the hardware. What is answered, or refused, comes back as a sentence.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from aeqlab.app.window.jobs import do
from aeqlab.backends.device import SafetyReport
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.client import FoundSession, LostSession, attach, make_lost_safe
from aeqlab.protocols.control import person, send
from aeqlab.protocols.errors import ProtocolError, SessionError
from aeqlab.protocols.lost import take_as_it_is
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.run_folder import is_alive

log = logging.getLogger("aeqlab.window")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a command.

    Attributes:
        command: which.
        text: one sentence.
        done: it was taken; False where it was refused or did not arrive.
        report: of a make safe at the session.
    """

    command: str
    text: str
    done: bool = True
    report: SafetyReport | None = None


class Commander(QObject):
    """Sends commands to what the window shows. `answered` brings an Answer for each."""

    answered = Signal(object)

    def __init__(self, parent: QObject | None = None, name: str = "window") -> None:
        super().__init__(parent)
        self.run: Path | None = None  #: the run that is shown
        self.session: FoundSession | None = None  #: the session that is shown
        self.name = name
        self._urgent: SessionClient | None = None  # stands open for FREEZE and MAKE SAFE
        self._lock = threading.Lock()

    def serve(self, run: Path | None, session: FoundSession | None) -> None:
        """Send to these from now on."""
        self.run = run
        if session != self.session:
            self.session = session
            do(self, lambda: self._open_urgent(session), name="opens a line for FREEZE")

    # to the run
    def to_run(self, command: str, text: str = "") -> None:
        """Send pause, continue, skip, stop, abort, note or answer to the run."""
        run = self.run
        if run is None:
            self.answered.emit(Answer(command, f"No run is shown that could {command}.", done=False))
            return
        self._go(command, lambda: Answer(command, str(send(run, command, text)["text"])))

    # to whatever moves
    def freeze(self) -> None:
        """Nudge off, knobs frozen, loops stopped: at the session and at the run, whichever hears it first."""
        self._both("freeze", lambda client, why: client.freeze(why, by=person()))

    def make_safe(self) -> None:
        """Freeze, ramp to rest, outputs off; the answer has the report, line by line."""
        self._both("safe", lambda client, why: client.make_safe(why, by=person()))

    def let_move(self) -> None:
        """Continue: the run, if one is paused or stands; else the session."""
        run, session = self.run, self.session
        if run is not None and is_alive(run):
            self.to_run("continue")
        elif session is not None:
            self.at_session("continue", lambda client: client.continue_())
        else:
            self.answered.emit(Answer("continue", "Nothing is shown that could go on.", done=False))

    def at_session(
        self, command: str, work: Callable[[SessionClient], Any], *, control: bool = False, take: bool = False
    ) -> None:
        """Do something at the session, over a connection of its own.

        Args:
            command: word for the answer.
            work: takes the client; what it returns is the answer's sentence, where it is one.
            control: ask for the control token, which is given where nobody holds it.
            take: take the token from whoever holds it.
        """
        session = self.session
        if session is None:
            self.answered.emit(Answer(command, "No session is connected.", done=False))
            return

        def ask() -> Answer:
            with attach(session, name=f"{self.name} of {person()}", control=control) as client:
                if take and not client.controls_device:
                    client.take_control()
                said = work(client)
            return Answer(command, said if isinstance(said, str) else f"{session.device}: {command} done.")

        self._go(command, ask)

    def make_lost_safe(self, lost: LostSession) -> None:
        """Bring the device of a lost session to SAFE."""

        def ask() -> Answer:
            report = make_lost_safe(lost)
            return Answer("safe", safe_in_words(lost.device, report), report.safe, report)

        self._go("safe", ask)

    def take_lost(self, lost: LostSession) -> None:
        """Take the device of a lost session as it is."""
        self._go("continue", lambda: Answer("continue", take_as_it_is(lost, person()).sentence()))

    def close(self) -> None:
        """Let go of the line that stands open."""
        self.run = self.session = None
        self._open_urgent(None)

    # inside
    def _both(self, command: str, at_session: Callable[[SessionClient, str], SafetyReport | None]) -> None:
        run, session, why = self.run, self.session, f"{command} by {person()} in the window"
        if session is not None:
            self._go(command, lambda: self._urgently(session, command, why, at_session))
        if run is not None and is_alive(run):
            self._go(command, lambda: Answer(command, str(send(run, command)["text"])))
        elif session is None:
            self.answered.emit(Answer(command, "Nothing is shown that moves.", done=False))

    def _urgently(
        self, session: FoundSession, command: str, why: str, work: Callable[[SessionClient, str], SafetyReport | None]
    ) -> Answer:
        """Use the line that stands open; a new one where it is broken."""
        with self._lock:
            client = self._urgent if self.session == session else None
            if client is not None:
                try:
                    return _told(session, command, work(client, why))
                except SessionError:
                    self._urgent = None
                    client.close()
        with attach(session, name=f"{self.name} of {person()}", control=False) as client:
            return _told(session, command, work(client, why))

    def _open_urgent(self, session: FoundSession | None) -> None:
        with self._lock:
            if self._urgent is not None:
                self._urgent.close()
            self._urgent = None
            if session is not None and session == self.session:
                with suppress(ProtocolError, BackendError):
                    self._urgent = attach(session, name=f"{self.name}, for FREEZE", control=False)

    def _go(self, command: str, ask: Callable[[], Answer]) -> None:
        def failed(exc: Exception) -> None:
            if not isinstance(exc, ProtocolError | BackendError | OSError):
                log.error("%s: %s", command, exc, exc_info=exc)
            self.answered.emit(Answer(command, str(exc), done=False))

        do(self, ask, self.answered.emit, failed, name=command)


def safe_in_words(device: str, report: SafetyReport) -> str:
    """Say what a safety report says, in a sentence."""
    if report.safe:
        return f"{device} is SAFE, confirmed in {len(report.lines)} lines."
    return f"{device} is NOT CONFIRMED SAFE. Look at the report, line by line."


def _told(session: FoundSession, command: str, report: SafetyReport | None) -> Answer:
    if report is None:
        return Answer(command, f"{session.device}: frozen.")
    return Answer(command, safe_in_words(session.device, report), report.safe, report)
