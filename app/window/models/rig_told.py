"""What a session tells only when it is asked: its instruments, and what arming would change; asked again where no answer came."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Signal

from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.client import FoundSession, attach
from aeqlab.protocols.errors import ProtocolError
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.status import SessionState

log = logging.getLogger("aeqlab.window")
AGAIN_S = 5.0  #: after so long it is asked again where it did not answer
#: Commands after which arming may change something else than before.
ARM = frozenset({"arm", "move", "wiggle", "hold", "safe", "continue"})
Asks = Callable[[SessionClient], tuple[str, ...]]
QUESTIONS: dict[str, Asks] = {
    "instruments": lambda client: tuple(str(one["name"]) for one in client.instruments()),
    "arming": lambda client: tuple(map(str, client.arming_plan())),
}


class RigTold(QObject):
    """Asks one session after another.

    Signals:
        told: which of the `QUESTIONS`, and the answer, sentences or names; a str says why there is none.
        forgotten: another session is shown, or none: nothing is known of it.
    """

    told = Signal(str, object)
    forgotten = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._found: FoundSession | None = None
        self._next: dict[str, float] = {}  # when each is asked, by time.monotonic; one that is known is not there
        self._asking: set[tuple[str, FoundSession]] = set()
        self._safe = False

    def set_session(self, view: SessionView | None) -> None:
        """Take what a session tells now; None: none is connected."""
        found = None if view is None else view.found
        if found != self._found:
            self._found, self._next = found, dict.fromkeys(QUESTIONS, 0.0)
            self.forgotten.emit()
        if view is None or view.lost or view.status is None:
            return
        safe = view.status.state is SessionState.SAFE
        if safe != self._safe:  # outputs went off, or may be on again
            self._safe, self._next["arming"] = safe, 0.0
        for what in [one for one, at in self._next.items() if (one, view.found) not in self._asking and time.monotonic() >= at]:
            self._ask(what, view.found)

    def heard(self, command: str) -> None:
        """Hear that a command was done."""
        if command in ARM:
            self._next["arming"] = 0.0

    def _ask(self, what: str, session: FoundSession) -> None:
        asks = QUESTIONS[what]
        self._asking.add((what, session))
        del self._next[what]  # whoever wants to know it again meanwhile puts it back

        def ask() -> tuple[str, ...]:
            with attach(session, name="window", control=False, watches=True) as client:
                return asks(client)

        def take(answer: Any) -> None:
            self._asking.discard((what, session))
            if session == self._found:
                self.told.emit(what, answer)

        def failed(exc: Exception) -> None:
            if not isinstance(exc, ProtocolError | BackendError | OSError):
                log.error("%s: %s", what, exc, exc_info=exc)
            if session == self._found:
                self._next.setdefault(what, time.monotonic() + AGAIN_S)
            take(str(exc) or type(exc).__name__)

        do(self, ask, take, failed, name=what)
