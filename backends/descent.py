"""The physics of section 5.1: gradient steps of state and parameters, each accepted only if the energy does not rise.

One tick is one step (14) of s and one step (15) of theta. A step that lowers the global energy (4) is kept and its size grows by
5 %; one that raises it is undone and its size halved; one that leaves it unchanged is kept and its size grows or shrinks by 5 %
at random. A rise smaller than what rounding makes of the variables counts as none: else, at rest, every second step would be
undone by chance, its size halved again and again, and time would stand still. Sizes begin anew in each phase. Each sample of a
batch is a copy of the system with a size and a test of its own for s; all share theta, whose energy is the mean over them.

Time: theta_k moves by eta (epsilon_k / epsilon_min) times its force, and eta is the time that passed; epsilon_min is the smallest
coupling as built. So (15) is gradient flow with the lag epsilon_min for every knob, also after the coupling was scaled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.costs import Cost
from aeqlab.backends.couplings import Coupling
from aeqlab.backends.energies import Energy
from aeqlab.backends.errors import DivergedError

Array = NDArray[Any]
GROW = 1.05
SHRINK = 0.5
FIRST_STATE_STEP = 1.0
ROUNDING = 16 * 2.0**-52
SMALLEST = 1e-200  # a step size is not halved below this, as where a gradient points the wrong way


class Descent:
    """State, parameters and knobs of one simulated system, and the steps by which they move. Works for any energy.

    `theta` (K,), `s` (B, N), `u` (K,), `x` (B, X), `y` (B, Y) or None, `beta`, and `clamped` (B, Y) or None, at which the outputs
    are fixed, are replaced, never written into.
    """

    def __init__(
        self, energy: Energy, coupling: Coupling, cost: Cost, theta: Array, samples: int, rng: np.random.Generator
    ) -> None:
        self.energy, self.coupling, self.cost, self.rng = energy, coupling, cost, rng
        self.lag = float(coupling.built.min())
        self.theta = theta
        self.u = theta
        self.s = energy.start(samples)
        self.x = np.zeros((samples, len(energy.inputs)))
        self.y: Array | None = None
        self.beta = 0.0
        self.clamped: Array | None = None
        self.eta_s = np.full(samples, FIRST_STATE_STEP)
        self.eta_theta = self.lag
        self._at = energy.at(self.x)
        self._e: Array | None = None  # E of each sample at (theta, s), where it is known
        self._out = together(energy.output_index)
        self._rates = coupling.epsilon / self.lag

    # knobs
    def present(self, x: Array) -> None:
        """Apply inputs, shape (B, X). Another number of samples wakes the state up anew."""
        if len(x) != len(self.s):
            self.s = self.energy.start(len(x))
            self.y, self.beta, self.clamped = None, 0.0, None
        self.x = x
        self._at = self.energy.at(x)
        self._e = None

    def nudge(self, y: Array | None, beta: float) -> None:
        """Apply targets and strength; None and 0 for no nudge. Lets clamped outputs go."""
        self.y, self.beta, self.clamped = y, beta, None

    def clamp_outputs(self, values: Array) -> None:
        """Fix the outputs at values, shape (B, Y), until the next nudge; takes the present one away."""
        self.nudge(None, 0.0)
        s = self.states().copy()
        s[:, self._out] = values
        self.put_states(s)
        self.clamped = values

    def set_controls(self, u: Array) -> None:
        """Apply control knobs, shape (K,)."""
        self.u = u

    def write(self, theta: Array) -> None:
        """Put the parameters elsewhere, shape (K,)."""
        self.theta = theta
        self._e = None

    def scale_coupling(self, factor: float) -> None:
        """Scale every epsilon, counted from those as built."""
        self.coupling.scale(factor)
        self._rates = self.coupling.epsilon / self.lag

    def begin_phase(self) -> None:
        """Set both step sizes to where a phase begins: 1 and epsilon."""
        self.eta_s = np.full(len(self.s), FIRST_STATE_STEP)
        self.eta_theta = self.lag

    # time
    @np.errstate(over="ignore", invalid="ignore")  # a step that overshoots to infinity is refused like any other
    def step_state(self) -> None:
        """Take one step (14) of every sample's state, inside the box; undone where E + beta C rises.

        Raises:
            DivergedError: the energy where the state stands, or its gradient, is not a finite number.
        """
        s, y, beta = self.s, self.y, self.beta
        e = self._e if self._e is not None else self._at.value(self.theta, s)
        g = self._at.state_gradient(self.theta, s)
        if y is not None and beta:
            out = s[:, self._out]
            g[:, self._out] += beta * self.cost.gradient(out, y)
            old = e + beta * self.cost.value(out, y)
        else:
            old = e
        if self.clamped is not None:
            g[:, self._out] = 0.0
        new_s = s - self.eta_s[:, None] * g
        if self.energy.box is not None:
            self._demand_finite("force on the state", g)  # the box would cut an infinite step to a finite one
            new_s = new_s.clip(*self.energy.box)
        new_e = self._at.value(self.theta, new_s)
        new = new_e + beta * self.cost.value(new_s[:, self._out], y) if y is not None and beta else new_e
        if not abs(float(old.sum())) < math.inf:
            self._demand_finite("energy", old)
        if len(s) == 1:
            factor = self._factor(float(old[0]), float(new[0]), s[0], g[0], float(self.eta_s[0]))
            self.eta_s = np.maximum(self.eta_s * factor, SMALLEST)
            if factor != SHRINK:
                self.s, self._e = new_s, new_e
            else:
                self._demand_finite("force on the state", g)
                self._e = e
            return
        lower = new < old
        if b"\0" not in lower.tobytes():  # all of them, the usual case
            self.s, self._e, self.eta_s = new_s, new_e, self.eta_s * GROW
            return
        self._demand_finite("force on the state", g)
        size = np.sqrt((s * s).sum(axis=1))
        noise = ROUNDING * (np.abs(old) + size * np.sqrt((g * g).sum(axis=1))) + (ROUNDING * size) ** 2 / self.eta_s
        unchanged = ~lower & (new - old <= noise)
        kept = lower | unchanged
        factors = np.where(lower, GROW, SHRINK)
        if unchanged.any():
            factors[unchanged] = np.where(self.rng.random(int(unchanged.sum())) < 0.5, GROW, 1 / GROW)
        self.eta_s = np.maximum(self.eta_s * factors, SMALLEST)
        if kept.all():
            self.s, self._e = new_s, new_e
        elif kept.any():
            self.s, self._e = np.where(kept[:, None], new_s, s), np.where(kept, new_e, e)
        else:
            self._e = e

    @np.errstate(over="ignore", invalid="ignore")
    def step_parameters(self) -> float:
        """Take one step (15) of the parameters, undone if U/epsilon + E rises; return the time that passed, 0 if undone.

        Raises:
            DivergedError: the energy where they stand, or the force on them, is not a finite number.
        """
        theta, s, u, eta = self.theta, self.s, self.u, self.eta_theta
        e = self._e if self._e is not None else self._at.value(theta, s)
        force = self.coupling.gradient(u, theta)
        force += self._at.parameter_gradient(theta, s)
        new_theta = theta - force * (self._rates * eta)
        new_e = self._at.value(new_theta, s)
        old, new = self.coupling.value(u, theta) + mean(e), self.coupling.value(u, new_theta) + mean(new_e)
        if not abs(old) < math.inf:
            self._demand_finite("energy", np.array([old]))
        factor = self._factor(old, new, theta, force, eta)
        self.eta_theta = eta * factor
        if factor == SHRINK:
            self._demand_finite("force on the parameters", force)
            self.eta_theta = max(self.eta_theta, SMALLEST)
            self._e = e
            return 0.0
        self.theta, self._e = new_theta, new_e
        return eta

    def _factor(self, old: float, new: float, at: Array, force: Array, eta: float) -> float:
        """Judge one step from `at` by `eta` along -`force`: the factor on its size, SHRINK if it must be undone.

        Rounding moves an energy to first order by its size and along the force, to second by a curvature of about 1/eta.
        """
        if new < old:
            return GROW
        rise = new - old
        if rise > 0 or rise != rise:
            size = math.sqrt(at.dot(at))
            if not rise <= ROUNDING * (abs(old) + size * math.sqrt(force.dot(force))) + (ROUNDING * size) ** 2 / eta:
                return SHRINK
        return GROW if self.rng.random() < 0.5 else 1 / GROW

    def balanced_controls(self, s: Array | None = None) -> Array:
        """Find the u at which theta stands still against the force of a state (None: the present one).

        Raises:
            DivergedError: there is none that is finite.
        """
        force = self._at.parameter_gradient(self.theta, self.s if s is None else s)
        self._demand_finite("force on the parameters", force)
        u = self.coupling.balance(self.theta, force)
        self._demand_finite("control knobs that hold the parameters", u)
        return u

    def _demand_finite(self, what: str, values: Array) -> None:
        if not np.isfinite(values).all():
            wrong = values[~np.isfinite(values)]
            raise DivergedError(
                f"energy {self.energy.name}: the {what} came out as {wrong[0]:g} at beta = {self.beta:g} "
                f"(largest state {float(np.abs(self.s).max()):g}, largest parameter {float(np.abs(self.theta).max()):g}). "
                f"The system ran away, or its energy is not defined there."
            )

    # what it says
    def outputs(self) -> Array:
        """Get a copy of the outputs, shape (B, Y)."""
        outputs: Array = self.s[:, self._out].copy()
        return outputs

    def states(self) -> Array:
        """Get the states, shape (B, N)."""
        return self.s

    def put_states(self, s: Array) -> None:
        """Put the states elsewhere, shape (B, N)."""
        self.s = s
        self._e = None

    def total_energy(self) -> float:
        """Compute the global energy (4) or (23): U/epsilon + E + beta C, mean over the samples."""
        e = self._at.value(self.theta, self.s)
        if self.y is not None:
            e = e + self.beta * self.cost.value(self.s[:, self._out], self.y)
        return self.coupling.value(self.u, self.theta) + mean(e)

    def beyond(self, state_limit: float, theta_limit: float) -> bool:
        """Tell whether a sum of squares, of any sample's state or of theta, is above its limit or not a number."""
        s, theta = self.s, self.theta
        return not (float((s * s).sum(axis=1).max()) <= state_limit and float(theta.dot(theta)) <= theta_limit)

    # checkpoints
    def snapshot(self) -> dict[str, Any]:
        """Get everything that decides the future but the random stream, as a tree."""
        return {
            "theta": self.theta.copy(), "u": self.u.copy(), "s": self.states().copy(), "x": self.x.copy(), "y": self.y,
            "clamped": self.clamped, "beta": self.beta, "eta_s": np.array(self.eta_s), "eta_theta": self.eta_theta,
            "factor": self.coupling.factor,
        }  # fmt: skip

    def put_back(self, snapshot: dict[str, Any]) -> None:
        """Put a snapshot back.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        samples = len(snapshot["x"])
        energy = self.energy
        theta = _part(snapshot, "theta", (energy.n_parameters,))
        u = _part(snapshot, "u", (energy.n_parameters,))
        s = _part(snapshot, "s", (samples, energy.n_states))
        x = _part(snapshot, "x", (samples, len(energy.inputs)))
        y = None if snapshot["y"] is None else _part(snapshot, "y", (samples, len(energy.outputs)))
        clamped = None if snapshot["clamped"] is None else _part(snapshot, "clamped", (samples, len(energy.outputs)))
        eta_s = _part(snapshot, "eta_s", (samples,))
        beta, eta_theta = float(snapshot["beta"]), float(snapshot["eta_theta"])
        self.scale_coupling(float(snapshot["factor"]))
        self.present(x)
        self.nudge(y, beta)
        self.write(theta)
        self.set_controls(u)
        self.put_states(s)
        self.clamped = clamped
        self._put_steps(eta_s, eta_theta)

    def _put_steps(self, eta_s: Array, eta_theta: float) -> None:
        self.eta_s, self.eta_theta = eta_s, eta_theta


def together(index: Array) -> slice | Array:
    """Make a slice of an index whose states stand side by side; numpy takes one in a fraction of the time."""
    first, last = int(index[0]), int(index[-1])
    return slice(first, last + 1) if np.array_equal(index, np.arange(first, last + 1)) else index


def mean(e: Array) -> float:
    """Average over the samples; of one sample it is that one."""
    return float(e[0]) if len(e) == 1 else float(e.sum()) / len(e)


def _part(snapshot: dict[str, Any], name: str, shape: tuple[int, ...]) -> Array:
    array = np.array(snapshot[name], dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, not {shape}")
    return array
