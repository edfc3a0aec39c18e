"""A session served over a local socket: many clients, one of which holds the control token; one thread that owns the device.

Every client has a thread that listens. What it asks goes to the owner thread, which alone calls the device; urgent
commands (freeze, make safe) go first and end a running loop at its next tick. While nothing is asked, the owner goes on holding
and reading if the device runs on the wall clock; in virtual time nothing moves between commands.

The client with the token must be heard. If its connection ends without a word, or if it is silent for longer than 0.15 s while
the nudge is on (2 s otherwise; on the wall clock only), the nudge is dropped at once and the device frozen.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from multiprocessing.connection import Listener
from queue import Empty, SimpleQueue
from typing import Any

from aeqlab.backends.device import Clock, Device, SafetyReport
from aeqlab.backends.errors import BackendError, WireError
from aeqlab.protocols.commands import COMMANDS, Command, checked
from aeqlab.protocols.errors import AbortRequested, FrozenError, NotAllowedError, ProtocolError, SessionError
from aeqlab.protocols.forms import to_tree
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.limits import SessionLimits, limited
from aeqlab.protocols.lost import LastCommands
from aeqlab.protocols.peer import Peer
from aeqlab.protocols.session import Session
from aeqlab.protocols.session_record import SessionRecord
from aeqlab.protocols.status import STANDING, SessionEvent, SessionState, SessionStatus

log = logging.getLogger(__name__)

#: How long the controlling client may be silent while the nudge is on, and otherwise, in seconds.
SILENCE_NUDGED_S, SILENCE_S = 0.15, 2.0
#: How often the owner ticks while nothing is asked, and how soon after the last command it begins, in seconds.
IDLE_S = 0.02
#: A client that has not greeted within this time is dropped; and at most so many are connected.
GREETING_S, MOST_CLIENTS = 5.0, 64
ENDS = ("freeze", "safe", "hold")


class _Commanded(Exception):
    """Leaves the idle loop: someone asked for something."""


class SessionServer:
    """Serves one device until it is told to end.

    Args:
        device: the device, open.
        key: the secret that clients of this user prove to know.
        record: where readings and events are kept; None: nowhere.
        last: where the last commands are kept for whoever comes after a death; None: nowhere.
        limits: session limits, inside the device's own.
        with_client: end when the last client that knows the key has left.
        then: how the device is left at the end: freeze, safe or hold (as it is).
    """

    def __init__(
        self,
        device: Device,
        *,
        key: bytes,
        homeostasis: HomeostasisSettings | None = None,
        settling: SettlingSettings | None = None,
        record: SessionRecord | None = None,
        last: LastCommands | None = None,
        limits: SessionLimits | None = None,
        with_client: bool = False,
        then: str = "freeze",
        port: int = 0,
    ) -> None:
        self.key = key
        self.device = limited(device, limits)
        self.session = Session(self.device, homeostasis=homeostasis, settling=settling, who="session")
        self.session.point_interrupt = self._point
        self.with_client = with_client
        self.then = then
        self.alive = time.monotonic()  # when the owner thread last showed that it is not hung
        self.patience_s = 0.0  # how much longer than usual it may be busy now
        self.why_ended = ""
        self._record, self._last = record, last
        self._wall = self.session.info.clock is Clock.WALL
        self._jobs: SimpleQueue[tuple[Peer, int, str, list[Any]] | None] = SimpleQueue()
        self._urgent: deque[tuple[Peer | None, int, str, list[Any]]] = deque()
        self._peers: list[Peer] = []
        self._peers_lock = threading.Lock()
        self._control: Peer | None = None
        self._current: tuple[Peer | None, int] = (None, 0)  # who asked what the owner does now
        self._abort: tuple[Peer | None, int, str] | None = None
        self._noted = 0.0
        self._silent = False  # the present silence was acted upon
        self._ending = threading.Event()
        self._events: deque[tuple[int, SessionEvent]] = deque(maxlen=2000)
        self._next_event = 0
        self._listener = Listener(("127.0.0.1", port), family="AF_INET", backlog=16)
        self.port: int = self._listener.address[1]

    # life
    def serve(self) -> None:
        """Serve until the end: the thread that calls this owns the device. Leaves it as declared and lets it go."""
        threads = [
            threading.Thread(target=self._accept, name="accept", daemon=True),
            threading.Thread(target=self._watch, name="watch", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._ending.is_set():
                self.alive = time.monotonic()
                self._run_urgent()
                try:
                    job = self._jobs.get(timeout=IDLE_S if self._wall else 0.2)
                except Empty:
                    self._idle()
                    continue
                if job is not None:
                    self._do(*job)
        finally:
            self._end()

    def request_end(self, reason: str) -> None:
        """Ask for the end, from any thread or a signal handler: a running loop leaves at its next tick."""
        self._put_urgent(None, "end", [reason, None])

    def say(self, kind: str, text: str, who: str = "session") -> None:
        """Note an event, from any thread."""
        self.session.events.append(SessionEvent(time.time(), kind, text, who))
        self._jobs.put(None)

    def stand_unknown(self, reason: str) -> None:
        """Begin in UNKNOWN, because the last owner died: nothing moves before someone makes safe or continues."""
        self.session.stand_unknown(reason)

    # what the clients' threads call
    def asked(self, peer: Peer, message: dict[str, Any]) -> None:
        """Take one message of a client: answer it at once, or hand it to the owner."""
        number, name = message.get("n"), message.get("c")
        if not isinstance(number, int) or not isinstance(name, str):
            raise WireError("a request has a number n and a command c")
        command = COMMANDS.get(name)
        try:
            if command is None:
                raise WireError(f"there is no command {name[:40]!r}. `docs/commands.md` lists them.")
            self._may(peer, command, name)
            values = checked(name, command, message.get("a", []))
            if command.direct:
                self._answer(peer, number, command.run(self, peer, *values))
                return
        except (BackendError, ProtocolError) as exc:
            self._refuse(peer, number, exc)
            return
        if command.urgent:
            self._urgent.append((peer, number, name, values))
            self._jobs.put(None)
        else:
            peer.number = number
            self._jobs.put((peer, number, name, values))

    def joined(self, peer: Peer) -> dict[str, Any]:
        """Welcome a client; the first that wants the control token and finds it free gets it."""
        with self._peers_lock:
            if len(self._peers) > MOST_CLIENTS:
                raise WireError(f"{MOST_CLIENTS} clients are connected; no more are taken")
            if peer.wants_control and self._control is None:
                self._control, self._silent = peer, False
            control = self._control
        peer.seen = self._next_event
        if peer.keyed:
            self.say("client", f"{peer.name} connected" + (" and controls" if control is peer else ""), peer.name)
        welcome: dict[str, Any] = {"welcome": peer.name, "control": control is peer, "by": control.name if control else ""}
        if peer.keyed:
            welcome["device"] = self.describe(peer)
        return welcome

    def left(self, peer: Peer, why: str) -> None:
        """Note that a connection ended; if it was the controlling client's and it did not say goodbye, freeze."""
        with self._peers_lock:
            if peer in self._peers:
                self._peers.remove(peer)
            controlled = self._control is peer
            if controlled:
                self._control = None
            last = self.with_client and peer.keyed and not any(p.keyed for p in self._peers)
        if controlled and not peer.gone:
            self._put_urgent(None, "freeze", [f"its client {peer.name} is gone without a word" + (f" ({why})" if why else "")])
        elif peer.greeted and peer.keyed:
            self.say("client", f"{peer.name} left", peer.name)
        if last and not self._ending.is_set():
            self._put_urgent(None, "end", ["its client left, and it was to live only as long", None])

    # commands that concern more than the device
    def status(self, peer: Peer | None = None) -> SessionStatus:
        """Get where the session stands; never waits."""
        with self._peers_lock:
            names = tuple(p.name for p in self._peers if p.greeted)
            control = self._control.name if self._control else ""
        return self.session.status(control=control, clients=names)

    def describe(self, peer: Peer) -> dict[str, Any]:
        """Get the device's description and abilities."""
        return {"info": to_tree(self.session.info), "abilities": sorted(self.session.abilities)}

    def last(self, peer: Peer) -> dict[str, Any]:
        """Get the last readout and setpoints, without time passing."""
        return {"readout": self.session.last_readout, "setpoints": self.device.setpoints}

    def log(self, peer: Peer, since: float | None) -> dict[str, Any]:
        """Get the events from a number on."""
        kept = list(self._events)
        return {"events": [event for number, event in kept if number >= (since or 0)], "next": self._next_event}

    def configure(
        self,
        peer: Peer,
        homeostasis: dict[str, Any] | None,
        settling: dict[str, Any] | None,
        traces: bool | None,
        then: str | None,
    ) -> None:
        """Change settings of the loops, whether traces are kept, and how the device is left at the end."""
        from pydantic import ValidationError

        if then is not None and then not in ENDS:
            raise NotAllowedError(f"then: one of {', '.join(ENDS)} is possible, not {then[:40]!r}")
        try:
            held = HomeostasisSettings.model_validate(homeostasis) if homeostasis is not None else None
            settled = SettlingSettings.model_validate(settling) if settling is not None else None
        except ValidationError as exc:
            first = exc.errors()[0]
            raise NotAllowedError(f"settings: {'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
        self.session.configure(homeostasis=held, settling=settled)
        if traces is not None:
            self.session.traces = traces
        self.then = then or self.then

    def freeze(self, peer: Peer | None, reason: str) -> None:
        """Freeze the device."""
        self.session.freeze(reason)

    def make_safe(self, peer: Peer | None, reason: str) -> SafetyReport:
        """Make the device safe. A ramp takes its time, and nobody may take it for a hang."""
        knobs = self.session.info.controls
        self.patience_s = 30.0 + float((abs(self.session.controls() - knobs.rest) / knobs.slew_per_s).max(initial=0.0)) * 2.0
        try:
            return self.session.make_safe(reason)
        finally:
            self.alive = time.monotonic()
            self.patience_s = 0.0

    def abort(self, peer: Peer, reason: str) -> None:
        """End the controlling client's running command at its next tick; one that ended already is left alone."""
        target = self._control
        if target is not None:
            self._abort = (target, target.number, f"{peer.name}: {reason}")

    def take_control(self, peer: Peer) -> str:
        """Give the token to a client; whoever held it is told so, and a nudge that is on is taken away."""
        with self._peers_lock:
            before, self._control, self._silent = self._control, peer, False
        if before is peer:
            return peer.name
        if before is not None:
            if self.session.status().beta:
                self.session.freeze(f"{peer.name} took control from {before.name} while the nudge was on")
            self.say("control", f"{peer.name} took control from {before.name}", peer.name)
        return before.name if before is not None else ""

    def give_control(self, peer: Peer) -> None:
        """Give the token back; a nudge that is on is taken away."""
        if self.session.status().beta:
            self.session.freeze(f"{peer.name} gave control back while the nudge was on")
        with self._peers_lock:
            if self._control is peer:
                self._control = None
        self.say("control", f"{peer.name} gave control back", peer.name)

    def bye(self, peer: Peer) -> None:
        """Let a client go that says goodbye."""
        if self._control is peer:
            if self.session.status().beta:
                self.session.freeze(f"{peer.name} left while the nudge was on")
            with self._peers_lock:
                self._control = None
        peer.gone = True

    def end(self, peer: Peer | None, reason: str, then: str | None = None) -> SafetyReport | None:
        """End the session after bringing the device to its declared end."""
        if then is not None and then not in ENDS:
            raise NotAllowedError(f"then: one of {', '.join(ENDS)} is possible, not {then[:40]!r}")
        self.then = then or self.then
        self.why_ended = reason
        self._ending.set()
        return self._leave_device()

    # the owner thread
    def _do(self, peer: Peer | None, number: int, name: str, values: list[Any]) -> None:
        command = COMMANDS[name]
        session = self.session
        session.who = peer.name if peer is not None else "session"
        self._current = (peer, number)
        try:
            if peer is not None and command.who == "control":
                self._may(peer, command, name)
            result = command.run(self, peer, *values)
        except (BackendError, ProtocolError, ValueError) as exc:
            self._run_urgent()  # what interrupted it is done before the client hears of it
            self._note()
            if peer is not None:
                self._refuse(peer, number, exc)
            return
        except Exception as exc:
            log.exception("the command %s failed", name)
            with contextlib.suppress(SessionError):
                session.freeze(f"the command {name} failed in the session: {type(exc).__name__}: {exc}")
            self._note()
            if peer is not None:
                self._refuse(peer, number, SessionError(f"{name} failed in the session, which froze the device: {exc}"))
            return
        self._note()
        if peer is not None:
            self._answer(peer, number, result)

    def _run_urgent(self) -> None:
        while self._urgent:
            self._do(*self._urgent.popleft())

    def _point(self) -> None:
        """Called at every tick of every loop of the session: leave for what is urgent, or because it was aborted."""
        self._show_life()
        if self._urgent:
            name, values = self._urgent[0][2:]
            if name == "take_control":
                raise NotAllowedError(f"{self.session.info.name}: the loop was left because control was taken by another client")
            raise FrozenError(f"{self.session.info.name} is frozen: {values[0]}. Continue to go on.")
        if self._abort is not None and self._abort[:2] == self._current:
            raise AbortRequested(self._abort[2])

    def _show_life(self) -> None:
        now = time.monotonic()
        self.alive = now
        if now - self._noted > 0.2:
            self._noted = now
            self._keep(still=False)

    def _idle(self) -> None:
        """Nothing is asked: on the wall clock go on holding if the loop owns the knobs, else read; then write what is thinned."""
        session = self.session
        if self._wall:
            session.who = "session"
            try:
                if not session.keep_holding(self._idle_point):
                    session.read_if_presented()
            except _Commanded:
                pass
            except (BackendError, ProtocolError) as exc:
                if session.status().state is not SessionState.UNKNOWN:
                    with contextlib.suppress(SessionError):
                        session.freeze(f"while nothing was asked: {exc}")
        self._note(still=True)

    def _idle_point(self) -> None:
        self._show_life()
        if self._urgent or not self._jobs.empty():
            raise _Commanded

    def _note(self, still: bool = False) -> None:
        """Write what happened since the last time: events, a reading, the last commands."""
        events = self.session.events
        while events:
            event = events.popleft()
            self._events.append((self._next_event, event))
            self._next_event += 1
            log.info("%s: %s", event.kind, event.text)
            if self._record is not None:
                self._record.event(event)
        self._keep(still)

    def _keep(self, still: bool) -> None:
        if self._record is not None:
            self._record.reading(self.session.last_readout, self.device.setpoints, still)
        if self._last is not None:
            state, beta = self.session.standing
            try:
                self._last.note(state, beta, self.device.setpoints)
            except OSError as exc:
                log.warning("the last commands could not be written: %s", exc)

    def _leave_device(self) -> SafetyReport | None:
        session, report = self.session, None
        try:
            if self.then == "safe":
                report = self.make_safe(None, self.why_ended)
            elif self.then == "freeze" and session.status().state not in STANDING:
                session.freeze(self.why_ended)
            elif self.then == "hold":
                session.release()
        except (SessionError, BackendError) as exc:
            log.warning("the device could not be brought to its end: %s", exc)
        return report

    def _end(self) -> None:
        if not self._ending.is_set():  # the owner thread itself failed
            self.why_ended = "the session failed"
            self._ending.set()
            self._leave_device()
        state = self.session.status().state
        self.say("end", f"the session ends: {self.why_ended}; the device is left {state}")
        self._note()
        if self._last is not None and state is not SessionState.UNKNOWN:
            with contextlib.suppress(OSError):
                self._last.end(str(state), self.device.setpoints)
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()  # wakes the thread that accepts
        self._listener.close()
        with self._peers_lock:
            peers = list(self._peers)
        for peer in peers:
            peer.drop()
        for peer in peers:
            peer.thread.join(2.0)
        self.session.close()

    # inside
    def _may(self, peer: Peer, command: Command, name: str) -> None:
        if command.who != "anyone" and not peer.keyed:
            raise NotAllowedError(f"{name}: only clients of the user who started the session may ask for it")
        if command.who == "control" and self._control is not peer:
            control = self._control
            held = f"{control.name} holds it" if control is not None else "nobody holds it"
            raise NotAllowedError(f"{name}: the control token is needed, and {held}. Take control first.")

    def _put_urgent(self, peer: Peer | None, name: str, values: list[Any]) -> None:
        self._urgent.append((peer, 0, name, values))
        self._jobs.put(None)

    def _answer(self, peer: Peer, number: int, result: Any) -> None:
        try:
            answer: dict[str, Any] = {"n": number, "r": to_tree(result)}
        except WireError as exc:
            self._refuse(peer, number, exc)
            return
        if peer.seen != self._next_event:
            answer["ev"] = self._unseen(peer)
        peer.send(answer)

    def _refuse(self, peer: Peer, number: int, exc: Exception) -> None:
        answer: dict[str, Any] = {"n": number, "e": [type(exc).__name__, str(exc)]}
        if peer.seen != self._next_event:
            answer["ev"] = self._unseen(peer)
        peer.send(answer)

    def _unseen(self, peer: Peer) -> list[Any]:
        since, peer.seen = peer.seen, self._next_event
        return [to_tree(event) for number, event in list(self._events) if number >= since]

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                connection = self._listener.accept()
            except OSError:
                if self._ending.is_set():
                    return
                time.sleep(0.05)  # out of file handles: others will be closed
                continue
            if len(self._peers) >= 2 * MOST_CLIENTS:
                connection.close()
                continue
            try:
                peer = Peer(self, connection)
            except OSError:
                connection.close()
                continue
            with self._peers_lock:
                self._peers.append(peer)
            peer.thread.start()

    def _watch(self) -> None:
        """Watch the clients: the controlling one must be heard, and each must greet in time."""
        while not self._ending.is_set():
            nudged = self.session.status().beta != 0.0
            limit = SILENCE_NUDGED_S if nudged else SILENCE_S
            control = self._control
            pause = 0.25
            if self._wall and control is not None:
                before = time.monotonic()
                silent = before - control.heard
                if silent < limit:
                    self._silent = False
                    pause = min(pause, 0.02, limit - silent + 0.001)
                elif not self._silent and self.session.status().state not in STANDING:
                    self._silent = True
                    what = "while the nudge was on" if nudged else "though it controls"
                    self._put_urgent(None, "freeze", [f"its client {control.name} was silent for {silent:.2f} s {what}"])
            with self._peers_lock:
                late = [p for p in self._peers if not p.greeted and time.monotonic() - p.heard > GREETING_S]
            for peer in late:
                peer.drop()
            self._ending.wait(pause if control is not None and self._wall else 0.25)
