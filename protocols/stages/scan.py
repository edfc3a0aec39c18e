"""The stage `scan`: sets quantities to every point of a grid, lets the device come to rest, and reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, model_serializer, model_validator

from aeqlab.protocols.stages.options import StageOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession

MOST_POINTS = 1_000_000
Parameters = Literal["homeostasis", "frozen", "locked"]
PARAMETERS = (
    "what theta does: homeostasis holds it at its target, frozen lets it float under standing knobs, locked asks the equations "
    "alone (left out: frozen where a control knob is moved, else homeostasis)"
)
SAMPLE = (
    "index of the training sample presented, and so the target of cost and beta; left out: inputs as they stand, at rest in the "
    "beginning"
)
READ = (
    "what is read, by name: s, s[0], theta, theta[3], u[3], cost, cost_free, energy, t, ticks, duration_s, settled, held, "
    "hold_error"
)
QUANTITY = (
    "what is set: u[3], u[0-7] (together), u, x[0], theta[3], a name of the device, beta, coupling, or a setting such as "
    "homeostasis.gain"
)


def too_far(start: float | None, to: float | None) -> str:
    """Say that the way between two values is no number any more; empty where it is one, or an end is not given."""
    if start is None or to is None or math.isfinite(to - start):
        return ""
    return f"from {start:g} to {to:g} is farther than any number a computer has; choose ends nearer to one another"


class Axis(StageOptions):
    """One axis of a scan: a quantity and its values, as a list or from, to, points."""

    model_config = ConfigDict(populate_by_name=True)

    quantity: str = Field(min_length=1, max_length=200, description=QUANTITY)
    values: list[float] | None = Field(default=None, min_length=1, description="its values in this order, instead of from and to")
    start: float | None = Field(default=None, alias="from", description="first value")
    to: float | None = Field(default=None, description="last value, reached exactly")
    points: int | None = Field(default=None, gt=0, description="number of values from the first to the last")
    spacing: Literal["linear", "log"] = Field(default="linear", description="equal steps, or equal factors")
    up_and_down: bool = Field(default=False, description="and back again, for hysteresis: 2n - 1 values")

    @model_validator(mode="after")
    def _one_way(self) -> Axis:
        ends = {"from": self.start, "to": self.to, "points": self.points}
        given = [key for key, value in ends.items() if value is not None]
        if self.values is not None:
            if given:
                raise ValueError(f"values are given, so {' and '.join(given)} must be left out")
            if self.spacing == "log":
                raise ValueError("spacing is for from, to and points; values have their own")
        elif len(given) < len(ends):
            raise ValueError(f"give values, or from, to and points; {', '.join(sorted(set(ends) - set(given)))} is missing")
        elif self.spacing == "log" and not (self.start or 0.0) * (self.to or 0.0) > 0:
            raise ValueError(
                f"equal factors do not lead from {self.start:g} to {self.to:g}; log needs two numbers of one sign, neither 0"
            )
        elif self.spacing == "linear" and (why := too_far(self.start, self.to)):
            raise ValueError(why)
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        """Write what is given; `from` is no name that a field can have."""
        ends = {"from": self.start, "to": self.to, "points": self.points, "spacing": self.spacing}
        way = ends if self.values is None else {"values": self.values}
        return {"quantity": self.quantity, **way, "up_and_down": self.up_and_down}


class ScanOptions(StageOptions):
    """Scan over one or more quantities and read at every point; the device is brought back where it was."""

    over: list[Axis] = Field(min_length=1, max_length=8, description="the axes; the last one moves fastest")
    read: list[str] = Field(default=["s"], min_length=1, max_length=1000, description=READ)
    average: int = Field(
        default=1, gt=0, le=100_000,
        description="readings at every point, of which mean and deviation are kept; where a loop holds theta each is a hold",
    )  # fmt: skip
    parameters: Parameters | None = Field(default=None, description=PARAMETERS)
    settle: bool = Field(
        default=True, description="wait at every point until the device has come to rest, by its verdict; homeostasis needs it"
    )
    wait_s: float = Field(
        default=0.0, ge=0, le=1e6, description="let so much time of the device pass at every point before that, theta being held"
    )
    sample: int | None = Field(default=None, ge=0, description=SAMPLE)
    order: Literal["forward", "snake", "random"] = Field(
        default="forward", description="every line from its first value; turning at its end; or in a random order by the seed"
    )

    @model_validator(mode="after")
    def _bounded(self) -> ScanOptions:
        from aeqlab.protocols.grid import length

        points = math.prod(length(axis) for axis in self.over)
        if points > MOST_POINTS:
            raise ValueError(f"{points:,} points are too many; a scan has at most {MOST_POINTS:,}. Take fewer on some axis")
        if self.order == "random" and any(axis.up_and_down for axis in self.over):
            raise ValueError("up_and_down has an order of its own, so the order cannot be random")
        return self


def run(session: RunSession, options: ScanOptions) -> dict[str, Any]:
    """Scan; see `protocols/scanning.py`, which this stage starts."""
    from aeqlab.protocols.scanning import Scanning

    return Scanning(session, options).run()
