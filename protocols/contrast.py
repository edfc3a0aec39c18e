"""Baselines that compare dE/dtheta in two settled states with theta held: `eqprop`, and `coupled` learning.

Both must know the energy function, keep what was read in the first phase, and move theta by other means: what Æqprop does away
with (Appendix D). Each dE/dtheta is taken at the theta that was read in its own phase. Reports as in `baselines`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.aeqprop import StepReport
from aeqlab.protocols.baselines import Probe, probing
from aeqlab.protocols.operator import Operator

Array = NDArray[Any]


def eqprop_step(
    operator: Operator,
    inputs: Array,
    targets: Array,
    *,
    theta: Array | None,
    learning_rate: float | Array,
    pair: tuple[float, float],
    free_phase: bool = True,
) -> StepReport:
    """Do one step of equilibrium propagation, its gradient (dE/dtheta(s_2) - dE/dtheta(s_1)) / (beta_2 - beta_1).

    Args:
        operator: the device's operator.
        inputs, targets: shapes (samples, inputs) and (samples, outputs).
        theta: present target, shape (parameters,); None: the device keeps its parameters inside, or they are read.
        learning_rate: eta of eq. 120, one for all or one per parameter.
        pair: (beta_1, beta_2), as `nudging_pair` gives them; (0, beta) is eq. 119.
        free_phase: read the cost at beta = 0 as well, in a phase of its own unless one of the nudges is 0.
    Raises:
        CapabilityError: the device does not know its energy.
        LimitError: a nudge outside what the device allows.
    Source: Scellier et al. 2022, eqs. 119-120; Scellier and Bengio 2017.
    """
    with probing(operator, inputs, targets, theta, "KnowsEnergy") as probe:
        free: float | None = None
        if free_phase and 0.0 not in pair:
            free = probe(probe.here)
        costs, forces = [], []
        for beta in pair:
            if beta:
                operator.nudge(targets, beta)
            else:
                operator.release()
            costs.append(probe(probe.here))
            forces.append(_force(probe, inputs))
            if beta == 0.0:
                free = costs[-1]
                probe.free = probe.holds[-1]
        operator.release()
        gradient = (forces[1] - forces[0]) / (pair[1] - pair[0])
        return probe.report(probe.here - learning_rate * gradient, free, pair, (costs[0], costs[1]))


def coupled_step(
    operator: Operator,
    inputs: Array,
    targets: Array,
    *,
    theta: Array | None,
    learning_rate: float | Array,
    beta: float,
) -> StepReport:
    """Do one step of coupled learning: not the gradient, unless the Hessian of E is the identity. As `eqprop_step`.

    In the second phase the outputs are clamped at (1 - beta) s_0 + beta y. No nudge is on: both betas of the report are 0.

    Raises:
        CapabilityError: the device does not know its energy, or cannot clamp its outputs.
    Source: Stern et al. 2021, as in Scellier et al. 2022, eq. 124.
    """
    with probing(operator, inputs, targets, theta, "KnowsEnergy", "OutputClamp") as probe:
        free = probe(probe.here)
        outputs = probe.holds[-1].readout.outputs
        before = _force(probe, inputs)
        operator.device_call("clamp_outputs", (1.0 - beta) * np.asarray(outputs) + beta * np.asarray(targets))
        clamped = probe(probe.here)
        gradient = (_force(probe, inputs) - before) / beta
        operator.release()
        return probe.report(probe.here - learning_rate * gradient, free, costs=(free, clamped))


def _force(probe: Probe, inputs: Array) -> Array:
    """Get dE/dtheta at the state as it stands and at theta as it was read in this phase."""
    operator = probe.operator
    return np.asarray(operator.device_call("energy_gradient", probe.measured, inputs, operator.device_call("states")))
