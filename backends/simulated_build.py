"""Build a simulated device from its settings, and say of it what a device says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.costs import make_cost
from aeqlab.backends.couplings import Coupling, Quadratic
from aeqlab.backends.descent import Descent
from aeqlab.backends.device import ControlResponse, Device, DeviceInfo, Knobs, knobs
from aeqlab.backends.energies import Energy
from aeqlab.backends.imperfect import imperfect
from aeqlab.backends.linear import LinearEnergy
from aeqlab.backends.linear_descent import LinearDescent, fits
from aeqlab.backends.simulated import LayeredSimulatedDevice, SimulatedDevice
from aeqlab.backends.streams import DEVICE_NOISE, INITIAL_PARAMETERS, stream

if TYPE_CHECKING:
    from aeqlab.backends.simulated_settings import SimulatedSettings

Array = NDArray[Any]
HIGHEST_BETA = 1e6


def open_simulated(settings: SimulatedSettings, *, seed: int, base: Path) -> Device:
    """Build a simulated device as its settings say; `seed` feeds the first parameters and the coin of unchanged energies.

    Where the hardware is imperfect it stands around the device, as `imperfect` says, and `seed` feeds it too.
    """
    energy = settings.build_energy(base)
    flaws = settings.imperfections
    coupling = settings.build_coupling(energy, base, None if flaws is None else flaws.factors(energy.n_parameters, seed))
    cost = make_cost(settings.cost, base)
    theta = energy.first_parameters(stream(seed, INITIAL_PARAMETERS))
    coin = stream(seed, DEVICE_NOISE)
    physics: Descent
    if isinstance(energy, LinearEnergy) and isinstance(coupling, Quadratic) and fits(cost, settings.batch):
        physics = LinearDescent(energy, coupling, cost, theta, coin)
    else:
        physics = Descent(energy, coupling, cost, theta, settings.batch or 1, coin)
    physics.set_controls(coupling.balance(theta, np.zeros_like(theta)))
    device = LayeredSimulatedDevice if energy.layered else SimulatedDevice
    info = describe(physics, settings.batch, settings.control_limits or (-np.inf, np.inf))
    made = device(physics, info, diverged_beyond=settings.diverged_beyond)
    return made if flaws is None or flaws.perfect else imperfect(made, flaws, seed=seed)


def describe(physics: Descent, samples: int | None, control_limits: tuple[float, float]) -> DeviceInfo:
    """Say of a system what a device says of itself: names, limits, couplings as built, and the nudges it stands.

    Args:
        samples: number of samples in one presentation, None for any.
        control_limits: lowest and highest setpoint of every control knob.
    """
    energy, coupling = physics.energy, physics.coupling
    bounds = energy.beta_bounds(coupling)
    lowest = max(float(np.nextafter(bounds.held, 0.0)), -HIGHEST_BETA)
    n = energy.n_parameters
    return DeviceInfo(
        kind="simulated",
        name=f"simulated {energy.name}",
        inputs=energy.inputs,
        controls=_control_knobs(energy, control_limits),
        outputs=energy.outputs,
        parameters=tuple(replace(b, epsilon=_of_block(coupling, b.slice)) for b in energy.parameters),
        beta=(lowest, HIGHEST_BETA),
        samples=samples,
        cost=physics.cost.name,
        response=ControlResponse(gain=np.ones(n), lag_s=np.full(n, physics.lag), dead_time_s=np.zeros(n)),
    )


def _control_knobs(energy: Energy, limits: tuple[float, float]) -> Knobs:
    rest = min(max(0.0, limits[0]), limits[1])
    return knobs(tuple(f"u{k}" for k in range(energy.n_parameters)), low=limits[0], high=limits[1], rest=rest)


def _of_block(coupling: Coupling, part: slice) -> float | Array:
    epsilon = coupling.built[part]
    return float(epsilon[0]) if len(epsilon) and (epsilon == epsilon[0]).all() else epsilon.copy()
