"""What an imperfect device is made of beside its knobs: an offset that drifts, and readings that are noisy and late."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.imperfections import DRIFT, OUTPUT_NOISE, READ_NOISE, Imperfections
from aeqlab.backends.streams import restore_stream, stream, stream_state

Array = NDArray[np.float64]


class Drift:
    """A slow offset of every knob: an Ornstein-Uhlenbeck process, exact for any dt, that begins at 0.

    d(t + dt) = k d(t) + sigma sqrt(1 - k^2) n with k = exp(-dt / tau): standard deviation sigma, correlation exp(-lag / tau).

    Args:
        n: number of knobs.
        sigma: standard deviation, in the unit of u.
        time_s: correlation time tau, in s of the device.
        seed: of the stream "knob drift".
    """

    def __init__(self, n: int, *, sigma: float, time_s: float, seed: int) -> None:
        self.sigma, self.time_s = sigma, time_s
        self.offset: Array = np.zeros(n)
        self._kicks = stream(seed, DRIFT)

    def pass_time(self, dt: float) -> None:
        """Let dt seconds pass."""
        if self.sigma and dt > 0.0:
            keep = math.exp(-dt / self.time_s)
            kick = self.sigma * math.sqrt(-math.expm1(-2.0 * dt / self.time_s))
            self.offset = keep * self.offset + kick * self._kicks.standard_normal(len(self.offset))

    def state(self) -> dict[str, Any]:
        """Get everything that decides the future."""
        return {"offset": self.offset.copy(), "kicks": stream_state(self._kicks)}

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back."""
        offset = np.array(state["offset"], dtype=np.float64)
        if offset.shape != self.offset.shape:
            raise DeviceConfigError("the drift in the state is that of another device")
        restore_stream(self._kicks, state["kicks"])
        self.offset = offset


class Readings:
    """Readings of theta and outputs, `dead_time_s` late and with noise; between two ticks everything went straight.

    Until a dead time has passed since the first tick, a reading shows that one; `age_s` says how old it is in either case.

    Attributes:
        age_s: age of the last reading.
        error: read noise that was in the last reading of theta, shape (parameters,).
    """

    def __init__(self, flaws: Imperfections, n: int, *, seed: int) -> None:
        self._n = n
        self._noise, self._output_noise, self._dead_s = flaws.read_noise, flaws.output_noise, flaws.dead_time_s
        self._noises, self._output_noises = stream(seed, READ_NOISE), stream(seed, OUTPUT_NOISE)
        self._past: deque[tuple[float, Array]] = deque()  # theta and outputs at ends of ticks, from the one last shown on
        self._shape: tuple[int, ...] = ()
        self.age_s = 0.0
        self.error: Array = np.zeros(n)

    def take_in(self, t: float, theta: Array, outputs: Array) -> None:
        """Note what was so at a time, not before the last one noted; only a late reading needs it."""
        if not self._dead_s:
            return
        if self._shape != outputs.shape:  # other samples: their readings begin now
            self._past.clear()
            self._shape = outputs.shape
        if self._past and self._past[-1][0] >= t:  # a tick that took no time
            self._past.pop()
        self._past.append((t, np.concatenate([theta, outputs.ravel()])))

    def read(self, t: float, theta: Array, outputs: Array) -> tuple[Array, Array]:
        """Read theta and outputs at a time not before the last; what they are now is given."""
        if self._dead_s:
            at, z = self._seen(t - self._dead_s)
            self.age_s = t - at
            theta, outputs = z[: self._n].copy(), z[self._n :].reshape(self._shape).copy()
        if self._noise:
            self.error = self._noise * self._noises.standard_normal(self._n)
            theta = theta + self.error
        if self._output_noise:
            outputs = outputs + self._output_noise * self._output_noises.standard_normal(outputs.shape)
        return theta, outputs

    def _seen(self, at: float) -> tuple[float, Array]:
        """Get what was so at a time, or as near to it as is known, and that time."""
        past = self._past
        while len(past) > 1 and past[1][0] <= at:
            past.popleft()
        t0, z0 = past[0]
        if at <= t0 or len(past) == 1:
            return t0, z0
        t1, z1 = past[1]
        return at, z0 + ((at - t0) / (t1 - t0)) * (z1 - z0)

    def state(self) -> dict[str, Any]:
        """Get everything that decides the future."""
        return {
            "noises": stream_state(self._noises),
            "output_noises": stream_state(self._output_noises),
            "error": self.error.copy(),
            "age_s": self.age_s,
            "past": [[t, z.copy()] for t, z in self._past],
            "shape": list(self._shape),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back."""
        shape = tuple(int(n) for n in state["shape"])
        error = np.array(state["error"], dtype=np.float64)
        past = deque((float(t), np.array(z, dtype=np.float64)) for t, z in state["past"])
        if error.shape != (self._n,) or any(z.shape != (self._n + math.prod(shape),) for _, z in past):
            raise DeviceConfigError("the readings in the state are those of another device")
        restore_stream(self._noises, state["noises"])
        restore_stream(self._output_noises, state["output_noises"])
        self._past, self._shape, self.error, self.age_s = past, shape, error, float(state["age_s"])
