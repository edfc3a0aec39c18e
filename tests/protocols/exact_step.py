"""The step of Theorem 3 worked out with the equations: eqs. (27)-(28) solved to rounding, and the functions around them.

For the theorem tests. Everything here knows the energy, which no protocol that trains may.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root

from aeqlab.backends.simulated import SimulatedDevice
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.protocols.aeqprop import cost

Array = NDArray[Any]


class System:
    """One energy with its cost and coupling, and one example to learn."""

    def __init__(self, energy: str, epsilon: float = 0.1, coupling: str = "quadratic", seed: int = 1, **options: Any) -> None:
        settings = SimulatedSettings(energy=energy, epsilon=epsilon, coupling=coupling, options=options)
        self.settings = settings
        self.device: Any = settings.open(seed=seed, base=Path())
        assert isinstance(self.device, SimulatedDevice)
        self.coupling = settings.build_coupling(settings.build_energy(Path()), Path())
        self.epsilon = epsilon
        info = self.device.info
        rng = np.random.default_rng(seed)
        self.theta = self.device.parameters() + 0.3 * rng.standard_normal(info.n_parameters)
        self.x = rng.uniform(np.maximum(info.inputs.low, -1), np.minimum(info.inputs.high, 1), (1, len(info.inputs)))
        self.y = self.device.outputs_of(self.state(self.theta, 0.0)) + rng.uniform(0.5, 1.0, (1, len(info.outputs)))

    def state(self, theta: Array, beta: float) -> Array:
        """s_beta(theta), eq. (25)."""
        return np.asarray(self.device.equilibrium(theta, self.x, self.y if beta else None, beta))

    def force(self, theta: Array, beta: float) -> Array:
        """dF/dtheta = dE/dtheta at s_beta(theta) (the envelope theorem)."""
        return np.asarray(self.device.energy_gradient(theta, self.x, self.state(theta, beta)))

    def cost(self, theta: Array, beta: float) -> float:
        """C(s_beta(theta), y)."""
        return cost(self.device.info, self.device.outputs_of(self.state(theta, beta)), self.y)

    def free_energy(self, theta: Array, beta: float) -> float:
        """F(beta, theta) = min_s E + beta C, eq. (59)."""
        s = self.state(theta, beta)
        return float(self.device.energy(theta, self.x, s)) + beta * cost(self.device.info, self.device.outputs_of(s), self.y)

    def lyapunov(self, theta: Array, pair: tuple[float, float]) -> float:
        """L_{beta_1; beta_2}(theta), eq. (24), as eq. (58) gives it."""
        return (self.free_energy(theta, pair[1]) - self.free_energy(theta, pair[0])) / (pair[1] - pair[0])

    def lyapunov_gradient(self, theta: Array, pair: tuple[float, float]) -> Array:
        """Its gradient."""
        return (self.force(theta, pair[1]) - self.force(theta, pair[0])) / (pair[1] - pair[0])

    def loss_gradient(self, theta: Array) -> Array:
        """dC(s(theta, x), y)/dtheta."""
        return np.asarray(self.device.loss_gradient(theta, self.x, self.y))

    def held_at(self, theta: Array, beta_1: float) -> Array:
        """The u of eq. (27)."""
        return self.coupling.balance(theta, self.force(theta, beta_1))

    def pull(self, u: Array, theta: Array, beta: float) -> Array:
        """d/dtheta of min_s of the global energy (23)."""
        return self.coupling.gradient(u, theta) + self.force(theta, beta)

    def step(self, pair: tuple[float, float]) -> Array:
        """theta_t of eq. (28), solved from theta_{t-1} on."""
        u = self.held_at(self.theta, pair[0])
        scale = self.epsilon
        found = root(lambda theta: scale * self.pull(u, theta, pair[1]), self.theta, tol=1e-15)
        theta = np.asarray(found.x)
        for _ in range(2):  # polish: hybr stops at its own idea of precision
            h = 1e-6
            slope = np.array([(scale * (self.pull(u, theta + h * d, pair[1]) - self.pull(u, theta - h * d, pair[1]))) / (2 * h)
                              for d in np.eye(len(theta))]).T  # fmt: skip
            theta = theta - np.linalg.solve(slope, scale * self.pull(u, theta, pair[1]))
        assert np.abs(scale * self.pull(u, theta, pair[1])).max() < 1e-12
        return theta

    def metric(self, beta_1: float) -> Array:
        """M of eqs. (31)-(32): epsilon times the Hessian of min_s of the global energy at theta_{t-1}."""
        u, h = self.held_at(self.theta, beta_1), 1e-5
        pull, theta = self.pull, self.theta
        rows = [pull(u, theta + h * d, beta_1) - pull(u, theta - h * d, beta_1) for d in np.eye(len(theta))]
        return self.epsilon * np.array(rows) / (2 * h)

    def convex_above(self) -> float:
        """Lowest beta for which the global energy (4) is convex in (s, theta) everywhere, for this input.

        Its Hessian is least at s = 0 on the built-in energies; -1 / compliance of the outputs there, parameters floating.
        """
        energy = self.device._physics.energy
        n, k = energy.n_states, energy.n_parameters
        z, h = np.concatenate([np.zeros(n), self.theta]), 1e-5

        def gradient(z: Array) -> Array:
            s, theta = z[None, :n], z[n:]
            return np.concatenate([energy.state_gradient(theta, self.x, s)[0], energy.parameter_gradient(theta, self.x, s)])

        hessian = np.array([(gradient(z + h * d) - gradient(z - h * d)) / (2 * h) for d in np.eye(n + k)])
        hessian[n:, n:] += np.eye(k) / self.epsilon
        out = energy.output_index
        compliance = np.linalg.inv(hessian)[np.ix_(out, out)]
        return -1.0 / float(np.linalg.eigvalsh(0.5 * (compliance + compliance.T)).max())
