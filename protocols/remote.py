"""A device at a distance: `SessionClient` offers what `Session` offers, over the local socket of the session that owns it.

One call is one exchange. A small thread lets the session hear that this process lives: every 30 ms while the nudge is on. If
the session ever froze because this client was late, the next moving call raises `FrozenError`; call `continue_`, and do the
sample again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends import errors as backend_errors
from aeqlab.backends.device import Clock, DeviceInfo, Readout, SafetyReport
from aeqlab.backends.errors import BackendError, WireError
from aeqlab.backends.wire import parts
from aeqlab.protocols import errors as protocol_errors
from aeqlab.protocols.alarms import Alarm
from aeqlab.protocols.channel import Channel
from aeqlab.protocols.errors import NotAllowedError, ProtocolError, SessionError, SessionLostError
from aeqlab.protocols.forms import from_tree, to_tree
from aeqlab.protocols.gains import Gains, Trial
from aeqlab.protocols.greeting import LARGE, PROGRAM, PROTOCOL, mapping_in, proof, receive_soon, same
from aeqlab.protocols.hand_moves import Jump, Moved, Row
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.notify import NotifyEntry
from aeqlab.protocols.reports import HoldReport, SettleReport
from aeqlab.protocols.session_view import SessionView
from aeqlab.protocols.shorthand import Reader, Writer
from aeqlab.protocols.status import SessionEvent, SessionStatus

Array = NDArray[Any]

#: How often the session hears of this client while the nudge is on, and otherwise, in seconds.
BEAT_NUDGED_S, BEAT_S = 0.03, 0.5
#: While an answer is awaited: how often `point_interrupt` is called, and after how long a silence the session counts as lost.
LOOK_S, LOST_S = 0.03, 15.0
_ERRORS: dict[str, type[Exception]] = {
    name: value
    for module in (backend_errors, protocol_errors)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, (BackendError, ProtocolError))
}
_ERRORS["ValueError"] = ValueError


class SessionClient:
    """An `Operator` at a distance.

    Args:
        port, key: where the session listens and the secret that proves who we are (None: only freeze and make safe).
        name: what we are called in the session's events, such as the run's folder.
        control: ask for the control token; without it this client only watches. It is given if nobody holds it.
        watches: a session that lives as long as its clients does not live on for this one.
    Raises:
        SessionLostError: nobody answers there.
        NotAllowedError: the session refuses; the message says why.
    """

    def __init__(
        self,
        port: int,
        key: bytes | None,
        *,
        name: str = "a client",
        control: bool = True,
        host: str = "127.0.0.1",
        watches: bool = False,
    ) -> None:
        self.point_interrupt: Callable[[], None] | None = None  #: called while a loop runs; raises to leave it
        self.events: deque[SessionEvent] = deque(maxlen=10_000)  #: what happened in the session, oldest first
        self.folder: Path | None = None  #: the session's folder, where known
        self.outlives = False  #: whether the session goes on without us, and so goes on holding what it holds
        self.tells: tuple[NotifyEntry, ...] = ()  #: whom the session itself tells of its alarms
        self.ends_session = False  #: whether `close` ends such a session all the same
        self.on_close: Callable[[SessionClient], None] | None = None  #: called once after `close`
        self.who = f"{name} (process {os.getpid()})"
        self._port = port
        self._number = 0
        self._closed = False
        self._lost = ""
        self._beta = 0.0
        self._traces = False
        self._writer, self._reader = Writer(), Reader()
        self._calling = threading.Lock()  # one exchange at a time
        try:
            self._channel = Channel(Client((host, port), family="AF_INET"), LOOK_S)
        except OSError as exc:
            raise SessionLostError(f"no session answers at {host}:{port}: {exc}.") from exc
        try:
            welcome = self._greet(key, control, watches)
        except BaseException as exc:
            self._channel.close()
            if isinstance(exc, (OSError, EOFError, WireError)):
                raise SessionLostError(f"no session answers at {host}:{port}: {exc}.") from exc
            raise
        self.controls_device = bool(welcome["control"])  #: whether the control token was free and is ours
        self.control_by = str(welcome["by"])  #: who holds it
        described = welcome.get("device")
        self._info: DeviceInfo | None = from_tree(described["info"]) if described else None
        self._abilities: frozenset[str] = frozenset(described["abilities"]) if described else frozenset()
        self._faster = threading.Event()
        if self._info is not None and self._info.clock is Clock.WALL and control:
            threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    # describe
    @property
    def info(self) -> DeviceInfo:
        """Get what the device says of itself."""
        if self._info is None:
            raise NotAllowedError("only clients of the user who started the session may see the device.")
        return self._info

    @property
    def abilities(self) -> frozenset[str]:
        """Get the names of the device's capability interfaces."""
        return self._abilities

    def status(self) -> SessionStatus:
        """Get where the session stands, also while a loop of another client runs."""
        status: SessionStatus = self._call("status")
        return status

    def last(self) -> tuple[Readout | None, Array | None]:
        """Get the last readout and the control knobs as last commanded, without time passing."""
        last = self._call("last")
        return last["readout"], last["setpoints"]

    def safety(self) -> SafetyReport | None:
        """Get the report of the last make safe, whoever asked for it; None if the device does not stand for it any more."""
        report: SafetyReport | None = self._call("safety")
        return report

    def watch(self, since_event: int = 0) -> SessionView:
        """Get everything that a window shows, and the events from a number on; also while a loop runs, within milliseconds."""
        view: SessionView = self._call("watch", since_event)
        return view

    def log(self, since: int = 0) -> tuple[list[SessionEvent], int]:
        """Get the session's events from a number on, and the number of the next."""
        answer = self._call("log", since)
        return answer["events"], answer["next"]

    def configure(
        self,
        *,
        homeostasis: HomeostasisSettings | None = None,
        settling: SettlingSettings | None = None,
        traces: bool | None = None,
        then: str | None = None,
    ) -> None:
        """Change the settings of the loops, whether traces are kept, how the device is left when the session ends."""
        self._call(
            "configure",
            homeostasis.model_dump(mode="json") if homeostasis is not None else None,
            settling.model_dump(mode="json") if settling is not None else None,
            traces,
            then,
        )

    @property
    def traces(self) -> bool:
        """Get whether this client asked for the courses of the phases to come; see `last_traces`."""
        return self._traces

    @traces.setter
    def traces(self, on: bool) -> None:
        if on != self._traces:
            self.configure(traces=on)
            self._traces = on

    # the four abilities
    def present(self, inputs: Array) -> None:
        """Set the input knobs, shape (samples, inputs). Applied when time next passes."""
        self._call("present", np.asarray(inputs))

    def set_controls(self, u: Array) -> None:
        """Set the control knobs by hand, shape (controls,); takes them over from a loop."""
        self._call("set_controls", np.asarray(u))

    def move_knobs(self, row: Row, knobs: Sequence[int], values: Sequence[float]) -> Moved:
        """Move some control or input knobs by hand, no faster than their slew; as `Session.move_knobs`."""
        moved: Moved = self._call("move_knobs", row, _plain(knobs), _plain(values))
        return moved

    def large_jump(self, row: Row, knobs: Sequence[int], values: Sequence[float]) -> Jump:
        """Tell how large a move would be, and whether a window should ask first; moves nothing."""
        jump: Jump = self._call("large_jump", row, _plain(knobs), _plain(values))
        return jump

    def controls(self) -> Array:
        """Get the control knobs as the device reports them, shape (controls,)."""
        return np.asarray(self._call("controls"))

    def nudge(self, targets: Array, beta: float) -> None:
        """Add beta C(s, y) at the outputs. From here on the session must hear of this process every 0.13 s."""
        self._beta = float(beta)
        if self._beta:
            self._faster.set()
        self._call("nudge", np.asarray(targets), float(beta))

    def release(self) -> None:
        """Take the nudge away. Allowed in every state."""
        self._call("release")
        self._beta = 0.0

    def advance(self, seconds: float | None = None) -> Readout:
        """Let time pass, loops standing still, and read."""
        readout: Readout = self._call("advance", seconds)
        return readout

    def read(self) -> Readout:
        """Read, in every state: the shortest tick passes."""
        readout: Readout = self._call("read")
        return readout

    # the loops
    def hold(self, theta: Array | None = None) -> HoldReport:
        """Run homeostasis in the session until theta, shape (parameters,), stands at its target."""
        report: HoldReport = self._call("hold", None if theta is None else np.asarray(theta))
        return report

    def set_target(self, theta: Array) -> None:
        """Say where theta, shape (parameters,), is to be held from now on; no learning step, and nothing moves before a hold."""
        self._call("set_target", np.asarray(theta))

    def hold_at(self, theta: Array) -> HoldReport:
        """Hold theta, shape (parameters,), elsewhere, at once; no learning step."""
        report: HoldReport = self._call("hold_at", np.asarray(theta))
        return report

    def settle(self) -> SettleReport:
        """Clamp the knobs where they are and let state and parameters come to rest."""
        report: SettleReport = self._call("settle")
        return report

    def parameters(self) -> Array:
        """Read theta, shape (parameters,): the last reading, or from inside a device that holds exactly."""
        return np.asarray(self._call("parameters"))

    # safety
    def freeze(self, reason: str, *, by: str = "") -> None:
        """Nudge off, knobs frozen, loops stopped; reading goes on. Needs no control token. `by`: the person on whose behalf."""
        self._call("freeze", reason, by)
        self._beta = 0.0

    def make_safe(self, reason: str, *, by: str = "") -> SafetyReport:
        """Freeze, ramp to rest, outputs off; graded line by line. Needs no control token. `by`: the person on whose behalf."""
        report: SafetyReport = self._call("make_safe", reason, by)
        self._beta = 0.0
        return report

    def continue_(self, standing: int | None = None) -> None:
        """Allow motion again after a freeze, after SAFE, or from UNKNOWN by taking the device as it is.

        Args:
            standing: number of the standing that is meant, as `status` told it; what came after it is not lifted.
        """
        self._call("continue", standing)

    def abort(self, reason: str = "abort was asked for") -> None:
        """End the controlling client's running loop at its next tick. From another thread, use another client."""
        self._call("abort", reason)

    # ownership
    def take_control(self) -> str:
        """Take the control token, visibly; returns who held it before."""
        before = str(self._call("take_control"))
        self.controls_device, self.control_by = True, self.who
        return before

    def give_control(self) -> None:
        """Give the control token back; the session goes on holding."""
        self._call("give_control")
        self.controls_device, self.control_by = False, ""

    def end_session(self, reason: str, then: str | None = None) -> SafetyReport | None:
        """End the session itself, after bringing the device to its declared end (then: freeze, safe or hold)."""
        report: SafetyReport | None = self._call("end", reason, then)
        return report

    # instruments
    def instruments(self) -> list[dict[str, Any]]:
        """List the instruments of the device; as `Session.instruments`."""
        found: list[dict[str, Any]] = self._call("instruments")
        return found

    def arming_plan(self) -> list[str]:
        """List what arming will change; as `Session.arming_plan`."""
        found: list[str] = self._call("arming_plan")
        return found

    def console(self, instrument: str, text: str) -> str:
        """Ask an instrument a question in its own words; as `Session.console`."""
        return str(self._call("console", instrument, text))

    # gains
    def gains(self) -> Gains:
        """Get the gains in use, knob by knob, and what they leave to instability; also while a loop runs."""
        gains: Gains = self._call("gains")
        return gains

    def try_gains(self, change: dict[str, Any], by: str = "", seconds: float | None = None) -> Trial:
        """Try other gains, as `Session.try_gains`. Needs no control token; it goes back by itself also when we are gone."""
        trial: Trial = self._call("try_gains", change, by or None, seconds)
        return trial

    def keep_gains(self, by: str = "") -> str:
        """Keep the gains on trial in a dated file, which it returns; they are the session's from then on."""
        return str(self._call("keep_gains", by or None))

    def revert_gains(self, by: str = "") -> None:
        """Go back to the gains before the trial."""
        self._call("revert_gains", by or None)

    # abilities by name, and the whole state
    def device_call(self, name: str, *args: Any) -> Any:
        """Call a method of a capability interface by name, such as `scale_coupling`."""
        result = self._call("device_call", name, list(args))
        if name in ("take_identification", "arm"):  # a device describes itself anew then, and at no other time
            self._info = from_tree(self._call("info")["info"])
        return result

    def alarms(self) -> list[Alarm]:
        """Get every alarm that the session keeps, oldest first."""
        found: list[Alarm] = self._call("alarms")
        return found

    def acknowledge(self, by: str, number: int | None = None) -> list[Alarm]:
        """Acknowledge one alarm with what hangs under it, or all; returns those that were not before."""
        done: list[Alarm] = self._call("acknowledge", by, None if number is None else float(number))
        return done

    def state(self) -> dict[str, Any]:
        """Get everything that decides the future, device and loop, as a tree for `wire.pack`."""
        tree: dict[str, Any] = self._call("state")
        return tree

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back that `state` gave."""
        self._call("restore", state)
        self._beta = float(state.get("beta", 0.0))

    def last_traces(self) -> list[dict[str, Any]]:
        """Take the traces of the phases since the last call: name, t (s), error and u with one row per kept tick."""
        traces: list[dict[str, Any]] = self._call("last_traces")
        return traces

    def notice(self, kind: str, text: str) -> None:
        """Add an event of our own, for whoever records them."""
        self.events.append(SessionEvent(time.time(), kind, text, self.who))

    def close(self) -> None:
        """Say goodbye; the session goes on without us, unless it was started to live only as long, or `ends_session`.

        May be called twice.
        """
        if self._closed:
            return
        if not self._lost:
            with contextlib.suppress(SessionError, BackendError):
                if self.ends_session:
                    self._call("end", "its client left, and it was to outlive that only to hold", None)
                else:
                    self._call("bye")
        self._closed = True
        self._faster.set()
        self._channel.close()
        if self.on_close is not None:
            self.on_close(self)

    def __enter__(self) -> SessionClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # inside
    def _greet(self, key: bytes | None, control: bool, watches: bool) -> dict[str, Any]:
        first = receive_soon(self._channel, LARGE)
        if first.get("program") != PROGRAM or first.get("protocol") != PROTOCOL:
            raise NotAllowedError(
                f"the session speaks {first.get('program')} {first.get('protocol')}, this aeqlab {PROGRAM} {PROTOCOL}. "
                "Use one version."
            )
        mine = secrets.token_hex(16)
        nonces = f"{first.get('nonce')}:{mine}"
        said = proof(key, "client", nonces) if key is not None else None
        hello = {"program": PROGRAM, "protocol": PROTOCOL, "name": self.who, "nonce": mine, "proof": said, "control": control}
        if watches:
            hello["watches"] = True
        self._channel.send(parts(hello))
        welcome = receive_soon(self._channel, LARGE)
        if "refused" in welcome:
            raise NotAllowedError(str(welcome["refused"]))
        if key is not None and not same(str(welcome.get("proof")), proof(key, "session", nonces)):
            raise NotAllowedError(f"what answers at port {self._port} does not know the session's key: it is another program.")
        return welcome

    def _call(self, name: str, *args: Any) -> Any:
        message = [to_tree(arg) for arg in args]
        with self._calling:
            if self._closed or self._lost:
                raise SessionLostError(self._lost or "this client is closed.")
            self._number += 1
            number = self._number
            try:
                self._channel.send(self._writer.request(number, name, message))
                answer, leaving = self._await(number)
            except (OSError, EOFError, ValueError) as exc:
                raise self._gone(f"the session is gone ({exc or type(exc).__name__})") from exc
            except WireError as exc:
                raise self._gone(f"the session's answer cannot be read ({exc})") from exc
        if leaving is not None:
            raise leaving
        if "e" in answer:
            kind, text = answer["e"]
            raise _ERRORS.get(kind, SessionError)(text)
        return from_tree(answer["r"])

    def _send(self, tree: dict[str, Any]) -> None:
        self._channel.send(parts(tree))

    def _await(self, number: int) -> tuple[dict[str, Any], BaseException | None]:
        """Wait for an answer; meanwhile call `point_interrupt`, and ask the session to abort if it raises.

        Returns:
            The answer, and what was raised meanwhile (Ctrl-C or a request to leave): the loop in the session has ended by then.
        """
        heard = asked = time.monotonic()
        leaving: BaseException | None = None
        while True:
            message = None
            try:
                message = self._channel.receive(LARGE)
            except KeyboardInterrupt as exc:
                leaving = self._leave(exc)
            if message is None:
                now = time.monotonic()
                if now - heard > LOST_S:
                    raise EOFError(f"it has not answered for {LOST_S:g} s")
                if now - asked > LOST_S / 3:  # is anybody there? The answer to this needs no device
                    asked = now
                    self._number += 1
                    self._send({"n": self._number, "c": "status"})
                if self.point_interrupt is not None and leaving is None:
                    try:
                        self.point_interrupt()
                    except BaseException as exc:
                        leaving = self._leave(exc)
                continue
            answer = mapping_in(message, self._reader.read)
            heard = time.monotonic()
            for event in answer.get("ev", ()):
                self.events.append(from_tree(event))
            if "refused" in answer:
                raise WireError(str(answer["refused"]))
            if answer.get("n") == number:
                return answer, leaving

    def _leave(self, exc: BaseException) -> BaseException:
        self._number += 1
        self._send({"n": self._number, "c": "abort", "a": [(str(exc) or type(exc).__name__)[:500]]})
        return exc

    def _gone(self, why: str) -> SessionLostError:
        self._lost = f"{why}; the state of the device is unknown to us until its guardian says it is safe."
        self._faster.set()
        return SessionLostError(self._lost)

    def _beat(self) -> None:
        """Let the session hear that this process lives."""
        while not self._closed and not self._lost:
            try:
                self._send({"beat": 1})
            except (OSError, ValueError):
                return
            self._faster.clear()
            if self._beta:
                time.sleep(BEAT_NUDGED_S)
            else:
                self._faster.wait(BEAT_S)


def _plain(values: Any) -> list[Any]:
    """Write numbers as a message has them."""
    return np.asarray(values).ravel().tolist()
