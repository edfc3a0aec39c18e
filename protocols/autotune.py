"""Autotune: the factor on the standard gains by which each knob settles soonest, as its identified k, tau and d foretell it.

Factors that would leave less than a stated gain margin or phase margin are no choice, nor are those that overshoot. What is found
is tried like any change of gains (`trials`), and kept only on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo
from aeqlab.protocols.errors import NotAllowedError
from aeqlab.protocols.gains import Gains, Trial
from aeqlab.protocols.predicted import settled_at, step_answer, tick_for
from aeqlab.protocols.stability import margins
from aeqlab.protocols.words import range_in_words

Array = NDArray[Any]
GAIN_MARGIN, PHASE_MARGIN_DEG = 2.5, 50.0  #: that a choice leaves at least
OVERSHOOT = 0.05  #: of a step of the target, at most
BAND = 0.02  #: of a step: within it theta counts as settled
TRIED = np.geomspace(0.2, 5.0, 41).round(3)  #: factors that are compared; 1 is among them
LONG = 40.0  #: lags and dead times that are foretold


@dataclass(frozen=True, slots=True)
class Autotuned:
    """What was chosen, arrays of shape (chosen knobs,).

    Attributes:
        knobs: indices.
        factor: on the standard gains.
        settles_s, standard_s: foretold time to settle with it, and with the standard gains.
        gain_margin, phase_margin_deg: that it leaves.
        trial: by which it is tried.
    """

    knobs: tuple[int, ...]
    factor: Array
    settles_s: Array
    standard_s: Array
    gain_margin: Array
    phase_margin_deg: Array
    trial: Trial

    @property
    def sentence(self) -> str:
        """Say it for a person."""
        many = f"{len(self.knobs)} knobs" if len(self.knobs) > 1 else "1 knob"
        return (
            f"{many}: {range_in_words(self.factor)} times the standard gains, to settle in {range_in_words(self.settles_s)} s by "
            f"the model, where the standard gains need {range_in_words(self.standard_s)} s. "
            f"Gain margin at least {np.nanmin(self.gain_margin):.3g}."
        )


def choose(gains: Gains, info: DeviceInfo, which: Sequence[int]) -> tuple[Array, Array, Array, Array, Array]:
    """Choose a factor for some knobs whose gains are the standard ones times a factor.

    Args:
        gains: in use.
        info: of the device.
        which: indices of the knobs.
    Returns:
        Factor, time to settle with it and with the standard gains (s), gain margin and phase margin, each of shape (chosen,).
    Raises:
        NotAllowedError: how a knob answers is not known, or no factor is good enough for it.
    """
    names = [gains.names[k] for k in which]
    rows = (gains.kp, gains.ki, gains.kd, gains.gain, gains.lag_s, gains.dead_time_s, gains.factor)
    kp, ki, kd, gain, lag_s, dead_s, factor = (np.asarray(row, dtype=np.float64)[list(which)] for row in rows)
    unknown = ~np.isfinite([gain, lag_s, dead_s]).all(axis=0)
    if unknown.any():
        raise NotAllowedError(
            f"autotune: how theta answers {names[int(np.argmax(unknown))]} is not known. Identify the rig first."
        )
    if gains.law == "quasi-static":  # one correction takes all of an error away: nothing is sooner
        settles = 5.0 * lag_s + dead_s
        return np.ones(len(which)), settles, settles, np.full(len(which), 2.0), np.full(len(which), np.nan)
    kp, ki, kd = kp / factor, ki / factor, kd / factor
    tick = tick_for(info.tick_s, lag_s, dead_s)
    readings = int(np.clip(LONG * float(np.max(lag_s + dead_s + tick)) / tick, 100, 2000))
    by = TRIED[:, None]
    theta = step_answer(by * kp, by * ki, by * kd, gain, lag_s, dead_s, tick_s=tick, readings=readings)
    settles = settled_at(theta, 1.0, BAND, tick)
    left = [margins(f * kp, f * ki, f * kd, gain, lag_s, dead_s, info.tick_s) for f in TRIED.tolist()]
    room, phase = np.array([one for one, _ in left]), np.array([one for _, one in left])
    good = (room >= GAIN_MARGIN) & ~(phase < PHASE_MARGIN_DEG) & (theta.max(axis=0) <= 1.0 + OVERSHOOT) & np.isfinite(settles)
    if not good.any(axis=0).all():
        name = names[int(np.argmin(good.any(axis=0)))]
        raise NotAllowedError(f"autotune: no factor makes {name} settle without swinging. Look at its lag and dead time.")
    best, each = np.argmin(np.where(good, settles, np.inf), axis=0), np.arange(len(which))
    one = int(np.argmin(np.abs(TRIED - 1.0)))
    return TRIED[best], settles[best, each], settles[one], room[best, each], phase[best, each]


def autotune(operator: Any, knobs: Sequence[int] | None = None, by: str = "", seconds: float | None = None) -> Autotuned:
    """Choose factors for some knobs and try them.

    Args:
        operator: `Session` or `SessionClient`.
        knobs: their indices; None: all.
        by, seconds: of the trial, as for `Session.try_gains`.
    Raises:
        FrozenError: the device stands.
        NotAllowedError: someone else tries gains now, or nothing good can be foretold.
    """
    gains: Gains = operator.gains()
    which = list(range(len(gains.names))) if knobs is None else [int(k) for k in knobs]
    if gains.why or not which:
        raise NotAllowedError(gains.why or "autotune: choose at least one knob.")
    if given := [k for k in which if np.isnan(gains.factor[k])]:  # what their standard gains are the session tells
        operator.try_gains({"knobs": given, "factor": 1.0}, by, seconds)
        gains = operator.gains()
    try:
        found = choose(gains, operator.info, which)
    except NotAllowedError:
        if given:
            operator.revert_gains(by)  # nothing better is known, so those that were given stay
        raise
    trial = operator.try_gains({"knobs": which, "factor": found[0].tolist()}, by, seconds)
    return Autotuned(tuple(which), *found, trial=trial)
