"""The physics of section 5.1 for the paper's regression, one sample at a time, as fast as Python goes.

The same steps as `descent.Descent`, for one output, a quadratic coupling and half the squared error. The global energy is then a
parabola along every step, so whether a step raises it follows from where it begins, and nothing has to be evaluated twice:

    s:      step eta along -g,  g = (1 + 2c + beta) s - p - beta y,  p = theta . phi;
            the rise is eta g^2 (eta (1 + 2c + beta)/2 - 1)
    theta:  step a = eta/lag along v = d + r m,  d = u - theta,  r = s - p,  m = epsilon phi;
            the rise is a (a/2 (G + k^2) - G),  G = sum v^2/epsilon,  k = v . phi,
            with  k = d . phi + r (m . phi)  and  G = sum d^2/epsilon + r (d . phi + k)

So a tick costs five calls of numpy, and on 21 numbers each costs the same whatever it does. It also costs no accuracy at rest,
where the difference of two energies is all rounding. One curve of Fig. 2 is 100,000 ticks.
"""

from __future__ import annotations

from math import sqrt
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
    """`Descent` on one sample of the linear energy; letters as in the first lines of this file."""

    def __init__(self, energy: LinearEnergy, coupling: Quadratic, cost: Cost, theta: Array, rng: np.random.Generator) -> None:
        self._linear = energy
        self._p = self._s = self._step = self._reach = 0.0
        self._stiffness = self._free_stiffness = 1 + 2 * energy.s_squared
        self._drawn = 0.0  # beta y
        self._reach = 0.0  # |theta| is at most this; each step adds at least its length
        # One product of these rows with d gives the scalars of a step, one with (a, 0, a r, 1) the theta it leads to.
        self._rows = np.zeros((4, energy.n_parameters))
        self._d, self._phi, self._m, self._theta_row = self._rows
        self._products, self._weights = np.zeros(4), np.array([0.0, 0.0, 0.0, 1.0])
        self._phi[:] = energy.features(np.zeros((1, 1)))[0]
        super().__init__(energy, coupling, cost, theta, 1, rng)
        self._couple()
        self._turn()
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
        self._phi[:] = self._linear.features(x)[0]
        self._turn()
        self._p = float(self.theta.dot(self._phi))

    def nudge(self, y: Array | None, beta: float) -> None:
        """Apply target and strength."""
        super().nudge(y, beta)
        self._stiffness = self._free_stiffness + beta
        self._drawn = 0.0 if y is None else beta * float(y[0, 0])

    def write(self, theta: Array) -> None:
        """Put the parameters elsewhere, shape (K,)."""
        super().write(theta)
        self._settle_in()

    def scale_coupling(self, factor: float) -> None:
        """Scale every epsilon, counted from those as built."""
        super().scale_coupling(factor)
        self._couple()
        self._turn()

    def begin_phase(self) -> None:
        """Set both step sizes to where a phase begins."""
        self._step = FIRST_STATE_STEP
        self.eta_theta = self.lag

    # time
    def step_state(self) -> None:
        """Take one step (14) of the state, undone if E + beta C rises; a clamped one stands still."""
        if self.clamped is not None:
            return
        s, step, stiffness = self._s, self._step, self._stiffness
        g = stiffness * s - self._p - self._drawn
        rise = step * g * g * (0.5 * step * stiffness - 1.0)
        if rise < 0.0:
            self._s, self._step = s - step * g, step * GROW
        elif rise <= ROUNDING * abs(s * g) + (ROUNDING * s) ** 2 / step:
            self._s, self._step = s - step * g, step * (GROW if self.rng.random() < 0.5 else 1 / GROW)
        else:
            self._step = max(step * SHRINK, SMALLEST)

    def step_parameters(self) -> float:
        """Take one step (15) of the parameters, undone if U/epsilon + E rises; return the time that passed, 0 if undone."""
        eta, theta, d, weights = self.eta_theta, self.theta, self._d, self._weights
        np.subtract(self.u, theta, d)
        d_square, d_phi, _, _ = self._rows.dot(d, self._products).tolist()
        pull = float((d * d).dot(self._stiffs)) if self._stiff is None else d_square * self._stiff  # sum d^2/epsilon
        a, r = eta / self.lag, self._s - self._p
        k = d_phi + r * self._m_phi
        force = pull + r * (d_phi + k)  # G
        rise = a * (0.5 * a * (force + k * k) - force)
        weights[0], weights[2] = a, a * r
        new_theta = weights.dot(self._rows)
        if rise < 0.0:
            self.eta_theta = eta * GROW
        elif self._is_rounding(rise, 0.5 * (pull + r * r), new_theta, eta):
            self.eta_theta = eta * (GROW if self.rng.random() < 0.5 else 1 / GROW)
        else:
            self.eta_theta = max(eta * SHRINK, SMALLEST)
            return 0.0
        self.theta = new_theta
        self._theta_row[:] = new_theta
        self._p = float(new_theta.dot(self._phi))
        self._reach += a * sqrt(2.0 * (d_square + r * r * self._m_square))
        return eta

    def beyond(self, state_limit: float, theta_limit: float) -> bool:
        """Tell whether s^2 or |theta|^2 is above its limit or not a number."""
        s, reach = self._s, self._reach
        if s * s <= state_limit and reach * reach <= theta_limit:
            return False
        square = float(self.theta.dot(self.theta))
        self._reach = sqrt(square)
        return not (s * s <= state_limit and square <= theta_limit)

    def _is_rounding(self, rise: float, energy: float, new_theta: Array, eta: float) -> bool:
        """Tell whether a rise is no more than rounding makes of the energy or of theta, by the measure of `Descent`."""
        if rise <= ROUNDING * energy:
            return True
        way, size = new_theta - self.theta, sqrt(self.theta.dot(self.theta))
        return rise <= ROUNDING * (energy + size * sqrt(way.dot(way)) / eta) + (ROUNDING * size) ** 2 / eta

    def _couple(self) -> None:
        """Work out what follows from the couplings."""
        epsilon = self.coupling.epsilon
        self._stiff = 1.0 / float(epsilon[0]) if bool((epsilon == epsilon[0]).all()) else None
        self._stiffs = 1.0 / epsilon

    def _turn(self) -> None:
        """Work out what follows from phi and the couplings."""
        m, phi = self._m, self._phi
        np.multiply(phi, self.coupling.epsilon, m)
        self._m_phi, self._m_square = float(m.dot(phi)), float(m.dot(m))

    def _settle_in(self) -> None:
        """Work out what follows from theta."""
        self._theta_row[:] = self.theta
        self._p = float(self.theta.dot(self._phi))
        self._reach = sqrt(float(self.theta.dot(self.theta)))
