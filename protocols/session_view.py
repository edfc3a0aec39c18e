"""What a window shows of a session, in one cheap look: made of what was read anyway, without a word to the device.

It may be asked for by any thread, also while a loop runs. What is not known is None or nan, never made up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Clock, Flag, Readout
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.gains import Trial
from aeqlab.protocols.knob_verdicts import knob_verdicts
from aeqlab.protocols.limits import bare
from aeqlab.protocols.status import SessionEvent, SessionStatus
from aeqlab.protocols.tolerance import allowed_error

if TYPE_CHECKING:
    from aeqlab.protocols.session import Session

Array = NDArray[Any]
MOST = 4096  #: rows longer than this are left out of a look
WANTED_S = 1.0  #: for so long after a look the knobs are read back for the next one, between ticks, ...
EVERY_S = 0.03  #: ... so often at most
GUARDS_S = 0.2  #: interlocks and monitors are looked at so often at most, and after every new reading


@dataclass(frozen=True, slots=True)
class InterlockView:
    """An interlock: its condition and action, whether it is tripped (None: nothing was read yet) and why, and what it reads.

    `values` has value, unit and age in s by name; empty where it reads more than eight, as limits of all parameters do.
    """

    name: str
    when: str
    action: str
    tripped: bool | None
    why: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SessionView:
    """Everything at one moment. Rows of more than 4,096 are None; `info` of the session has names, units and limits.

    Attributes:
        status: where the session stands, its alarms counted.
        readout: the last one, with the ages of its values when it came; `since_s`: how long ago that was on the wall; nan: never.
        units: of controls, inputs, outputs and parameters.
        setpoints: control knobs as last commanded, shape (controls,); None before the first command.
        readbacks: as the device reports them; `readbacks_s`: how old that is, on the wall.
        inputs: as presented last, shape (samples, inputs); None where that is not known, as after a freeze that rests them.
        target, tolerance, error: of every parameter, where theta is to be held; error is theta - target of the last reading.
        verdicts: of every parameter: held, not held, saturated, slewing, oscillating or unknown; see `knob_verdicts`.
        owners: who owns each control knob: nobody, loop, or a name.
        trial, gains_version: trial of gains that is on; a number that changes when `gains` has something new.
        interlocks, monitors: conditions; value, unit and age in s of each monitor by name.
        skipped, period_s, jitter_s: periods missed so far; median length of the last ticks and its standard deviation, in s of
            the device; None and nan where the device does not count them.
        events, next_event: what happened from the number on that was asked for, and the number of the next.
    """

    status: SessionStatus
    readout: Readout | None
    since_s: float
    units: dict[str, str]
    setpoints: Array | None
    readbacks: Array | None
    readbacks_s: float
    inputs: Array | None
    target: Array | None
    tolerance: Array | None
    error: Array | None
    verdicts: tuple[str, ...]
    owners: tuple[str, ...]
    trial: Trial | None
    gains_version: int
    interlocks: tuple[InterlockView, ...] = ()
    monitors: dict[str, Any] = field(default_factory=dict)
    skipped: int | None = None
    period_s: float = float("nan")
    jitter_s: float = float("nan")
    events: tuple[SessionEvent, ...] = ()
    next_event: int = 0


class Viewer:
    """Makes the looks at one session, and remembers what only the owner of the device may ask it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.wanted = False  #: whether somebody looked lately; the owner looks at this at every tick
        self._wanted_until = 0.0
        self._taken_at = 0.0
        self._readbacks: tuple[Readout | None, Array, float] | None = None  # after which reading, what, when
        self._guards: tuple[Readout | None, float, tuple[InterlockView, ...], dict[str, Any]] | None = None

    def between_ticks(self) -> None:
        """Called by the owner at every tick while somebody looks: read the knobs back, which costs the device nothing."""
        now = time.monotonic()
        if now > self._wanted_until:
            self.wanted = False
        elif now - self._taken_at >= EVERY_S:
            self._read_back(now)

    def view(self, status: SessionStatus, events: tuple[SessionEvent, ...] = (), next_event: int = 0) -> SessionView:
        """Look, from any thread.

        Args:
            status: of the session, with its clients.
            events, next_event: what is new.
        """
        session, now = self._session, time.monotonic()
        session.trials.look_at_time()
        self.readbacks(now)
        device, info = session.device, session.info
        newest, came = device.newest, device.newest_at
        since_s = now - came if newest is not None else float("nan")
        readbacks, at = (self._readbacks[1], self._readbacks[2]) if self._readbacks is not None else (None, float("nan"))
        interlocks, monitors = self._watched(newest, now)
        skipped, period_s, jitter_s = _pace(device)
        small = max(len(info.controls), info.n_parameters) <= MOST
        target, tolerance, error = _held(session, newest) if small else (None, None, None)
        setpoints = getattr(device, "setpoints", None)
        return SessionView(
            status=status,
            readout=_small(newest),
            since_s=since_s,
            units=_units(session),
            setpoints=None if setpoints is None or not small else np.array(setpoints),
            readbacks=readbacks if small else None,
            readbacks_s=now - at,
            inputs=session.inputs if session.inputs is not None and session.inputs.size <= MOST else None,
            target=target,
            tolerance=tolerance,
            error=error,
            verdicts=knob_verdicts(session, newest, self._age_s(since_s), target, tolerance, readbacks) if small else (),
            owners=session.owners() if small else (),
            trial=session.trials.trial(),
            gains_version=session.trials.version,
            interlocks=interlocks,
            monitors=monitors,
            skipped=skipped,
            period_s=period_s,
            jitter_s=jitter_s,
            events=events,
            next_event=next_event,
        )

    def readbacks(self, now: float | None = None) -> Array | None:
        """Get the control knobs as the device reported them last; None where nobody looked yet and a loop is busy."""
        now = time.monotonic() if now is None else now
        self._wanted_until, self.wanted = now + WANTED_S, True
        if self._session.lock.acquire(blocking=False):  # nobody else works with the device now
            try:
                self._read_back(now)
            finally:
                self._session.lock.release()
        return None if self._readbacks is None else np.array(self._readbacks[1], dtype=np.float64)

    def _age_s(self, since_s: float) -> float:
        """Say how much older a reading is by now, in s of the device."""
        info = self._session.info
        return since_s * info.speed if info.clock is Clock.WALL else 0.0

    def _read_back(self, now: float) -> None:
        device = self._session.device
        newest = device.newest
        if device.closed or (self._readbacks is not None and self._readbacks[0] is newest and newest is not None):
            return
        self._taken_at = now
        try:
            self._readbacks = newest, np.array(device.controls()), now
        except BackendError:  # whoever drives it will tell
            return

    def _watched(self, newest: Readout | None, now: float) -> tuple[tuple[InterlockView, ...], dict[str, Any]]:
        session = self._session
        if "Monitored" not in session.abilities:
            return (), {}
        known = self._guards
        if known is not None and known[0] is newest and now - known[1] < GUARDS_S:
            return known[2], known[3]
        device: Any = session.device
        readings = device.monitored()
        looks = []
        for one in session.guards():
            why = "" if newest is None else one.tripped(readings)
            values = {name: tuple(readings[name]) for name in one.names if name in readings} if len(one.names) <= 8 else {}
            looks.append(InterlockView(one.name, one.when, one.action, None if newest is None else bool(why), why, values))
        read = session.info.n_parameters + len(session.info.outputs)
        monitors = {name: tuple(value) for name, value in list(readings.items())[read:]}
        self._guards = newest, now, tuple(looks), monitors
        return tuple(looks), monitors


def _held(session: Session, newest: Readout | None) -> tuple[Array | None, Array | None, Array | None]:
    """Get target, tolerance and error of theta; None where theta is not to be anywhere, or was not read."""
    controller = session.controller
    target = controller.target
    if target is None or session.holds_inside or not controller.prepared:
        return None, None, None
    tolerance = session.tolerance()
    if tolerance is None:
        tolerance = allowed_error(session.homeostasis, controller, target, 1.0)
    error = None
    if newest is not None and newest.parameters is not None:
        error = np.asarray(newest.parameters, dtype=np.float64) - target
        if newest.flags & (Flag.LOST | Flag.AWAY):
            error = np.full_like(error, np.nan)
    return target.copy(), np.array(tolerance), error


def _small(readout: Readout | None) -> Readout | None:
    """Get a readout without rows that are too long to be looked at many times a second."""
    if readout is None:
        return None
    if readout.parameters is not None and len(readout.parameters) > MOST:
        readout = readout._replace(parameters=None, parameter_ages_s=None)
    return readout._replace(outputs=readout.outputs[:1]) if readout.outputs.size > MOST else readout


def _units(session: Session) -> dict[str, str]:
    info = session.info
    parameters = info.parameters[0].unit if info.parameters else "1"
    return {"controls": info.controls.unit, "inputs": info.inputs.unit, "outputs": info.outputs.unit, "parameters": parameters}


def _pace(device: Any) -> tuple[int | None, float, float]:
    """Get periods that were skipped, the usual length of a tick and how much it differs; None and nan where nobody counts."""
    pace = getattr(bare(device), "pace", None)
    return (None, float("nan"), float("nan")) if pace is None else pace()
