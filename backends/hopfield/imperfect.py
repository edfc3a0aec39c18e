"""Imperfect knobs and readings of the engine, vectorised over all parameters; they act where theta is let go.

Exact homeostasis holds theta inside the device and lets the knobs stand at u*, where theta would stay (section 5.3). Imperfect
knobs stand beside it:

    u* = theta + epsilon_k f_k dE/dtheta(held state)
    setpoint = Q(u* - d_h - n)     rounded to the knob's step within its range; d_h the drift then, n the noise of one reading
    acting = setpoint + d          d the drift now, in a phase of its own length
    theta  = acting - epsilon_k f_k dE/dtheta(nudged state)

f_k is the spread of the couplings, and 0 for a failed knob: there theta_k = u_k, and u_k stays where it was when the engine was
built. So theta leaves its place by rounding, noise and drift, step by step, and nothing brings it back but learning.

Noise and kicks come from generators made anew for each hold and each phase, from the seed and their number: what is never asked
for is never drawn, and asking changes no later number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.hopfield.moment import as_array
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.imperfections import DRIFT, OUTPUT_NOISE, READ_NOISE, EngineImperfections, Indices
from aeqlab.backends.streams import restore_stream, stream, stream_state

Array = NDArray[Any]


def imperfect_knobs(
    settings: HopfieldSettings, u: Tensor, *, seed: int
) -> tuple[ImperfectKnobs | None, NDArray[np.float64] | None, Indices]:
    """Make the imperfect knobs of an engine; None where nothing is imperfect.

    Returns:
        The knobs; the spread of the couplings, shape (parameters,), None where there is none; indices of failed knobs.
    Raises:
        DeviceConfigError: a failed knob there is none of.
    """
    flaws = settings.imperfections
    failed: Indices = np.zeros(0, dtype=np.int64)
    if flaws is None or flaws.perfect:
        return None, None, failed
    failed = flaws.failed(settings.knob_names(len(u)), seed)
    return ImperfectKnobs(flaws, u, failed, seed=seed), flaws.factors(len(u), seed), failed


class ImperfectKnobs:
    """The state of imperfect knobs: where they stand, how far they have drifted, what the last hold read.

    Args:
        flaws: what is imperfect.
        u: the knobs as the engine is built, shape (parameters,); failed ones stay there.
        failed: indices of failed knobs.
        seed: of noise and drift.
    """

    def __init__(self, flaws: EngineImperfections, u: Tensor, failed: Indices, *, seed: int) -> None:
        self.flaws = flaws
        self.failed = torch.as_tensor(failed, device=u.device) if len(failed) else None
        self._stuck = None if self.failed is None else self._rounded(u[self.failed])
        self._seed = seed
        self._outputs = stream(seed, OUTPUT_NOISE)
        self._zero = u.new_zeros(1)
        self._shape, self._like = u.shape, u[:0]
        self.drift = self._drift_held = self._zero if not flaws.drift else torch.zeros_like(u)
        self._holds = self._phases = 0
        self._noise: Tensor | None = None  # of the present hold, once it was asked for
        self.setpoint: Tensor | None = None  # None while theta is held

    @property
    def bounded(self) -> bool:
        """True if the knobs have a range."""
        return self.flaws.knob_limit < math.inf

    def giving_way(self, spread: NDArray[np.float64] | None) -> Tensor | None:
        """Get the factors of the couplings: their spread, and 0 at failed knobs; None where all are 1."""
        if spread is None and self.failed is None:
            return None
        factors = self._like.new_ones(self._shape)
        if spread is not None:
            factors = torch.as_tensor(spread, dtype=factors.dtype, device=factors.device)
        return factors if self.failed is None else factors.index_fill(0, self.failed, 0.0)

    # time and phases
    def pass_time(self, dt: float) -> None:
        """Let the offsets drift on for dt seconds: Ornstein-Uhlenbeck, exact for any dt."""
        self._phases += 1
        if self.flaws.drift:
            keep = math.exp(-dt / self.flaws.drift_time_s)
            kick = self.flaws.drift * math.sqrt(-math.expm1(-2.0 * dt / self.flaws.drift_time_s))
            self.drift = self.drift * keep + self._normal(DRIFT, self._phases).mul_(kick)

    def hold(self) -> None:
        """Hold theta anew: the knobs follow it, by a reading of its own."""
        self._holds += 1
        self._noise, self.setpoint, self._drift_held = None, None, self.drift

    # where the knobs stand
    def while_held(self, wanted: Tensor) -> Tensor:
        """Find the setpoints while theta is held, from the u* that would hold it exactly, both of shape (parameters,)."""
        if self.flaws.read_noise and self._noise is None:
            self._noise = self._normal(READ_NOISE, self._holds).mul_(self.flaws.read_noise)
        u = wanted - self._drift_held
        return self._possible(u if self._noise is None else u - self._noise)

    def saturated(self, wanted: Tensor) -> bool:
        """Tell whether a knob that has not failed would have to go beyond its range to hold theta."""
        if not self.bounded:
            return False
        beyond = (wanted - self._drift_held).abs() > self.flaws.knob_limit
        if self.failed is not None:
            beyond[self.failed] = False
        return bool(beyond.any())

    def clamp(self, wanted: Tensor) -> None:
        """Let go of theta: the knobs stay where they are."""
        if self.setpoint is None:
            self.setpoint = self.while_held(wanted)

    def set(self, u: Tensor) -> None:
        """Set the knobs, shape (parameters,)."""
        self.setpoint = self._possible(u)

    @property
    def acting(self) -> Tensor:
        """Get what acts on theta: the setpoint and the drift."""
        assert self.setpoint is not None
        return self.setpoint + self.drift if self.failed is None else self._with_stuck(self.setpoint + self.drift)

    def _possible(self, u: Tensor) -> Tensor:
        return self._with_stuck(self._rounded(u))

    def _rounded(self, u: Tensor) -> Tensor:
        step, limit = self.flaws.knob_step, self.flaws.knob_limit
        if step:
            u = torch.round(u / step).mul_(step)
        return u.clamp(-limit, limit) if limit < math.inf else u

    def _with_stuck(self, u: Tensor) -> Tensor:
        if self.failed is None or self._stuck is None:
            return u
        return u.index_copy(0, self.failed, self._stuck)

    def keep_failed(self, theta: Tensor, before: Tensor) -> Tensor:
        """Put the parameters of failed knobs back to where they were before they were written."""
        return theta if self.failed is None else theta.index_copy(0, self.failed, before[self.failed])

    # readings
    def read(self, outputs: Array) -> Array:
        """Read the outputs, shape (samples, outputs), with noise."""
        if not self.flaws.output_noise:
            return outputs
        noise = self.flaws.output_noise * self._outputs.standard_normal(outputs.shape)
        return np.asarray(outputs + noise, dtype=outputs.dtype)

    def _normal(self, name: str, number: int) -> Tensor:
        """Draw standard normal numbers, shape (parameters,): always the same for one name and number."""
        key = np.random.SeedSequence(self._seed, spawn_key=(*name.encode("utf-8"), number))
        generator = torch.Generator(device=self._like.device)
        generator.manual_seed(int(key.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        drawn: Tensor = torch.empty(self._shape, dtype=self._like.dtype, device=self._like.device)
        return drawn.normal_(generator=generator)

    # checkpoints
    def tree(self) -> dict[str, Any]:
        """Get everything that decides the future."""
        return {
            "flaws": self.flaws.model_dump(mode="json"),
            "drift": as_array(self.drift),
            "drift_held": as_array(self._drift_held),
            "setpoint": None if self.setpoint is None else as_array(self.setpoint),
            "stuck": None if self._stuck is None else as_array(self._stuck),
            "holds": self._holds,
            "phases": self._phases,
            "outputs": stream_state(self._outputs),
        }

    def restore(self, tree: dict[str, Any], tensor: Callable[[Array], Tensor]) -> None:
        """Put a tree back, all of it or nothing.

        Raises:
            DeviceConfigError: it is of knobs with other imperfections.
        """
        if tree["flaws"] != self.flaws.model_dump(mode="json"):
            raise DeviceConfigError("its knobs have other imperfections")
        names = ("drift", "drift_held", "setpoint", "stuck")
        drift, held, setpoint, stuck = (None if tree[name] is None else tensor(tree[name]) for name in names)
        if drift is None or held is None or drift.shape != self.drift.shape or held.shape != drift.shape:
            raise DeviceConfigError("its drift is that of other knobs")
        if (setpoint is not None and setpoint.shape != self._shape) or (stuck is None) != (self._stuck is None):
            raise DeviceConfigError("its setpoints are those of other knobs")
        holds, phases = int(tree["holds"]), int(tree["phases"])
        restore_stream(self._outputs, tree["outputs"])
        self.drift, self._drift_held, self.setpoint, self._stuck = drift, held, setpoint, stuck
        self._holds, self._phases, self._noise = holds, phases, None
