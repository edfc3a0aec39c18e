"""What a stage asks of the device at one moment, put there as a whole, waited for and read: what scan, ramp, set have in common.

`Setpoints` holds inputs, control knobs, nudge, theta and settings as they are asked for. `put` changes one of them and moves
nothing; `apply` tells the device all of them, so that a point can be done again after a freeze; `settle` lets it come to rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Flag, Readout
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.errors import CapabilityError, Interrupted, ProtocolError
from aeqlab.protocols.outline import Described
from aeqlab.protocols.quantities import Kind, Settable
from aeqlab.protocols.readings import Moment, Readable, values, wants
from aeqlab.protocols.reports import HoldReport, SettleReport, Verdict
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.setpoint_modes import Mode

Array = NDArray[Any]
LATER = 10  #: so many times the readings wanted are taken at most, where some are not fresh


@dataclass(slots=True)
class Rest:
    """How the device came to rest at a point: the phase's report, its readout, and whether the knobs got where they should."""

    readout: Readout
    report: HoldReport | SettleReport | None
    verdict: str
    settled: bool
    ticks: int
    duration_s: float
    states: Array | None = None  # of the equilibrium by the equations, where theta is locked


class Setpoints:
    """What is asked for, and how to get it there.

    Args:
        session: the run's.
        mode: what theta does.
        sample: index of the training sample presented, with as many after it as the device takes; None: inputs as they stand.
        moved: what this stage sets.
        begun: where everything stood, as `begun` of the process that a resumed stage began in; None: as it stands now.
    """

    def __init__(
        self, session: RunSession, mode: Mode, sample: int | None, moved: Sequence[Settable], begun: dict[str, Any] | None = None
    ) -> None:
        self.session, self.mode = session, mode
        self.info, self.inside = session.info, session.holds_inside
        self.kinds = {one.kind for one in moved}
        self.targets: Array | None = None
        inputs = _inputs_now(session)
        if sample is not None:
            train = session.data.train
            chosen = train.take((sample + np.arange(session.info.samples or 1)) % len(train))
            inputs, self.targets = chosen.inputs, chosen.targets
        self.inputs = np.array(inputs, dtype=session.info.dtype)
        if Kind.THETA in self.kinds or mode == "locked" or (mode == "homeostasis" and not self.inside):
            session.find_target(self.inputs)
        self.begun = begun if begun is not None else self._stands(moved)
        self.u: Array | None = None if self.begun["u"] is None else np.array(self.begun["u"])
        self.theta: Array | None = None if self.begun["theta"] is None else np.array(self.begun["theta"])
        self.beta, self.coupling = 0.0, float(self.begun["coupling"])
        self.settings: dict[str, float] = {}
        self._way_s = math.inf  # time the knobs need at least from where they were told to be before
        self._reported: Array | None = None  # control knobs as the device reported them with the last reading, if it was asked

    def _stands(self, moved: Sequence[Settable]) -> dict[str, Any]:
        """Get where everything stands that this stage may move, for going back there."""
        session, adjusted = self.session, self.session.adjusted
        floats = self.inside and self.mode == "frozen"  # theta floats away from inside and is to be written back
        return {
            "u": self._knobs_now() if Kind.CONTROL in self.kinds else None,
            "theta": session.theta() if floats or Kind.THETA in self.kinds or self.mode == "locked" else None,
            "inputs": adjusted.inputs,
            "coupling": adjusted.coupling,
            "settings": {one.name: adjusted.setting(one.name) for one in moved if one.kind is Kind.SETTING},
        }

    def _knobs_now(self) -> Array:
        """Get the control knobs as asked for by hand last; where a loop moved them since, as the device reports them."""
        asked = self.session.adjusted.u
        return self.session.controls() if asked is None else asked.copy()

    # what is asked for
    def put(self, what: Settable, value: float | Array) -> None:
        """Ask for a value, one for all places or as `stands_at` gives them; nothing moves before `apply`."""
        match what.kind:
            case Kind.CONTROL:
                assert self.u is not None
                self.u[what.where] = value
            case Kind.INPUT:
                self.inputs[:, what.where] = value
            case Kind.THETA:
                assert self.theta is not None
                self.theta[what.where] = value
            case Kind.BETA:
                self.beta = float(value)
            case Kind.COUPLING:
                self.coupling = float(value)
            case Kind.SETTING:
                self.settings[what.name] = float(value)

    def stands_at(self, what: Settable) -> Array:
        """Get where every place of a quantity stands now, as it was asked for.

        Returns:
            Shape (places,); of input knobs (samples, places); of what has no places ().
        Raises:
            CapabilityError: it is no one number, such as a tolerance that is `auto`.
        """
        match what.kind:
            case Kind.CONTROL:
                assert self.u is not None
                return np.array(self.u[what.where], dtype=np.float64)
            case Kind.INPUT:
                return np.array(self.inputs[:, what.where], dtype=np.float64)
            case Kind.THETA:
                assert self.theta is not None
                return np.array(self.theta[what.where], dtype=np.float64)
            case Kind.BETA:
                return np.array(self.beta)
            case Kind.COUPLING:
                return np.array(self.coupling)
            case Kind.SETTING:
                stands = self.settings.get(what.name, self.begun["settings"].get(what.name))
                if isinstance(stands, (int, float)):
                    return np.array(float(stands))
                raise CapabilityError(f"{what.name} is {stands!r}, so there is no number to begin from. Say `from`.")

    # the device
    def apply(self, only: Kind | None = None) -> None:
        """Tell the device everything that is asked for, or one kind of it alone; most of it counts when time next passes."""
        self._reported = None
        if self.mode == "locked":
            return  # the equations are asked, nothing moves
        for kind in Kind if only is None else (only,):
            self._tell(kind)

    def _tell(self, kind: Kind) -> None:
        session = self.session
        match kind:
            case Kind.SETTING if self.settings:
                session.adjusted.configure(self.settings)
            case Kind.COUPLING if kind in self.kinds and self.coupling != session.adjusted.coupling:
                session.adjusted.scale_coupling(self.coupling)
            case Kind.INPUT:
                session.present(self.inputs.copy())
            case Kind.BETA if self.beta and self.targets is not None:
                session.nudge(self.targets, self.beta)
            case Kind.BETA:
                session.release()
            case Kind.CONTROL if self.u is not None:
                told, slew = session.adjusted.u, self.info.controls.slew_per_s
                self._way_s = math.inf if told is None else float(np.max(np.abs(self.u - told) / slew))
                session.set_controls(self.u)
                session.adjusted.u = self.u.copy()
            case Kind.THETA if kind in self.kinds and self.theta is not None:
                self._aim(self.theta)

    def _aim(self, theta: Array) -> None:
        """Have theta elsewhere: written where the device keeps it inside, else as the target of homeostasis; no learning step."""
        session = self.session
        if self.inside:
            if not np.array_equal(session.parameters(), theta.astype(self.info.dtype)):
                session.device_call("write_parameters", theta)
                session.adjusted.u = None
            return
        session.target = np.array(theta, dtype=self.info.dtype)
        session.operator.set_target(session.target)  # type: ignore[attr-defined]

    def settle(self, wait: bool = True, wait_s: float = 0.0) -> Rest:
        """Let the device come to rest where it was told to be.

        Args:
            wait: by the verdict of settling or of homeostasis; without it one tick passes, and the knobs arrive.
            wait_s: time of the device that passes before that, in which homeostasis goes on holding theta.
        """
        if self.mode == "locked":
            return self._by_equations()
        before = self._pass(wait_s)
        rest = self._settle(wait)
        rest.ticks, rest.duration_s = rest.ticks + before[0], rest.duration_s + before[1]
        return rest

    def _settle(self, wait: bool) -> Rest:
        soon = self._way_s <= (self.info.tick_s or 0.0)  # settling waits longer than that anyway: look afterwards
        ticks, passed, arrived = (0, 0.0, True) if soon else self._arrive()
        rest = self._phase(wait)
        if soon and self._slews and self._away() > 0.0:
            ticks, passed, arrived = self._arrive()
            ticks, passed = ticks + rest.ticks, passed + rest.duration_s
            rest = self._phase(wait)
        rest.ticks, rest.duration_s = rest.ticks + ticks, rest.duration_s + passed
        if not arrived:
            rest.verdict, rest.settled = "not reached", False
        return rest

    @property
    def _loops(self) -> bool:
        """Whether a loop holds theta, which it does as long as a hold takes; a device that holds it inside goes on."""
        return self.mode == "homeostasis" and not self.inside

    def _pass(self, seconds: float) -> tuple[int, float]:
        """Let time pass at a point, theta being held meanwhile where that was asked for; ticks and seconds of the device."""
        ticks, passed = 0, 0.0
        while passed < seconds - 1e-9:
            if self.mode == "homeostasis" and (self._loops or not ticks):
                rest = self._phase(wait=True)  # after one, a device that holds theta inside goes on holding it
            else:
                rest = self.tick(seconds - passed)
            if rest.duration_s <= 0.0 and ticks:  # its time stands still
                break
            ticks, passed = ticks + rest.ticks, passed + rest.duration_s
        return ticks, passed

    def _phase(self, wait: bool) -> Rest:
        session = self.session
        if not wait:
            return self.tick()
        self._reported = None
        report = session.hold(session.target) if self.mode == "homeostasis" else session.settle_free()
        return Rest(report.readout, report, str(report.verdict), report.accepted, report.ticks, report.duration_s)

    def tick(self, seconds: float | None = None) -> Rest:
        """Let a tick pass, or some time, loops standing still; nothing is waited for."""
        self._reported = None
        readout = self.session.advance(seconds)
        return Rest(readout, None, "", True, 1, readout.dt)

    @property
    def _slews(self) -> bool:
        return self.u is not None and bool(np.isfinite(self.info.controls.slew_per_s).any())

    def _away(self) -> float:
        """Get the time that the knob farthest from its setpoint still needs at least, in s; 0 where all of them stand."""
        knobs, u = self.info.controls, self.u
        assert u is not None
        self._reported = self.session.controls()
        away = np.abs(self._reported - u)
        return float(np.max(np.where(away > 0.51 * knobs.step + 1e-9 * (1.0 + np.abs(u)), away / knobs.slew_per_s, 0.0)))

    def _arrive(self) -> tuple[int, float, bool]:
        """Let time pass until knobs that slew stand at their setpoints; ticks, seconds, and whether they do."""
        if not self._slews:
            return 0, 0.0, True
        ticks, passed, limit = 0, 0.0, math.inf
        while True:
            passed += self.session.advance().dt
            ticks += 1
            left = self._away()
            if left == 0.0:
                return ticks, passed, True
            if ticks == 1:  # how long it may take follows from how far it still is
                limit = 1.5 * left + 5.0 * (self.info.tick_s or 0.01)
            elif passed > limit:
                return ticks, passed, False

    def _by_equations(self) -> Rest:
        """Find the equilibrium with theta fixed (eq. 10) by the equations; nothing moves and no time passes."""
        session, beta = self.session, self.beta
        targets = self.targets if beta else None
        states = session.device_call("equilibrium", self.theta, self.inputs, targets, beta)
        outputs = np.asarray(session.device_call("outputs_of", states))
        none = np.zeros(outputs.shape[1])
        readout = Readout(math.nan, 0.0, outputs, self.theta, none, None)
        return Rest(readout, None, "equations", True, 0, 0.0, states)

    # reading
    def read(self, reads: Sequence[Readable], rest: Rest, average: int = 1) -> tuple[Array, Array, int]:
        """Read at a point: means and standard deviations, shape (reads,), and how many readings they are of.

        One reading is that with which the phase ended, which is a window's mean where there is noise. More of them are taken
        tick by tick after it, or where a loop holds theta each at the end of another hold, so that `held` and `hold_error` are
        those of the readings. A frame that is not fresh is no reading.
        """
        if average == 1 or self.mode == "locked":
            return self._values(reads, rest, rest.readout), np.full(len(reads), np.nan), 1
        rows: list[Array] = []
        for _ in range(LATER * average):
            if self._another(rest):
                rows.append(self._values(reads, rest, rest.readout))
            if len(rows) == average:
                break
        if not rows:
            return np.full(len(reads), np.nan), np.full(len(reads), np.nan), 0
        table = np.array(rows)
        spread = table.std(axis=0, ddof=1) if len(rows) > 1 else np.full(len(reads), np.nan)
        return table.mean(axis=0), spread, len(rows)

    def _another(self, rest: Rest) -> bool:
        """Go on to another reading; whether it is fresh. A point is settled if every one of its readings was."""
        new = self._phase(wait=True) if self._loops else self.tick()
        rest.readout, rest.ticks, rest.duration_s = new.readout, rest.ticks + new.ticks, rest.duration_s + new.duration_s
        if new.report is None:
            return not new.readout.flags & (Flag.STALE | Flag.LOST)
        rest.report = new.report
        if rest.settled:
            rest.verdict, rest.settled = new.verdict, new.settled
        return new.report.verdict is not Verdict.STALE

    def _values(self, reads: Sequence[Readable], rest: Rest, readout: Readout) -> Array:
        session = self.session
        if wants(reads, "u") and self.mode != "locked" and self._reported is None:
            self._reported = session.controls()
        energy = wants(reads, "energy")
        theta = self._theta_of(readout) if energy or wants(reads, "theta") else None
        moment = Moment(
            readout=readout,
            theta=theta,
            controls=self._reported,
            targets=self.targets,
            beta=self.beta,
            report=rest.report,
            ticks=rest.ticks,
            duration_s=rest.duration_s,
        )
        if energy:
            states = rest.states
            if states is None:
                targets = self.targets if self.beta else None
                states = session.device_call("equilibrium", theta, self.inputs, targets, self.beta)
            moment.energy = float(session.device_call("energy", theta, self.inputs, states))
        return values(reads, moment, self.info)

    def _theta_of(self, readout: Readout) -> Array:
        return self.session.parameters() if readout.parameters is None else readout.parameters

    def readbacks(self, moved: Sequence[Settable], rest: Rest) -> Array:
        """Get what the device reports of what was set, shape (moved,): the mean of several places; nan for nothing."""
        made = np.full(len(moved), np.nan)
        controls = self._reported  # of this moment, unless time passed since
        for k, one in enumerate(moved):
            if one.kind is Kind.CONTROL:
                controls = self.session.controls() if controls is None else controls
                made[k] = controls[one.where].mean()
            elif one.kind is Kind.THETA and self.mode != "locked":
                made[k] = self._theta_of(rest.readout)[one.where].mean()
        return made

    # the end
    def back(self) -> bool:
        """Take the nudge off, put everything back where it stood when the stage began, and let it come to rest there.

        Returns:
            Whether it did come to rest.
        """
        session, begun = self.session, self.begun
        session.release()
        if self.mode == "locked":
            return True
        self._settings_back()
        self.settings, self.beta, self.coupling = {}, 0.0, float(begun["coupling"])
        self.inputs = session.info.inputs_at_rest if begun["inputs"] is None else np.array(begun["inputs"])
        self.u = None if begun["u"] is None else np.array(begun["u"])
        self.theta = None if begun["theta"] is None else np.array(begun["theta"])
        self.apply()
        rest = self.settle()
        if self.inside and self.mode == "frozen" and self.theta is not None:
            session.device_call("write_parameters", self.theta)
            session.adjusted.u = None
        return rest.settled

    def left(self) -> None:
        """Take the nudge off where a stage is left in its middle; what moves nothing is again what it was.

        That is the target of theta, the settings of the loops and the coupling; knobs and inputs stay where they are.
        """
        session = self.session
        for put in (session.release, self._target_back, self._settings_back, self._coupling_back):
            with suppress(ProtocolError, BackendError):
                put()
        coupling = session.adjusted.coupling
        if coupling != self.begun["coupling"]:  # a device that is frozen has it as it is
            with suppress(ProtocolError):
                session.say("warning", "coupling", f"The coupling stays at {coupling:g} times that of the device.")

    def _target_back(self) -> None:
        session = self.session
        if not self.inside and self.begun["theta"] is not None:
            session.target = np.array(self.begun["theta"], dtype=self.info.dtype)
            session.operator.set_target(session.target)  # type: ignore[attr-defined]

    def _settings_back(self) -> None:
        loops = self.session.adjusted.loops
        for name, value in self.begun["settings"].items():
            loop, _, key = name.partition(".")
            loops = {**loops, loop: loops[loop].model_copy(update={key: value})}
        self.session.adjusted.put_back(loops)

    def _coupling_back(self) -> None:
        adjusted, coupling = self.session.adjusted, float(self.begun["coupling"])
        if adjusted.coupling != coupling:
            adjusted.scale_coupling(coupling)

    def leave(self, why: BaseException, *, back: bool) -> None:
        """Leave a stage that ends early: back where it began if that was asked for at a boundary, else with the nudge off."""
        at_boundary = isinstance(why, Interrupted) and not self.session.requests.abort and not self.session.requests.freeze
        if back and at_boundary:
            with suppress(Interrupted, ProtocolError, BackendError):
                self.back()
                return
        self.left()


def one_number(values: Array) -> float:
    """Say several places as one number, as the record has it: theirs where they agree, else their mean."""
    flat = np.ravel(values)
    return float(flat[0] if (flat == flat[0]).all() else flat.mean())


def described(session: RunSession) -> Described:
    """Get what the open device says of itself."""
    return Described(session.info, session.abilities)


def _inputs_now(session: RunSession) -> Array:
    now = session.adjusted.inputs
    return session.info.inputs_at_rest if now is None else np.array(now)
