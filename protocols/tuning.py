"""A tuning: how the gains of each knob differ from the standard ones. Plain data, which the control laws read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
GIVEN = ("kp", "ki", "kd")  #: gains that may be given


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the gains of each knob differ from the standard ones; arrays of shape (controls,).

    Attributes:
        factor: on all gains of a knob.
        kp, ki, kd: gains given in place of the standard ones; nan where none is.
        law: the control law for which they were given; under another one they do not count.
    """

    factor: Array
    kp: Array
    ki: Array
    kd: Array
    law: str = ""

    @classmethod
    def standard(cls, n: int) -> Tuning:
        """Make the one that changes nothing, of n knobs."""
        return cls(np.ones(n), np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan))

    @property
    def is_standard(self) -> bool:
        """Whether it changes nothing."""
        return bool((self.factor == 1.0).all()) and not self.given.any()

    @property
    def given(self) -> Array:
        """Get which knobs have gains that were given, bool, shape (controls,)."""
        return np.asarray(np.isfinite([self.kp, self.ki, self.kd]).any(axis=0))

    @property
    def factor_or_nan(self) -> Array:
        """Get the factors; nan where gains were given."""
        return np.where(self.given, np.nan, self.factor)

    def of(self, name: str, standard: Array, law: str) -> Array:
        """Get a gain of every knob, from what it would be, shape (controls,).

        Args:
            name: kp, ki or kd.
            standard: as it would be otherwise.
            law: that asks.
        """
        own = getattr(self, name) if law == self.law else np.full(len(self.factor), np.nan)
        return np.asarray(np.where(np.isfinite(own), own, standard * self.factor))

    def with_factor(self, knobs: Sequence[int], factor: Array) -> Tuning:
        """Make some knobs so many times as fast as standard; gains given for them count no more."""
        rows = {name: _put(getattr(self, name), knobs, np.nan) for name in GIVEN}
        return Tuning(_put(self.factor, knobs, factor), **rows, law=self.law)

    def with_given(self, knobs: Sequence[int], rows: Mapping[str, Array], law: str) -> Tuning:
        """Give gains of some knobs; those that are not given are standard."""
        before = self if self.law in ("", law) else Tuning.standard(len(self.factor))
        kept = {name: _put(getattr(before, name), knobs, rows.get(name, np.nan)) for name in GIVEN}
        return Tuning(_put(self.factor, knobs, 1.0), **kept, law=law)

    def tree(self) -> dict[str, Any]:
        """Get it as plain values; None for a gain that is not given."""
        rows = {name: [None if np.isnan(v) else v for v in getattr(self, name).tolist()] for name in GIVEN}
        return {"factor": self.factor.tolist(), **rows, "law": self.law}

    @classmethod
    def of_tree(cls, tree: Mapping[str, Any], n: int) -> Tuning:
        """Make it of plain values.

        Raises:
            ValueError, TypeError, KeyError: they are not of a tuning of n knobs.
        """
        rows = {name: np.array([np.nan if v is None else float(v) for v in tree[name]]) for name in ("factor", *GIVEN)}
        if any(len(row) != n for row in rows.values()):
            raise ValueError(f"it is not of {n} knobs")
        factor = rows["factor"]
        if not (np.isfinite(factor).all() and (factor > 0).all()) or np.isinf([rows[name] for name in GIVEN]).any():
            raise ValueError("a factor is not above 0, or a gain not finite")
        return cls(**rows, law=str(tree["law"]))


def _put(row: Array, knobs: Sequence[int], values: Any) -> Array:
    changed = row.copy()
    changed[list(knobs)] = values
    return changed
