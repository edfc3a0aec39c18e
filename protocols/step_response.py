"""Step responses: a quantity goes up by a step and back, tick by tick read along, and what it did is fitted.

What the stage `step-response` does. A control knob or an input knob is stepped under standing knobs, theta floating; a target of
theta under homeostasis, whose answer it is then. Several places step each from its own value.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Flag
from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.quantities import Kind, Settable, settable
from aeqlab.protocols.readings import readables
from aeqlab.protocols.record import PointRow
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.scanning import point_row, record_scan
from aeqlab.protocols.setpoint_modes import Mode
from aeqlab.protocols.setpoints import Rest, Setpoints, described, one_number
from aeqlab.protocols.stages.scan import MOST_POINTS, Axis
from aeqlab.protocols.stages.step_response import StepResponseOptions
from aeqlab.protocols.step_fit import StepFit, fit_step

Array = NDArray[Any]
Reading = tuple[float, Array]  # time of the device, what was read
BEFORE = 4  #: readings before an edge that say where it begins
LAGS = 10.0  #: followed where nobody says how long
FEWEST = 8  #: ticks of a course
PARTS = 100  #: of a course, on a device without ticks of its own
REACHED = 0.95  #: share of the change that must have come


class StepResponse:
    """One stage of steps up and back."""

    def __init__(self, session: RunSession, options: StepResponseOptions) -> None:
        device = described(session)
        self.session, self.options, self.info = session, options, session.info
        self.one = settable(options.quantity, device)
        self.reads = readables(options.read or default_reads(self.one), device)
        self.held = self.one.kind is Kind.THETA
        slew = self.one.slew_per_s
        self.ramp_s = abs(options.size) / slew if np.isfinite(slew) else 0.0
        self.seconds = self._seconds()
        self.points, self.passed = 0, 0.0
        self._at = np.nan  # what the device reports of the quantity before an edge
        self.fits: dict[str, list[StepFit]] = {one.name: [] for one in self.reads}
        self.steps: list[float] = []  # what the quantity really changed by at each edge

    def run(self) -> dict[str, Any]:
        """Step so often, fit, and bring the quantity back."""
        session, options = self.session, self.options
        mode: Mode = "homeostasis" if self.held else "frozen"
        setpoints = session.between_samples(lambda: Setpoints(session, mode, options.sample, [self.one]))
        base = setpoints.stands_at(self.one)
        if why := self.one.refusal(base + options.size):
            raise CapabilityError(f"step-response: {why}")
        ends = [one_number(base), one_number(base + options.size)]
        scan = record_scan(session, [Axis(quantity=self.one.name, values=ends)], [self.one], self.reads, ())
        edges = 2 * options.repeats
        session.status.count(0, edges)
        done = 0
        try:
            before = session.between_samples(lambda: self._rest(setpoints, base))
            while done < edges:
                session.point_for_retry()
                up = done % 2 == 0
                value = base + options.size if up else base
                rows = session.sample(partial(self._edge, setpoints, scan, value, up, before))
                if rows is None:  # frozen and continued meanwhile: from rest, this edge again
                    other = base if up else base + options.size
                    before = session.between_samples(partial(self._rest, setpoints, other))
                    continue
                written, before = rows
                session.record.points(written)
                self.points += len(written)
                done += 1
                session.status.done = done
        except BaseException as exc:
            setpoints.leave(exc, back=True)
            raise
        back = session.between_samples(setpoints.back)
        return self._found(back)

    def _seconds(self) -> float:
        options, info, response = self.options, self.info, self.info.response
        tick = info.tick_s or (1.0 if info.settles_at_once else 0.0)
        if options.seconds is not None:
            seconds = options.seconds
        elif info.settles_at_once:
            seconds = FEWEST * tick
        elif response is None:
            raise CapabilityError(
                f"step-response: {info.name} does not say how fast it answers. Say how long to follow: seconds."
            )
        else:
            lag = float(np.max(response.lag_s)) + float(np.max(response.dead_time_s))
            seconds = LAGS * lag + self.ramp_s
            tick = tick or lag / 4
        ticks = max(FEWEST, seconds / tick if tick else PARTS)
        if 2 * options.repeats * ticks > MOST_POINTS:
            raise CapabilityError(
                f"step-response: {2 * options.repeats} courses of {seconds:g} s are more than {MOST_POINTS:,} ticks. Follow them "
                "for a shorter time, or repeat less often."
            )
        return seconds

    def _rest(self, setpoints: Setpoints, value: Array) -> list[Reading]:
        """Let it come to rest before an edge, and read there; time of the device and what is read."""
        setpoints.put(self.one, value)
        setpoints.apply()
        rest = setpoints.settle()
        self._at = float(setpoints.readbacks([self.one], rest)[0])
        made = [(float(rest.readout.t), setpoints.read(self.reads, rest)[0])]
        for _ in range(0 if self.held else BEFORE - 1):
            rest = setpoints.tick()
            made.append((float(rest.readout.t), setpoints.read(self.reads, rest)[0]))
        return made

    def _edge(
        self, setpoints: Setpoints, scan: int, value: Array, up: bool, before: list[Reading]
    ) -> tuple[list[PointRow], list[Reading]]:
        """Step, follow, and fit; rows of the ticks, and the last readings, which are those before the next edge."""
        began = before[-1][0]
        setpoints.put(self.one, value)
        setpoints.apply()
        course = self._held_course(setpoints) if self.held else self._course(setpoints, began)
        asked, way = np.array([one_number(value)]), int(np.sign(self.options.size)) * (1 if up else -1)
        nothing = np.full(len(self.reads), np.nan)
        rows = [
            point_row(self.session, scan, self.points + k, asked, readback, read, nothing, 1, rest, way)
            for k, (rest, readback, read, _) in enumerate(course)
        ]
        good = [(float(rest.readout.t), read) for rest, _, read, fresh in course if fresh]
        if len(good) < BEFORE:
            raise CapabilityError(
                f"step-response: {len(good)} fresh readings of a course are too few to fit; follow it longer: seconds."
            )
        t = np.array([at - began for at, _ in (*before, *good)])
        table = np.array([read for _, read in (*before, *good)])
        for k, one in enumerate(self.reads):
            self.fits[one.name].append(fit_step(t, table[:, k], self.ramp_s))
        last = float(course[-1][1][0])
        reported = self.one.kind is Kind.CONTROL and np.isfinite(last) and np.isfinite(self._at)
        self.steps.append(last - self._at if reported else (self.options.size if up else -self.options.size))
        self._at = last
        return rows, good[-BEFORE:]

    def _course(self, setpoints: Setpoints, began: float) -> list[tuple[Rest, Array, Array, bool]]:
        """Read tick by tick, loops standing still: rest, readback, what is read, and whether it is fresh."""
        made: list[tuple[Rest, Array, Array, bool]] = []
        passed = 0.0
        while passed < self.seconds * (1 - 1e-9) or len(made) < FEWEST:
            rest = setpoints.tick(None if self.info.tick_s or self.info.settles_at_once else self.seconds / PARTS)
            readout = rest.readout
            passed = readout.t - began
            read, _, _ = setpoints.read(self.reads, rest)
            self.passed += readout.dt
            made.append((rest, setpoints.readbacks([self.one], rest), read, not readout.flags & (Flag.STALE | Flag.LOST)))
        return made

    def _held_course(self, setpoints: Setpoints) -> list[tuple[Rest, Array, Array, bool]]:
        """Let homeostasis bring theta to its target, and take the course of that hold."""
        session = self.session
        if not session.traces(True):
            raise CapabilityError(
                f"step-response: the session of {self.info.name} gives no courses of a hold. Step a control knob."
            )
        rest = setpoints.settle()
        self.passed += rest.duration_s
        phase = next(phase for phase in session.take_traces() if phase["phase"] == "hold")
        target = session.target
        assert target is not None
        made = []
        for t, error, u in zip(phase["t"], phase["error"], phase["u"], strict=True):
            at = Rest(rest.readout._replace(t=float(t)), rest.report, rest.verdict, rest.settled, 1, 0.0)
            rows = {"theta": target + error, "u": u}
            read = np.array([float(rows[one.what][one.place]) for one in self.reads])
            made.append((at, np.array([float(rows["theta"][self.one.where].mean())]), read, True))
        return made

    def _found(self, back: bool) -> dict[str, Any]:
        """Say gain, lag and dead time of every reading, each a mean over the edges with its standard error."""
        steps = np.array(self.steps)
        found: dict[str, Any] = {"edges": len(steps), "size": self.options.size, "ticks": self.points, "came_back": back}
        found["tick_s"] = tick_s = self.passed / max(1, self.points)  # what is faster than this cannot be told
        found["fits"] = {one.name: self._of(self.fits[one.name], steps, tick_s) for one in self.reads}
        said = self._said()
        if said:
            found["device_says"] = said
        reached = [fit["reached"] for fit in found["fits"].values() if fit["reached"] is not None]
        found["reached"] = bool(reached) and all(reached)
        if reached and not found["reached"]:
            text = "step-response: at its end a course was still on its way, so gain and lag are uncertain. Give it more seconds."
            self.session.say("warning", "not reached", text)
        return found

    def _of(self, fits: list[StepFit], steps: Array, tick_s: float) -> dict[str, Any]:
        answers = [fit for fit in fits if np.isfinite(fit.lag_s)]
        gains = np.array([fit.change for fit in fits]) / steps
        made: dict[str, Any] = {"gain": float(gains.mean()), "gain_error": _error(gains)}
        if len(answers) < len(fits):  # it does not answer, or not always: no lag can be told
            return {**made, "lag_s": None, "lag_s_error": None, "dead_time_s": None, "dead_time_s_error": None, "reached": None}
        fast = np.mean([fit.lag_s for fit in answers]) < tick_s  # then nobody saw when within a tick it happened
        for name in ("lag_s", "dead_time_s"):
            values = np.array([getattr(fit, name) for fit in answers])
            error = _error(values)
            made |= {name: float(values.mean()), f"{name}_error": max(error or 0.0, tick_s / np.sqrt(12.0)) if fast else error}
        return {**made, "reached": bool(min(fit.reached for fit in answers) >= REACHED)}

    def _said(self) -> dict[str, float]:
        """Get what the device says of the stepped knob itself, for comparison."""
        response = self.info.response
        if response is None or self.one.kind is not Kind.CONTROL:
            return {}
        where = self.one.where
        names = ("gain", "lag_s", "dead_time_s")
        return {name: float(np.mean(np.asarray(getattr(response, name))[where])) for name in names}


def default_reads(one: Settable) -> list[str]:
    """Choose what is read where nobody says: the parameters of the same places, or the outputs."""
    if one.kind is Kind.INPUT or len(one.where) > 64:
        return ["s"]
    return [f"theta[{k}]" for k in one.where.tolist()]


def _error(values: Array) -> float | None:
    """Get the standard error of a mean; None where one value says nothing of it."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
