"""The physics of a slow device: state and parameters both sliding down one energy, each in its own time.

    tau_s ds/dt = - d/ds (E + beta C)        tau_theta,k dtheta_k/dt = - epsilon_k d/dtheta_k (U/epsilon + E)

with U the coupling to the control knobs: with the quadratic one theta_k follows u_k with gain near 1 and lag tau_theta,k,
pushed aside by epsilon_k dE/dtheta_k. The equilibrium is that of the simulated device; only the way there differs. The
whole is one vector z: the states, shape (N,), then theta, shape (K,). A state at a wall of its box stays there while it is
pushed outward.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.costs import Cost, HalfSquaredError
from aeqlab.backends.couplings import Coupling, Quadratic
from aeqlab.backends.energies import Energy
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.linear import LinearEnergy
from aeqlab.backends.modes import LARGEST, Modes

Array = NDArray[np.float64]


class Motion:
    """dz/dt for one sample.

    Args:
        energy, coupling, cost: the physics; they hold no state.
        tau_s: relaxation time of the state, in s, for a curvature of 1.
        tau_theta: of each parameter, shape (K,), in s.
    """

    def __init__(self, energy: Energy, coupling: Coupling, cost: Cost, *, tau_s: float, tau_theta: Array) -> None:
        self.energy, self.coupling, self.cost = energy, coupling, cost
        self.n_states = energy.n_states
        self._tau_s = tau_s
        self._speed = coupling.epsilon / tau_theta
        self._tau_theta = tau_theta
        self._k = len(tau_theta)
        self._mobility = np.concatenate([np.full(self.n_states, 1 / tau_s), self._speed])
        self._modes: Modes | None = None
        self._modal = (
            type(energy) is LinearEnergy
            and type(coupling) is Quadratic
            and type(cost) is HalfSquaredError
            and energy.n_states + energy.n_parameters <= LARGEST
        )
        self._out = energy.output_index
        self.x = np.zeros((1, len(energy.inputs)))
        self.y = np.zeros((1, len(energy.outputs)))
        self.beta = 0.0
        self.force: Array | None = None
        self._landscape = energy.at(self.x)

    def present(self, x: Array) -> None:
        """Set the inputs, shape (1, X)."""
        self.x = x
        self._landscape = self.energy.at(x)
        self._modes = None

    def nudge(self, y: Array, beta: float) -> None:
        """Nudge the outputs towards y, shape (1, Y); beta 0 is off."""
        self.y = y
        if beta != self.beta:
            self.beta = beta
            self._modes = None

    def push(self, force: Array | None) -> None:
        """Push the outputs with constant forces, shape (Y,), as currents into them do; None for none."""
        self.force = force

    def start(self, theta: Array) -> Array:
        """Make the z in which the system wakes up, with its parameters at theta."""
        return np.concatenate([self.energy.start(1)[0], theta])

    def rate(self, z: Array, u: Array) -> Array:
        """Compute dz/dt, shape (N + K,), with the control knobs at u, shape (K,)."""
        n = self.n_states
        s, theta = z[:n], z[n:]
        box = self.energy.box
        if box is not None:
            s = np.minimum(np.maximum(s, box[0]), box[1])
        states = s[None]
        rate = np.empty_like(z)
        rate[:n] = self._landscape.state_gradient(theta, states)[0]
        if self.beta:
            rate[self._out] += self.beta * self.cost.gradient(states[:, self._out], self.y)[0]
        if self.force is not None:
            rate[self._out] -= self.force
        rate[:n] /= -self._tau_s
        rate[n:] = (self.coupling.gradient(u, theta) + self._landscape.parameter_gradient(theta, states)) * -self._speed
        if box is not None:
            outward = ((z[:n] <= box[0]) & (rate[:n] < 0)) | ((z[:n] >= box[1]) & (rate[:n] > 0))
            rate[:n][outward] = 0.0
        return rate

    def modes(self) -> tuple[Modes, Array] | None:
        """Get the modes and the constant pull as it stands, or None where the whole energy is not known to be quadratic."""
        energy = self.energy
        if not self._modal or not isinstance(energy, LinearEnergy):
            return None
        pull = np.zeros(1 + self._k)
        pull[0] = self.beta * self.y[0, 0]
        if self.force is not None:
            pull[0] += self.force[0]
        if self._modes is None:
            row = np.empty(1 + self._k)  # E = (row . z)^2 / 2 + c s^2
            row[0], row[1:] = -1.0, energy.features(self.x)[0]
            hessian = row[:, None] * row
            hessian[0, 0] += 2 * energy.s_squared + self.beta
            hessian.ravel()[self._k + 2 :: self._k + 2] += 1 / self.coupling.epsilon  # the rest of the diagonal
            self._modes = Modes(hessian, self._mobility, 1 / self._tau_theta)
        return self._modes, pull

    def response(self, z: Array, u: Array) -> tuple[Array, Array]:
        """Work out how each theta answers its own knob near z: d(theta)/du, and the mean time it takes, each of shape (K,).

        The others stand still at their knobs. As an identification would find it, here from the motion's derivatives.
        """
        n, k = len(z), len(u)
        step = 1e-5
        flow = np.empty((n, n))
        for i in range(n):
            aside = np.zeros(n)
            aside[i] = step
            flow[:, i] = (self.rate(z + aside, u) - self.rate(z - aside, u)) / (2 * step)
        drive = np.zeros((n, k))
        for i in range(k):
            aside = np.zeros(k)
            aside[i] = step
            drive[:, i] = (self.rate(z, u + aside) - self.rate(z, u - aside)) / (2 * step)
        reach = -np.linalg.solve(flow, drive)  # where a knob moved by one leads
        time = -np.linalg.solve(flow, reach)  # the integral of what is left of the way
        at = np.arange(k)
        gain = reach[n - k + at, at]  # the diagonal of the lower part
        return np.asarray(gain), np.asarray(time[n - k + at, at] / gain)

    def inside(self, z: Array) -> Array:
        """Put a state that a step carried through a wall back onto it, in place."""
        if self.energy.box is not None:
            np.clip(z[: self.n_states], *self.energy.box, out=z[: self.n_states])
        return z

    def state(self) -> dict[str, Any]:
        """Get what was presented and how the outputs are nudged."""
        return {"x": self.x.copy(), "y": self.y.copy(), "beta": self.beta}

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back."""
        x, y = np.array(state["x"], dtype=np.float64), np.array(state["y"], dtype=np.float64)
        if x.shape != self.x.shape or y.shape != self.y.shape:
            raise DeviceConfigError("the inputs or the targets in the state are those of another device")
        self.present(x)
        self.nudge(y, float(state["beta"]))
