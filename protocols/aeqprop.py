"""One training step of Agnostic Equilibrium Propagation, in its general form with two nudges (Appendix A, eqs. 27-28).

1. present the input, nudge beta_1, hold theta where it is; 2. clamp u, nudge beta_2, let everything settle, read the new
theta. Nothing else updates a parameter, and nothing here asks for an energy, a gradient or an equation.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.costs import DEFAULT_COST, make_cost
from aeqlab.backends.device import DeviceInfo
from aeqlab.backends.errors import BackendError
from aeqlab.protocols.errors import ProtocolError
from aeqlab.protocols.operator import Operator
from aeqlab.protocols.reports import HoldReport, SettleReport, Verdict

Array = NDArray[Any]

FOLLOWS = 2  #: how often in a hold the targets of parameters whose knobs stand at a rail follow them back
INSIDE = 2.0  #: so many tolerances further, so that the knobs leave the rail
FOLLOWS_SHARE = 0.05  #: by so much of what the knob can do at most: what an input pushes further is not held at all


class Method(StrEnum):
    """The variants of section 4."""

    OPTIMISTIC = "optimistic"
    PESSIMISTIC = "pessimistic"
    CENTERED = "centered"


def nudging_pair(method: Method | str, beta: float) -> tuple[float, float]:
    """Get (beta_1, beta_2): (0, beta), (-beta, 0) or (-beta/2, beta/2), all a step of size epsilon beta.

    Raises:
        ValueError: no such method, or beta is not above 0.
    """
    if not 0.0 < beta < np.inf:
        raise ValueError(f"beta {beta!r}: a number above 0 is needed; the method says on which side of 0 it is used")
    match Method(method):
        case Method.OPTIMISTIC:
            return 0.0, beta
        case Method.PESSIMISTIC:
            return -beta, 0.0
        case Method.CENTERED:
            return -beta / 2, beta / 2


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one training step did.

    Attributes:
        beta_1, beta_2: nudges of the two phases.
        cost_1, cost_2: C read under beta_1, theta held, and under beta_2 (nan where that phase did not happen). Never the loss.
        cost_free: C at beta = 0, theta held, which is the loss; None where no free phase was run, or theta was not held in it.
        outputs_free: outputs of that phase, shape (samples, outputs).
        theta_before, theta_after: theta as read at the clamp and after the nudge; None where the device keeps them inside.
        theta_target_next: what to hold next, by the update rule; None where the device keeps it inside.
        free_hold: the hold of a free phase of its own; None where beta_1 = 0 makes it the same as `hold`.
        hold, settle: how the two phases ended; `settle` is None where nothing was nudged.
        used: both phases were accepted, so the parameters were trained on this sample. If the nudged phase alone was not, theta
            has moved and the next hold brings it back to the target it had.
        sham: both nudges were equal: it shows what a step does that learns nothing.
        cost_rose: C under beta_2 above C under beta_1 < beta_2, which Lemma 10 and Theorem 2 forbid at equilibrium.
        true_error: worst |theta - theta*| at the end of the hold by the true theta, in tolerances; None where it is not known.
        followed: parameters whose knobs could not bring them to their targets, so that the targets followed them back.
    """

    beta_1: float
    beta_2: float
    cost_1: float
    cost_2: float
    cost_free: float | None
    outputs_free: Array | None
    theta_before: Array | None
    theta_after: Array | None
    theta_target_next: Array | None
    free_hold: HoldReport | None
    hold: HoldReport
    settle: SettleReport | None
    used: bool
    sham: bool
    cost_rose: bool
    true_error: float | None = None
    followed: tuple[int, ...] = ()


def cost(info: DeviceInfo, outputs: Array, targets: Array) -> float:
    """Compute the cost C of a device by its name, mean over the samples; 1/2 |s - y|^2 unless it says otherwise.

    Args:
        info: of the device.
        outputs, targets: shape (samples, outputs).
    """
    if info.cost == DEFAULT_COST:
        d = (np.asarray(outputs, dtype=np.float64) - targets).ravel()
        return 0.5 * float(d.dot(d)) / len(outputs)
    return float(np.mean(make_cost(info.cost, Path()).value(np.asarray(outputs, dtype=np.float64), np.asarray(targets))))


def train_step(
    operator: Operator,
    inputs: Array,
    targets: Array,
    *,
    theta: Array | None,
    pair: tuple[float, float],
    update: Literal["after", "difference"] = "after",
    sham: bool = False,
    free_phase: bool = True,
) -> StepReport:
    """Do one training step.

    Args:
        operator: the device's operator.
        inputs, targets: one example or one batch, shapes (samples, inputs) and (samples, outputs).
        theta: where to hold the parameters, shape (parameters,); None where the device keeps them inside.
        pair: (beta_1, beta_2), as `nudging_pair` gives them.
        update: the next target is theta as read after the nudge, or the present target moved by what the nudge changed,
            which does not add up the errors of holding.
        sham: use beta_1 for both nudges; the target then stays.
        free_phase: read the cost at beta = 0 as well, in a hold of its own unless beta_1 is 0.
    Returns:
        What happened. Nothing was nudged if `used` is False.
    Raises:
        LimitError: a nudge outside what the device allows.
        Interrupted: someone asked for it; the nudge was taken off.
    """
    beta_1, beta_2 = (pair[0], pair[0]) if sham else pair
    info = operator.info
    operator.present(inputs)
    try:
        free_hold: HoldReport | None = None
        cost_free: float | None = None
        outputs_free: Array | None = None
        followed: tuple[int, ...] = ()
        if beta_1 == 0.0 or free_phase:
            operator.release()
            hold, theta, followed = _hold(operator, theta)
            cost_1 = cost(info, hold.readout.outputs, targets)
            if hold.accepted:  # elsewhere it is the cost of a theta that is not the one to be held
                outputs_free, cost_free = hold.readout.outputs, cost_1
        if beta_1 != 0.0:
            if free_phase:
                free_hold = hold
            if free_hold is None or free_hold.accepted:
                operator.nudge(targets, beta_1)
                hold, theta, more = _hold(operator, theta)
                if more:  # they were those of another theta
                    followed, outputs_free, cost_free = tuple(sorted({*followed, *more})), None, None
                cost_1 = cost(info, hold.readout.outputs, targets)
        before = hold.readout.parameters
        true_error = _true_error(operator, hold, theta)
        if not hold.accepted:
            operator.release()
            return StepReport(
                beta_1, beta_2, cost_1, np.nan, cost_free, outputs_free, before, None, theta,
                free_hold, hold, None, False, sham, False, true_error, followed,
            )  # fmt: skip
        if beta_2 == 0.0:
            operator.release()
        else:
            operator.nudge(targets, beta_2)
        settled = operator.settle()
    except BaseException:
        with suppress(ProtocolError, BackendError):
            operator.release()
        raise
    operator.release()
    cost_2 = cost(info, settled.readout.outputs, targets)
    after = settled.readout.parameters
    following = theta
    used = settled.accepted or theta is None
    if theta is not None and after is not None and used and not sham:
        following = after if update == "after" or before is None else theta + (after - before)
    rose = beta_2 > beta_1 and cost_2 > cost_1 * (1.0 + 1e-9)
    return StepReport(
        beta_1, beta_2, cost_1, cost_2, cost_free, outputs_free, before, after, following,
        free_hold, hold, settled, used, sham, rose, true_error, followed,
    )  # fmt: skip


def _hold(operator: Operator, theta: Array | None) -> tuple[HoldReport, Array | None, tuple[int, ...]]:
    """Hold theta; what its knobs cannot bring there follows them back, and is held where it can be.

    Learning may ask for more than a knob is able to give. Its parameter then stays at the border of what can be held, and the
    others go on learning: gradient descent projected to the box of the knobs. Otherwise every sample after it would be refused.
    A knob that moves nothing, stuck or cut off, is one with no box at all: its parameter is masked so.

    Returns:
        The last hold, what was its target, and which parameters' targets were moved.
    """
    hold = operator.hold(theta)
    followed: Array = np.zeros(0, dtype=int)
    for _ in range(FOLLOWS):
        beyond = _beyond_reach(theta, hold, operator.info)
        if theta is None or beyond is None:
            break
        error, tolerance = np.asarray(hold.error), np.asarray(hold.tolerance)
        inside = INSIDE * tolerance if hold.idle is None else np.where(hold.idle, 0.0, INSIDE * tolerance)
        theta = np.where(beyond, theta + error + np.copysign(inside, error), theta)
        followed = np.union1d(followed, np.flatnonzero(beyond))
        hold = operator.hold(theta)
    return hold, theta, tuple(int(k) for k in followed)


def _beyond_reach(theta: Array | None, hold: HoldReport, info: DeviceInfo) -> Array | None:
    """Get which parameters are not where they should be, their knobs at a rail or moving nothing; None where none is."""
    error, tolerance, rails, idle = hold.error, hold.tolerance, hold.saturated, hold.idle
    if theta is None or error is None or tolerance is None or rails is None or rails.shape != theta.shape:
        return None
    if idle is not None and idle.any():
        rails = rails | idle
    elif hold.verdict is not Verdict.SATURATED:
        return None
    gain = 1.0 if info.response is None else info.response.gain
    beyond: Array = rails & (np.abs(error) > tolerance)
    near = np.abs(error) <= FOLLOWS_SHARE * np.abs(gain) * (info.controls.high - info.controls.low)
    return beyond if beyond.any() and near[beyond].all() else None


def _true_error(operator: Operator, hold: HoldReport, theta: Array | None) -> float | None:
    """Get the worst true error of a hold in tolerances, where the truth is known; nothing that trains looks at it."""
    if theta is None or hold.tolerance is None or "KnowsTruth" not in operator.abilities:
        return None
    return float(np.max(np.abs(operator.device_call("true_parameters") - theta) / hold.tolerance, initial=0.0))
