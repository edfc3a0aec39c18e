"""Scaling of a data set onto what a device takes: each column linearly, with the way back to the user's units.

The mapping is found from the training rows alone, once the device is open and its limits are known. What lies outside the range
it was found from is mapped on along the same line, never clipped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aeqlab.backends.device import Knobs
from aeqlab.protocols.errors import DataError
from aeqlab.protocols.samples import Data, Samples

Array = NDArray[Any]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Interval = tuple[Finite, Finite]
NOTHING = (0.0, 1.0)  #: mapped onto itself where a side is not scaled


class ScaleSettings(BaseModel):
    """Map columns linearly onto an interval, each from its own range in the training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: Literal["limits"] | Interval | None = Field(
        default=None, description="[low, high], or limits: each column onto the limits of its input knob. Without it as they are."
    )
    targets: Interval | None = Field(
        default=None, description="[low, high] in the unit of the outputs. Without it the targets stay as they are."
    )
    ranges: dict[str, Interval] = Field(
        default={}, description="[lowest, highest] of a column by its name, in place of its range in the training rows."
    )

    @field_validator("inputs", "targets")
    @classmethod
    def _in_order(cls, value: Any) -> Any:
        if isinstance(value, tuple):
            _ordered(value, "")
        return value

    @field_validator("ranges")
    @classmethod
    def _ranges_in_order(cls, value: dict[str, Interval]) -> dict[str, Interval]:
        for name, interval in value.items():
            _ordered(interval, f"{name}: ")
        return value

    @model_validator(mode="after")
    def _says_something(self) -> ScaleSettings:
        if self.inputs is None and self.targets is None:
            raise ValueError("say inputs: limits, inputs: [low, high] or targets: [low, high]; without them nothing is scaled")
        return self


def _ordered(interval: Interval, what: str) -> None:
    if not interval[0] < interval[1]:
        raise ValueError(f"{what}[{interval[0]:g}, {interval[1]:g}]: two numbers are needed, the lower one first")


@dataclass(frozen=True, slots=True)
class Columns:
    """A linear map of each column of inputs or of targets.

    Attributes:
        names: of the columns.
        low, high: range of each column in the user's unit, shape (columns,).
        onto_low, onto_high: where these two go in the device's unit, same shape.
        scaled: False where the numbers are the device's already; then both ways change nothing.
    """

    names: tuple[str, ...]
    low: Array
    high: Array
    onto_low: Array
    onto_high: Array
    scaled: bool = True

    def apply(self, values: Array) -> Array:
        """Map values of the user's unit, shape (samples, columns), to the device's; the ends of the range exactly."""
        return _along(values, self.low, self.high, self.onto_low, self.onto_high) if self.scaled else values

    def invert(self, values: Array) -> Array:
        """Map values of the device's unit, shape (samples, columns), back to the user's."""
        return _along(values, self.onto_low, self.onto_high, self.low, self.high) if self.scaled else values

    def describe(self) -> list[dict[str, Any]]:
        """Say the mapping of each column, as plain JSON values, for the record."""
        rows = zip(self.names, self.low, self.high, self.onto_low, self.onto_high, strict=True)
        return [
            {"column": name, "range": [float(low), float(high)], "onto": [float(onto_low), float(onto_high)]}
            for name, low, high, onto_low, onto_high in rows
        ]


@dataclass(frozen=True, slots=True)
class Scaling:
    """The maps that a data set was scaled with, to read out in the user's units: `scaling.targets.invert(outputs)`."""

    inputs: Columns
    targets: Columns

    def describe(self) -> dict[str, Any]:
        """Say the mappings, as plain JSON values, for the record."""
        sides = {"inputs": self.inputs, "targets": self.targets}
        return {name: columns.describe() for name, columns in sides.items() if columns.scaled}


@dataclass(frozen=True, slots=True)
class ToScale:
    """What is to be scaled once the limits of the device are known.

    Attributes:
        settings: how.
        path: the file, for messages.
        inputs, targets: names of the columns; of an array of several columns `name[0]`, `name[1]`.
        ranges: given ranges, by these names.
        train_places, test_places: where each row stands in the file: its line, or its index.
        place: what these numbers are: line or row.
    """

    settings: ScaleSettings
    path: str
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    ranges: dict[str, Interval]
    train_places: Array
    test_places: Array
    place: str


def scaled(data: Data, knobs: Knobs) -> tuple[Data, list[str]]:
    """Scale a data set that asks for it onto the input knobs of a device.

    Args:
        data: as loaded; one that does not ask for it, or has not as many inputs as there are knobs, is given back as it is.
        knobs: the input knobs.
    Returns:
        The data set in the device's units with its `scaling`, and a sentence where rows lie outside the range it was found from.
    Raises:
        DataError: a column has no range, a knob has no limits, or a row would land outside those of its knob; names the row.
    """
    wish = data.to_scale
    if wish is None or data.inputs != len(knobs):
        return data, []
    settings = wish.settings
    inputs = _columns(wish, wish.inputs, data.train.inputs, _onto(wish, knobs))
    targets = _columns(wish, wish.targets, data.train.targets, settings.targets)
    told = [_outside(wish, data, inputs, "inputs"), _outside(wish, data, targets, "targets")]
    parts = {"train": data.train, "test": data.test}
    made = {name: None if part is None else _mapped(wish, part, inputs, targets) for name, part in parts.items()}
    for name, part in made.items():
        if part is not None and inputs.scaled:
            _within_knobs(wish, parts[name], part, knobs, wish.train_places if name == "train" else wish.test_places)
    train = made["train"]
    assert train is not None
    result = replace(data, train=train, test=made["test"], scaling=Scaling(inputs, targets), to_scale=None)
    return result, [sentence for sentence in told if sentence]


def _along(values: Array, low: Array, high: Array, onto_low: Array, onto_high: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit into a number is found by `_mapped`
        part = (values - low) / (high - low)
        mapped: Array = (1 - part) * onto_low + part * onto_high
    return mapped


def _onto(wish: ToScale, knobs: Knobs) -> tuple[Array, Array] | Interval | None:
    if wish.settings.inputs != "limits":
        return wish.settings.inputs
    endless = ~(np.isfinite(knobs.low) & np.isfinite(knobs.high))
    if endless.any():
        k = int(np.argmax(endless))
        raise DataError(
            f"scale: the input knob {knobs.names[k]} has no limits to scale {wish.inputs[k]} onto. Say inputs: [low, high]."
        )
    return knobs.low, knobs.high


def _columns(wish: ToScale, names: tuple[str, ...], rows: Array, onto: tuple[Array, Array] | Interval | None) -> Columns:
    shape = (len(names),)
    if onto is None:
        zeros, ones = np.zeros(shape), np.ones(shape)
        return Columns(names, zeros, ones, zeros, ones, scaled=False)
    low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
    for k, name in enumerate(names):
        low[k], high[k] = wish.ranges.get(name, (low[k], high[k]))
    flat = ~(low < high)
    if flat.any():
        k = int(np.argmax(flat))
        raise DataError(
            f"{wish.path}: column {names[k]} is {low[k]:g} in every training row, so it has no range to scale from. "
            f"Give it one under scale.ranges, or leave the column out."
        )
    wide = high / 2 - low / 2 > np.finfo(np.float64).max / 4
    if wide.any():
        raise _too_wide(wish, names[int(np.argmax(wide))])
    onto_low, onto_high = (np.array(np.broadcast_to(np.asarray(end, dtype=np.float64), shape)) for end in onto)
    return Columns(names, low, high, onto_low, onto_high)


def _mapped(wish: ToScale, part: Samples, inputs: Columns, targets: Columns) -> Samples:
    made = Samples(inputs.apply(part.inputs), targets.apply(part.targets), part.labels)
    for columns, values in ((inputs, made.inputs), (targets, made.targets)):
        wrong = ~np.isfinite(values)
        if wrong.any():
            name = columns.names[int(np.argmax(wrong.any(axis=0)))]
            raise _too_wide(wish, name)
    return made


def _too_wide(wish: ToScale, name: str) -> DataError:
    return DataError(f"{wish.path}: the numbers of column {name} lie too far apart to be scaled. Take out the row that does.")


def _outside(wish: ToScale, data: Data, columns: Columns, side: str) -> str:
    """Say which rows lie outside the range that a column is scaled from; empty where none does."""
    if not columns.scaled:
        return ""
    places = np.concatenate([wish.train_places, wish.test_places if data.test is not None else wish.test_places[:0]])
    values = np.concatenate([getattr(part, side) for part in (data.train, data.test) if part is not None])
    beyond = (values < columns.low) | (values > columns.high)
    if not beyond.any():
        return ""
    k = int(np.argmax(beyond.any(axis=0)))
    row, rows, n = int(np.argmax(beyond[:, k])), int(beyond.any(axis=1).sum()), int(beyond.any(axis=0).sum())
    name = columns.names[k]
    given = "given" if name in wish.ranges else "training"
    more = "" if n == 1 else f", and {n - 1} more column{'s' if n > 2 else ''}"
    return (
        f"{wish.path}: {rows} row{'s lie' if rows > 1 else ' lies'} outside the {given} range of column {name}{more}; "
        f"first {wish.place} {places[row]}: {values[row, k]:g}, range {columns.low[k]:g} to {columns.high[k]:g}. "
        "Scaled along with the others, not clipped."
    )


def _within_knobs(wish: ToScale, before: Samples | None, after: Samples, knobs: Knobs, places: Array) -> None:
    """See that no row lands outside the limits of a knob."""
    assert before is not None
    beyond = (after.inputs < knobs.lowest) | (after.inputs > knobs.highest)
    if not beyond.any():
        return
    row = int(np.argmax(beyond.any(axis=1)))
    k = int(np.argmax(beyond[row]))
    unit = "" if knobs.unit == "1" else f" {knobs.unit}"
    rows = int(beyond.any(axis=1).sum())
    more = "" if rows == 1 else f" So do {rows - 1} more row{'s' if rows > 2 else ''}."
    raise DataError(
        f"{wish.path}, {wish.place} {places[row]}, column {wish.inputs[k]}: {before.inputs[row, k]:g} would be "
        f"{after.inputs[row, k]:g}{unit} on knob {knobs.names[k]}, which takes {knobs.low[k]:g} to {knobs.high[k]:g}{unit}.{more}"
        " Give the column a wider range under scale.ranges, or scale onto a narrower interval."
    )
