"""Knobs on their way: what they are told, where they stand by now, and how far they may go in a tick.

A knob whose instrument ramps by itself, no faster than allowed, is told its goal at once; where it stands is reckoned. Every
other knob is led there in steps, none larger than its slew times the period of a tick.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.rig_plan import KnobPlan

Array = NDArray[Any]
ALMOST = 1e-9  #: of its range: so near a knob is there
ROOM = 1.0 + 1e-6  #: an instrument rounds the slew it is given
NONE: NDArray[np.intp] = np.zeros(0, dtype=np.intp)


class MovingKnobs:
    """A row of knobs as they move.

    Args:
        plan: names, limits and slew.
        tick_s: period of a tick; no step of a knob that is led is larger than that of one period.
    Attributes:
        goal: where they are to go, shape (knobs,).
        sent: what the instruments were told last.
        at: where they stand, as far as is known.
        step: smallest change of each; 0: not known.
    """

    def __init__(self, plan: KnobPlan, tick_s: float, now: float = 0.0) -> None:
        n = len(plan)
        self._now = now
        self.plan, self._tick_s = plan, tick_s
        self.goal = np.full(n, np.nan)
        self.sent, self.at = np.full(n, np.nan), np.full(n, np.nan)
        self.step = np.zeros(n)
        self.pace = np.full(n, np.inf)  # slew of the instruments themselves
        self._there = ALMOST * (plan.high - plan.low)
        self._led = np.zeros(n, dtype=bool)
        self._leads = self._ramps = False  # whether any is led, and whether any ramps by itself
        self._still = False  # every knob is known to stand where it was sent

    def adopt(self, rows: NDArray[np.intp] | slice, values: Array, step: Array, pace: Array) -> None:
        """Take knobs as they stand, shape (rows,): what the instruments say, their resolution, and their own slew."""
        self.at[rows] = self.sent[rows] = values
        fresh = np.isnan(self.goal[rows])
        self.goal[rows] = np.where(fresh, values, self.goal[rows])
        self.step[rows], self.pace[rows] = step, pace
        self._led = np.isfinite(self.plan.slew) & (self.pace > self.plan.slew * ROOM)
        self._leads, self._ramps, self._still = bool(self._led.any()), bool(np.isfinite(self.pace).any()), False

    @property
    def known(self) -> bool:
        """Whether all were adopted."""
        return not np.isnan(self.at).any()

    def go_on(self, now: float) -> None:
        """Let knobs that ramp by themselves go on until now, in s of the rig."""
        dt, self._now = now - self._now, now
        if self._still:
            return
        way = self.sent - self.at
        self.at = self.at + np.clip(way, -self.pace * dt, self.pace * dt) if dt > 0 else self.at
        near = np.abs(self.sent - self.at) <= self._there
        self.at[near] = self.sent[near]
        self._still = bool((self.at == self.sent).all())

    def next(self, dt: float) -> tuple[NDArray[np.intp], Array]:
        """Work out what is to be sent now, dt seconds after the last time: which knobs, and their values."""
        if self.goal.tobytes() == self.sent.tobytes():  # as nearly always, and much faster than what follows
            return NONE, self.sent[:0]
        change = self.goal - self.sent
        if self._leads:
            reach = self.plan.slew * min(dt, self._tick_s)
            change = np.where(self._led, np.clip(change, -reach, reach), change)
        rows = (np.abs(change) > 0.0).nonzero()[0]
        return rows, self.sent[rows] + change[rows]

    def were_sent(self, rows: NDArray[np.intp], values: Array) -> None:
        """Note what was sent."""
        self.sent[rows] = values
        if not self._ramps:
            self.at[rows] = values
            return
        self._still = False
        at_once = rows[np.isinf(self.pace[rows])]
        self.at[at_once] = self.sent[at_once]

    def stop(self) -> None:
        """Let every knob stay where it stands by now."""
        self.goal = self.at.copy()

    @property
    def moving(self) -> bool:
        """Whether a knob is still on its way."""
        return self.goal.tobytes() != self.at.tobytes() and bool((np.abs(self.goal - self.at) > self._there).any())

    def way_s(self, goal: Array) -> float:
        """Say how long they need to a goal, shape (knobs,), in s."""
        slew = np.minimum(self.plan.slew, self.pace)
        return float(np.max(np.abs(goal - self.at) / slew, initial=0.0))

    def readback(self) -> Array:
        """Get where they stand, on the grid of their resolution."""
        low = self.plan.lowest
        stepped = self.step > 0
        step = np.where(stepped, self.step, 1.0)
        return np.where(stepped, np.round((self.at - low) / step) * step + low, self.at)
