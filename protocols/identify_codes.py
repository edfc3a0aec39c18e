"""Codes by which many knobs are stepped at once, so that each answer tells which knob it answers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DRAWS = 50  #: of all columns, of which the least alike are taken


def hadamard(order: int) -> Array:
    """Make the Hadamard matrix of a power of two, entries +1 and -1, rows orthogonal (Sylvester's construction)."""
    made = np.ones((1, 1))
    while len(made) < order:
        made = np.block([[made, made], [made, -made]])
    return made


def codes(knobs: int, most: int, rng: np.random.Generator) -> Array:
    """Make the patterns in which knobs are stepped: one row per pattern, one column per knob, entries +1 and -1.

    With as many patterns as there are knobs the columns are orthogonal, and every knob's effect on every parameter can be told.
    With fewer, no two columns are equal or opposite, and they are as different as some hundred random draws make them.

    Args:
        knobs: how many.
        most: patterns there is time for.
        rng: draws the columns where they cannot be orthogonal.
    Returns:
        Shape (patterns, knobs), with some more than log2(knobs) patterns.
    """
    whole = 1 << knobs.bit_length()
    if whole <= most:
        return hadamard(whole)[:, 1 : knobs + 1]  # not the column that never changes
    patterns = max(min(most, whole), knobs.bit_length() + 4)
    best, least = None, np.inf
    balanced = np.where(np.arange(patterns) % 2, -1.0, 1.0)  # as often up as down, so that a code's mean says nothing
    for _ in range(DRAWS):
        drawn = _distinct(balanced, knobs, rng)
        alike = np.abs(drawn.T @ drawn) - patterns * np.eye(knobs)
        if (worst := float(alike.max(initial=0.0))) < least:
            best, least = drawn, worst
    assert best is not None
    return best


def _distinct(balanced: Array, knobs: int, rng: np.random.Generator) -> Array:
    """Draw so many columns of which no two are equal or opposite."""
    found: dict[bytes, Array] = {}
    while len(found) < knobs:
        column = rng.permutation(balanced)
        found.setdefault((column * column[0]).tobytes(), column)
    return np.stack(list(found.values()), axis=1)
