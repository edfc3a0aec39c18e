"""Gains of the loops, knob by knob: how they differ from the standard ones, and what they amount to with the margins they leave.

The standard gains follow from what was identified of each knob (`controllers`). A tuning makes a knob slower or faster than that
by one factor on all its gains, or gives gains in their place. It is tried first, for some seconds (`trials`), and kept in a file
(`gains_file`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo
from aeqlab.protocols.controllers import Controller, make_controller
from aeqlab.protocols.errors import HoldError, NotAllowedError
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.stability import FORMULA, margins
from aeqlab.protocols.tuning import GIVEN, Tuning

Array = NDArray[Any]
PLANT = ("gain", "lag_s", "dead_time_s")  #: what is known of a knob, as `ControlResponse` has it
SLOWEST, FASTEST = 0.01, 10.0  #: factors that may be tried
QUASI_STATIC = "gain margin of the quasi-static law: 2 / share, since one correction leaves 1 - share of an error"


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of gains that is on: whose, what in words, its knobs by index, how long it was to be and still is, in s."""

    by: str
    what: str
    knobs: tuple[int, ...]
    seconds: float
    left_s: float


@dataclass(frozen=True, slots=True)
class Gains:
    """The gains in use, arrays of shape (controls,); nan for what is not known or what the law does not have.

    Attributes:
        law: integral, pid, quasi-static or ideal.
        names: of the control knobs.
        gain, lag_s, dead_time_s: k, tau and d of each, as identified or as the device says.
        kp, ki, kd: gains in use, in u per theta, that per second, that times seconds.
        share: of a measured error, what one correction at rest takes away; all there is of the quasi-static law.
        factor: how much faster than the standard gains each was made; 1: standard. nan where gains were given instead.
        eased: share that is left since a knob was seen to oscillate.
        gain_margin, phase_margin_deg: see `stability`; a gain margin below 1 is an unstable loop.
        formula: how the margins are worked out, and from what.
        why: why nothing is known of the gains; empty where it is.
        kept: where the gains are kept that are in use; empty: they are the standard ones, or the trial's.
        trial: the trial that is on; None: none is.
        version: changes whenever any of this does, but for the time that is left.
    """

    law: str
    names: tuple[str, ...]
    gain: Array
    lag_s: Array
    dead_time_s: Array
    kp: Array
    ki: Array
    kd: Array
    share: Array
    factor: Array
    eased: Array
    gain_margin: Array
    phase_margin_deg: Array
    formula: str
    why: str = ""
    kept: str = ""
    trial: Trial | None = None
    version: int = 0


def gains_of(settings: HomeostasisSettings, info: DeviceInfo, tuning: Tuning, eased: Array) -> Gains:
    """Work out the gains that a loop has, without touching it."""
    law = make_controller(settings, info, tuning)
    if law.law == "ideal":
        return no_gains(info)
    n = len(info.controls)
    law.eased = np.array(eased, dtype=np.float64)
    response = info.response
    rows: dict[str, Any] = {name: np.full(n, np.nan) for name in (*PLANT, *GIVEN, "share", "gain_margin", "phase_margin_deg")}
    if response is not None:
        rows |= {name: _row(getattr(response, name), n) for name in PLANT}
    found = Gains(
        law=law.law,
        names=tuple(info.controls.names),
        **rows,
        factor=tuning.factor_or_nan,
        eased=law.eased,
        formula=QUASI_STATIC if law.law == "quasi-static" else FORMULA,
    )
    try:
        law.prepare()
    except HoldError as exc:
        return replace(found, why=str(exc))
    return _with_margins(found, law, info)


def no_gains(info: DeviceInfo) -> Gains:
    """Say that a device holds theta itself."""
    rows = (*PLANT, *GIVEN, "share", "factor", "eased", "gain_margin", "phase_margin_deg")
    nothing: dict[str, Any] = {name: np.zeros(0) for name in rows}
    return Gains("ideal", (), **nothing, formula="", why=f"{info.name} holds theta itself; its loops have no gains here.")


def _with_margins(found: Gains, law: Controller, info: DeviceInfo) -> Gains:
    share = law.share * law.eased
    if law.law == "quasi-static":
        with np.errstate(divide="ignore"):
            return replace(found, share=share, gain_margin=2.0 / share)
    none = np.zeros(len(found.names))
    kp, ki, kd = (none if getattr(law, name, None) is None else np.array(getattr(law, name)) for name in GIVEN)
    room, phase = margins(kp, ki, kd, found.gain, found.lag_s, found.dead_time_s, info.tick_s)
    return replace(found, kp=kp, ki=ki, kd=kd, share=share, gain_margin=room, phase_margin_deg=phase)


def changed(tuning: Tuning, change: Mapping[str, Any], info: DeviceInfo, law: str) -> tuple[Tuning, tuple[int, ...], str]:
    """Change a tuning as someone asks for it.

    Args:
        tuning: as it is.
        change: `factor`, or any of `ki`, `kp`, `kd`: one number, or one for each of `knobs`; `knobs`: their indices, left out:
            all. A factor counts from the standard gains, and takes given gains away.
        info: of the device.
        law: of its loops, for which gains are given.
    Returns:
        The new tuning, the indices of the knobs it changes, and what it does, in words.
    Raises:
        NotAllowedError: something of it cannot be; the message says what.
    """
    known = ("knobs", "factor", *GIVEN)
    if unknown := sorted(set(change) - set(known)):
        raise NotAllowedError(f"gains: there is no {unknown[0]!r} to try; there are {', '.join(known)}.")
    knobs = _knobs(change.get("knobs"), len(info.controls))
    given = {name: change[name] for name in ("factor", *GIVEN) if change.get(name) is not None}
    if not given:
        raise NotAllowedError("gains: say what to try: a factor, or ki, kp, kd.")
    if "factor" in given and len(given) > 1:
        raise NotAllowedError("gains: a factor makes the standard gains faster; give it, or gains in their place, not both.")
    rows = {name: _numbers(name, value, len(knobs)) for name, value in given.items()}
    names = [info.controls.names[k] for k in knobs]
    where = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    if "factor" in rows:
        factor = rows["factor"]
        if ((factor < SLOWEST) | (factor > FASTEST)).any():
            k = int(np.argmax((factor < SLOWEST) | (factor > FASTEST)))
            raise NotAllowedError(f"gains of {names[k]}: factor {factor[k]:g} is outside {SLOWEST:g} to {FASTEST:g}.")
        return tuning.with_factor(knobs, factor), tuple(knobs), f"{where}: {_spread(factor)} times the standard gains"
    if law == "quasi-static":
        raise NotAllowedError("gains: the quasi-static law has no ki, kp or kd. Try a factor.")
    if law != "pid" and set(rows) - {"ki"}:
        raise NotAllowedError(f"gains: the {law} law has a ki alone. Try ki or a factor, or the controller pid.")
    answers = None if info.response is None else _row(info.response.gain, len(info.controls))[knobs]
    for name, row in rows.items():
        wrong = row < 0.0 if answers is None else row * answers < 0.0
        if wrong.any():
            at = int(np.argmax(wrong))
            because = "" if answers is None else f", since theta goes by {answers[at]:.3g} times what its knob does"
            raise NotAllowedError(f"gains of {names[at]}: {name} {row[at]:g} would push theta away from its target{because}.")
    said = ", ".join(f"{name} {_spread(row)}" for name, row in rows.items())
    return tuning.with_given(knobs, rows, law), tuple(knobs), f"{where}: {said}"


def _knobs(value: Any, n: int) -> list[int]:
    if value is None:
        return list(range(n))
    rows = np.asarray(value).ravel().tolist()
    if not rows or len(set(rows)) != len(rows) or not all(float(k).is_integer() and 0 <= k < n for k in rows):
        raise NotAllowedError(f"gains: knobs are indices from 0 to {n - 1}, each once.")
    return [int(k) for k in rows]


def _numbers(name: str, value: Any, n: int) -> Array:
    try:
        row = np.asarray(value, dtype=np.float64)
        if row.shape not in ((), (n,)) or not np.isfinite(row).all():
            raise ValueError
    except (TypeError, ValueError):
        raise NotAllowedError(f"gains: {name} is one number, or one for each of the {n} knobs.") from None
    return np.array(np.broadcast_to(row, (n,)))


def _spread(row: Array) -> str:
    low, high = float(row.min()), float(row.max())
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _row(value: Any, n: int) -> Array:
    return np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), (n,)))
