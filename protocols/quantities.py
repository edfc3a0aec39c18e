"""What can be set by name: control knobs, input knobs, the nudge, targets of theta, settings of the loops, the coupling.

One vocabulary for the stages `scan`, `ramp`, `set` and `step-response`; what can be read is in `readings`. A name is looked up
in what a device says of itself, so it can be checked before the device is open (`outline`) and again when it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from aeqlab.backends.checks import EDGE
from aeqlab.backends.device import DeviceInfo
from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.outline import Described
from aeqlab.protocols.quantity_names import Index, Places, places

Array = NDArray[Any]
LOOPS: dict[str, type[BaseModel]] = {"homeostasis": HomeostasisSettings, "settling": SettlingSettings}


class Kind(StrEnum):
    """What kind of thing a quantity is, in the order in which a device is told: a nudge needs an input, theta a nudge."""

    SETTING = "setting"
    COUPLING = "coupling"
    INPUT = "input knob"
    BETA = "nudge"
    CONTROL = "control knob"
    THETA = "target of theta"


_OF_ROW = {"u": Kind.CONTROL, "x": Kind.INPUT, "theta": Kind.THETA}
_ROW_OF = {kind: row for row, kind in _OF_ROW.items()}


@dataclass(frozen=True)
class Settable:
    """One quantity that can be set; several knobs under one name move together.

    Attributes:
        name: as it was asked for, without blanks around it.
        kind: what it is.
        unit: of its values, 1 for pure numbers.
        index: its places in the row, shape (places,); empty where it is no row.
        lows, highs: limits of every place, same shape, (1,) where it is no row; the device itself has the last word.
        slews: fastest change of every place, same shape, in unit per second; inf for none.
        rest: rest value of the first place; nan where it has none.
    """

    name: str
    kind: Kind
    unit: str = "1"
    index: Index | None = None
    lows: Array = field(default_factory=lambda: np.array([-math.inf]))
    highs: Array = field(default_factory=lambda: np.array([math.inf]))
    slews: Array = field(default_factory=lambda: np.array([math.inf]))
    rest: float = math.nan

    @property
    def where(self) -> Index:
        """Get its places in the row."""
        return np.zeros(0, dtype=np.intp) if self.index is None else self.index

    @property
    def low(self) -> float:
        """Get the lowest value that all its places can have."""
        return float(self.lows.max())

    @property
    def high(self) -> float:
        """Get the highest value that all its places can have."""
        return float(self.highs.min())

    @property
    def slew_per_s(self) -> float:
        """Get the fastest change of its slowest place, in unit per second; inf for none."""
        return float(self.slews.min())

    @property
    def whole(self) -> bool:
        """Tell whether it is a setting that counts something, so that its values are whole numbers."""
        return self.kind is Kind.SETTING and _annotation(self.name) is int

    def place(self, k: int) -> str:
        """Name one of its places, where it has several."""
        return self.name if len(self.where) < 2 else f"{_ROW_OF[self.kind]}[{self.where[k]}] of {self.name}"

    def refusal(self, value: float | Array) -> str:
        """Say why a value is not possible, one for all places or one for each, shape (..., places); empty where it is."""
        values = np.atleast_1d(np.asarray(value, dtype=np.float64))
        if not np.isfinite(values).all():
            return f"{self.name}: {values[~np.isfinite(values)][0]} is not a finite number."
        if self.kind is Kind.SETTING:
            return _setting_refusal(self.name, float(values[0]))
        if self.kind is Kind.COUPLING:
            return "" if 0.0 < values[0] <= 1e6 else f"coupling: {values[0]:g} is no factor above 0 and up to 1e6."
        room = EDGE * np.maximum(1.0, np.abs(values))
        beyond = ~((self.lows - room <= values) & (values <= self.highs + room))
        if not beyond.any():
            return ""
        k = int(np.argwhere(beyond)[0, -1])
        one, low, high = (self.place(k), self.lows[k], self.highs[k]) if values.size > 1 else (self.name, self.low, self.high)
        off = np.broadcast_to(values, beyond.shape)[beyond][0]
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"{one}: {off:g}{unit} is outside {low:g} to {high:g}{unit}, the limits of this {self.kind}. Choose a value within."
        )


def settable(name: str, device: Described) -> Settable:
    """Find what a name means that is to be set; blanks around it mean nothing.

    Raises:
        CapabilityError: the device has nothing of that name, or is not able to have it set.
    """
    info, word = device.info, name.strip()
    if word == "beta":
        return Settable(word, Kind.BETA, lows=np.array([info.beta[0]]), highs=np.array([info.beta[1]]))
    if word == "coupling":
        if "AdjustableCoupling" not in device.abilities:
            raise CapabilityError(f"coupling: {info.name} cannot scale its coupling, so there is no factor to set.")
        return Settable(word, Kind.COUPLING)
    if word in settings():
        return Settable(word, Kind.SETTING)
    return _of_row(word, places(word, info, ("u", "x", "theta"), _others(device)), info)


def fractional(values: float | Array) -> Array:
    """Tell which values are no whole numbers, as far as it is not the rounding of how they came about; same shape."""
    values = np.asarray(values)
    return np.asarray(np.abs(values - np.rint(values)) > 1e-9 * np.maximum(1.0, np.abs(values)))


@cache
def settings() -> tuple[str, ...]:
    """Get the names of the settings of the loops that are numbers, such as `homeostasis.gain`."""
    return tuple(
        f"{loop}.{key}"
        for loop, model in LOOPS.items()
        for key, field in model.model_fields.items()
        if _is_number(field.annotation)
    )


def with_setting(loops: dict[str, Any], name: str, value: float) -> dict[str, Any]:
    """Put one setting into the settings of the loops; a new mapping of `homeostasis` and `settling`.

    Raises:
        CapabilityError: the value is not one that this setting can have.
    """
    loop, _, key = name.partition(".")
    try:
        return {**loops, loop: type(loops[loop]).model_validate({**loops[loop].model_dump(), key: _whole(name, value)})}
    except ValidationError as exc:
        raise CapabilityError(f"{name}: {value:g}: {_said(exc)}.") from exc


def _of_row(name: str, found: Places, info: DeviceInfo) -> Settable:
    kind, index = _OF_ROW[found.row], found.index
    if kind is not Kind.THETA:
        knobs = info.controls if kind is Kind.CONTROL else info.inputs
        limits = (knobs.low[index], knobs.high[index], knobs.slew_per_s[index])
        return Settable(name, kind, knobs.unit, index, *limits, rest=float(knobs.rest[index[0]]))
    blocks = sorted(info.parameters, key=lambda block: block.start)
    of = np.searchsorted([block.start for block in blocks], index, side="right") - 1
    low, high = (np.array([getattr(block, end) for block in blocks])[of] for end in ("low", "high"))
    return Settable(name, kind, blocks[of[0]].unit, index, low, high, np.full(len(index), math.inf))


def _others(device: Described) -> Iterator[str]:
    yield "beta"
    if "AdjustableCoupling" in device.abilities:
        yield "coupling"
    yield from settings()


def _is_number(annotation: Any) -> bool:
    inner = get_args(annotation) or (annotation,)
    return any(kind in (int, float) or _is_number_inside(kind) for kind in inner)


def _is_number_inside(kind: Any) -> bool:
    return bool(get_args(kind)) and get_args(kind)[0] in (int, float)


def _annotation(name: str) -> Any:
    loop, _, key = name.partition(".")
    return LOOPS[loop].model_fields[key].annotation


def _whole(name: str, value: float) -> float | int:
    """Make a whole number of one that is, where the setting counts something."""
    return round(value) if _annotation(name) is int and not fractional(value) else value


def _setting_refusal(name: str, value: float) -> str:
    loop, _, key = name.partition(".")
    try:
        LOOPS[loop].model_validate({key: _whole(name, value)})
    except ValidationError as exc:
        return f"{name}: {value:g}: {_said(exc)}."
    return ""


def _said(exc: ValidationError) -> str:
    return exc.errors()[0]["msg"].replace("Input should be", "it must be")
