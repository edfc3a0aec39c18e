"""What an emulated instrument is wired to: it drives terminals and senses them, and knows nothing of what is behind."""

from __future__ import annotations

from typing import Protocol

AGO_S = 0.5  #: so long ago, in s, may an aperture have ended that is asked for


class Terminals(Protocol):
    """The terminals of one instrument, by the keys of its channels."""

    def drive(self, key: str, value: float, slew_per_s: float = float("inf"), lag_s: float = 0.0) -> None:
        """Drive an output, in its unit, from now on: on its way there at most so fast, behind a filter of first order."""

    def sense(self, key: str, aperture_s: float, ago_s: float = 0.0) -> float:
        """Sense an input, in its unit: the mean over an aperture that ended so long ago, at most `AGO_S`."""


class Bare:
    """Terminals with nothing behind: an input reads what was laid on it, an output is remembered."""

    def __init__(self) -> None:
        self.driven: dict[str, float] = {}
        self.shaped: dict[str, tuple[float, float]] = {}  #: slew per s and lag in s of each output
        self.laid: dict[str, float] = {}

    def drive(self, key: str, value: float, slew_per_s: float = float("inf"), lag_s: float = 0.0) -> None:
        """Remember what an output drives in the end, and how it gets there."""
        self.driven[key] = value
        self.shaped[key] = (slew_per_s, lag_s)

    def sense(self, key: str, aperture_s: float, ago_s: float = 0.0) -> float:
        """Get what was laid on an input; 0 where nothing was."""
        return self.laid.get(key, 0.0)
