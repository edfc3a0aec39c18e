"""What the settings of every kind of device say before it is opened: its dimensions and the lowest nudge it stands.

A settings class of one kind is a frozen pydantic model beside its device and offers

    served: ClassVar[bool]                             True: lives behind a session process; False: in the worker itself
    dimensions(base: Path) -> Dimensions               cheap, imports neither torch nor a user's file
    beta_bounds(base: Path) -> BetaBounds              likewise
    open(*, seed: int, base: Path) -> Device           builds the device, imports what it needs

Paths in settings resolve from `base`, the folder of the file that holds them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aeqlab.backends.errors import BackendError


class UnknownUntilPreparing(BackendError):
    """Only the user's own code can say it, and that is not run before the run is in `preparing`."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """How many of what a device has; `samples` is the number in one presentation (None: any number)."""

    inputs: int
    outputs: int
    parameters: int
    samples: int | None = 1


@dataclass(frozen=True, slots=True)
class BetaBounds:
    """The lowest nudge for which the energy is bounded below; the bounds themselves are outside (open intervals).

    `held`: of E + beta C with the parameters held; -inf where every nudge is bounded. `floating`: of the whole energy with the
    control knobs standing still and the parameters free, for the worst input; None where it is not known.
    """

    held: float
    floating: float | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.held) or self.held > 0 or (self.floating is not None and not self.floating <= 0):
            raise ValueError(f"bounds on beta lie at or below 0, not at {self.held} and {self.floating}")
