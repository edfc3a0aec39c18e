"""Baselines to stand beside Æqprop: the agnostic `spsa` and `finite-difference`, and `sgd`, which knows the energy.

The agnostic ones move theta in the one way a rig allows, by moving the target of homeostasis, and read costs at beta = 0.
All give a `StepReport`: both nudges 0, `cost_1` and `cost_2` the first and last cost read, `theta_target_next` the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.aeqprop import StepReport, cost
from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.operator import Operator
from aeqlab.protocols.reports import HoldReport

Array = NDArray[Any]


def spsa_step(
    operator: Operator,
    inputs: Array,
    targets: Array,
    *,
    theta: Array | None,
    learning_rate: float | Array,
    perturbation: float,
    rng: np.random.Generator,
    free_phase: bool = True,
) -> StepReport:
    """Do one step of simultaneous perturbation: two costs, at theta + c d and theta - c d, with d of random signs.

    Args:
        operator: the device's operator.
        inputs, targets: shapes (samples, inputs) and (samples, outputs).
        theta: present target, shape (parameters,); None: as the operator reads it.
        learning_rate: size of the step, one for all or one per parameter.
        perturbation: c, in the unit of theta.
        rng: where the signs come from.
        free_phase: read the cost at theta itself as well.
    Raises:
        CapabilityError: theta cannot be told to be elsewhere on this device.
    Source: Spall 1992.
    """
    here = _present(operator, inputs, theta)
    sign = rng.integers(0, 2, size=len(here)) * 2.0 - 1.0
    probe = _Probe(operator, targets)
    free = probe(here) if free_phase else None
    ahead = probe(here + perturbation * sign)
    behind = probe(here - perturbation * sign)
    gradient = (ahead - behind) / (2.0 * perturbation) * sign
    return probe.report(here, here - learning_rate * gradient, free)


def finite_difference_step(
    operator: Operator,
    inputs: Array,
    targets: Array,
    *,
    theta: Array | None,
    learning_rate: float | Array,
    perturbation: float,
    free_phase: bool = True,
) -> StepReport:
    """Do one step along the gradient measured parameter by parameter: two costs for each of them. As `spsa_step`."""
    here = _present(operator, inputs, theta)
    probe = _Probe(operator, targets)
    free = probe(here) if free_phase else None
    gradient = np.empty(len(here))
    for k in range(len(here)):
        moved = here.copy()
        moved[k] = here[k] + perturbation
        ahead = probe(moved)
        moved = here.copy()
        moved[k] = here[k] - perturbation
        gradient[k] = (ahead - probe(moved)) / (2.0 * perturbation)
    return probe.report(here, here - learning_rate * gradient, free)


def sgd_step(
    operator: Operator,
    inputs: Array,
    targets: Array,
    *,
    theta: Array | None,
    learning_rate: float | Array,
) -> StepReport:
    """Do one step of stochastic gradient descent on the loss, with the gradient the device's equations give. As `spsa_step`.

    Theta is written where it can be; elsewhere the next hold moves it. With learning rate epsilon beta it is what Theorem 1
    compares with.

    Raises:
        CapabilityError: the device does not know its energy.
    """
    if "KnowsEnergy" not in operator.abilities:
        raise CapabilityError(
            f"{operator.info.name} does not know its energy, so sgd has no gradient. Use spsa, finite-difference or Æqprop."
        )
    here = _present(operator, inputs, theta)
    probe = _Probe(operator, targets)
    free = probe(here)
    gradient = operator.device_call("loss_gradient", here, inputs, targets)
    following = here - learning_rate * gradient
    report = probe.report(here, following, free)
    if report.used and "WritableParameters" in operator.abilities:
        operator.device_call("write_parameters", following)
    return report


def _present(operator: Operator, inputs: Array, theta: Array | None) -> Array:
    operator.present(inputs)
    operator.release()
    return np.array(operator.parameters() if theta is None else theta, dtype=np.float64)


class _Probe:
    """Reads the cost at beta = 0 with theta held somewhere, and remembers how well it was held."""

    def __init__(self, operator: Operator, targets: Array) -> None:
        self.operator, self.targets = operator, targets
        self.holds: list[HoldReport] = []
        self.costs: list[float] = []

    def __call__(self, theta: Array) -> float:
        hold = self.operator.hold(theta)
        self.holds.append(hold)
        self.costs.append(cost(self.operator.info, hold.readout.outputs, self.targets))
        return self.costs[-1]

    def report(self, theta: Array, following: Array, free: float | None) -> StepReport:
        """Say what was done; a step with a hold that was not accepted is not used, and its target stays."""
        used = all(hold.accepted for hold in self.holds)
        worst = next((hold for hold in self.holds if not hold.accepted), self.holds[-1])
        first = self.holds[0]
        return StepReport(
            beta_1=0.0, beta_2=0.0, cost_1=self.costs[0], cost_2=self.costs[-1], cost_free=free,
            outputs_free=first.readout.outputs if free is not None else None,
            theta_before=theta, theta_after=None, theta_target_next=following if used else theta,
            free_hold=first if free is not None else None, hold=worst, settle=None, used=used, sham=False, cost_rose=False,
        )  # fmt: skip
