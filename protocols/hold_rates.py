"""The rates of false verdicts of a hold: how often theta was called held while it was not, and the other way round.

The headline figure of honesty: `false_held` counts clamps while the true theta was outside its tolerance, `false_rejected`
the samples that were given up although theta stood where it should. It needs a device that knows its truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.operator import Operator
from aeqlab.protocols.reports import HoldReport

Array = NDArray[Any]


@dataclass(slots=True)
class HoldRates:
    """Counts of verdicts against the truth; add one hold at a time."""

    samples: int = 0
    accepted: int = 0
    good: int = 0  #: samples in which the true theta was within tolerance at the end
    false_held: int = 0
    false_rejected: int = 0
    ticks: int = 0
    duration_s: float = 0.0
    worst_held: float = 0.0  #: largest true error of an accepted hold, in tolerances

    def add(self, report: HoldReport, target: Array, truth: Array) -> None:
        """Count one hold.

        Args:
            report: how it ended.
            target: theta*, shape (parameters,).
            truth: theta as it was then, same shape.
        """
        if report.tolerance is None:
            raise CapabilityError("this hold has no tolerance to be judged by: the device holds its parameters exactly")
        ratio = float(np.max(np.abs(truth - target) / report.tolerance, initial=0.0))
        inside = ratio <= 1.0
        self.samples += 1
        self.good += inside
        self.accepted += report.accepted
        self.false_held += report.accepted and not inside
        self.false_rejected += inside and not report.accepted
        self.ticks += report.ticks
        self.duration_s += report.duration_s
        if report.accepted:
            self.worst_held = max(self.worst_held, ratio)

    @property
    def false_held_rate(self) -> float:
        """Get the share of accepted holds in which theta was outside its tolerance."""
        return self.false_held / self.accepted if self.accepted else 0.0

    @property
    def false_rejected_rate(self) -> float:
        """Get the share of good samples that were not accepted."""
        return self.false_rejected / self.good if self.good else 0.0

    def __str__(self) -> str:
        n = max(self.samples, 1)
        return (
            f"{self.samples} holds, {self.accepted} accepted: false-held {self.false_held_rate:.2g}, false-rejected "
            f"{self.false_rejected_rate:.2g}, worst accepted error {self.worst_held:.2f} tolerances; "
            f"{self.ticks / n:.1f} ticks and {self.duration_s / n:.3g} s each"
        )


def measure_hold_rates(
    operator: Operator,
    samples: int,
    *,
    theta: Array,
    step: float,
    rng: np.random.Generator,
    inputs: Callable[[np.random.Generator], Array] | None = None,
) -> HoldRates:
    """Hold theta for many random inputs and compare each verdict with the truth.

    The target wanders as in training: each sample moves every parameter by `step` times a normal number.

    Args:
        operator: of a device that KnowsTruth; its settings of homeostasis are what is judged.
        samples: number of holds.
        theta: first target, shape (parameters,).
        step: size of the moves, in the unit of theta.
        rng: random numbers for inputs and steps.
        inputs: makes one presentation, shape (samples, inputs); None: uniform within the limits of the input knobs.
    Raises:
        CapabilityError: the device does not know its true parameters, or holds them exactly.
    """
    if "KnowsTruth" not in operator.abilities:
        raise CapabilityError(f"{operator.info.name} does not know its true parameters, so a verdict cannot be judged by them.")
    draw = inputs if inputs is not None else _uniform(operator)
    target = np.array(theta, dtype=np.float64)
    rates = HoldRates()
    operator.release()
    for _ in range(samples):
        target = target + step * rng.standard_normal(len(target))
        operator.present(draw(rng))
        report = operator.hold(target)
        rates.add(report, target, operator.device_call("true_parameters"))
    return rates


def _uniform(operator: Operator) -> Callable[[np.random.Generator], Array]:
    info = operator.info
    low = np.maximum(info.inputs.low, -1.0)
    high = np.minimum(info.inputs.high, 1.0)
    n = info.samples if info.samples is not None else 1
    return lambda rng: rng.uniform(low, high, (n, len(info.inputs)))
