"""A little plant for the tests of control: every theta follows its own knob as a first-order lag behind a dead time.

Integrated exactly between ticks; with read noise, quantised and slewed knobs, readings that get lost, and a load that the
input puts on theta. Its clock is virtual.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import (
    ControlResponse,
    Device,
    DeviceInfo,
    Flag,
    Grade,
    ParameterBlock,
    Readout,
    SafetyLine,
    SafetyReport,
    channels,
    knobs,
)

Array = NDArray[Any]


class FirstOrderPlant(Device):
    """theta' = (gain u(t - dead) + load x - theta) / lag; the output is theta's sum.

    Args:
        n: number of knobs.
        lag, dead: in s; the dead time is in the way from u to theta.
        tick: shortest advance, in s.
        noise: read noise of theta.
        limit: knobs go from minus to plus this.
        slew, step: fastest change per s, and resolution, of the knobs.
        lost: probability of a lost reading; from `silent_from` (s) on every reading is lost.
        known_gain: what the plant says its gain is.
    """

    def __init__(
        self,
        n: int = 1,
        *,
        lag: float | Array = 1.0,
        dead: float = 0.0,
        tick: float = 0.02,
        gain: float = 1.0,
        noise: float = 0.0,
        limit: float = np.inf,
        slew: float = np.inf,
        step: float = 0.0,
        lost: float = 0.0,
        silent_from: float = np.inf,
        load: float = 1.0,
        known_gain: float | None = None,
        seed: int = 0,
    ) -> None:
        self.lag = np.broadcast_to(np.asarray(lag, dtype=float), (n,))
        self.tick, self.gain, self.noise, self.load, self.step = tick, gain, noise, load, step
        self.slew, self.lost, self.silent_from = slew, lost, silent_from
        self.rng = np.random.default_rng(seed)
        self.theta, self.setpoint, self.applied = np.zeros(n), np.zeros(n), np.zeros(n)
        self.delay: deque[Array] = deque([np.zeros(n)] * round(dead / tick))
        self.x = 0.0
        self.t = self.good_t = 0.0
        self.good = np.zeros(n)
        self.moves: list[Array] = []  # every setpoint it was given
        self.beta = 0.0
        names = tuple(f"u{k}" for k in range(n))
        self._info = DeviceInfo(
            kind="plant",
            name="first-order plant",
            inputs=knobs(("x",)),
            controls=knobs(names, low=-limit, high=limit, step=step, slew_per_s=slew),
            outputs=channels(("s",)),
            parameters=(ParameterBlock("theta", (n,), 0, noise=noise),),
            beta=(-1.0, 1.0),
            tick_s=tick,
            response=ControlResponse(
                np.full(n, gain if known_gain is None else known_gain), np.array(self.lag), np.full(n, dead)
            ),
        )

    @property
    def info(self) -> DeviceInfo:
        """Get what it says of itself."""
        return self._info

    def true_parameters(self) -> Array:
        """Get theta without noise."""
        return self.theta.copy()

    def _present(self, inputs: Array) -> None:
        self.x = float(inputs[0, 0])

    def _set_controls(self, u: Array) -> None:
        self.moves.append(u.copy())
        self.setpoint = u.copy()

    def _controls(self) -> Array:
        return self.applied.copy()

    def _nudge(self, targets: Array, beta: float) -> None:
        self.beta = beta

    def _release(self) -> None:
        self.beta = 0.0

    def _advance(self, seconds: float | None) -> Readout:
        ticks = 1 if seconds is None else max(1, int(np.ceil(seconds / self.tick - 1e-9)))
        for _ in range(ticks):
            self._tick()
        flags = Flag.NONE if np.all(self._rounded(self.setpoint) == self.applied) else Flag.SLEWING
        if self.t >= self.silent_from or self.rng.random() < self.lost:
            flags |= Flag.LOST | Flag.STALE
        else:
            self.good = self.theta + self.noise * self.rng.standard_normal(len(self.theta))
            self.good_t = self.t
        age = self.t - self.good_t
        return Readout(
            self.t, ticks * self.tick, np.array([[self.theta.sum()]]), self.good.copy(), np.full(1, age),
            np.full(len(self.theta), age), flags,
        )  # fmt: skip

    def _tick(self) -> None:
        way = np.clip(self._rounded(self.setpoint) - self.applied, -self.slew * self.tick, self.slew * self.tick)
        self.applied = self.applied + way
        self.delay.append(self.applied)
        goal = self.gain * self.delay.popleft() + self.load * self.x + 0.1 * self.beta
        self.theta = goal + (self.theta - goal) * np.exp(-self.tick / self.lag)
        self.t += self.tick

    def _rounded(self, u: Array) -> Array:
        return np.round(u / self.step) * self.step if self.step else u

    def _freeze(self) -> None:
        self.beta = 0.0
        self.setpoint = self.applied

    def _make_safe(self) -> SafetyReport:
        self._freeze()
        self.setpoint = self.applied = np.zeros_like(self.applied)
        return SafetyReport((SafetyLine("knobs", Grade.ECHOED, 0.0, 0.0),))
