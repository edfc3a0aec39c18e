"""What a session tells, as a watcher: its state, its last reading, its alarms and events, ten times a second.

A thread asks; the window takes frozen views. A session that does not answer within `UNKNOWN_S` is told as unknown by a timer of
the window, whatever its thread waits for. No reading is taken for the window's sake.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PySide6.QtCore import QObject, QTimer, Signal

from aeqlab.app.window.jobs import Post
from aeqlab.backends.device import DeviceInfo, Readout, SafetyReport
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.alarms import Alarm
from aeqlab.protocols.client import FoundSession, LostSession, attach, find_sessions, hung_sessions
from aeqlab.protocols.errors import ProtocolError
from aeqlab.protocols.lost import last_commands, seen_to
from aeqlab.protocols.lost import lost_sessions as dead_sessions
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.session_view import SessionView as Seen
from aeqlab.protocols.status import SessionEvent, SessionState, SessionStatus
from aeqlab.protocols.verdict import Verdict, guardian_verdict

Array = NDArray[Any]
log = logging.getLogger("aeqlab.window")

EVERY_S = 0.1  #: so often a session is asked
UNKNOWN_S = 1.2  #: after so long without an answer its state counts as unknown
LISTED_S = 0.5  #: so often it is looked which sessions there are
HUNG_S = 15.0  #: so often one that did not answer is asked whether it does
EVENTS = 2_000  #: events that are kept


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as it stood when it was last heard.

    Attributes:
        found: where it is.
        info: what its device says of itself.
        abilities: names of the capability interfaces of its device.
        status: where it stands; None before it answered.
        seen: all that it told then: readings, setpoints and readbacks, targets, verdicts, interlocks, monitors.
        alarms, events: oldest first.
        safety: report of the last make safe, where the device still stands for it.
        heard_at: when it last answered, by time.monotonic.
        lost: why nothing is known of it now; empty where it answers.
        verdict: what its guardian said of the device, once the session is gone.
        ended: it has come to its end as it should, and left nothing that somebody has to see to.
    """

    found: FoundSession
    info: DeviceInfo | None = None
    abilities: frozenset[str] = frozenset()
    status: SessionStatus | None = None
    seen: Seen | None = None
    alarms: tuple[Alarm, ...] = ()
    events: tuple[SessionEvent, ...] = ()
    safety: SafetyReport | None = None
    heard_at: float = 0.0
    lost: str = ""
    verdict: Verdict | None = None
    ended: bool = False

    @property
    def state(self) -> SessionState:
        """Get the state; unknown where it does not answer, or has not answered yet; SAFE where its guardian saw to it."""
        if self.lost and self.verdict is not None and self.verdict.safe:
            return SessionState.SAFE
        return SessionState.UNKNOWN if self.lost or self.status is None else self.status.state

    @property
    def reason(self) -> str:
        """Get why it stands where it does."""
        return self.lost or ("" if self.status is None else self.status.reason)

    @property
    def readout(self) -> Readout | None:
        """Get the last reading; None where there is none."""
        return None if self.seen is None else self.seen.readout

    @property
    def setpoints(self) -> Array | None:
        """Get the control knobs as last commanded, shape (controls,); None where nothing was."""
        return None if self.seen is None else self.seen.setpoints

    @property
    def open_alarms(self) -> tuple[Alarm, ...]:
        """Get the alarms that are active, or that nobody has acknowledged."""
        return tuple(alarm for alarm in self.alarms if not alarm.over)


class SessionFeed(QObject):
    """Watches one session after another. `changed` brings a SessionView."""

    changed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._watcher: _Watcher | None = None
        self.view: SessionView | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(200)
        self._timer.timeout.connect(self._see_whether_it_answers)

    def follow(self, found: FoundSession | None) -> None:
        """Watch a session from now on; None: none."""
        if self._watcher is not None:
            self._watcher.stop()
        self._watcher, self.view = None, None
        self._timer.stop()
        if found is not None:
            self._watcher = _Watcher(found, Post(self, self._take, latest=True))
            self.view = SessionView(found, heard_at=time.monotonic())
            self._watcher.start()
            self._timer.start()

    def look(self) -> None:
        """Ask at once, as after a command that was just sent."""
        if self._watcher is not None:
            self._watcher.woken.set()

    def close(self) -> None:
        """Watch nothing any more."""
        watcher = self._watcher
        self.follow(None)
        if watcher is not None:
            watcher.join(1.0)

    def _take(self, view: SessionView) -> None:
        if self._watcher is not None and view.found == self._watcher.found:
            self.view = view
            self.changed.emit(view)

    def _see_whether_it_answers(self) -> None:
        view = self.view
        if view is None or view.lost:
            return
        silent = time.monotonic() - view.heard_at
        if silent > UNKNOWN_S:
            since = time.strftime("%H:%M:%S", time.localtime(time.time() - silent))
            self.view = replace(view, lost=f"{view.found.device}: its session has not answered since {since}.")
            self.changed.emit(self.view)


class _Watcher(threading.Thread):
    """Asks one session until it is stopped; attaches anew where the connection ends and the session is there still."""

    def __init__(self, found: FoundSession, send: Post) -> None:
        super().__init__(name=f"watches {found.device}", daemon=True)
        self.found, self._send = found, send
        self.woken = threading.Event()
        self._over = False
        self._next_event = 0
        self._view = SessionView(found, heard_at=time.monotonic())
        self._wrong = ""  # the last mistake of ours that was told

    def stop(self) -> None:
        """Ask it to end."""
        self._over = True
        self.woken.set()

    def run(self) -> None:
        """Watch until it is stopped."""
        while not self._over:
            try:
                with attach(self.found, name="window", control=False, watches=True) as client:
                    self._view = replace(self._view, info=client.info, abilities=client.abilities)
                    while not self._over:
                        self._ask(client)
                        self.woken.wait(EVERY_S)
                        self.woken.clear()
            except (ProtocolError, BackendError, OSError) as exc:
                self._lose(str(exc))
            except Exception as exc:
                if repr(exc) != self._wrong:  # once, and not at every look
                    self._wrong = repr(exc)
                    log.error("the session of %s cannot be watched: %s", self.found.device, exc, exc_info=exc)
                self._lose(f"{self.found.device}: its session cannot be understood: {exc}.")
            self.woken.wait(0.3)
            self.woken.clear()

    def _ask(self, client: SessionClient) -> None:
        seen = client.watch(self._next_event)
        status, events, self._next_event = seen.status, seen.events, seen.next_event
        view = self._view
        alarms = view.alarms
        if events or status.alarms != len(view.open_alarms):
            alarms = tuple(client.alarms())
        safety = client.safety() if status.state is SessionState.SAFE else None
        self._view = replace(
            view, status=status, seen=seen, alarms=alarms, info=client.info,
            events=(*view.events, *events)[-EVENTS:], safety=safety, heard_at=time.monotonic(), lost="",
            verdict=None, ended=False,
        )  # fmt: skip
        self._send(self._view)

    def _lose(self, why: str) -> None:
        """Say that nothing is known of it now, and what was done about its device if somebody has told."""
        if self._over:
            return
        gone = last_commands(self.found.address) is None and self.found not in find_sessions()
        verdict = guardian_verdict(Path(self.found.folder))  # after that: a guardian that has seen to it may have just ended
        told = _left(self.found) if verdict is None else verdict.sentence()
        said = f"{told} ({why.rstrip('.')})" if told else why
        self._view = replace(self._view, lost=said, verdict=verdict, ended=gone and not told)
        self._send(self._view)


def _left(found: FoundSession) -> str:
    """Say what is known of a device whose session is gone and whose guardian has said nothing; empty where nothing is."""
    done = next((one.sentence() for one in seen_to() if one.address == found.address), "")
    left = None if done else last_commands(found.address)
    return done if left is None else replace(left, hung=found in find_sessions()).sentence()


class SessionList(QObject):
    """Looks which sessions of this user there are. `changed` brings those that run and those that were lost."""

    changed = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.running: tuple[FoundSession, ...] = ()
        self.lost: tuple[LostSession, ...] = ()
        self._over = threading.Event()
        self._doubted: list[str] = []  # address of a session that does not answer whoever watches it; its thread reads it
        self._thread = threading.Thread(
            target=_look_for_sessions, args=(self._over, self._doubted, Post(self, self._take)), name="looks for sessions",
            daemon=True,
        )  # fmt: skip

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def doubt(self, found: FoundSession | None) -> None:
        """Have a session asked whether it answers, now and again: whoever watches it hears nothing. None: none."""
        self._doubted[:] = [] if found is None else [found.address]

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _take(self, there: tuple[tuple[FoundSession, ...], tuple[LostSession, ...]]) -> None:
        self.running, self.lost = there
        self.changed.emit(*there)


def _look_for_sessions(over: threading.Event, doubted: list[str], send: Post) -> None:
    told: tuple[tuple[FoundSession, ...], tuple[tuple[str, int, str], ...]] | None = None
    hung: tuple[LostSession, ...] = ()
    asked, asked_for = -math.inf, {""}
    while not over.is_set():
        try:
            running, silent = tuple(find_sessions()), {*doubted, *(one.address for one in hung)}
            if told is None or running != told[0]:  # those that do not answer: each is attached to, which it notes down
                hung, asked = tuple(hung_sessions(running)), time.monotonic()
            elif silent - asked_for or (silent and time.monotonic() - asked >= HUNG_S):  # it may have been late only
                hung = tuple(hung_sessions([one for one in running if one.address in silent]))
                asked = time.monotonic()
            asked_for = {*silent, *(one.address for one in hung)}
            lost = (*hung, *dead_sessions())  # files alone: what was done about a device shows at once
        except (ProtocolError, OSError) as exc:
            log.warning("which sessions there are cannot be told: %s", exc)
        else:
            now = running, tuple((one.address, one.pid, one.sentence()) for one in lost)  # their knobs are arrays: never equal
            if now != told:
                told = now
                send((running, lost))
        over.wait(LISTED_S)
