"""Ramping: one quantity is moved evenly while the device's time passes, and read along; what the stage `ramp` does.

Several places go each from its own value, so that they arrive together. Under standing knobs it moves at every tick. Where
homeostasis holds theta it moves at every hold, as far as its time has come.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.quantities import settable
from aeqlab.protocols.readings import readables
from aeqlab.protocols.record import PointRow
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.scanning import point_row, record_scan
from aeqlab.protocols.setpoint_modes import mode_of
from aeqlab.protocols.setpoints import Rest, Setpoints, described, one_number
from aeqlab.protocols.stages.ramp import RampOptions
from aeqlab.protocols.stages.scan import MOST_POINTS, Axis

Array = NDArray[Any]
READINGS = 100  #: where nobody says how often
PARTS = 200  #: of the way, on a device without ticks of its own
LEAST_PART = 1e-4  #: of the whole time passes with every step at least, so that a device whose time stands still comes to an end


class Ramping:
    """One ramp."""

    def __init__(self, session: RunSession, options: RampOptions) -> None:
        device = described(session)
        self.session, self.options = session, options
        self.one = settable(options.quantity, device)
        self.reads = readables(options.read, device)
        self.mode = mode_of(options.parameters, [self.one.kind])
        self.start: Array = np.zeros(0)  #: where every place began, as `Setpoints.stands_at`; shape () for all alike
        self.value: Array = np.zeros(0)  #: where every place is asked to be by now
        self.seconds = self.every = self.tick = 0.0
        self.passed = 0.0  #: seconds of the device since it began
        self.points = self.unsettled = 0
        self.next = 0.0
        self.arrived = False

    def run(self) -> dict[str, Any]:
        """Ramp to the end and stay there."""
        session, options = self.session, self.options
        kept = session.resumed_state()
        setpoints = session.between_samples(
            lambda: Setpoints(session, self.mode, options.sample, [self.one], None if kept is None else kept["begun"])
        )
        begins = options.start if kept is None else kept["start"]
        self.start = setpoints.stands_at(self.one) if begins is None else np.array(begins, dtype=np.float64)
        self._pace()
        if kept is None:
            axis = Axis(quantity=self.one.name, values=[one_number(self.start), options.to])
            scan = record_scan(session, [axis], [self.one], self.reads, ())
        else:
            scan, self.passed, self.next = int(kept["scan"]), float(kept["passed"]), float(kept["next"])
            self.points, self.unsettled = int(kept["points"]), int(kept["unsettled"])
        try:
            if kept is None:
                session.between_samples(lambda: self._begin(setpoints))
            session.keep_in_checkpoints(
                lambda: {
                    "scan": scan,
                    "start": self.start,
                    "begun": setpoints.begun,
                    "passed": self.passed,
                    "next": self.next,
                    "points": self.points,
                    "unsettled": self.unsettled,
                }
            )
            whole = kept is not None and not session.restores_device()
            while not self.arrived:
                session.point()
                rest = session.sample(lambda whole=whole: self._step(setpoints, whole))  # type: ignore[misc]
                whole = rest is None  # frozen and continued meanwhile: everything is told anew
                if rest is not None:
                    self._note(setpoints, scan, rest)
        except BaseException as exc:
            setpoints.leave(exc, back=False)
            raise
        session.release()
        if self.unsettled:
            session.say("warning", "not settled", f"ramp: {self.unsettled} of {self.points} points were not held.")
        return {
            "from": one_number(self.start),
            "to": options.to,
            "took_s": self.passed,
            "points": self.points,
            "unsettled": self.unsettled,
            "parameters": self.mode,
        }

    def _pace(self) -> None:
        """Work out how long it takes, and refuse what is faster than a place of the quantity can go."""
        options, one = self.options, self.one
        ways = np.abs(options.to - self.start)
        self.seconds = options.seconds or float(ways.max()) / (options.rate_per_s or 1.0)
        needed = ways / one.slews
        if (needed > self.seconds * (1 + 1e-9)).any():
            k = int(np.argmax(needed)) % len(one.slews)
            raise CapabilityError(
                f"ramp: {one.place(k)} would go {needed.max() * one.slews[k] / self.seconds:g} {one.unit}/s, and it slews at "
                f"{one.slews[k]:g} {one.unit}/s. Give it {needed.max():.4g} s or more."
            )
        self.tick = self.session.info.tick_s or self.seconds / PARTS
        self.every = options.every_s or self.seconds / READINGS
        if self.seconds > MOST_POINTS * self.tick:
            raise CapabilityError(
                f"ramp: {self.seconds:g} s are more than {MOST_POINTS:,} ticks of {self.tick:g} s. Go faster, or in parts."
            )

    def _begin(self, setpoints: Setpoints) -> None:
        setpoints.put(self.one, self.start)
        setpoints.apply()
        setpoints.settle()

    def _step(self, setpoints: Setpoints, whole: bool) -> Rest:
        """Move by what is due until the end of the next tick, and let it pass."""
        session, to = self.session, self.options.to
        due = (self.passed + self.tick) / self.seconds if self.seconds else 1.0
        self.value = np.full_like(self.start, to) if due >= 1.0 - 1e-12 else self.start + (to - self.start) * due
        setpoints.put(self.one, self.value)
        setpoints.apply(None if whole else self.one.kind)
        if self.mode == "homeostasis":
            return setpoints.settle()
        return setpoints.tick(self.tick if self.tick and session.info.tick_s is None else None)

    def _note(self, setpoints: Setpoints, scan: int, rest: Rest) -> None:
        """Count the time that passed, and write a reading down where it is due; the last one always."""
        session = self.session
        self.passed += max(rest.duration_s, LEAST_PART * self.seconds)
        self.arrived = bool((self.value == self.options.to).all())
        if self.passed < self.next and not self.arrived:
            return
        self.next = max(self.next + self.every, self.passed)
        row: PointRow = session.between_samples(lambda: self._row(setpoints, scan, rest))
        session.record.point(row)
        self.points += 1
        self.unsettled += not rest.settled
        session.status.values[self.one.name] = one_number(self.value)
        session.status.done = self.points

    def _row(self, setpoints: Setpoints, scan: int, rest: Rest) -> PointRow:
        ways = set(np.ravel(np.sign(self.options.to - self.start)).tolist())
        way = int(ways.pop()) if len(ways) == 1 else 0
        asked = np.array([one_number(self.value)])
        means, spread, readings = setpoints.read(self.reads, rest)
        readbacks = setpoints.readbacks([self.one], rest)
        return point_row(self.session, scan, self.points, asked, readbacks, means, spread, readings, rest, way)
