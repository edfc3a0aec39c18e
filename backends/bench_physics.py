"""The physical system of an emulated bench: knobs driven one by one, quantities sensed one by one, time by the bench's clock.

Whatever is driven acts from the time at which it was driven; whenever something is sensed, the physics first moves on to the time
of the clock. The quantities, each counted from 0:

    u       control knobs, in V: driven; sensed behind filter and errors, as the hardware feels it, without drift and crosstalk
    x       input knobs, likewise
    i       constant forces on the outputs, as a current into each makes them: driven
    y, beta targets and strength of a nudge that hardware closes by itself, the energy beta/2 (s - y)^2: driven
    theta   parameters, s outputs: sensed as the mean over an aperture that ends now
    temperature, one, in K: sensed
"""

from __future__ import annotations

import math
import threading
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends import journal as rows
from aeqlab.backends.apertures import History
from aeqlab.backends.bench_lines import Lines
from aeqlab.backends.bench_profiles import Profile
from aeqlab.backends.costs import Cost, HalfSquaredError
from aeqlab.backends.errors import DivergedError, UserCodeError
from aeqlab.backends.integration import integrate
from aeqlab.backends.journal import JournalWriter
from aeqlab.backends.modes import CELLS, Modes
from aeqlab.backends.motion import Motion
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.streams import stream
from aeqlab.drivers.emulated.clock import Clock
from aeqlab.drivers.emulated.terminals import AGO_S

Array = NDArray[np.float64]

SAME_S = 20e-6  #: the physics does not move on by less
TOGETHER_S = 200e-6  #: what is driven within this is driven at the same time, as by one trigger
MOST_WAITING = 1000  #: so many knobs may wait to be driven until the physics moves on
#: Lines that are so near to where they go are straight for longer: the bend of a filter's tail is then below a microvolt.
CALM_V, CALM_TIMES = 1e-4, 4
#: Inputs and currents on their way are straight for so long; those that are nearer than this to where they go, as long as others.
FINE_S, FINE_V = 2e-3, 3e-3
NEAR_V = 1e-6  #: an input that is so near where it goes is as good as there: its features hardly change any more
SLEPT = 40.0  #: after so many of its slowest time constants a system that nobody moves is at rest, but for its drift
MOST_KICKS = 32  #: of so many lengths of a stretch this is kept
APERTURE_S = 4.1  #: longest aperture: 200 line cycles
MOST_AT_ONCE = 64  #: stretches in which all that drives stands still are lived together, so many at most
ROOM_K = 295.0
DAY_S = 86400.0


class Nudged(Cost):
    """Half the squared error of the outputs that hardware nudges; the others are left alone."""

    name = "half squared error of the nudged"

    def __init__(self, nudged: Array) -> None:
        self.nudged = nudged  #: 1 for each output that is nudged, else 0, shape (Y,)

    def value(self, outputs: Array, targets: Array) -> Array:
        """Compute 1/2 |s - y|^2 over the nudged ones."""
        return np.asarray(0.5 * (self.nudged * (outputs - targets) ** 2).sum(axis=1))

    def gradient(self, outputs: Array, targets: Array) -> Array:
        """Compute s - y of the nudged ones."""
        return np.asarray(self.nudged * (outputs - targets))


class BenchPhysics:
    """The system behind the terminals.

    Args:
        system: its energy, with options, coupling and epsilon; nothing else of it is used.
        profile: how imperfect it is.
        clock: of the bench.
        seed: of spreads, drift and thermal motion.
        base: folder from which paths in the settings count.
        journal: folder of the journal of its knobs and nudges; None for none.
    Raises:
        DeviceConfigError: it cannot be built.
        UserCodeError: the user's code raised.
    """

    def __init__(
        self, system: SimulatedSettings, profile: Profile, clock: Clock, *, seed: int = 0, base: Path = Path(),
        journal: Path | None = None,
    ) -> None:  # fmt: skip
        self.profile, self.clock = profile, clock
        energy = self.energy = system.build_energy(base)
        k, x, y = energy.n_parameters, len(energy.inputs), len(energy.outputs)
        softer = profile.epsilon_spread ** -stream(seed, "bench couplings").random(k)
        coupling = system.build_coupling(energy, base, softer)
        spread = stream(seed, "bench spread").uniform(-profile.tau_theta_spread, profile.tau_theta_spread, k)
        self.tau_theta = profile.tau_theta_s * (1 + spread)
        self.epsilon = coupling.epsilon
        cost = HalfSquaredError() if y == 1 else Nudged(np.zeros(y))
        self.motion = Motion(energy, coupling, cost, tau_s=profile.tau_state_s, tau_theta=self.tau_theta)
        self.counts = {"u": k, "x": x, "i": y, "y": y, "beta": 1, "theta": k, "s": y, "temperature": 1}
        self._parts = {"u": slice(0, k), "x": slice(k, k + x), "i": slice(k + x, k + x + y)}
        self._lines = Lines(k + x + y)
        self._near = np.concatenate([np.full(x, NEAR_V), np.zeros(y)])
        self._gain, self._offset = np.ones(k + x + y), np.zeros(k + x + y)
        self._cable = np.ones(k + x + y)  # what is left of it behind a cable that has failed
        self._slip, self._creep, self._shove = np.zeros(k), np.zeros(k), np.zeros(y)
        self._play = stream(seed, "bench backlash").random(k) < profile.backlash_part
        self._half_play = np.where(self._play, profile.backlash_V / 2, 0.0)
        self._plays = bool(self._play.any())
        self._felt = np.zeros(k)  # control knobs behind their play
        self._by_K = profile.drift_V_per_K * stream(seed, "bench temperature").uniform(-1, 1, k)
        self._drifts, self._thermals = stream(seed, "bench drift"), stream(seed, "bench thermal")
        self._drift = np.zeros(k)
        self.t = clock.now()
        self.z = self.motion.start(np.zeros(k))
        self._thermal = self._thermal_motion()
        self._kicks: dict[float, Array] = {}  # how far thermal motion kicks in a stretch, by how long that is in s
        slowest = max(float(self.tau_theta.max(initial=0.0)), profile.tau_state_s, profile.filter_s)
        self._longest_s = max(SLEPT * slowest, 1.1 * APERTURE_S)
        self._stretch_s = min(profile.tau_state_s, profile.tau_theta_s / 5)
        self._history = History(self.t, self.z, APERTURE_S + AGO_S)
        self._step_s = profile.tau_state_s
        self._cells = np.linspace(0.0, 1.0, CELLS + 1)
        self.saturated = False
        self.lock = threading.RLock()
        self._changed: set[int] = set()
        self._waiting: deque[tuple[float, str, int, float, float, float]] = deque()
        self._journal: JournalWriter | None = None
        if journal is not None:
            self._journal = JournalWriter(journal, self._header())
            self.note("start", seed=seed)
            self._changed = {rows.SETPOINT, rows.APPLIED, rows.NUDGE, rows.INPUT, rows.CURRENT}
            self._write()

    # what terminals do
    def drive(self, name: str, k: int, value: float, slew_per_s: float = np.inf, lag_s: float = 0.0) -> None:
        """Drive a knob from now on, no faster than the slew; two filters in a row act as one of their time constants' sum."""
        with self.lock:
            self._waiting.append((self.clock.now(), name, k, value, slew_per_s, lag_s))
            if len(self._waiting) >= MOST_WAITING:
                self.move_on()

    def sense(self, name: str, k: int, aperture_s: float, ago_s: float = 0.0) -> float:
        """Sense a quantity: its true mean over an aperture that ended so long ago; knobs and temperature as they are now."""
        with self.lock:
            self.move_on()
            if name == "temperature":
                return ROOM_K + self._warmer_K()
            if name in self._parts:
                at = self._parts[name].start + k
                return float(self._cable[at] * (self._gain[at] * self._lines.filtered[at] + self._offset[at]))
            states = self.energy.output_index[k] if name == "s" else self.energy.n_states + k
            return self._history.mean(int(states), aperture_s, ago_s)

    def wire(self, name: str, k: int, gain: float, offset: float) -> None:
        """Say what a wire, or the output at its other end, makes of what drives a knob: a gain and an offset."""
        if name in self._parts:
            at = self._parts[name].start + k
            self._gain[at], self._offset[at] = gain, offset
        elif name == "y" and isinstance(self.motion.cost, Nudged):
            self.motion.cost.nudged[k] = 1.0

    # what fails
    def jump(self, name: str, k: int, volts: float) -> None:
        """Let a control knob slip, or its parameter or an output be in another place at once, and stay there.

        A parameter goes with its knob. An output is held there by a force that bends it so far while the parameters stand still.

        Raises:
            ValueError: nothing else jumps.
        """
        if name not in ("u", "theta", "s"):
            raise ValueError(f"{name} does not jump: u, theta or s do")
        with self.lock:
            self.move_on()
            self.z = self.z.copy()
            n = self.energy.n_states
            if name != "s":
                self._slip[k] += volts
                self.z[n + k] += volts
            else:
                state = int(self.energy.output_index[k])
                hessian = self.energy.state_hessian(self.z[n:], self.motion.x, self.z[None, :n])[0]
                self._shove[k] += max(float(hessian[state, state]), 0.1) * volts
                self.z[state] += volts

    def creep(self, name: str, k: int, volts_per_s: float) -> None:
        """Let a control knob slip away from now on, at a steady pace. Raises ValueError for what does not."""
        if name != "u":
            raise ValueError(f"{name} does not drift: u does")
        with self.lock:
            self.move_on()
            self._creep[k] = volts_per_s

    def weaken(self, name: str, k: int, gain: float) -> None:
        """Let what drives a knob reach it with another gain, as a cable that is pulled or reversed does. Raises ValueError."""
        if name not in self._parts:
            raise ValueError(f"{name} has no cable")
        with self.lock:
            self.move_on()
            at = self._parts[name].start + k
            self._cable[at] = gain

    def move_on(self) -> None:
        """Let the physics move on to the time of the clock."""
        with self.lock:
            while self._waiting:
                when = self._waiting[0][0]
                self._until(when)
                while self._waiting and self._waiting[0][0] - when < TOGETHER_S:
                    self._act(*self._waiting.popleft()[1:])
            self._until(self.clock.now())

    # what is true
    @property
    def theta(self) -> Array:
        """Get the parameters as they are, shape (K,)."""
        return self.z[self.energy.n_states :].copy()

    @property
    def outputs(self) -> Array:
        """Get the outputs as they are, shape (Y,)."""
        return self.z[self.energy.output_index].copy()

    # the journal
    def note(self, event: str, **details: Any) -> None:
        """Write into the journal what happened."""
        with self.lock:
            self.move_on()
            self._event(event, **details)

    def flush(self) -> None:
        """Move on, and see that the journal holds what was driven until now."""
        with self.lock:
            self.move_on()
            self._write()

    def close(self) -> None:
        """Close the journal. May be called twice."""
        with self.lock:
            if self._journal is not None:
                self.flush()
                self._journal.close()
                self._journal = None

    # inside
    def _event(self, event: str, **details: Any) -> None:
        if self._journal is not None:
            self._journal.event(event, self.t, **details)

    def _act(self, name: str, k: int, value: float, slew_per_s: float, lag_s: float) -> None:
        """Let what was driven act from now on."""
        if name in ("y", "beta"):
            y, beta = self.motion.y.copy(), self.motion.beta
            if name == "y":
                y[0, k] = value
            else:
                beta = value
            if beta != self.motion.beta or not np.array_equal(y, self.motion.y):
                self.motion.nudge(y, beta)
                self._changed.add(rows.NUDGE)
            return
        at = self._parts[name].start + k
        if name != "i":
            slew_per_s = min(slew_per_s, self.profile.slew_V_per_s or np.inf)
            lag_s += self.profile.filter_s
        before = self._lines.setpoint[at], self._lines.output[at]
        self._lines.drive(at, value, slew_per_s, lag_s)
        if before != (self._lines.setpoint[at], self._lines.output[at]):
            self._changed |= {"u": {rows.SETPOINT, rows.APPLIED}, "x": {rows.INPUT}, "i": {rows.CURRENT}}[name]

    def _until(self, now: float) -> None:
        """Let time pass until now."""
        if now - self.t >= SAME_S:
            self._write()
            while now - self.t > 1e-3 * SAME_S:
                self._pass(now)

    def _pass(self, now: float) -> None:
        """Let one stretch of time pass, at most until now."""
        lines, motion, left = self._lines, self.motion, now - self.t
        if left > 1.5 * self._longest_s and not lines.moving:  # asleep: only the last part, of which apertures tell, is lived
            left -= self._longest_s
            self._drift_on(left)
            self.t += left
            self._history.stood(self.t, self.z)
            return
        pieces = max(1, math.ceil(left / self._straight_s() - 1e-9))
        dt = round(left / pieces, 9)  # the same to the bit where it is the same, so that modes are prepared once
        ends = self._cells * dt
        path = lines.path(ends)
        real = self._cable * (self._gain * path + self._offset)
        self._present(real[len(real) // 2])
        solved = motion.modes()
        if pieces > 1 and solved is not None and not lines.moving and not self.saturated:
            self._stand(now, real[:, self._parts["u"]], solved, pieces, dt)
            return
        self._drift_on(dt)
        u = self._pulling(self._behind_play(real[:, self._parts["u"]]), self._aside())
        try:
            if solved is not None:
                points, slopes = solved[0].move(self.z, solved[1], u, dt)
            else:
                self._step_s, ends, points, slopes = integrate(motion.rate, u, self.z, dt, self._step_s, motion.inside)
        except (DivergedError, UserCodeError) as exc:
            if not self.saturated:
                self._event("not_followed", why=str(exc))
            self.saturated, self._step_s = True, self.profile.tau_state_s
            ends, points, slopes = np.array([0.0, dt]), np.stack([self.z, self.z]), np.zeros((2, len(self.z)))
        self._history.add(self.t + ends, points, slopes)
        self.z = self._railed(points[-1] + self._kick(dt, 1)[0])
        self.t = now if pieces <= 1 else self.t + dt
        if lines.move(dt, path[-1]):
            self._changed |= {rows.APPLIED, rows.INPUT, rows.CURRENT}
            self._write()

    def _straight_s(self) -> float:
        """Get for how long, in s, all that drives may be taken for straight, and inputs and currents for still."""
        lines = self._lines
        if not lines.moving:
            return self._stretch_s * CALM_TIMES
        k = self._parts["x"].start
        behind = np.abs(lines.filtered[k:] - lines.setpoint[k:])
        if (behind > FINE_V).any() or lines.slewing[k:].any():
            return min(FINE_S, self._stretch_s)
        return self._stretch_s * (1 if lines.far(CALM_V) or (behind > self._near).any() else CALM_TIMES)

    def _present(self, real: Array) -> None:
        """Let inputs and currents act as they are in the middle of a stretch."""
        x, force = real[self._parts["x"]], real[self._parts["i"]]
        if (x != self.motion.x[0]).any():
            self.motion.present(x[None].copy())
        self.motion.push(force + self._shove)

    def _stand(self, now: float, line: Array, solved: tuple[Modes, Array], pieces: int, dt: float) -> None:
        """Let stretches of dt pass together, in which all that drives stands still, as one after another would."""
        some = min(pieces, MOST_AT_ONCE)
        aside = np.empty((some, line.shape[1]))
        t = self.t + dt * np.arange(some + 1)
        for j in range(some):
            self._drift_on(dt)
            self.t = float(t[j])
            aside[j] = self._aside()
        u = self._pulling(self._behind_play(line), aside)
        kicks = self._kick(dt, some)
        points, slopes = solved[0].wander(self.z, solved[1], u, kicks, dt)
        self._history.add_all(t[:-1, None] + self._cells * dt, points, slopes)
        self.z = self._railed(points[-1, -1] + kicks[-1])
        self.t = now if some == pieces else float(t[-1])

    def _behind_play(self, line: Array) -> Array:
        """Get where control knobs that stand at `line`, shape (m, K), one after another, are behind their play."""
        if not self._plays:
            return line
        felt = np.empty_like(line)
        for i, row in enumerate(line):
            self._felt = np.minimum(np.maximum(self._felt, row - self._half_play), row + self._half_play)
            felt[i] = self._felt
        return felt

    def _aside(self) -> Array:
        """Get how far drift, slips and temperature have moved what the control knobs pull with, shape (K,)."""
        return np.asarray(self._drift + self._slip + self._by_K * self._warmer_K())

    def _pulling(self, line: Array, aside: Array) -> Array:
        """Get what pulls at the parameters, shape (m, K), with what moved aside, (K,) or (m, K), and with crosstalk."""
        u = line + aside
        if self.profile.crosstalk:
            of_neighbours = np.zeros_like(u)
            of_neighbours[:, 1:] += u[:, :-1]
            of_neighbours[:, :-1] += u[:, 1:]
            u = u + self.profile.crosstalk * of_neighbours
        return u

    def _kick(self, dt: float, n: int) -> Array:
        """Draw n kicks of thermal motion, shape (n, N + K), one for each stretch of dt."""
        if not self.profile.thermal_V:
            return np.zeros((n, len(self.z)))
        if (kick := self._kicks.get(dt)) is None:
            size, rate = self._thermal
            if len(self._kicks) >= MOST_KICKS:
                self._kicks.clear()
            kick = self._kicks[dt] = size * np.sqrt(-np.expm1(-2 * dt * rate))
        return np.asarray(kick * self._thermals.standard_normal((n, len(kick))))

    def _railed(self, z: Array) -> Array:
        """Get where z is that thermal motion has kicked: inside its box, and no farther than the rails."""
        rail = self.profile.rail_V
        z = self.motion.inside(z)
        if (np.abs(z) < rail).all():
            self.saturated = False
            return z
        if not self.saturated:
            self._event("saturated")
        self.saturated = True
        return np.clip(z, -rail, rail)

    def _thermal_motion(self) -> tuple[Array, Array]:
        """Work out how far each variable moves by itself, and at what rate, as if it were alone."""
        n, profile = self.energy.n_states, self.profile
        hessian = self.energy.state_hessian(self.z[n:], self.motion.x, self.z[None, :n])[0]
        curvature = np.maximum(np.diag(hessian), 0.1)
        size = profile.thermal_V * np.concatenate([1 / np.sqrt(curvature), np.sqrt(self.epsilon)])
        return size, np.concatenate([curvature / profile.tau_state_s, 1 / self.tau_theta])

    def _drift_on(self, dt: float) -> None:
        """Move the offsets of the control knobs: Ornstein-Uhlenbeck, exact for any dt."""
        self._slip += self._creep * dt
        if self.profile.drift_V:
            keep = math.exp(-dt / self.profile.drift_time_s)
            kick = self.profile.drift_V * math.sqrt(1 - keep * keep)
            self._drift = keep * self._drift + kick * self._drifts.standard_normal(len(self._drift))

    def _warmer_K(self) -> float:
        return self.profile.daily_K * math.sin(2 * math.pi * self.t / DAY_S)

    def _write(self) -> None:
        """Write down what changed since this was last done, at the present time."""
        if self._journal is not None:
            for kind in sorted(self._changed):
                self._journal.write(kind, self.t, self._row(kind))
        self._changed.clear()

    def _row(self, kind: int) -> Array:
        """Get what a row of the journal holds: as it was driven, before errors of gain and offset, to judge limits by it."""
        if kind == rows.NUDGE:
            return np.concatenate([[self.motion.beta], self.motion.y[0]])
        if kind == rows.SETPOINT:
            return self._lines.setpoint[self._parts["u"]]
        return self._lines.output[self._parts[{rows.APPLIED: "u", rows.INPUT: "x", rows.CURRENT: "i"}[kind]]]

    def _header(self) -> dict[str, Any]:
        return {
            "device": f"bench {self.energy.name}",
            "knobs": [f"u[{k}]" for k in range(self.counts["u"])],
            "inputs": [f"x[{k}]" for k in range(self.counts["x"])],
            "outputs": [f"s[{k}]" for k in range(self.counts["s"])],
            "unit": "V",
            "slew_per_s": self.profile.slew_V_per_s,
            "step": 0.0,
            "rest": [0.0] * self.counts["u"],
        }
