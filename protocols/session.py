"""The session: owner of one device from connect to disconnect, here in this process.

It is the one that calls the device. It keeps the session's state, who owns the control knobs, the homeostatic loop and its
target, and it can freeze the device or make it safe at any tick, from any thread. `SessionClient` offers the same calls
at a distance; a simulated device, a test and a notebook use this object itself.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.checks import checked_vector
from aeqlab.backends.device import Device, DeviceInfo, Readout, SafetyReport, capabilities
from aeqlab.backends.errors import BackendError
from aeqlab.backends.imperfections import named
from aeqlab.backends.interlocks import Interlock
from aeqlab.protocols import console
from aeqlab.protocols.abilities import METHODS, READING, check_ability
from aeqlab.protocols.alarms import Alarm, Alarms
from aeqlab.protocols.controllers import Controller, make_controller
from aeqlab.protocols.errors import AbortRequested, CheckpointError, FrozenError, LateError, NotAllowedError, SessionLostError
from aeqlab.protocols.gains import Gains, Trial
from aeqlab.protocols.gains_file import GainsPlace
from aeqlab.protocols.hand_moves import Jump, Moved, Row, large_jump, move_knobs
from aeqlab.protocols.homeostasis import HomeostasisSettings, hold
from aeqlab.protocols.loop_state import check_rows
from aeqlab.protocols.one_command import OneCommand
from aeqlab.protocols.oscillation import Oscillation
from aeqlab.protocols.passing import advance_in_pieces, is_long
from aeqlab.protocols.reports import HoldReport, SettleReport
from aeqlab.protocols.session_view import SessionView, Viewer
from aeqlab.protocols.settling import SettlingSettings, Trace, settle
from aeqlab.protocols.standing import Standing
from aeqlab.protocols.status import MAKING_SAFE, STANDING, SessionEvent, SessionState, SessionStatus, is_person
from aeqlab.protocols.traces import Phases
from aeqlab.protocols.trials import Trials
from aeqlab.protocols.wander import Wander
from aeqlab.protocols.watching import Watched

Array = NDArray[Any]


class Session:
    """The owner of a device. Offers `Operator`, and what goes beyond it: states, freeze and safe, events.

    Args:
        device: the device, open; the session closes it.
        homeostasis, settling: settings of the loops (None: their defaults).
        who: name that events bear when nothing else is said.
        gains: where gains are kept, and read now; None: nowhere.
    """

    def __init__(
        self,
        device: Device,
        *,
        homeostasis: HomeostasisSettings | None = None,
        settling: SettlingSettings | None = None,
        who: str = "operator",
        gains: GainsPlace | None = None,
    ) -> None:
        self.device = device
        self.who = who
        self.point_interrupt: Callable[[], None] | None = None  #: called at every tick of a loop; raises to leave it
        self.events: deque[SessionEvent] = deque(maxlen=10_000)  #: what happened, oldest first; whoever records it drains it
        self.traces = False  #: whether `last_traces` is wanted; costs a copy of theta and u per kept tick
        self._info = device.info
        self._abilities = capabilities(device)
        self._homeostasis = homeostasis if homeostasis is not None else HomeostasisSettings()
        self._settling = settling if settling is not None else SettlingSettings()
        self._controller = make_controller(self._homeostasis, self._info)
        self.lock = threading.RLock()  #: held by whoever calls the device
        self._command = OneCommand(self.lock, self._lost)
        self._state = SessionState.IDLE
        self._standing = Standing()
        self._knobs = "nobody"
        self._target: Array | None = None
        self._beta = 0.0
        self._last: Readout | None = None
        self._doing = ""
        self._not_held = ""  # why the loop does not hold theta now
        self._freezing: deque[str] = deque()  # reasons of those who wait to freeze: every loop leaves for them
        self._abort: str | None = None
        self._inputs: Array | None = None  # as presented last
        self._inputs_after: Readout | None = None  # the reading they were presented after
        self._tolerance: Array | None = None  # of the last hold
        self.pushes = 0  #: counts up whenever theta is pushed by something else than its loop: an input, a nudge, a target
        self.swinging: Array | None = None  #: knobs that were seen to oscillate and not to hold since, bool; None: none
        self._by_hand: dict[int, str] = {}  # who moved which control knob, since no loop has it any more
        self.viewer = Viewer(self)  #: makes the looks of those who watch
        self.trials = Trials(self, gains)  #: gains of the loops, and those that are tried
        self._phases = Phases()
        self.alarms = Alarms()
        self.safely: Callable[[str, str], object] = self.make_safe  #: makes safe for an interlock: why, and on whose behalf
        self._watched = Watched(device, self) if "Monitored" in self._abilities else None
        self._wander = self._new_wander()
        self.trials.recall()

    # describe
    @property
    def info(self) -> DeviceInfo:
        """Get what the device says of itself."""
        return self._info

    @property
    def abilities(self) -> frozenset[str]:
        """Get the names of the device's capability interfaces."""
        return self._abilities

    def status(self, control: str | None = None, clients: tuple[str, ...] | None = None) -> SessionStatus:
        """Get where the session stands, and who is connected where others are. Never waits."""
        t = self._last.t if self._last is not None else math.nan
        if control is None or clients is None:
            control, clients = self.who, (self.who,)
        stands = self._standing
        reason = self._not_held if self._state is SessionState.HOLDING else stands.reason
        return SessionStatus(
            self._state, reason, self._knobs, control, clients, self._beta, self._info.name, t, self._doing, stands.by,
            stands.late, stands.number, stands.nudge_read, len(self.alarms.open), self.alarms.sentence(),
        )  # fmt: skip

    @property
    def standing(self) -> tuple[SessionState, float]:
        """Get the state and the nudge, quickly; 1 for the nudge where the outputs are clamped instead."""
        return self._state, self._beta or float(self._state is SessionState.NUDGED)

    @property
    def safety(self) -> SafetyReport | None:
        """Get the report of the last make safe as long as the device stands for it, quickly; None where it does not."""
        return self._standing.report

    @property
    def last_readout(self) -> Readout | None:
        """Get the last readout, without time passing; None before the first."""
        return self._last

    @property
    def controller(self) -> Controller:
        """Get the control law, as it is now."""
        return self._controller

    @property
    def homeostasis(self) -> HomeostasisSettings:
        """Get the settings of homeostasis."""
        return self._homeostasis

    @property
    def owner(self) -> str:
        """Get who owns the control knobs: nobody, loop, or a name."""
        return self._knobs

    @property
    def inputs(self) -> Array | None:
        """Get the input knobs as presented last, shape (samples, inputs); None where that is not known."""
        return self._inputs

    @property
    def not_held(self) -> str:
        """Get why the loop does not hold theta; empty where it does, or none runs."""
        return self._not_held

    def owners(self) -> tuple[str, ...]:
        """Get who owns each control knob: nobody, loop, or a name."""
        n = len(self._info.controls)
        return tuple(self._by_hand.get(k, "nobody") for k in range(n)) if self._by_hand else (self._knobs,) * n

    def guards(self) -> tuple[Interlock, ...]:
        """Get the interlocks that are looked at after every tick."""
        return () if self._watched is None else self._watched.guards

    def watch(self, since_event: int = 0) -> SessionView:
        """Get everything that a window shows, without a word to the device, from any thread; its own events are in `events`."""
        return self.viewer.view(self.status())

    def tolerance(self) -> Array | None:
        """Get the tolerance of the last hold, shape (parameters,); None before the first."""
        return self._tolerance

    def configure(self, *, homeostasis: HomeostasisSettings | None = None, settling: SettlingSettings | None = None) -> None:
        """Change the settings of the loops; what is None stays. The knobs do not move."""
        with self._command:
            if homeostasis is not None:
                make_controller(homeostasis, self._info)  # before anything is changed: it may refuse them
                self._homeostasis = homeostasis
                self._make_controller()
                self.trials.new_loop()
            if settling is not None:
                self._settling = settling

    # the four abilities
    def present(self, inputs: Array) -> None:
        """Set the input knobs, shape (samples, inputs). Applied when time next passes."""
        with self._command:
            self._check("present an input")
            self.device.present(inputs)
            self._inputs, self._inputs_after = np.array(inputs), self.device.newest
            self.pushes += 1

    def set_controls(self, u: Array) -> None:
        """Set the control knobs by hand, shape (controls,); takes them over from a loop, which is said in an event."""
        with self._command:
            self._check("set control knobs")
            self.device.set_controls(u)
            self._controller.give_up()
            if self._knobs == "loop":
                self._say("knobs", f"{self.who} took the control knobs over from the homeostatic loop")
            self._knobs = self.who
            self._by_hand = {}
            if self._state is SessionState.HOLDING:
                self._loop_stopped()

    def move_knobs(self, row: Row, knobs: Any, values: Any) -> Moved:
        """Move some knobs by hand, no faster than their slew, and wait until they are there; the others stay where they are.

        Takes the control knobs over from a loop, which is said in an event. An abort or a freeze leaves them where they came to.

        Args:
            row: control or input.
            knobs, values: their indices, and where they are to go, in the unit of the row.
        Raises:
            NotAllowedError: a knob that is not there.
            LimitError: a value outside the limits of its knob; nothing was moved.
        """
        with self._command:
            self._check("move knobs")
            self._doing = "move knobs"
            try:
                return move_knobs(self, row, knobs, values)
            finally:
                self._doing = ""

    def large_jump(self, row: Row, knobs: Any, values: Any) -> Jump:
        """Tell how large a move would be, and whether a window should ask first; as `move_knobs`, but nothing moves."""
        return large_jump(self, row, knobs, values)

    def knobs_now(self) -> Array:
        """Get the control knobs as the device reported them last, shape (controls,), without a word to it."""
        seen = self.viewer.readbacks()
        if seen is None:
            raise NotAllowedError(f"{self._info.name}: where its knobs stand is not known yet. Ask again once the loop has read.")
        return seen

    def taken_by_hand(self, row: Row, knobs: list[int]) -> None:
        """Note that somebody moves some knobs; the loop, where it has them, stops."""
        self.pushes += 1
        if row == "input":
            return
        self._controller.give_up()
        names = named(self._info.controls.names, np.array(knobs))
        if self._knobs == "loop":
            self._say("knobs", f"{self.who} took the control knobs over from the homeostatic loop, to move {names}")
            self._by_hand = {}
        elif self._knobs not in ("nobody", self.who):
            self._say("knobs", f"{self.who} moves {names}, after {self._knobs}")
        before, self._knobs = self._knobs, self.who
        if self._state is SessionState.HOLDING:
            self._loop_stopped()
        if before not in ("nobody", "loop") and not self._by_hand:
            self._by_hand = dict.fromkeys(range(len(self._info.controls)), before)
        self._by_hand |= dict.fromkeys(knobs, self.who)

    def one_tick(self) -> Readout:
        """Let one tick of a move pass; leaves where someone asked for it."""
        self._tick()
        self._last = self.device.advance()
        self._see()
        return self._last

    def controls(self) -> Array:
        """Get the control knobs as the device reports them, shape (controls,)."""
        with self._command:
            return self.device.controls()

    def nudge(self, targets: Array, beta: float) -> None:
        """Add beta C(s, y) at the outputs; targets have shape (samples, outputs). Applied when time next passes."""
        with self._command:
            self._check("nudge")
            self.device.nudge(targets, beta)
            self.pushes += 1
            self._beta = float(beta)
            if self._beta:
                self._state = SessionState.NUDGED
            elif self._state is SessionState.NUDGED:
                self._state = SessionState.IDLE

    def release(self) -> None:
        """Take the nudge away. Allowed in every state."""
        with self._command:
            self.device.release()
            self.pushes += bool(self._beta) or self._state is SessionState.NUDGED
            self._beta = 0.0
            if self._state is SessionState.NUDGED:
                self._state = SessionState.IDLE

    def advance(self, seconds: float | None = None) -> Readout:
        """Let time pass, loops standing still, and read; requests are looked at every 50 ms (1 s of a virtual clock)."""
        with self._command:
            self._check("let time pass")
            self.pushes += 1  # loops stand still, so theta may go anywhere
            self.trials.look()
            return self._pass(seconds)

    def read(self) -> Readout:
        """Read, in every state: the shortest tick passes, loops standing still."""
        with self._command:
            self._last = self.device.advance()
            self._see()
            return self._last

    # the loops
    def hold(self, theta: Array | None = None) -> HoldReport:
        """Run homeostasis until theta, shape (parameters,), stands at its target; None: where it was last told, or is."""
        with self._command:
            self._check("hold")
            self._see_armed()
            target = theta if theta is not None else self._target
            self.pushes += self._knobs != "loop" or self._is_elsewhere(target)
            self._knobs, self._by_hand = "loop", {}
            if self._state is not SessionState.NUDGED:
                self._state = SessionState.HOLDING
            self._doing = "hold"
            try:
                report = hold(
                    self.device, target, self._homeostasis, self._controller, interrupt=self._tick, trace=self._trace("hold"),
                    eased=self._eased,
                )  # fmt: skip
            except BaseException:
                self._loop_stopped()
                raise
            finally:
                self._doing, self._controller.parts = "", None
            self._last, self._not_held = report.readout, report.why_not_held
            self._tolerance = report.tolerance if report.tolerance is not None else self._tolerance
            self._tell_of(report)
            if report.accepted:  # whoever asked for it says what it means that it is not
                self._held_again(report)
            self._see()
            self._target = None if target is None else np.array(target, dtype=self._info.dtype)
            return report

    def _is_elsewhere(self, target: Array | None) -> bool:
        """Tell whether a target is not the one that is held now."""
        now = self._controller.target
        return target is not None and (now is None or not np.array_equal(target, now))

    def _see_armed(self) -> None:
        """Let the first hold know the resolutions of armed instruments: before, they are those of the ranges as they stood."""
        if "Arms" in self._abilities and not self._controller.prepared:
            self.device.arm()  # type: ignore[attr-defined]  # at the latest, the first tick of the hold would
            self._controller.info = self._info = self.device.info

    def set_target(self, theta: Array) -> None:
        """Say where theta, shape (parameters,), is to be held from now on; the next hold brings it there.

        Unlike another theta given to `hold` it is no learning step, so it says nothing of how well theta must be held.

        Raises:
            ArrayRefusedError: wrong shape or type, or not finite.
        """
        with self._command:
            self._check("set a target")
            target = checked_vector("target of theta", theta, self._info.n_parameters, self._info.dtype)
            self.pushes += self._is_elsewhere(target)
            self._target = target.copy()
            self._controller.target = np.array(target, dtype=np.float64)

    def hold_at(self, theta: Array) -> HoldReport:
        """Hold theta, shape (parameters,), elsewhere, as `set_target` and `hold` with no tick between them: no learning step."""
        with self._command:
            self.set_target(theta)
            return self.hold()

    def keep_holding(self, interrupt: Callable[[], None]) -> bool:
        """Go on holding where the last hold left off, for one round, if the loop still owns the knobs and no nudge is on.

        Args:
            interrupt: called at every tick; raises to leave.
        Returns:
            Whether there was anything to hold. Whether it is held is in the status, and an event where that changes.
        """
        if self._state is not SessionState.HOLDING or self._target is None or "HoldsParameters" in self._abilities:
            return False

        def tick() -> None:
            self._see()
            self.trials.look()
            if self.viewer.wanted:
                self.viewer.between_ticks()
            interrupt()

        with self._command:
            report = hold(self.device, self._target, self._homeostasis, self._controller, interrupt=tick, eased=self._eased)
            before, self._last, self._not_held = self._not_held, report.readout, report.why_not_held
            self._tolerance = report.tolerance if report.tolerance is not None else self._tolerance
            if bool(before) is report.accepted:
                self._say("holding", self._not_held or "theta is held again")
            if report.accepted:
                self._held_again(report)
            else:
                self._tell_of(report)
                self.alarm("hold lost", self._why_lost(report))
            self._see()
        return True

    def _tell_of(self, report: HoldReport | SettleReport) -> None:
        """Raise an alarm for what a phase found out of the device: a jump, knobs that move nothing."""
        if report.jumped:
            self.alarm("jump", report.jumped)
            self.clear_alarm("jump")  # it happened, and is over
        idle = getattr(report, "idle", None)
        if idle is not None and idle.any():
            self.alarm(
                "idle knob",
                f"{self._knob_names(idle)}: moved, and the parameter does not follow. See whether the knob, its cable or the "
                "readout of the parameter is stuck; identify again.",
            )

    def _knob_names(self, knobs: Array) -> str:
        return named(self._info.controls.names, np.flatnonzero(knobs))

    def _new_wander(self) -> Wander | None:
        """Make what watches the knobs from hold to hold; None where no loop of this session moves them one by one."""
        info = self._info
        if self._watched is None or info.response is None or len(info.controls) != info.n_parameters or self.holds_inside:
            return None
        gain = np.broadcast_to(np.asarray(info.response.gain, dtype=np.float64), info.n_parameters)
        return Wander(info.controls.low, info.controls.high, gain)

    def _see_knobs(self, report: HoldReport) -> None:
        """See that the knobs that hold theta are, in the mean, where they were."""
        theta = report.readout.parameters
        if self._wander is None or theta is None:
            return
        wandered, gone = self._wander.see(self.device.controls(), np.asarray(theta, dtype=np.float64))
        if not wandered.any():
            self.clear_alarm("drift")
            return
        k = int(np.argmax(np.where(wandered, np.abs(gone), -1.0)))
        self.alarm(
            "drift",
            f"{self._knob_names(wandered)}: what holds theta wanders; {self._info.controls.names[k]} is {gone[k]:.3g} "
            f"{self._info.controls.unit} from where it was. Theta is held by what is read all the same. Look for what drifts, "
            "knob, readout or temperature, and identify again.",
        )

    def _held_again(self, report: HoldReport) -> None:
        """Note that theta is held, and calm."""
        self.swinging = None
        self._see_knobs(report)
        for kind in ("hold lost", "oscillation", "idle knob"):
            self.clear_alarm(kind)

    def _why_lost(self, report: HoldReport) -> str:
        """Say that theta is not held any more, and which knobs stand at a limit."""
        names = "" if report.saturated is None else self._knob_names(report.saturated)
        return self._not_held + (f"; at a limit: {names}" if names else "")

    def _eased(self, knobs: Array, swings: Oscillation) -> None:
        """Tell of knobs whose gain was halved because their parameters oscillate."""
        worst = int(np.argmax(np.where(knobs, swings.size, -1.0)))
        names = [self._info.controls.names[k] for k in np.flatnonzero(knobs).tolist()]
        if self.trials.swings(", ".join(names[:4])):
            return  # the gains that did it are gone
        self.swinging = knobs if self.swinging is None else self.swinging | knobs
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self.alarm(
            "oscillation",
            f"{self._info.controls.names[worst]}{more}: theta swings by {swings.size[worst]:.3g} with a period of "
            f"{swings.period_s[worst]:.3g} s; its gain is {self._controller.eased[worst]:g} of what it was. Identify again.",
        )

    @property
    def holds_inside(self) -> bool:
        """Tell whether the device holds theta itself, so that no target says where."""
        return "HoldsParameters" in self._abilities and self._homeostasis.controller in (None, "ideal")

    def read_if_presented(self) -> None:
        """Read as `read` does, if an input was ever presented: before that a device has nothing to run on."""
        if self.device.presented:
            self.read()

    @property
    def stands_for(self) -> tuple[SessionState, str, str] | None:
        """Get state, person and reason where the device stands because a person asked for it, quickly."""
        stands = self._standing
        asked = self._state in (SessionState.FROZEN, SessionState.SAFE) and is_person(stands.by)
        return (self._state, stands.by, stands.reason) if asked else None

    def stand_for(self, state: SessionState, by: str, reason: str) -> None:
        """Begin in a state that a person asked for in a session before: nothing moves before someone continues."""
        with self.lock:
            self._stand(state, reason, by)

    def stand_unknown(self, reason: str) -> None:
        """Begin in UNKNOWN, because the last owner died: nothing moves before someone makes safe or continues."""
        with self.lock:
            self._stand(SessionState.UNKNOWN, reason)

    def settle(self) -> SettleReport:
        """Clamp the knobs where they are and let state and parameters come to rest."""
        with self._command:
            self._check("settle")
            self._loop_stopped()
            self._doing = "settle"
            try:
                report = settle(
                    self.device,
                    self._settling,
                    interrupt=self._tick,
                    trace=self._trace("settle"),
                    walk=self._controller.walk,
                )
            finally:
                self._doing = ""
            self._last = report.readout
            self._tell_of(report)
            self._see()
            return report

    def parameters(self) -> Array:
        """Read theta, shape (parameters,): the last reading, or from inside a device that holds exactly.

        Raises:
            NotAllowedError: nothing was read yet.
        """
        with self._command:
            if "HoldsParameters" not in self._abilities and self._last is not None and self._last.parameters is not None:
                return self._last.parameters.copy()
            if self._abilities & METHODS["parameters"]:
                return np.array(self.device.parameters())  # type: ignore[attr-defined]
            raise NotAllowedError(f"{self._info.name}: theta was not read yet. Present an input and let time pass first.")

    # safety
    def freeze(self, reason: str, late: bool = False, by: str = "") -> None:
        """Take the nudge off, freeze the knobs, stop the loops, from any thread; every moving call is refused until `continue_`.

        The nudge is read back where the device can tell it: one that stays on leaves the session UNKNOWN, not FROZEN.

        Args:
            reason: told in every refusal.
            late: the client was not heard in time; it is refused with `LateError`, so that it knows that it may go on.
            by: on whose behalf, where that is somebody else than who calls. What a person asked for stays that person's until
                someone continues, whatever a run or the session asks meanwhile.

        Raises:
            SessionLostError: the device does not answer; the message says what was last commanded.
        """
        with self._stopped(reason):
            try:
                self.device.freeze()
                left = self._standing.nudge_read = self.device.nudge_applied()
            except BackendError as exc:
                self._lost(exc)
                raise SessionLostError(self._standing.reason) from exc
            self._answers()
            if self._info.freeze_rests_inputs or self.device.newest is self._inputs_after:  # what was only staged is dropped
                self._inputs = None
            if left:
                said = f"the device says that nudge {left:g} is still on"
                self._stand(SessionState.UNKNOWN, f"state unknown: {reason}; {said}", by)
                self.alarm("not safe", said)
            elif self._state is SessionState.SAFE and is_person(by or self.who) and not is_person(self._standing.by):
                self._stand(SessionState.SAFE, f"{reason}; it stays safe", by)
            elif self._state in (SessionState.SAFE, SessionState.UNKNOWN) or (late and self._stands_for_good):
                self._say("frozen", f"{reason}; it stays {self._state}", by)
            else:
                self._stand(SessionState.FROZEN, reason, by, late)

    def make_safe(self, reason: str, by: str = "") -> SafetyReport:
        """Freeze, ramp to rest, outputs off; graded line by line. Allowed in every state, from any thread; `by` as for `freeze`.

        The session is SAFE then, or UNKNOWN if a line failed.
        """
        with self._stopped(reason):
            self._doing = MAKING_SAFE
            try:
                report = self.device.make_safe()
            except BackendError as exc:
                self._lost(exc)
                raise SessionLostError(self._standing.reason) from exc
            finally:
                self._doing = ""
            self._inputs = None
            if report.failed:
                self._stand(SessionState.UNKNOWN, f"state unknown: {reason}; not safe: {report.unsure}", by)
                self.alarm("not safe", report.unsure)
            else:
                self._answers()
                self.clear_alarm("not safe")
                self._stand(SessionState.SAFE, reason if report.safe else f"{reason}; not confirmed: {report.unsure}", by)
            self._standing.report = report
            return report

    def continue_(self, standing: int | None = None) -> None:
        """Allow motion again after a freeze, after SAFE, or from UNKNOWN by taking the device as it is.

        Args:
            standing: number of the standing that is meant, as `status` told it; None: whatever holds it up.

        Raises:
            NotAllowedError: someone, or the session, asked for it to stand after that number was told.
        """
        with self._command:
            if self._state not in STANDING:
                return
            if self._watched is not None and (why := self._watched.tripped()):
                raise NotAllowedError(f"{self._info.name} stays {self._state}: {why}.")
            if standing not in (None, self._standing.number):
                raise NotAllowedError(f"{self._info.name} is {self._state} for another reason by now: {self._standing.reason}.")
            self._say("continue", f"{self.who} goes on after {self._state}: {self._standing.reason}")
            self._state = SessionState.IDLE
            self._standing.end()
            self._answers()
            self.clear_alarm("not safe")  # someone looked, and takes the device as it is

    def abort(self, reason: str = "abort was asked for") -> None:
        """Ask a running loop, from another thread, to leave at its next tick with `AbortRequested`; nothing where none runs."""
        if self._doing:
            self._abort = reason

    # abilities by name
    def device_call(self, name: str, *args: Any) -> Any:
        """Call a method of a capability interface by name, such as `scale_coupling`.

        Raises:
            CapabilityError: no ability of this device has that method.
        """
        with self._command:
            check_ability(self._info.name, self._abilities, name)
            if name not in READING:
                self._check(name)
            result = getattr(self.device, name)(*args)
            if name == "clamp_outputs":  # as a nudge: it goes with release, and with a freeze
                self._beta, self._state = 0.0, SessionState.NUDGED
            if name in ("write_parameters", "restore"):
                self._last = None
            if name in ("take_identification", "arm"):  # a device describes itself anew then, and at no other time
                self._info = self.device.info
                if name == "take_identification":
                    self.trials.identified()
                self._make_controller()
                self._wander = self._new_wander()
            if name == "write_parameters":  # theta is to stay where it was written, whatever was held before
                self._target = None if self.holds_inside else np.array(args[0], dtype=self._info.dtype)
            return result

    def state(self) -> dict[str, Any]:
        """Get everything that decides the future, device and loop, as a tree for `wire.pack`. Needs Checkpointable."""
        with self._command:
            return {
                "device": self.device_call("state"),
                "controller": self._controller.state(),
                "target": self._target,
                "beta": self._beta,
            }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back that `state` gave.

        Raises:
            CheckpointError: it is damaged or of another session; nothing was changed.
            DeviceConfigError: so is the device's part of it.
        """
        with self._command:
            controller = make_controller(self._homeostasis, self._info, self.trials.for_loop())
            try:
                check_rows(self._info, state["controller"])
                controller.restore(state["controller"])
                check_rows(self._info, {"target": state["target"]})
                device, target, beta = state["device"], state["target"], float(state["beta"])
            except (KeyError, TypeError, ValueError, AttributeError) as exc:
                raise CheckpointError(
                    f"{self._info.name}: this is no state of its session ({type(exc).__name__}: {exc})."
                ) from exc
            self.device_call("restore", device)
            self._controller, self._target, self._beta = controller, target, beta
            self._knobs = "nobody"
            self._state = SessionState.NUDGED if beta else SessionState.IDLE

    def last_traces(self) -> list[dict[str, Any]]:
        """Take the traces of the phases since the last call: name, t (s), error, u and the parts of the law, as `Phases.take`."""
        return self._phases.take()

    def close(self) -> None:
        """Let the device go, as it is. May be called twice."""
        with self.lock:
            self.device.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # gains
    def gains(self) -> Gains:
        """Get the gains in use, knob by knob, and what they leave to instability. Never waits."""
        return self.trials.gains()

    def try_gains(self, change: dict[str, Any], by: str = "", seconds: float | None = None) -> Trial:
        """Try other gains, also while a loop runs; they go back by themselves unless someone keeps them. From any thread.

        Args:
            change: `factor`, or any of `ki`, `kp`, `kd`; and `knobs`, their indices (left out: all).
            by: whose trial it is; empty: the operator's.
            seconds: how long, on the wall; None: 30.
        Raises:
            FrozenError: the device stands.
            NotAllowedError: someone else tries gains now, or something of it cannot be.
        """
        return self.trials.begin(change, by or self.who, seconds)

    def keep_gains(self, by: str = "") -> str:
        """Keep the gains on trial in a dated file, which it returns; they are the session's from then on.

        Raises:
            NotAllowedError: nothing is tried, or there is nowhere to keep it.
            SessionError: the file cannot be written; the trial goes on.
        """
        return self.trials.keep(by or self.who)

    def revert_gains(self, by: str = "") -> None:
        """Go back to the gains before the trial.

        Raises:
            NotAllowedError: nothing is tried.
        """
        self.trials.revert(by or self.who)

    # instruments
    def instruments(self) -> list[dict[str, Any]]:
        """List the instruments of the device: name, where, identity, whether it can be talked to, and why it is down."""
        return console.listed(self)

    def arming_plan(self) -> list[str]:
        """List what arming will change at the instruments; empty where it is armed, or has nothing to arm."""
        with self._command:
            if not self._abilities & METHODS["arming_plan"]:
                return []
            lines: list[str] = self.device.arming_plan()  # type: ignore[attr-defined]
            return lines

    def console(self, instrument: str, text: str, by: str = "", token: bool = True) -> str:
        """Ask an instrument a question in its own words; see `console`.

        Args:
            instrument: its name in the rig file.
            text: the question, such as `*IDN?`.
            by: who asks; empty: the operator.
            token: whether that is the client with the control token.
        Raises:
            NotAllowedError: the question may not be asked now.
            DeviceStateError: it may not be asked at all, or the instrument does not answer.
        """
        with self._command:
            return console.console(self, instrument, text, by or self.who, token)

    def tell(self, kind: str, text: str, by: str = "") -> None:
        """Note an event, from any thread, on somebody's behalf; else it is the session's own."""
        self._say(kind, text, by or "session")

    def may(self, what: str) -> None:
        """See that something may move now. Raises FrozenError, LateError: the device stands; the message says why."""
        self._check(what)

    # inside
    def _make_controller(self) -> None:
        """Make the control law anew, with the gains as they are."""
        self._controller = make_controller(self._homeostasis, self._info, self.trials.for_loop())

    @contextmanager
    def _stopped(self, reason: str) -> Iterator[None]:
        """Wait for the lock with every loop told to leave for it; what was driven is driven no more."""
        self._freezing.append(reason)
        with self.lock:
            self._freezing.remove(reason)
            self._standing.asked()
            self._abort = None
            self._beta = 0.0
            self._knobs, self._by_hand, self.swinging = "nobody", {}, None
            yield

    def _check(self, what: str) -> None:
        if self._state in STANDING:
            raise (LateError if self._standing.late else FrozenError)(
                f"{self._info.name} is {self._state}, so it may not {what}: {self._standing.reason}. Continue to go on."
            )

    # alarms
    def alarm(self, kind: str, text: str) -> None:
        """Raise an alarm, which is an event too; the same kind again only counts."""
        if made := self.alarms.raise_(kind, text):
            self._say("alarm", f"{made.number}: {kind}: {text}" + (f" (follows alarm {made.cause})" if made.cause else ""))

    def clear_alarm(self, kind: str) -> None:
        """Note that what a kind of alarm is about is over."""
        if done := self.alarms.clear(kind):
            self._say("alarm over", f"{done.number}: {kind}")

    def _answers(self) -> None:
        """The device answers; one whose readings are watched shows that by them."""
        if self._watched is None:
            self.clear_alarm("comms")

    def acknowledge(self, by: str, number: float | None = None) -> list[Alarm]:
        """Acknowledge one alarm with what hangs under it, or all (None).

        Raises:
            NotAllowedError: there is no such alarm, or nobody's name is given.
        """
        if not by.strip():
            raise NotAllowedError("an alarm is acknowledged by name. Say whose.")
        try:
            done = self.alarms.acknowledge(by, None if number is None else int(number))
        except KeyError:
            raise NotAllowedError(f"there is no alarm {number:g}.") from None
        for one in done:
            self._say("acknowledged", f"{one.number}: {one.kind}, by {by}", by)
        return done

    def _see(self) -> None:
        """See to what the device tells and to its interlocks; a tripped one is carried out, and leaves what is going on.

        Raises:
            FrozenError: it froze the device, or made it safe.
        """
        if self._watched is not None:
            self._watched.look()

    def note(self, kind: str, text: str) -> None:
        """Note an event of the session's own."""
        self._say(kind, text, "session")

    def stands_still_for(self, action: str) -> bool:
        """Tell whether the device stands as an interlock with that action wants it."""
        return self._state in (SessionState.SAFE, SessionState.UNKNOWN) or (
            action == "freeze" and self._state is SessionState.FROZEN
        )

    def stop_for(self, why: str, action: str) -> None:
        """Freeze, or make safe, for an interlock."""
        if action == "safe":
            self.safely(why, "interlock")
        else:
            self.freeze(why, by="interlock")

    def _tick(self) -> None:
        """Called at every tick of every loop: leave on request."""
        self._see()
        self.trials.look()
        if self.viewer.wanted:
            self.viewer.between_ticks()
        if self._freezing:
            raise FrozenError(f"{self._info.name} is frozen: {self._freezing[0]}. Continue to go on.")
        if self._abort is not None:
            reason, self._abort = self._abort, None
            raise AbortRequested(reason)
        if self.point_interrupt is not None:
            self.point_interrupt()

    def _pass(self, seconds: float | None) -> Readout:
        if seconds is None or not is_long(self.device, seconds):
            self._last = self.device.advance(seconds)
            self._see()
            return self._last
        self._doing = "advance"
        try:
            self._last = advance_in_pieces(self.device, seconds, self._tick)
        finally:
            self._doing = ""
        return self._last

    def _trace(self, phase: str) -> Trace | None:
        if not self.traces:
            return None
        return self._phases.keep(phase, self._controller.begin_parts() if phase == "hold" else None)

    def _loop_stopped(self) -> None:
        """The homeostatic loop no longer owns the knobs; they stay where they are."""
        self.clear_alarm("hold lost")
        self.swinging = None
        if self._knobs == "loop":
            self._knobs = "nobody"
        if self._state is SessionState.HOLDING:
            self._state = SessionState.IDLE

    @property
    def _stands_for_good(self) -> bool:
        """Whether it is frozen for another reason than that a client was late."""
        return self._state is SessionState.FROZEN and not self._standing.late

    def _stand(self, state: SessionState, reason: str, by: str = "", late: bool = False) -> None:
        self._standing.begin(state, reason, by or self.who, late)
        self._state = state
        self.trials.end(f"the device is {state}")
        self.clear_alarm("hold lost")
        self._say(str(state), reason, by)

    def _lost(self, exc: BaseException) -> None:
        self._beta = 0.0
        self._knobs = "nobody"
        self.alarm("comms", str(exc))
        if self._state is SessionState.UNKNOWN:  # it is asked again and again, and that was said
            self._standing.begin(self._state, f"state unknown: {exc}", self.who)
        else:
            self._stand(SessionState.UNKNOWN, f"state unknown: {exc}")

    def _say(self, kind: str, text: str, by: str = "") -> None:
        self.events.append(SessionEvent(time.time(), kind, text, by or self.who))
