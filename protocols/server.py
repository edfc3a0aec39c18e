"""A session served over a local socket: many clients, one of which holds the control token; one thread that owns the device.

Every client has a thread that listens. What it asks goes to the owner thread, which alone calls the device; urgent
commands (freeze, make safe) go first and end a running loop at its next tick. While nothing is asked, the owner goes on holding
and reading if the device runs on the wall clock; in virtual time nothing moves between commands.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from numpy.typing import NDArray

from aeqlab.backends.device import Clock, Device, SafetyReport
from aeqlab.backends.errors import BackendError, DisturbedError, WireError
from aeqlab.protocols.clients import Clients
from aeqlab.protocols.commands import COMMANDS, Command, checked
from aeqlab.protocols.errors import AbortRequested, FrozenError, LateError, NotAllowedError, ProtocolError, SessionError
from aeqlab.protocols.forms import to_tree
from aeqlab.protocols.gains_file import GainsPlace
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.left_standing import Stands
from aeqlab.protocols.limits import SessionLimits, limited
from aeqlab.protocols.lost import LastCommands
from aeqlab.protocols.notify import Notifier
from aeqlab.protocols.peer import Peer
from aeqlab.protocols.session import Session
from aeqlab.protocols.session_record import SessionRecord
from aeqlab.protocols.session_view import SessionView
from aeqlab.protocols.status import STANDING, SessionEvent, SessionState, SessionStatus

Array = NDArray[Any]
T = TypeVar("T")
log = logging.getLogger(__name__)

#: How often the owner ticks while nothing is asked, and how soon after the last command it begins, in seconds.
IDLE_S = 0.02
#: Events that are changes of state, of which people elsewhere may want to know.
TOLD_STATES = frozenset({*map(str, STANDING), "continue"})
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
        stands: where it is kept that the device stands for a person; None: nowhere, as for hardware that ends with the session.
        limits: session limits, inside the device's own.
        notifier: told of alarms, of standing still and of the end; closed with it. None: nobody is.
        gains: where gains are kept; None: nowhere.
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
        stands: Stands | None = None,
        limits: SessionLimits | None = None,
        notifier: Notifier | None = None,
        gains: GainsPlace | None = None,
        with_client: bool = False,
        then: str = "freeze",
        port: int = 0,
    ) -> None:
        self.key = key
        self.device = limited(device, limits)
        self.session = Session(self.device, homeostasis=homeostasis, settling=settling, who="session", gains=gains)
        self.session.point_interrupt = self._point
        self.session.safely = lambda why, by: self.make_safe(None, why, by)
        self.then = then
        self.alive = time.monotonic()  # when the owner thread last showed that it is not hung
        self.patience_s = 0.0  # how much longer than usual it may be busy now
        self.why_ended = ""
        self._notifier = notifier
        self._record, self._last, self._stands = record, last, stands
        self._wall = self.session.info.clock is Clock.WALL
        self._drops = "DropsNudge" in self.session.abilities
        self._jobs: SimpleQueue[tuple[Peer, int, str, list[Any]] | None] = SimpleQueue()
        self._urgent: deque[tuple[Peer | None, int, str, list[Any]]] = deque()
        self._current: tuple[Peer | None, int] = (None, 0)  # who asked what the owner does now
        self._abort: tuple[Peer | None, int, str] | None = None
        self._noted = 0.0
        self._inherited = False  # whether it began in UNKNOWN, and nobody decided yet what is to be done
        self._unsafe = False  # made safe, and not every line of it was confirmed
        self._ending = threading.Event()
        self._events: deque[tuple[int, SessionEvent]] = deque(maxlen=2000)
        self._next_event = 0
        self.clients = Clients(self, with_client=with_client, port=port)
        self.port = self.clients.port

    # life
    def serve(self) -> None:
        """Serve until the end: the thread that calls this owns the device. Leaves it as declared and lets it go."""
        self.clients.start()
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
        self._put_urgent("end", [reason, None])

    def freeze_soon(self, reason: str, late: bool) -> None:
        """Freeze at the next tick, from any thread; `late`: because the controlling client was not heard in time."""
        self._drop_nudge()
        self._put_urgent("freeze", [reason, None, late])

    def _drop_nudge(self) -> None:
        """Let the nudge go off before the tick ends that the owner waits for, where the device can do that."""
        if self._drops:
            self.device.drop_nudge()  # type: ignore[attr-defined]

    def say(self, kind: str, text: str, who: str = "session") -> None:
        """Note an event, from any thread."""
        self.session.events.append(SessionEvent(time.time(), kind, text, who))
        self._jobs.put(None)

    def stand_unknown(self, reason: str, setpoints: Array | None) -> None:
        """Begin in UNKNOWN, because the last owner died: nothing moves before someone makes safe or continues."""
        self.device.setpoints = setpoints
        self._inherited = True
        self.session.stand_unknown(reason)

    @property
    def standing(self) -> tuple[SessionState, float]:
        """Get the state and the nudge, quickly."""
        return self.session.standing

    @property
    def next_event(self) -> int:
        """Get the number of the next event."""
        return self._next_event

    @property
    def on_wall_clock(self) -> bool:
        """Whether the device runs on the wall clock."""
        return self._wall

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
            if command.direct or (name == "bye" and self.clients.control is not peer):  # whoever only watched need not wait to go
                self._answer(peer, number, command.run(self, peer, *values))
                return
        except (BackendError, ProtocolError) as exc:
            self._refuse(peer, number, exc)
            return
        if command.urgent:
            if name in ("freeze", "make_safe"):
                self._drop_nudge()
            self._urgent.append((peer, number, name, values))
            self._jobs.put(None)
        elif not (command.quick and self._quickly(peer, number, name, values)):
            peer.number = number
            self._jobs.put((peer, number, name, values))

    def _quickly(self, peer: Peer, number: int, name: str, values: list[Any]) -> bool:
        """Do what only stages in the client's own thread, if the device is free and nothing urgent waits."""
        command = COMMANDS[name]
        session = self.session
        if self._urgent or not session.lock.acquire(blocking=False):
            return False
        try:
            self._may(peer, command, name)  # control may have been taken since it was asked
            session.who = peer.name
            result = command.run(self, peer, *values)
        except (BackendError, ProtocolError) as exc:
            self._refuse(peer, number, exc)
        else:
            self._answer(peer, number, result)
        finally:
            session.lock.release()
        return True

    # commands that concern more than the device
    def status(self, peer: Peer | None = None) -> SessionStatus:
        """Get where the session stands; never waits."""
        control = self.clients.control
        return self.session.status(control=control.name if control else "", clients=self.clients.names())

    def describe(self, peer: Peer) -> dict[str, Any]:
        """Get the device's description and abilities."""
        return {"info": to_tree(self.session.info), "abilities": sorted(self.session.abilities)}

    def last(self, peer: Peer) -> dict[str, Any]:
        """Get the last readout and setpoints, without time passing."""
        return {"readout": self.session.last_readout, "setpoints": self.device.setpoints}

    def safety(self, peer: Peer) -> SafetyReport | None:
        """Get the report of the last make safe as long as the device stands for it."""
        return self.session.safety

    def alarms(self, peer: Peer) -> list[Any]:
        """Get every alarm that is kept."""
        return [to_tree(alarm) for alarm in self.session.alarms.all()]

    def watch(self, peer: Peer, since_event: float | None) -> SessionView:
        """Get everything that a window shows, with the events from a number on; never waits for the device."""
        since, events = int(since_event or 0), []
        upto = self._next_event
        if since < upto:
            for number, event in reversed(list(self._events)):
                if number < since:
                    break
                events.append(event)
        return self.session.viewer.view(self.status(peer), tuple(reversed(events)), upto)

    def try_gains(self, peer: Peer, change: dict[str, Any], by: str | None, seconds: float | None) -> Any:
        """Try other gains."""
        return self._told(self.session.try_gains(change, by or peer.name, seconds))

    def keep_gains(self, peer: Peer, by: str | None) -> str:
        """Keep the gains on trial."""
        return self._told(self.session.keep_gains(by or peer.name))

    def revert_gains(self, peer: Peer, by: str | None) -> None:
        """Go back to the gains before the trial."""
        self.session.revert_gains(by or peer.name)
        self._jobs.put(None)

    def console(self, peer: Peer, instrument: str, text: str) -> str:
        """Ask an instrument a question."""
        return self.session.console(instrument, text, peer.name, self.clients.control is peer)

    def _told(self, result: T) -> T:
        """Wake the owner, who tells everyone of events; for what is done in the thread of a client."""
        self._jobs.put(None)
        return result

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

    def freeze(self, peer: Peer | None, reason: str, by: str | None = None, late: bool = False) -> None:
        """Freeze the device."""
        self.session.freeze(reason, late, by or "")

    def make_safe(self, peer: Peer | None, reason: str, by: str | None = None) -> SafetyReport:
        """Make the device safe. A ramp takes its time, and nobody may take it for a hang."""
        knobs, speed = self.session.info.controls, self.session.info.speed
        ramp_s = float((abs(self.session.controls() - knobs.rest) / knobs.slew_per_s).max(initial=0.0)) / speed
        self.patience_s = 30.0 + 2.0 * ramp_s
        try:
            report = self.session.make_safe(reason, by or "")
            self._unsafe = not report.safe
            return report
        finally:
            self.alive = time.monotonic()
            self.patience_s = 0.0

    def abort(self, peer: Peer, reason: str) -> None:
        """End the controlling client's running command at its next tick; one that ended already is left alone."""
        target = self.clients.control
        if target is not None:
            self._abort = (target, target.number, f"{peer.name}: {reason}")

    def take_control(self, peer: Peer) -> str:
        """Give the token to a client; whoever held it is told so, and a nudge that is on is taken away."""
        with self.session.lock:  # nothing is staged between the two: what comes later is refused, what came before is dropped
            before = self.clients.take(peer)
            if before is None or before is peer:
                return peer.name if before is peer else ""
            if self.session.standing[1]:
                self.session.freeze(f"{peer.name} took control from {before.name} while the nudge was on")
        self.say("control", f"{peer.name} took control from {before.name}", peer.name)
        return before.name

    def give_control(self, peer: Peer) -> None:
        """Give the token back; a nudge that is on is taken away."""
        with self.session.lock:
            if self.session.standing[1]:
                self.session.freeze(f"{peer.name} gave control back while the nudge was on")
            self.clients.give(peer)
        self.say("control", f"{peer.name} gave control back", peer.name)

    def bye(self, peer: Peer) -> None:
        """Let a client go that says goodbye."""
        if self.clients.control is peer:
            with self.session.lock:
                if self.session.standing[1]:
                    self.session.freeze(f"{peer.name} left while the nudge was on")
                self.clients.give(peer)
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
            kind = LateError if values[2:] == [True] else FrozenError
            raise kind(f"{self.session.info.name} is frozen: {values[0]}. Continue to go on.")
        if self._abort is not None and self._abort[:2] == self._current:
            raise AbortRequested(self._abort[2])

    def _show_life(self) -> None:
        now = time.monotonic()
        self.alive = now
        if now - self._noted > 0.2:
            self._noted = now
            self._note()

    def _idle(self) -> None:
        """Nothing is asked: on the wall clock go on holding if the loop owns the knobs, else read; then write what is thinned."""
        session = self.session
        session.trials.look_at_time()
        if self._wall:
            session.who = "session"
            try:
                if not session.keep_holding(self._idle_point):
                    session.read_if_presented()
            except _Commanded:
                pass
            except DisturbedError as exc:  # it was mended, and no sample was under way that it could spoil
                session.alarm("disturbed", str(exc))
                session.clear_alarm("disturbed")
            except (BackendError, ProtocolError) as exc:
                stopped = isinstance(exc, FrozenError) and session.standing[0] in STANDING  # by an interlock, carried out
                if not stopped and session.standing[0] is not SessionState.UNKNOWN:
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
            if self._notifier is not None and event.kind == "alarm":
                self._notifier.tell("alarm", event.text)
            elif self._notifier is not None and event.kind in TOLD_STATES:
                self._notifier.tell("state", f"{event.kind}: {event.text}")
            if self._record is not None:
                self._record.event(event)
        self._keep(still)

    def _keep(self, still: bool) -> None:
        if self._record is not None:
            self._record.reading(self.session.last_readout, self.device.setpoints, still)
        state, beta = self.session.standing
        if self._stands is not None and state is not SessionState.UNKNOWN:  # which says nothing of what a person asked before
            self._stands.note(self.session.stands_for)
        self._unsafe = self._unsafe and state in STANDING
        self._inherited = self._inherited and state is SessionState.UNKNOWN
        if self._last is not None:
            if state is SessionState.UNKNOWN and not self._unsafe:  # what was commanded before is what the next one must know
                return
            try:
                self._last.note(state, beta, self.device.setpoints)
            except OSError as exc:
                log.warning("the last commands could not be written: %s", exc)

    def _leave_device(self) -> SafetyReport | None:
        session, report = self.session, None
        if self._inherited and session.status().state is SessionState.UNKNOWN:
            return None  # nobody made it safe or took it as it is: the next one is asked the same, and nothing moves till then
        try:
            if self.then == "safe":
                report = self.make_safe(None, self.why_ended)
            elif self.then == "freeze" and session.status().state not in STANDING:
                session.freeze(self.why_ended)
            elif self.then == "hold" and session.status().state is not SessionState.UNKNOWN:
                self._leave_holding()
        except (SessionError, BackendError) as exc:
            log.warning("the device could not be brought to its end: %s", exc)
        return report

    def _leave_holding(self) -> None:
        """Take the nudge away and let the knobs stand where they are; what is only staged is applied by the reading."""
        try:
            self.session.release()
            self.session.read_if_presented()
        except (SessionError, BackendError) as exc:
            self.session.freeze(f"{self.why_ended}; the nudge could not be released: {exc}")

    def _end(self) -> None:
        if not self._ending.is_set():  # the owner thread itself failed
            self.why_ended = "the session failed"
            self._ending.set()
            self._leave_device()
        state = self.session.status().state
        unsure = state is SessionState.UNKNOWN or (state is SessionState.SAFE and self._unsafe)
        said = f"{state}, not confirmed" if unsure and state is SessionState.SAFE else str(state)
        self.say("end", f"the session ends: {self.why_ended}; the device is left {said}")
        self._note()
        if self._notifier is not None:
            self._notifier.tell("end", f"the session ended: {self.why_ended}; the device is left {said}")
            self._notifier.close()
        if self._last is not None:
            with contextlib.suppress(OSError):
                if not unsure:
                    self._last.end()
                elif self._unsafe:
                    self._last.note(state, 0.0, self.device.setpoints, at_once=True)
        self.clients.stop()
        self.session.close()

    # inside
    def _may(self, peer: Peer, command: Command, name: str) -> None:
        if command.who != "anyone" and not peer.keyed:
            raise NotAllowedError(f"{name}: only clients of the user who started the session may ask for it")
        if command.who == "control":
            self.clients.check_control(peer, name)

    def _put_urgent(self, name: str, values: list[Any]) -> None:
        self._urgent.append((None, 0, name, values))
        self._jobs.put(None)

    def _answer(self, peer: Peer, number: int, result: Any) -> None:
        try:
            tree = to_tree(result)
            if peer.seen == self._next_event:
                peer.answer(number, tree)
            else:
                peer.send({"n": number, "r": tree, "ev": self._unseen(peer)})
        except WireError as exc:
            self._refuse(peer, number, exc)

    def _refuse(self, peer: Peer, number: int, exc: Exception) -> None:
        answer: dict[str, Any] = {"n": number, "e": [type(exc).__name__, str(exc)]}
        if peer.seen != self._next_event:
            answer["ev"] = self._unseen(peer)
        peer.send(answer)

    def _unseen(self, peer: Peer) -> list[Any]:
        since, peer.seen = peer.seen, self._next_event
        return [to_tree(event) for number, event in list(self._events) if number >= since]
