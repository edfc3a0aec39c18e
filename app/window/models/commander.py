"""Commands from the window to a run and to its session, each in a thread of its own; FREEZE and MAKE SAFE wait for nobody.

A connection to the session stands open for these two, so that they reach it at once. They go to the run and to the session side
by side: a run that hangs keeps nobody from the hardware. What is answered, or refused, comes back as a sentence.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from aeqlab.app.window.jobs import do
from aeqlab.backends.device import SafetyReport
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.client import FoundSession, LostSession, attach, find_sessions, make_lost_safe
from aeqlab.protocols.control import person, send
from aeqlab.protocols.errors import NotAllowedError, ProtocolError, SessionError, SessionLostError
from aeqlab.protocols.lost import take_as_it_is
from aeqlab.protocols.notes import add_note
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.run_folder import is_alive

log = logging.getLogger("aeqlab.window")
TOLD_S = 2.0  #: what a session tells so long after the token was taken must name us
CLOSING_S = 3.0  #: longest wait for what is under way when the window closes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a command.

    Attributes:
        command: which.
        text: one sentence.
        done: it was taken; False where it was refused or did not arrive.
        report: of a make safe at the session.
        heard: somebody answered; False where no answer came, so that it may have been done or not.
    """

    command: str
    text: str
    done: bool = True
    report: SafetyReport | None = None
    heard: bool = True


class Commander(QObject):
    """Sends commands to what the window shows. `answered` brings an Answer for each."""

    answered = Signal(object)

    def __init__(self, parent: QObject | None = None, name: str = "window") -> None:
        super().__init__(parent)
        self.run: Path | None = None  #: the run that is shown
        self.session: FoundSession | None = None  #: the session that is shown
        self.name = name
        self._urgent: SessionClient | None = None  # stands open for FREEZE and MAKE SAFE
        self._held: tuple[FoundSession, SessionClient] | None = None  # the line that holds the control token
        self._held_at = 0.0
        self._moving: list[threading.Event] = []  # what was asked of the session under control, each set when it is over
        self.standing: int | None = None  #: number of the standing that the session told last; `let_move` lifts no later one
        self._lock = threading.Lock()  # of these lines; the window's thread takes it too, so that nobody waits while he has it

    def serve(self, run: Path | None, session: FoundSession | None) -> None:
        """Send to these from now on."""
        self.run = run
        if session != self.session:
            self.session, self.standing = session, None
            self._let_go()
            do(self, lambda: self._open_urgent(session), name="opens a line for FREEZE")

    # to the run
    def to_run(self, command: str, text: str = "") -> None:
        """Send pause, continue, skip, stop, abort, note or answer to the run."""
        run = self.run
        if run is None:
            self.answered.emit(Answer(command, f"No run is shown that could {command}.", done=False))
            return
        self._go(command, lambda: Answer(command, str(send(run, command, text)["text"])))

    def note(self, run: Path, text: str) -> None:
        """Write a note into the record of a run, whether it goes on or has ended."""

        def ask() -> Answer:
            if is_alive(run):
                return Answer("note", str(send(run, "note", text)["text"]))
            add_note(run, person(), text)
            return Answer("note", f"Noted in {run.name}.")

        self._go("note", ask)

    # to whatever moves
    def freeze(self) -> None:
        """Nudge off, knobs frozen, loops stopped: at the session and at the run, whichever hears it first."""
        self._both("freeze", lambda client, why: client.freeze(why, by=person()))

    def make_safe(self) -> None:
        """Freeze, ramp to rest, outputs off; the answer has the report, line by line."""
        self._both("safe", lambda client, why: client.make_safe(why, by=person()))

    def let_move(self) -> None:
        """Continue: the run, if one is paused or stands; else the session, from what was told of it and from nothing later."""
        run, session, standing = self.run, self.session, self.standing

        def ask() -> Answer:
            if run is not None and is_alive(run):
                return Answer("continue", str(send(run, "continue")["text"]))
            if session is None:
                return Answer("continue", "Nothing is shown that could go on.", done=False)
            with self.line(session, control=True) as client:
                client.continue_(standing)
            return Answer("continue", f"{session.device}: continue done.")

        self._go("continue", ask)

    def at_session(self, command: str, work: Callable[[SessionClient], Any], *, control: bool = False) -> None:
        """Do something at the session, over a connection of its own.

        Args:
            command: word for the answer.
            work: takes the client; what it returns is the answer's sentence, where it is one.
            control: ask for the control token, which is given where nobody holds it.
        """
        session = self.session
        if session is None:
            self.answered.emit(Answer(command, "No session is connected.", done=False))
            return

        over = threading.Event()
        if control:
            self._moving = [one for one in self._moving if not one.is_set()] + [over]

        def ask() -> Answer:
            try:
                with self.line(session, control=control) as client:
                    said = work(client)
            finally:
                over.set()
            return Answer(command, said if isinstance(said, str) else f"{session.device}: {command} done.")

        self._go(command, ask)

    def acknowledge(self, number: int) -> None:
        """Say that somebody has seen an alarm, with what hangs under it, by its number; 0: all of them."""
        self.at_session("acknowledge", lambda client: _acknowledged(client.acknowledge(person(), number or None)))

    # the control token
    @property
    def who(self) -> str:
        """Get what the session calls this window's lines that control it."""
        return f"{self.name} of {person()} (process {os.getpid()})"

    def holds(self, control: str) -> bool:
        """Tell whether the holder that a session names is this window."""
        return bool(control) and control == self.who

    def take_control(self, holder: str = "") -> None:
        """Take the control token and keep it, over a line of its own, until it is given back, taken, or the window closes.

        Args:
            holder: from whom it may be taken, as the session names them; anybody else keeps it.
        """
        session = self.session
        if session is None:
            self.answered.emit(Answer("control", "No session is connected that could be controlled.", done=False))
            return

        def ask() -> Answer:
            client = attach(session, name=f"{self.name} of {person()}", control=True)
            try:
                if not client.controls_device and client.control_by != holder:
                    raise NotAllowedError(f"{session.device}: {client.control_by} controls it. Ask for control again to take it.")
                before = "" if client.controls_device else client.take_control()
            except BaseException:
                client.close()
                raise
            with self._lock:
                shown = self.session == session
                old = self._held if shown else (session, client)
                if shown:
                    self._held, self._held_at = (session, client), time.monotonic()
            if old is not None:
                _close(old[1])
            if not shown:  # a token that nobody sees must not be held
                raise NotAllowedError(f"{session.device}: another session is shown by now, so its control was given back.")
            return Answer("control", f"{session.device}: this window controls it" + (f", after {before}." if before else "."))

        self._go("control", ask)

    def give_control(self) -> None:
        """Give the control token back; the session goes on holding."""
        held = self._take_line()
        if held is None:
            self.answered.emit(Answer("control", "This window holds no control token.", done=False))
            return

        def ask() -> Answer:
            session, client = held
            try:
                client.give_control()
            finally:
                _close(client)
            return Answer("control", f"{session.device}: control was given back.")

        self._go("control", ask)

    def see_control(self, control: str, told_at: float) -> None:
        """Hear who holds the token; where somebody took it from this window its line is closed.

        Args:
            control: the holder, as the session named them.
            told_at: when it did, by time.monotonic: what it told before the token was taken says nothing.
        """
        held = self._held
        if held is not None and not self.holds(control) and told_at - self._held_at > TOLD_S:
            self._let_go()

    def hold(self) -> None:
        """Give the control knobs back to the loop: theta is held where it was held last."""

        def work(client: SessionClient) -> str:
            report = client.hold()
            said = "is held again" if report.accepted else f"is not held yet: {report.why_not_held}"
            return f"The loop has the knobs; theta {said}."

        self.at_session("hold", work, control=True)

    @contextmanager
    def line(self, session: FoundSession, *, control: bool) -> Iterator[SessionClient]:
        """Open a line to a session for a while; the one that holds the control token, where that is asked for and it is ours."""
        held = self._held
        if control and held is not None and held[0] == session:
            yield held[1]
            return
        with attach(session, name=f"{self.name} of {person()}", control=control) as client:
            yield client

    def _take_line(self) -> tuple[FoundSession, SessionClient] | None:
        with self._lock:
            held, self._held = self._held, None
        return held

    def _let_go(self) -> None:
        """Close the line that holds the token, in a thread: saying goodbye gives the token back."""
        held = self._take_line()
        if held is not None:
            threading.Thread(target=_close, args=(held[1],), name="gives control back", daemon=True).start()

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
        """Let go of the lines that stand open; a token that is held is given back. What moves by hand may end, for a while."""
        until = time.monotonic() + CLOSING_S
        for over in self._moving:  # a client that is gone in the middle of a move would leave the device frozen
            over.wait(max(0.0, until - time.monotonic()))
        self.run = self.session = None
        held = self._take_line()
        if held is not None:
            thread = threading.Thread(target=_close, args=(held[1],), name="gives control back", daemon=True)
            thread.start()
            thread.join(1.0)  # one that does not answer is left: it freezes when this process has gone
        thread = threading.Thread(target=self._open_urgent, args=(None,), name="closes the line for FREEZE", daemon=True)
        thread.start()
        thread.join(1.0)

    # inside
    def _both(self, command: str, at_session: Callable[[SessionClient, str], SafetyReport | None]) -> None:
        run, session, why = self.run, self.session, f"{command} by {person()} in the window"
        if session is not None:
            self._go(command, lambda: self._urgently(session, command, why, at_session))

        def ask() -> Answer | None:
            if run is not None and is_alive(run):
                return Answer(command, str(send(run, command)["text"]))
            return None if session is not None else self._to_all(command, why, at_session)

        self._go(command, ask)

    def _urgently(
        self, session: FoundSession, command: str, why: str, work: Callable[[SessionClient, str], SafetyReport | None]
    ) -> Answer:
        """Use the line that stands open; a new one where it is broken, or busy with a ramp to rest."""
        with self._lock:
            client = self._urgent if self.session == session else None
            self._urgent = None if client is not None else self._urgent
        if client is not None:
            try:
                answer = _told(session, command, work(client, why))
            except SessionError:
                _close(client)
            except BackendError:  # the device's mistake, not the line's
                self._put_back(session, client)
                raise
            else:
                self._put_back(session, client)
                return answer
        with attach(session, name=f"{self.name} of {person()}", control=False) as client:
            return _told(session, command, work(client, why))

    def _to_all(self, command: str, why: str, work: Callable[[SessionClient, str], SafetyReport | None]) -> Answer:
        """Send to every session of this user, for nothing is shown that moves: what moves elsewhere must be reached."""

        def send_to(session: FoundSession) -> Answer:
            try:
                with attach(session, name=f"{self.name} of {person()}", control=False) as client:
                    return _told(session, command, work(client, why))
            except (ProtocolError, BackendError, OSError) as exc:
                return Answer(command, f"{session.device}: {exc}", done=False)

        sessions = find_sessions()
        if not sessions:
            return Answer(command, "Nothing is shown that moves, and no session is open.", done=False)
        with ThreadPoolExecutor(len(sessions)) as pool:  # one that hangs keeps no other from it
            found = list(pool.map(send_to, sessions))
        words = "\n".join(answer.text for answer in found)
        return Answer(
            command, f"Nothing is shown that moves, so all sessions were asked. {words}", all(one.done for one in found)
        )

    def _open_urgent(self, session: FoundSession | None) -> None:
        with self._lock:
            if session != self.session:  # another is shown by now; its line may stand open already
                return
            old, self._urgent = self._urgent, None
        if old is not None:
            _close(old)
        if session is not None:
            with suppress(ProtocolError, BackendError):
                self._put_back(session, attach(session, name=f"{self.name}, for FREEZE", control=False, watches=True))

    def _put_back(self, session: FoundSession, client: SessionClient) -> None:
        """Keep a line for FREEZE, unless another stands open or it is to another session by now."""
        with self._lock:
            kept = self._urgent is None and self.session == session
            self._urgent = client if kept else self._urgent
        if not kept:
            _close(client)

    def _go(self, command: str, ask: Callable[[], Answer | None]) -> None:
        def told(answer: Answer | None) -> None:
            if answer is not None:
                self.answered.emit(answer)

        def failed(exc: Exception) -> None:
            if not isinstance(exc, ProtocolError | BackendError | OSError):
                log.error("%s: %s", command, exc, exc_info=exc)
            heard = not isinstance(exc, SessionLostError)
            self.answered.emit(Answer(command, str(exc) or type(exc).__name__, done=False, heard=heard))

        do(self, ask, told, failed, name=command)


def _acknowledged(done: Sequence[object]) -> str:
    return f"{len(done)} acknowledged." if done else "All of them were acknowledged before."


def _close(client: SessionClient) -> None:
    with suppress(ProtocolError, BackendError, OSError):
        client.close()


def safe_in_words(device: str, report: SafetyReport) -> str:
    """Say what a safety report says: a sentence, and the report line by line below it."""
    from aeqlab.app.commanding import line_in_words

    said = f"{device} is SAFE, confirmed in {len(report.lines)} lines."
    if not report.safe:
        said = f"{device} is NOT CONFIRMED SAFE. Look at the report, line by line (Ctrl+M)."
    return "\n".join([said, *(f"  {line_in_words(line)}" for line in report.lines)])


def _told(session: FoundSession, command: str, report: SafetyReport | None) -> Answer:
    if report is None:
        return Answer(command, f"{session.device}: frozen.")
    return Answer(command, safe_in_words(session.device, report), report.safe, report)
