"""Jumps: readings that change at once while nothing moves them, and steps that move further than any step before.

A system that falls into another mode, a knob that slips, a wire that comes loose: what is read after it belongs to another
system than what was read before, so a step with a jump in it is dropped. Two things tell. While knobs and nudge stand still every
channel comes to rest, each tick by less than in the ticks before: a change far beyond that, and beyond noise, is a jump. And a
step moves the parameters by epsilon beta dC/dtheta, which goes with the misfit |s - y|: one that moves them, or the outputs, by
several times the largest such ratio until then is none, unless it does so again. At a small misfit that may be drift, so it has
to have moved them by a good part of the largest move, too. What is hidden by noise says nothing of that ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SIGMAS = 12.0  #: changes between two readings that noise does not make, in standard deviations of one
STEPS = 3.0  #: nor the resolution of the reading, in its steps
SLOWING = 4.0  #: what comes to rest changes by less than so many times what it changed by in the tick before
BEFORE = 2  #: readings at rest before one is judged
#: A step is too large from so many times the largest ratio of a move to a misfit on, and from more where few steps are known.
LARGEST, FEW = 3.0, 2.0
MEMORY = 0.995  #: what a step leaves of the largest ratio before it
FAR = 0.5  #: and it moved by more than this share of the largest move
FEWEST = 2  #: steps that have to be known, in which that block, or the outputs, moved by more than
CLEAR = 2.0  #: so many times what noise may do
AGAIN = 1.5  #: a step that is too large by the same factor as that before it, within this, is what the system does


class ReadingJumps:
    """Watches a row of channels while nothing moves them.

    Args:
        noise, step: of a reading of each channel, shape (channels,).
    """

    def __init__(self, noise: Array, step: Array | float) -> None:
        self._room = SIGMAS * np.sqrt(2.0) * noise + STEPS * step
        self.clear()

    def clear(self) -> None:
        """Begin anew: something moves them."""
        n = len(self._room)
        self._last, self._change, self._reads = np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.int64)

    def see(self, row: Array, fresh: Array | None, room: Array | float, *, judge: bool = True) -> int | None:
        """Take one reading of all channels; returns the number of one that jumped, None where none did.

        Args:
            row: shape (channels,).
            fresh: which of them were read anew, shape (channels,); None: all.
            room: what a change may be besides, shape (channels,).
            judge: whether they should be at rest by now.
        """
        new = np.ones(len(row), dtype=bool) if fresh is None else fresh
        change = np.abs(row - self._last)
        excess = np.where(new & (self._reads >= BEFORE), change - self._room - SLOWING * self._change - room, -1.0)
        self._change = np.where(new & (self._reads > 0), change, self._change)
        self._last = np.where(new, row, self._last)
        self._reads += new
        k = int(np.argmax(excess)) if len(excess) else 0
        return k if judge and len(excess) and excess[k] > 0.0 else None


class StepJumps:
    """Watches how far nudges move the parameters of each block, and the outputs.

    Args:
        blocks: where the blocks of parameters stand.
    """

    def __init__(self, blocks: Sequence[slice]) -> None:
        self._blocks = list(blocks)
        n = len(self._blocks) + 1
        self._largest, self._furthest, self._known = np.zeros(n), np.zeros(n), np.zeros(n)
        self._dropped = -1, 0.0  # row and ratio of the step before, where that was too large

    def see(self, dtheta: Array, ds: Array, reach: float, noise: Array, noise_s: Array) -> int | None:
        """Tell whether a step went further than steps do, and learn from it where it did not.

        Args:
            dtheta: how far the parameters went, shape (parameters,).
            ds: how far the outputs went, shape (outputs,).
            reach: nudge times misfit of the step.
            noise, noise_s: how far noise, drift and errors of holding may take them, in the same shapes.
        Returns:
            None for a good step; else number of the parameter that went too far, or the number of parameters for an output.
        """
        rows = [(np.abs(dtheta[block]), noise[block]) for block in self._blocks] + [(np.abs(ds), noise_s)]
        size = np.array([_most(move - room) for move, room in rows])
        clear = np.array([_most(move - CLEAR * room) > 0.0 for move, room in rows])
        reach = max(reach, 1e-300)
        ratio = size / reach
        limit = (LARGEST + FEW / np.maximum(self._known, 1)) * self._largest
        far = np.where((self._known >= FEWEST) & (size > FAR * self._furthest), ratio - limit, -1.0)
        worst = int(np.argmax(far))
        where, was = self._dropped
        again = where == worst and was / AGAIN <= ratio[worst] <= was * AGAIN  # a jump does not come twice
        if far[worst] > 0.0 and not again:
            self._dropped = worst, float(ratio[worst])
            if worst == len(self._blocks):
                return len(dtheta)
            return int(self._blocks[worst].start) + int(np.argmax(np.subtract(*rows[worst])))
        whole = np.array([_most(move) for move, _ in rows])
        self._largest = np.maximum(MEMORY * self._largest, np.where(clear, whole / reach, 0.0))
        self._furthest = np.maximum(MEMORY * self._furthest, size)
        self._known, self._dropped = self._known + clear, (-1, 0.0)
        return None


def _most(values: Array) -> float:
    return max(float(values.max(initial=0.0)), 0.0)
