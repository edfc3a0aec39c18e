"""What can be set by name: control knobs, input knobs, the nudge, targets of theta, settings of the loops, the coupling.

One vocabulary for the stages `scan`, `ramp`, `set` and `step-response`; what can be read is in `readings`. A name is looked up
in what a device says of itself, so it can be checked before the device is open (`outline`) and again when it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, ValidationError

from aeqlab.backends.checks import EDGE
from aeqlab.backends.device import DeviceInfo
from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.outline import Described
from aeqlab.protocols.quantity_names import Index, Places, places

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


@dataclass(frozen=True)
class Settable:
    """One quantity that can be set; several knobs under one name move together.

    Attributes:
        name: as it was asked for.
        kind: what it is.
        unit: of its values, 1 for pure numbers.
        low, high: limits of all its places together; the device itself has the last word.
        index: its places in the row, shape (places,); empty where it is no row.
        slew_per_s: fastest change of the slowest place, in unit per second; inf for none.
        rest: rest value of the first place; nan where it has none.
    """

    name: str
    kind: Kind
    unit: str = "1"
    low: float = -math.inf
    high: float = math.inf
    index: Index | None = None
    slew_per_s: float = math.inf
    rest: float = math.nan

    @property
    def where(self) -> Index:
        """Get its places in the row."""
        return np.zeros(0, dtype=np.intp) if self.index is None else self.index

    def refusal(self, value: float) -> str:
        """Say why a value is not possible; empty where it is."""
        if not math.isfinite(value):
            return f"{self.name}: {value} is not a finite number."
        if self.kind is Kind.SETTING:
            return _setting_refusal(self.name, value)
        if self.kind is Kind.COUPLING:
            return "" if 0.0 < value <= 1e6 else f"coupling: {value:g} is no factor above 0 and up to 1e6."
        room = EDGE * max(1.0, abs(value))
        if self.low - room <= value <= self.high + room:
            return ""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"{self.name}: {value:g}{unit} is outside {self.low:g} to {self.high:g}{unit}, the limits of this {self.kind}. "
            "Choose a value within."
        )


def settable(name: str, device: Described) -> Settable:
    """Find what a name means that is to be set.

    Raises:
        CapabilityError: the device has nothing of that name, or is not able to have it set.
    """
    info, word = device.info, name.strip()
    if word == "beta":
        return Settable(name, Kind.BETA, low=info.beta[0], high=info.beta[1])
    if word == "coupling":
        if "AdjustableCoupling" not in device.abilities:
            raise CapabilityError(f"coupling: {info.name} cannot scale its coupling, so there is no factor to set.")
        return Settable(name, Kind.COUPLING)
    if word in settings():
        return Settable(name, Kind.SETTING)
    return _of_row(name, places(name, info, ("u", "x", "theta"), _others(device)), info)


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
    whole = _whole(LOOPS[loop].model_fields[key].annotation, value)
    try:
        return {**loops, loop: type(loops[loop]).model_validate({**loops[loop].model_dump(), key: whole})}
    except ValidationError as exc:
        raise CapabilityError(f"{name}: {value:g}: {_said(exc)}.") from exc


def _of_row(name: str, found: Places, info: DeviceInfo) -> Settable:
    kind, index = _OF_ROW[found.row], found.index
    if kind is Kind.THETA:
        blocks = [block for block in info.parameters if _touches(index, block.start, block.start + block.size)]
        low, high = max(block.low for block in blocks), min(block.high for block in blocks)
        return Settable(name, kind, blocks[0].unit, low, high, index)
    knobs = info.controls if kind is Kind.CONTROL else info.inputs
    low, high = float(np.max(knobs.low[index])), float(np.min(knobs.high[index]))
    return Settable(name, kind, knobs.unit, low, high, index, float(np.min(knobs.slew_per_s[index])), float(knobs.rest[index[0]]))


def _touches(index: Index, start: int, end: int) -> bool:
    return bool(index[0] < end and index[-1] >= start)


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


def _whole(annotation: Any, value: float) -> float | int:
    """Make a whole number of one that is, where the setting counts something."""
    return int(value) if annotation is int and value == int(value) else value


def _setting_refusal(name: str, value: float) -> str:
    loop, _, key = name.partition(".")
    try:
        LOOPS[loop].model_validate({key: _whole(LOOPS[loop].model_fields[key].annotation, value)})
    except ValidationError as exc:
        return f"{name}: {value:g}: {_said(exc)}."
    return ""


def _said(exc: ValidationError) -> str:
    return exc.errors()[0]["msg"].replace("Input should be", "it must be")
