"""Checks at the border of a device: shapes, types, finite values and limits, each refusal in one sentence.

An array that passes is returned as the device wants it; one that does not is refused before anything moves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import ArrayRefusedError, LimitError

if TYPE_CHECKING:
    from aeqlab.backends.device import Knobs

Array = NDArray[Any]
#: Room at the edge of a limit for rounding, relative to the larger of 1 and the limit: a ramp may end 4e-14 past it.
EDGE = 1e-12
_FLOAT64 = np.dtype("float64")


def checked_vector(name: str, value: Array, n: int, dtype: str = "float64") -> Array:
    """Check a flat array of n finite real numbers and return it in the device's float type.

    Raises:
        ArrayRefusedError: wrong shape, a type that is not a real number, or a value that is not finite.
    """
    if type(value) is np.ndarray and value.dtype is _FLOAT64 and value.shape == (n,) and dtype == "float64":
        return _finite(name, value.copy())  # the usual case in a fraction of the time
    array = _real(name, value, dtype)
    if array.shape != (n,):
        raise ArrayRefusedError(f"{name}: an array of shape ({n},) is needed, this one has {array.shape}")
    return _finite(name, array)


def checked_knobs(name: str, what: str, value: Array, knobs: Knobs, dtype: str = "float64") -> Array:
    """Check a flat array with one setpoint per knob against its limits, and return it in the device's float type.

    Raises:
        ArrayRefusedError: as `checked_vector`.
        LimitError: as `within_limits`.
    """
    if knobs.bounded and type(value) is np.ndarray and value.dtype is _FLOAT64 and value.shape == knobs.low.shape:
        values = value.copy()
        if dtype == "float64" and _all(_inside(values, knobs)):
            return values  # within finite limits, so finite: half the work of the two checks
    values = checked_vector(name, value, len(knobs), dtype)
    within_limits(what, values, knobs)
    return values


def checked_batch(name: str, value: Array, n: int, samples: int | None, dtype: str = "float64") -> Array:
    """Check an array of shape (samples, n), samples first, and return it in the device's float type.

    Raises:
        ArrayRefusedError: wrong shape, a type that is not a real number, or a value that is not finite.
    """
    array = _real(name, value, dtype)
    wanted = "samples" if samples is None else samples
    if array.ndim != 2 or array.shape[1] != n or array.shape[0] < 1 or (samples is not None and len(array) != samples):
        raise ArrayRefusedError(f"{name}: an array of shape ({wanted}, {n}) is needed, this one has {array.shape}")
    return _finite(name, array)


def checked_beta(beta: float, limits: tuple[float, float]) -> float:
    """Check a nudge strength against its limits.

    Raises:
        ArrayRefusedError: not a finite real number.
        LimitError: outside the limits.
    """
    try:
        value = float(beta)
    except (TypeError, ValueError) as exc:
        raise ArrayRefusedError(f"beta: a real number is needed, not {beta!r}") from exc
    if not math.isfinite(value):
        raise ArrayRefusedError(f"beta: a finite number is needed, not {value}")
    low, high = limits
    if not low <= value <= high:
        raise LimitError(f"beta {value:g} is outside {low:g} to {high:g}, which this device allows. Choose one within.")
    return value


def within_limits(what: str, values: Array, knobs: Knobs) -> None:
    """Check that every value lies within its knob's limits; knobs are the last axis.

    Raises:
        LimitError: names the first knob outside, its value, limits and unit, and counts the others.
    """
    if knobs.unlimited:
        return
    inside = _inside(values, knobs)
    if not _all(inside):
        outside = ~inside
        first = tuple(np.argwhere(outside)[0])
        k = first[-1]
        more = int(outside.sum()) - 1
        others = f" ({more} more outside)" if more else ""
        raise LimitError(
            f"{what} {knobs.names[k]}: {values[first]:g} {knobs.unit} is outside {knobs.low[k]:g} to {knobs.high[k]:g} "
            f"{knobs.unit}{others}. Choose a value within the limits."
        )


def inside_box(device: str, values: Array, low: Array | float, high: Array | float) -> None:
    """Check that outputs which are to be clamped lie where the states live; outputs are the last axis.

    Raises:
        LimitError: one does not; the message says which.
    """
    outside = (values < low) | (values > high)
    if outside.any():
        first = tuple(np.argwhere(outside)[0])
        a, b = (float(np.broadcast_to(wall, values.shape)[first]) for wall in (low, high))
        raise LimitError(
            f"{device}: output {first[-1]} cannot be clamped at {values[first]:g}: it lives in {a:g} to {b:g}. "
            "Choose targets within, or a smaller beta."
        )


def _inside(values: Array, knobs: Knobs) -> Array:
    mask = values >= knobs.lowest
    mask &= values <= knobs.highest
    return mask


def _real(name: str, value: Array, dtype: str) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as exc:
        raise ArrayRefusedError(f"{name}: not an array of numbers: {exc}") from exc
    if array.dtype.kind not in "fiu":
        raise ArrayRefusedError(f"{name}: real numbers are needed, this array has type {array.dtype}")
    return array.astype(dtype, copy=True)


def _all(mask: Array) -> bool:
    """Tell whether every element is true; several times faster on short arrays than `mask.all()`."""
    return b"\0" not in mask.tobytes()


def _finite(name: str, array: Array) -> Array:
    if not _all(np.isfinite(array)):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ArrayRefusedError(f"{name}: the value at {where} is {array[where]}, not a finite number")
    return array
