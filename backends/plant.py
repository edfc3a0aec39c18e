"""The plant: one slow, noisy physical system with its knobs, converters and journal, as the emulated hardware has them.

It knows nothing of sessions and protocols. It takes orders (knob values, a time to wait), lets time pass, gives readings, and
keeps its outputs and its nudge as they are when nobody talks to it (`when_silent: holds`). It can stand inside a process, or be
served by one of its own that outlives its clients (`plant_process`). Its clock is virtual, moved by orders alone, or the
one on the wall, which it catches up with whenever it is spoken to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends import journal as rows
from aeqlab.backends.dac import Dac
from aeqlab.backends.device import Clock, Flag
from aeqlab.backends.errors import DeviceConfigError, DivergedError, LimitError, UserCodeError
from aeqlab.backends.frames import Past, Reader
from aeqlab.backends.integration import integrate
from aeqlab.backends.journal import JournalWriter
from aeqlab.backends.modes import CELLS
from aeqlab.backends.plant_build import build, describe
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.backends.streams import restore_stream, stream, stream_state

Array = NDArray[np.float64]

STATE_FORMAT = "aeqlab-plant-1"
#: A plant on the wall clock that slept longer than this many of its slowest time constants is at rest, but for its drift.
SLEPT = 40.0


class Order(NamedTuple):
    """What an exchange brings: knob values in V that change (None: they stay), and the least time to let pass, in s.

    Shapes (X,), (K,), (Y,). `beta` None leaves the nudge as it is; 0 takes it off.
    """

    seconds: float
    inputs: Array | None = None
    controls: Array | None = None
    targets: Array | None = None
    beta: float | None = None


class Reading(NamedTuple):
    """What an exchange gives: time and what passed of it, one frame of readings with its age, and the knobs' readback."""

    t: float
    dt: float
    outputs: Array
    parameters: Array
    age_s: float
    flags: Flag
    controls: Array


class Plant:
    """The physical system.

    Args:
        settings: its description.
        seed: of its noise, drift, faults and spread.
        base: folder from which paths in the settings count.
        journal: folder of its journal, None for none.
    """

    def __init__(self, settings: SlowSettings, *, seed: int, base: Path, journal: Path | None = None) -> None:
        self.settings = settings
        self.seed = seed
        built = build(settings, seed=seed, base=base)
        self.motion = built.motion
        self.dac: Dac = built.dac
        self.reader: Reader = built.reader
        self.description = describe(settings, built, seed)
        self._index = built.read_index
        self._n_outputs = len(built.motion.energy.outputs)
        self._x_limits = (built.motion.energy.inputs.lowest, built.motion.energy.inputs.highest)
        self._u_limits = (
            built.low - 1e-12 * np.maximum(1, np.abs(built.low)),
            built.high + 1e-12 * np.maximum(1, np.abs(built.high)),
        )
        self._beta = built.beta
        self._tick_s = settings.tick_s
        self._drifts = stream(seed, "device drift")
        self._drift = np.zeros_like(built.tau_theta)
        flaws = settings.imperfections
        self._open_s = np.inf if flaws is None or flaws.settle_ticks is None else flaws.settle_ticks * settings.tick_s
        self._still_from = self._open_s  # device time from which the system stands still, until the next command
        self._longest_s = SLEPT * float(
            max(built.tau_theta.max(initial=0.0), settings.tau_state_s, settings.filter_s, settings.dead_time_s)
        )
        self._past = Past(settings.dead_time_s + settings.tick_s)
        self._step_s = settings.tau_state_s
        self._cells = np.linspace(0, 1, CELLS + 1)
        self.t = 0.0
        self.frozen = False
        self._homing = False  # on the way to rest
        self.z = self.motion.start(self.dac.rest.copy())
        self._past.add(np.zeros(1), self.z[None], np.zeros_like(self.z)[None])
        self._wall = settings.clock is Clock.WALL
        self._anchor = time.monotonic()
        self._journal: JournalWriter | None = None
        if journal is not None:
            self._journal = JournalWriter(journal, self._header(), piece_bytes=settings.journal_piece_bytes)
            self.note("start", seed=seed)
            self._journal_knobs()

    # orders
    def take(self, order: Order) -> float:
        """Set what an order brings, now; nothing is set unless all of it may be. Returns the device time it is due.

        Raises:
            LimitError: a value outside the limits of a knob or of beta, or not finite.
        """
        self._check(order)
        self.catch_up()
        if order.inputs is not None or order.controls is not None or order.beta is not None:
            self._command()
        if order.inputs is not None:
            self.motion.present(self._rounded_inputs(order.inputs))
            self._write(rows.INPUT, self.motion.x[0])
        if order.controls is not None:
            self.frozen = self._homing = False
            was_slewing = self.dac.slewing
            if self.dac.set(order.controls):
                self._write(rows.SETPOINT, self.dac.setpoint)
                if not was_slewing:
                    self._write(rows.APPLIED, self.dac.output)
        if order.beta is not None:
            if order.beta:
                self.frozen = False
            self._nudge(order.beta, order.targets)
        return self.t + max(order.seconds, self._tick_s)

    def run_until(self, due: float, beat: Callable[[], None] | None = None) -> None:
        """Let time pass until `due`; on the wall clock, until the later of it and now. `beat` is called between pieces.

        Raises:
            DivergedError: the physics ran away.
        """
        if self._wall:
            due = max(due, self.now())
        while due - self.t > 1e-9 * self._tick_s:
            self._pass(min(due - self.t, self._tick_s), due)
            if beat is not None:
                beat()

    def read(self, since: float) -> Reading:
        """Read one frame now, in an exchange that began at time `since`."""
        frame = self.reader.read(self.t, self._past, self._index)
        flags = frame.flags
        if self.dac.slewing:
            flags |= Flag.SLEWING
        if self.frozen:
            flags |= Flag.FROZEN
        n = self._n_outputs
        return Reading(self.t, self.t - since, frame.values[:n], frame.values[n:], frame.age_s, flags, self.dac.readback())

    def wait_s(self, due: float) -> float:
        """Wall time to wait until a device time; 0 on a virtual clock."""
        return max(0.0, (due - self.now()) / self.settings.speed) if self._wall else 0.0

    def now(self) -> float:
        """Get the time on the device's clock, which on the wall clock goes on by itself."""
        if not self._wall:
            return self.t
        return max(self.t, (time.monotonic() - self._anchor) * self.settings.speed)

    def catch_up(self) -> None:
        """On the wall clock, let the physics move up to now."""
        if self._wall:
            self.run_until(self.now())

    def _catch_up_if_possible(self) -> None:
        """Catch up; physics that ran away keep the outputs neither from obeying nor from being told. An exchange says it."""
        try:
            self.catch_up()
        except (DivergedError, UserCodeError):
            pass

    @property
    def unattended(self) -> bool:
        """True while a knob moves by itself on the wall clock, so that the journal wants company."""
        return self._wall and self.dac.slewing

    # safety
    def freeze(self, why: str = "freeze") -> None:
        """Take the nudge off and stop every control knob where it is, at once."""
        self._catch_up_if_possible()
        self._command()
        self._nudge(0.0, None)
        self.dac.hold()
        self.frozen, self._homing = True, False
        self._write(rows.SETPOINT, self.dac.setpoint)
        self._write(rows.APPLIED, self.dac.output)
        self.note(why)

    def begin_safe(self) -> float:
        """Freeze, then start on the way to rest, within slew. Returns the device time at which all is at rest."""
        self.freeze()
        self.motion.present(self._rounded_inputs(self.motion.energy.inputs.rest))
        self._write(rows.INPUT, self.motion.x[0])
        self.note("make_safe")
        self._homing = True
        if self.dac.set(self.dac.rest):
            self._write(rows.SETPOINT, self.dac.setpoint)
        self._arrive()
        return self.t + self.dac.time_to_arrive_s + 12 * self.settings.filter_s

    def drop_nudge(self, why: str) -> None:
        """Take the nudge off, as the hardware's own watchdog does."""
        if self.motion.beta:
            self._command()
            self._nudge(0.0, None)
            self.note(why)

    # what may be asked at any time
    def status(self) -> dict[str, Any]:
        """Get what stands on the knobs, as a tree; lets no virtual time pass."""
        self._catch_up_if_possible()
        return {
            "t": self.t,
            "setpoints": self.dac.setpoint.copy(),
            "applied": self.dac.readback(),
            "inputs": self.motion.x[0].copy(),
            "beta": self.motion.beta,
            "frozen": self.frozen,
            "slewing": self.dac.slewing,
            "journal": "none" if self._journal is None else f"failed: {self._journal.failed}" if self._journal.failed else "kept",
        }

    def monitor(self) -> dict[str, Any]:
        """Measure the control outputs with the converter of the readings (None: not wired, or the read was lost), and status."""
        status = self.status()
        volts = self.dac.filtered + self._drift
        status["measured"] = self.reader.measure(volts, self.settings.noise_V) if self.settings.monitor else None
        return status

    def truth(self) -> Array:
        """Get theta itself, shape (K,)."""
        self.catch_up()
        return self.z[self.motion.n_states :].copy()

    def states(self) -> Array:
        """Get the state itself, shape (N,)."""
        self.catch_up()
        return self.z[: self.motion.n_states].copy()

    def note(self, event: str, **details: Any) -> None:
        """Write an event into the journal."""
        if self._journal is not None:
            self._journal.event(event, self.t, **details)

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    # checkpoints
    def state(self) -> dict[str, Any]:
        """Get everything that decides the future; bit for bit on a virtual clock."""
        self.catch_up()
        self.note("state_taken")
        return {
            "format": STATE_FORMAT,
            "seed": self.seed,
            "t": self.t,
            "z": self.z.copy(),
            "step_s": self._step_s,
            "frozen": self.frozen,
            "homing": self._homing,
            "drift": self._drift.copy(),
            "drifts": stream_state(self._drifts),
            "motion": self.motion.state(),
            "dac": self.dac.state(),
            "still_from": self._still_from if self._still_from < np.inf else None,
            "past": self._past.state(),
            "reader": self.reader.state(),
            "journal_row": self._journal.row if self._journal is not None else 0,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back; the journal goes on and says from which row on it is superseded.

        Raises:
            DeviceConfigError: the state is of another device, or damaged; nothing was changed.
        """
        if not isinstance(state, dict) or state.get("format") != STATE_FORMAT:
            raise DeviceConfigError("slow device: this is not a state of a slow device")
        before = self.state()
        try:
            self._put(state)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, DeviceConfigError) as exc:
            self._put(before)
            raise DeviceConfigError(f"slow device: the state is damaged or of another device: {exc}") from exc
        self.note("restored", row=int(state["journal_row"]))
        self._journal_knobs()

    def _put(self, state: dict[str, Any]) -> None:
        z, drift = np.array(state["z"], dtype=np.float64), np.array(state["drift"], dtype=np.float64)
        if z.shape != self.z.shape or drift.shape != self._drift.shape:
            raise DeviceConfigError(f"it has {z.shape} states and parameters, this device has {self.z.shape}")
        self.dac.restore(state["dac"])
        self.reader.restore(state["reader"])
        self._past.restore(state["past"])
        self.motion.restore(state["motion"])
        restore_stream(self._drifts, state["drifts"])
        self.z, self._drift = z, drift
        self.t, self._step_s = float(state["t"]), float(state["step_s"])
        self.frozen, self._homing = bool(state["frozen"]), bool(state["homing"])
        still_from = state.get("still_from")
        self._still_from = np.inf if still_from is None else float(still_from)
        self._anchor = time.monotonic() - self.t / self.settings.speed

    # inside
    def _pass(self, dt: float, due: float) -> None:
        """Let one piece of time pass."""
        to_come = self.t < self._still_from < np.inf  # the end of what it still may move is not slept through
        if due - self.t > self._longest_s and not self.dac.slewing and not to_come:
            dt = due - self.t - 0.5 * self._longest_s  # asleep: nothing moves but the drift, and what follows it is simulated
            self._drift_on(dt)
            self.dac.move(dt)
            self.t += dt
            return
        t0, dac, motion = self.t, self.dac, self.motion
        left = self._still_from - t0
        still = left <= 1e-9 * self._tick_s
        if not still:
            dt = min(dt, left)
        self._drift_on(dt)
        ends = self._cells * dt
        path = dac.path(ends)
        if still:  # settling is cut: nothing but the knobs goes on
            self._past.add(np.array([t0, t0 + dt]), np.stack([self.z, self.z]), np.zeros((2, len(self.z))))
            self._knobs_moved(t0 + dt, dt, path[-1])
            return
        u = path + self._drift
        solved = motion.modes()
        if solved is not None:
            points, slopes = solved[0].move(self.z, solved[1], u, dt)
            times = t0 + ends
        else:
            self._step_s, ends, points, slopes = integrate(motion.rate, u, self.z, dt, self._step_s, motion.inside)
            times = t0 + ends
        largest, limit = float(np.abs(points[-1]).max()), self.settings.diverged_beyond
        if not largest <= limit and not largest < float(np.abs(self.z).max()):  # on its way back it may be that large
            raise DivergedError(f"{self.description['name']}: the state or a parameter ran away beyond {limit:g} V.")
        self.z = points[-1].copy()
        self._past.add(times, points, slopes)
        self._knobs_moved(t0 + dt, dt, path[-1])

    def _knobs_moved(self, t: float, dt: float, filtered: Array) -> None:
        """Note that time has come to t, and the knobs with it."""
        self.t = t
        if self.dac.move(dt, filtered):
            self._write(rows.APPLIED, self.dac.output)
            self._arrive()

    def _command(self) -> None:
        """Let a system whose settling is cut short move again, for its time."""
        self._still_from = self.t + self._open_s

    def _arrive(self) -> None:
        """Note the end of a ramp to rest, once."""
        if self._homing and not self.dac.slewing:
            self._homing = False
            self.note("at_rest")

    def _drift_on(self, dt: float) -> None:
        """Move the offsets of the control outputs: Ornstein-Uhlenbeck, exact for any dt."""
        if self.settings.drift_V:
            keep = np.exp(-dt / self.settings.drift_time_s)
            kick = self.settings.drift_V * np.sqrt(1 - keep * keep)
            self._drift = keep * self._drift + kick * self._drifts.standard_normal(len(self._drift))

    def _nudge(self, beta: float, targets: Array | None) -> None:
        if targets is None and beta == self.motion.beta:
            return
        self.motion.nudge(self.motion.y if targets is None else targets[None].copy(), beta)
        self._write(rows.NUDGE, np.concatenate([[beta], self.motion.y[0]]))

    def _rounded_inputs(self, x: Array) -> Array:
        step = self.settings.dac_step_V
        if step:
            x = np.rint(x / step) * step
        return np.asarray(np.clip(x, *self._x_limits))[None]

    def _check(self, order: Order) -> None:
        """Refuse what the front end of the instrument refuses, whoever asks."""
        limits = (("input", order.inputs, *self._x_limits), ("control knob", order.controls, *self._u_limits))
        for what, values, low, high in limits:
            if values is not None and not bool(((values >= low) & (values <= high)).all()):  # nan is refused too
                raise LimitError(f"{what}: a value is outside the limits of its output. Nothing was set.")
        if order.beta is not None and not self._beta[0] <= order.beta <= self._beta[1]:
            raise LimitError(f"beta {order.beta:g} is outside {self._beta[0]:g} to {self._beta[1]:g}. Nothing was set.")
        if order.targets is not None and not bool(np.isfinite(order.targets).all()):
            raise LimitError("targets: a value is not finite. Nothing was set.")

    def _write(self, kind: int, values: Array) -> None:
        if self._journal is not None:
            self._journal.write(kind, self.t, values)

    def _journal_knobs(self) -> None:
        self._write(rows.SETPOINT, self.dac.setpoint)
        self._write(rows.APPLIED, self.dac.output)
        self._write(rows.NUDGE, np.concatenate([[self.motion.beta], self.motion.y[0]]))
        self._write(rows.INPUT, self.motion.x[0])

    def _header(self) -> dict[str, Any]:
        controls = self.description["controls"]
        return {
            "device": self.description["name"],
            "knobs": list(controls["names"]),
            "inputs": list(self.description["inputs"]["names"]),
            "unit": self.description["unit"],
            "slew_per_s": self.dac.slew_per_s,
            "step": self.dac.step,
            "rest": self.dac.rest.tolist(),
        }
