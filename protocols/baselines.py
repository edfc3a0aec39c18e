"""Baselines to stand beside Æqprop: the agnostic `spsa` and `finite-difference`; `sgd` and `autodiff`, which know the equations.

The agnostic ones move theta in the one way a rig allows, by moving the target of homeostasis, and read costs at beta = 0.
Where theta can only be held, a gradient from the equations is taken at theta as it was read, and the target is moved by it.
All give a `StepReport`: both nudges 0, `cost_1` and `cost_2` the first and last cost read. Where a target is held the result
is `theta_target_next`. Where the device keeps theta inside (`theta=None`) the result is written to it and is `theta_after`;
a step that is not used, or is left in its middle, writes back where theta was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import BackendError, DivergedError
from aeqlab.protocols.aeqprop import StepReport, cost
from aeqlab.protocols.errors import CapabilityError, ProtocolError
from aeqlab.protocols.operator import Operator
from aeqlab.protocols.reports import HoldReport

Array = NDArray[Any]
#: What a device lacks that has not a capability, in words.
LACKING = {
    "KnowsEnergy": "does not know its energy",
    "Differentiable": "cannot be differentiated at its equilibrium",
    "Unrolls": "cannot unroll its relaxation",
    "OutputClamp": "cannot clamp its outputs",
}


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
        theta: present target, shape (parameters,); None: the device keeps its parameters inside, or they are read.
        learning_rate: size of the step, one for all or one per parameter.
        perturbation: c, in the unit of theta.
        rng: where the signs come from.
        free_phase: read the cost at theta itself as well.
    Raises:
        CapabilityError: theta cannot be told to be elsewhere on this device.
    Source: Spall 1992, "Multivariate stochastic approximation using a simultaneous perturbation gradient approximation", IEEE
        Trans. Autom. Control 37(3), 332-341. There the gains decay: see `spall_gains`.
    """
    with probing(operator, inputs, targets, theta) as probe:
        here = probe.here
        sign = rng.integers(0, 2, size=len(here)) * 2.0 - 1.0
        free = probe(here) if free_phase else None
        ahead = probe(here + perturbation * sign)
        behind = probe(here - perturbation * sign)
        gradient = (ahead - behind) / (2.0 * perturbation) * sign
        return probe.report(here - learning_rate * gradient, free)


def spall_gains(k: int, learning_rate: float | Array, perturbation: float, stability: float = 0.0) -> tuple[float | Array, float]:
    """Get step size and perturbation of step k of SPSA, a / (A + k + 1)^0.602 and c / (k + 1)^0.101.

    Args:
        k: number of the step, from 0.
        learning_rate, perturbation, stability: a, c and A, which Spall advises to be a tenth of the steps or less.
    Source: Spall 1998, "Implementation of the simultaneous perturbation algorithm for stochastic optimization", IEEE Trans.
        Aerosp. Electron. Syst. 34(3), 817-823.
    """
    return learning_rate / (stability + k + 1) ** 0.602, perturbation / (k + 1) ** 0.101


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
    with probing(operator, inputs, targets, theta) as probe:
        here = probe.here
        free = probe(here) if free_phase else None
        gradient = np.empty(len(here))
        for k in range(len(here)):
            moved = here.copy()
            moved[k] = here[k] + perturbation
            ahead = probe(moved)
            moved = here.copy()
            moved[k] = here[k] - perturbation
            gradient[k] = (ahead - probe(moved)) / (2.0 * perturbation)
        return probe.report(here - learning_rate * gradient, free)


def sgd_step(
    operator: Operator,
    inputs: Array,
    targets: Array,
    *,
    theta: Array | None,
    learning_rate: float | Array,
) -> StepReport:
    """Do one step of stochastic gradient descent on the loss, with the gradient the device's equations give. As `spsa_step`.

    Theta is written at once where it can be; elsewhere the next hold moves it. With learning rate epsilon beta it is what
    Theorem 1 compares with.

    Raises:
        CapabilityError: the device does not know its energy.
    """
    with probing(operator, inputs, targets, theta, "KnowsEnergy") as probe:
        free = probe(probe.here)
        gradient = operator.device_call("loss_gradient", probe.known, inputs, targets)
        return probe.descend(learning_rate * gradient, free)


def autodiff_step(
    operator: Operator,
    inputs: Array,
    targets: Array,
    *,
    theta: Array | None,
    learning_rate: float | Array,
    through: Literal["unrolled", "implicit"] | None = None,
) -> StepReport:
    """Do one step along the loss differentiated by the device's simulation. As `sgd_step`.

    Args:
        operator, inputs, targets, theta, learning_rate: as in `spsa_step`; with epsilon_k beta it is the baseline of section 5.3.
        through: the unrolled relaxation from zeros, or the equilibrium by the implicit function theorem; None: unrolled where
            the device can.
    Raises:
        CapabilityError: the device cannot be differentiated in this way.
    Source: Scellier et al. 2022, section 5.3, "Baseline".
    """
    through = through or ("unrolled" if "Unrolls" in operator.abilities else "implicit")
    with probing(operator, inputs, targets, theta, "Unrolls" if through == "unrolled" else "Differentiable") as probe:
        free = probe(probe.here)
        call = "unrolled_loss_and_gradient" if through == "unrolled" else "loss_and_gradient"
        _, gradient = operator.device_call(call, probe.known, inputs, targets)
        return probe.descend(learning_rate * gradient, free)


@contextmanager
def probing(operator: Operator, inputs: Array, targets: Array, theta: Array | None, *needs: str) -> Iterator[Probe]:
    """Present the input and give what reads costs; left in the middle, a device that keeps theta inside gets it back.

    Args:
        operator, inputs, targets, theta: as in `spsa_step`.
        needs: capability interfaces without which this baseline cannot be.
    Raises:
        CapabilityError: the device lacks one of them, or theta cannot be moved on it.
    """
    for name in needs:
        if name not in operator.abilities:
            what = LACKING.get(name, f"does not have {name}")
            raise CapabilityError(
                f"{operator.info.name} {what}, which this baseline needs. Use spsa, finite-difference or Æqprop, which every "
                "device can do."
            )
    inside = theta is None and "HoldsParameters" in operator.abilities
    if inside and "WritableParameters" not in operator.abilities:
        raise CapabilityError(
            f"{operator.info.name} keeps its parameters itself and does not let them be written, so a baseline cannot move them. "
            "Choose the integral controller, or an Æqprop method."
        )
    operator.present(inputs)
    operator.release()
    probe = Probe(operator, targets, np.array(operator.parameters() if theta is None else theta, dtype=np.float64), inside)
    try:
        yield probe
    except BaseException:
        with suppress(ProtocolError, BackendError):
            operator.release()
        if inside:
            with suppress(ProtocolError, BackendError):
                operator.device_call("write_parameters", probe.here)
        raise


class Probe:
    """Reads costs with theta held somewhere, and remembers how well it was held.

    Attributes:
        here: where theta is before the step, shape (parameters,).
        inside: the device keeps theta itself.
        free: the hold in which the cost without a nudge was read; the first one, unless a step says otherwise.
    """

    def __init__(self, operator: Operator, targets: Array, here: Array, inside: bool) -> None:
        self.operator, self.targets, self.here, self.inside = operator, targets, here, inside
        self.holds: list[HoldReport] = []
        self.costs: list[float] = []
        self.free: HoldReport | None = None

    def __call__(self, theta: Array) -> float:
        """Hold theta there, shape (parameters,), under the nudge that is on; read the cost C."""
        hold = self.operator.hold(theta)
        self.holds.append(hold)
        self.costs.append(cost(self.operator.info, hold.readout.outputs, self.targets))
        return self.costs[-1]

    @property
    def measured(self) -> Array:
        """Theta as it was read in the last hold; where it is kept inside, theta itself."""
        read = self.holds[-1].readout.parameters
        return self.here if read is None else read

    @property
    def known(self) -> Array:
        """The theta at which to take a gradient: where the target is where it can be written, else as it was read."""
        return self.here if "WritableParameters" in self.operator.abilities else self.measured

    def descend(self, step: Array, free: float) -> StepReport:
        """Move theta by -step, by writing it at once where it can be; elsewhere the next hold moves it."""
        report = self.report(self.here - step, free)
        if report.used and report.theta_target_next is not None and "WritableParameters" in self.operator.abilities:
            self.operator.device_call("write_parameters", report.theta_target_next)
        return report

    def report(
        self,
        following: Array,
        free: float | None,
        pair: tuple[float, float] = (0.0, 0.0),
        costs: tuple[float, float] | None = None,
    ) -> StepReport:
        """Say what was done; after a hold that was not accepted the step is not used, and theta stays where it was."""
        used = all(hold.accepted for hold in self.holds)
        worst = next((hold for hold in self.holds if not hold.accepted), self.holds[-1])
        first = self.free or self.holds[0]
        result = following if used else self.here
        if self.inside:
            if not np.isfinite(result).all():
                raise DivergedError("the step of a baseline leads to theta that is not finite. A smaller learning_rate may help.")
            self.operator.device_call("write_parameters", result)
        free_hold = first if free is not None else None
        if not first.accepted:  # the free phase comes first, and its cost is the loss only where theta was held
            free = None
        cost_1, cost_2 = costs or (self.costs[0], self.costs[-1])
        return StepReport(
            beta_1=pair[0], beta_2=pair[1], cost_1=cost_1, cost_2=cost_2, cost_free=free,
            outputs_free=first.readout.outputs if free is not None else None,
            theta_before=self.here, theta_after=result if self.inside and used else None,
            theta_target_next=None if self.inside else result,
            free_hold=free_hold, hold=worst, settle=None, used=used, sham=False, cost_rose=False,
        )  # fmt: skip
