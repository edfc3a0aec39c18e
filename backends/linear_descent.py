"""The physics of section 5.1 for the paper's regression, one sample at a time, as fast as Python goes.

The same steps as `descent.Descent`, written out for one output, a quadratic coupling and half the squared error: the state is one
number and its energy a few products, so that a tick costs some five vector operations. One curve of Fig. 2 is 100,000 ticks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.costs import Cost, HalfSquaredError
from aeqlab.backends.couplings import Quadratic
from aeqlab.backends.descent import FIRST_STATE_STEP, GROW, ROUNDING, SHRINK, SMALLEST, Descent
from aeqlab.backends.linear import LinearEnergy

Array = NDArray[Any]


def fits(cost: Cost, samples: int | None) -> bool:
    """Tell whether a device with the linear energy and a quadratic coupling is of the kind written out here."""
    return type(cost) is HalfSquaredError and samples == 1


class LinearDescent(Descent):
    """`Descent` on one sample of the linear energy; what it holds beside is p = theta . phi, d = u - theta and U/epsilon."""

    def __init__(self, energy: LinearEnergy, coupling: Quadratic, cost: Cost, theta: Array, rng: np.random.Generator) -> None:
        self._linear = energy
        self._twice_c = 2 * energy.s_squared
        self._phi = energy.features(np.zeros((1, 1)))[0]
        self._p = self._pull = self._y = self._s = self._step = 0.0
        super().__init__(energy, coupling, cost, theta, 1, rng)
        self._weigh()
        self._settle_in()

    # state kept as numbers, shown as arrays
    @property
    def s(self) -> Array:
        """Get the state, shape (1, 1)."""
        return np.array([[self._s]])

    @s.setter
    def s(self, s: Array) -> None:
        self._s = float(s[0, 0])

    @property
    def eta_s(self) -> Array:
        """Get the step size of the state, shape (1,)."""
        return np.array([self._step])

    @eta_s.setter
    def eta_s(self, eta: Array) -> None:
        self._step = float(eta[0])

    def outputs(self) -> Array:
        """Get a copy of the output, shape (1, 1)."""
        outputs = np.empty((1, 1))
        outputs[0, 0] = self._s
        return outputs

    # knobs
    def present(self, x: Array) -> None:
        """Apply the input, shape (1, 1)."""
        super().present(x)
        self._phi = self._linear.features(x)[0]
        self._weigh()
        self._p = float(self.theta.dot(self._phi))

    def nudge(self, y: Array | None, beta: float) -> None:
        """Apply target and strength."""
        super().nudge(y, beta)
        self._y = 0.0 if y is None else float(y[0, 0])

    def set_controls(self, u: Array) -> None:
        """Apply control knobs, shape (K,)."""
        self.u = u
        self._d = d = u - self.theta
        self._pull = self._coupling_energy(d)

    def write(self, theta: Array) -> None:
        """Put the parameters elsewhere, shape (K,)."""
        super().write(theta)
        self._settle_in()

    def scale_coupling(self, factor: float) -> None:
        """Scale every epsilon, counted from those as built."""
        super().scale_coupling(factor)
        self._weigh()
        self._pull = self._coupling_energy(self._d)

    def begin_phase(self) -> None:
        """Set both step sizes to where a phase begins."""
        self._step = FIRST_STATE_STEP
        self.eta_theta = self.lag

    # time
    def step_state(self) -> None:
        """Take one step (14) of the state, undone if E + beta C rises."""
        s, p, c2, beta, step = self._s, self._p, self._twice_c, self.beta, self._step
        r = s - p
        if beta:
            y = self._y
            q = s - y
            new_s = s - step * (r + c2 * s + beta * q)
            new_r, new_q = new_s - p, new_s - y
            old, new = r * r + c2 * s * s + beta * q * q, new_r * new_r + c2 * new_s * new_s + beta * new_q * new_q
        else:
            new_s = s - step * (r + c2 * s)
            new_r = new_s - p
            old, new = r * r + c2 * s * s, new_r * new_r + c2 * new_s * new_s
        if new < old:
            self._s, self._step = new_s, step * GROW
        elif new - old <= ROUNDING * (old + abs(s * (new_s - s)) / step) + (ROUNDING * s) ** 2 / step:
            self._s, self._step = new_s, step * (GROW if self.rng.random() < 0.5 else 1 / GROW)
        else:
            self._step = max(step * SHRINK, SMALLEST)

    def step_parameters(self) -> float:
        """Take one step (15) of the parameters, undone if U/epsilon + E rises; return the time that passed, 0 if undone."""
        eta, s = self.eta_theta, self._s
        r = s - self._p
        new_theta = self._mobile_phi * (eta * r)
        new_theta += self._d * (eta / self.lag)  # the force (u - theta)/epsilon_k times the mobility epsilon_k/lag
        new_theta += self.theta
        p = float(new_theta.dot(self._phi))
        d = self.u - new_theta
        pull = self._coupling_energy(d)
        new_r = s - p
        old, new = self._pull + 0.5 * r * r, pull + 0.5 * new_r * new_r
        if new < old:
            self.eta_theta = eta * GROW
        else:
            factor = self._factor(old, new, self.theta, (new_theta - self.theta) / eta, eta)
            self.eta_theta = eta * factor
            if factor == SHRINK:
                self.eta_theta = max(self.eta_theta, SMALLEST)
                return 0.0
        self.theta, self._p, self._d, self._pull = new_theta, p, d, pull
        return eta

    def beyond(self, state_limit: float, theta_limit: float) -> bool:
        """Tell whether s^2 or |theta|^2 is above its limit or not a number."""
        s, theta = self._s, self.theta
        return not (s * s <= state_limit and theta.dot(theta) <= theta_limit)

    def _coupling_energy(self, d: Array) -> float:
        if self._half is not None:
            return float(d.dot(d)) * self._half
        return float((d * d).dot(self._halves))

    def _weigh(self) -> None:
        """Work out mobility and stiffness of the knobs; one number where all epsilon are equal."""
        epsilon = self.coupling.epsilon
        equal = bool((epsilon == epsilon[0]).all())
        self._half = 0.5 / float(epsilon[0]) if equal else None
        self._halves = 0.5 / epsilon
        self._mobile_phi = self._phi * (float(self._rates[0]) if equal else self._rates)

    def _settle_in(self) -> None:
        """Work out what follows from theta."""
        self._p = float(self.theta.dot(self._phi))
        self.set_controls(self.u)
