"""What Tune asks of a session: the gains in use, trials, bumps, autotune, arming; each away from the window's thread.

What is quick goes through the commander. What takes time has a connection of its own, tells how far it is, and can be stopped;
one such thing goes on at a time. FREEZE and MAKE SAFE have another line, and wait for none of this.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QObject, Signal

from aeqlab.app.window.jobs import Post, do
from aeqlab.app.window.models.commander import CLOSING_S, Answer, Commander
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.autotune import autotune
from aeqlab.protocols.bump import bump
from aeqlab.protocols.client import FoundSession, attach
from aeqlab.protocols.control import person
from aeqlab.protocols.errors import AbortRequested, ProtocolError
from aeqlab.protocols.gains import Gains
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.reports import HoldReport

log = logging.getLogger("aeqlab.window")
Tell = Callable[[str, float], None]
ARMS, IDENTIFIES = "Arms", "Identifies"  #: abilities
AGAIN_S = 2.0  #: after so long the gains are asked for again where they were not told


class TuneWork(QObject):
    """Asks one session after another.

    Signals:
        gains_changed: Gains in use, or None.
        busy_changed: what is under way; empty: nothing.
        progressed: what of it is done now, and how much of it, 0 to 1.
        bumped: a Bumped.
        arming: what arming will change, as a tuple of sentences.
        refused: a command, and the sentence by which it was refused.
        done: a command, and the sentence of what came of it.
    """

    gains_changed = Signal(object)
    busy_changed = Signal(str)
    progressed = Signal(str, float)
    bumped = Signal(object)
    arming = Signal(object)
    refused = Signal(str, str)
    done = Signal(str, str)

    def __init__(self, commander: Commander, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._commander = commander
        self._found: FoundSession | None = None
        self.gains: Gains | None = None
        self.seconds: float | None = None  #: of a trial; None: as long as the session says, 30 s
        self.busy = ""
        self._asked_version: int | None = None
        self._asking = False
        self._next = 0.0  # not before that they are asked for again, by time.monotonic
        self._leave, self._left = threading.Event(), threading.Event()
        self._left.set()
        commander.answered.connect(self._hear)

    def set_session(self, view: SessionView | None) -> None:
        """Take what a session tells now; None: none is connected."""
        found = None if view is None else view.found
        if found != self._found:
            self._found, self._asked_version, self._next = found, None, 0.0
            self._take_gains(None)
        seen = None if view is None else view.seen
        if view is None or seen is None or view.lost or self._asking or seen.gains_version == self._asked_version:
            return
        if time.monotonic() < self._next:
            return
        self._asking, version = True, seen.gains_version
        session = view.found

        def took(gains: Gains) -> None:
            self._asking = False
            if session == self._found:  # of another one nothing was asked yet
                self._asked_version = version
                self._take_gains(gains)

        def failed(exc: Exception) -> None:
            self._asking = False
            self._next = time.monotonic() + AGAIN_S
            if not isinstance(exc, ProtocolError | BackendError | OSError):
                log.error("gains: %s", exc, exc_info=exc)

        do(self, lambda: _gains_of(session), took, failed, name="gains")

    # quick
    def try_gains(self, change: dict[str, Any]) -> None:
        """Try other gains; see `Session.try_gains`. They go back by themselves."""
        by, seconds = person(), self.seconds

        def work(client: SessionClient) -> str:
            trial = client.try_gains(change, by, seconds)
            return f"Tries {trial.what}, for {trial.seconds:g} s."

        self._commander.at_session("try gains", work)

    def keep(self) -> None:
        """Keep what is on trial: the session writes the gains file."""
        by = person()
        self._commander.at_session("keep gains", lambda client: f"Kept in {client.keep_gains(by)}.")

    def revert(self) -> None:
        """Go back to the gains before the trial."""
        by = person()

        def work(client: SessionClient) -> str:
            client.revert_gains(by)
            return "The gains are as before the trial."

        self._commander.at_session("revert gains", work)

    def autotune(self, knobs: Sequence[int] | None) -> None:
        """Choose gains from what was identified, and try them; None: of all knobs."""
        by, seconds = person(), self.seconds
        self._commander.at_session("autotune", lambda client: autotune(client, knobs, by, seconds).sentence)

    def ask_arming(self) -> None:
        """Ask what arming will change; changes nothing."""
        session = self._commander.session
        if session is None:
            self._answer(Answer("arming", "No session is connected.", done=False))
            return

        def took(plan: tuple[str, ...]) -> None:
            if session == self._commander.session:  # else it is the statement of a rig that is not the one to be armed
                self.arming.emit(plan)

        do(
            self, lambda: _plan_of(session), took,
            lambda exc: self._answer(Answer("arming", str(exc), done=False)), name="arming plan",
        )  # fmt: skip

    # what takes time
    def arm(self) -> None:
        """Bring the instruments into the state in which they are used."""

        def work(client: SessionClient, tell: Tell) -> str:
            changed = [str(one) for one in client.device_call("arm")]
            return f"Armed. {' '.join(changed)}" if changed else "Armed; nothing had to be changed."

        self._long("arm", "arming: the instruments take their settings", work)

    def hold(self) -> None:
        """Begin to hold theta where it was last told to be, or is; the session goes on with that."""

        def work(client: SessionClient, tell: Tell) -> str:
            if client.watch().inputs is None:
                client.present(client.info.inputs_at_rest)  # without inputs no time passes
            report: HoldReport = client.hold()
            return "Theta is held." if report.accepted else f"{report.why_not_held[:1].upper()}{report.why_not_held[1:]}."

        self._long("hold", "holding: theta comes to its target", work)

    def bump(self, knobs: Sequence[int], size: float | None = None) -> None:
        """Step the targets of some knobs up and down, and bring them back."""
        show, session = Post(self, self._take_bumped), self._commander.session

        def work(client: SessionClient, tell: Tell) -> str:
            found = bump(client, knobs, size, progress=tell)
            show((session, found))
            return found.sentence

        self._long("bump", "bump", work)

    def stop(self) -> None:
        """Ask what is under way to leave at the next tick; a bump brings its targets back."""
        self._leave.set()

    def close(self) -> None:
        """Let what is under way leave, and wait for that, shortly: a window that closes leaves no target bumped."""
        self.stop()
        self._left.wait(CLOSING_S)

    # inside
    def _long(self, command: str, what: str, work: Callable[[SessionClient, Tell], str]) -> None:
        session = self._commander.session
        if session is None:
            self._answer(Answer(command, "No session is connected.", done=False))
            return
        if self.busy:
            self._answer(Answer(command, f"{self.busy} is under way. Wait for it, or stop it first.", done=False))
            return
        leave, left = self._leave, self._left = threading.Event(), threading.Event()
        tell = Post(self, self._progress, latest=True)
        self._set_busy(what)

        def look() -> None:
            if leave.is_set():
                raise AbortRequested(f"{command} was stopped by {person()}")

        def progress(now: str, part: float) -> None:
            tell((now, part))
            look()

        def ask() -> Answer:
            try:
                with self._commander.line(session, control=True) as client:
                    client.point_interrupt = look
                    try:
                        return Answer(command, work(client, progress))
                    finally:
                        client.point_interrupt = None  # the line may be that of the token, which stays
            finally:
                left.set()

        def finished(answer: Answer) -> None:
            self._set_busy("")
            self._answer(answer)

        def failed(exc: Exception) -> None:
            if not isinstance(exc, ProtocolError | BackendError | OSError):
                log.error("%s: %s", command, exc, exc_info=exc)
            text = str(exc)
            finished(Answer(command, f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}", done=False))

        do(self, ask, finished, failed, name=command)

    def _answer(self, answer: Answer) -> None:
        self._commander.answered.emit(answer)

    def _hear(self, answer: Answer) -> None:
        if answer.command in TOLD:
            (self.done if answer.done else self.refused).emit(answer.command, answer.text)

    def _set_busy(self, what: str) -> None:
        self.busy = what
        self.busy_changed.emit(what)

    def _progress(self, told: tuple[str, float]) -> None:
        if self.busy:
            self.progressed.emit(*told)

    def _take_bumped(self, told: tuple[FoundSession | None, object]) -> None:
        if told[0] == self._found:  # of another device nothing is drawn here
            self.bumped.emit(told[1])

    def _take_gains(self, gains: Gains | None) -> None:
        self.gains = gains
        self.gains_changed.emit(gains)


#: Commands whose answers Tune shows itself, too.
TOLD = frozenset({"try gains", "keep gains", "revert gains", "autotune", "arming", "arm", "hold", "bump"})


def _gains_of(session: FoundSession) -> Gains:
    with attach(session, name="window", control=False) as client:
        return client.gains()


def _plan_of(session: FoundSession) -> tuple[str, ...]:
    with attach(session, name="window", control=False) as client:
        return tuple(map(str, client.arming_plan()))
