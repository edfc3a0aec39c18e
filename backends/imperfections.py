"""Settings of imperfect hardware: what a rig's specification says of its knobs and readings, tried before there is a rig.

Three models, each for what a kind of device has: a plant (the slow device, whose other imperfections are keys of its own), the
Hopfield engine (which settles in one advance), and a simulated device, which has time and so slew and dead time. What each key
does where stands in docs/devices.md. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.streams import stream

Indices = NDArray[np.int64]
Index = Annotated[int, Field(strict=True, ge=0)]

#: Names of the random streams, one per imperfection, so that one does not change the numbers of another.
MISMATCH, FAILED_KNOBS, READ_NOISE, OUTPUT_NOISE, DRIFT = (
    "coupling mismatch",
    "failed knobs",
    "imperfect readings",
    "imperfect outputs",
    "knob drift",
)
MOST_NAMED = 6  #: knobs named one by one


class PlantImperfections(BaseModel):
    """Imperfections of a slow device that are not among its own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    #: What this kind of device says elsewhere, or has not at all, by key.
    elsewhere: ClassVar[dict[str, str]] = {
        "read_noise": "on the slow device this is noise_V, a key of the device itself",
        "output_noise": "on the slow device this is output_noise_V, a key of the device itself",
        "knob_bits": "on the slow device this is dac_bits, a key of the device itself",
        "knob_range": "on the slow device this is dac_range_V, a key of the device itself",
        "slew_per_s": "on the slow device this is slew_V_per_s, a key of the device itself",
        "drift": "on the slow device this is drift_V, a key of the device itself",
        "drift_time_s": "on the slow device this is drift_time_s, a key of the device itself",
        "dead_time_s": "on the slow device this is dead_time_s, a key of the device itself",
    }

    mismatch: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="relative spread of the couplings over the knobs: epsilon_k times exp(mismatch n_k), n_k normal by seed",
    )
    failed_knobs: Index | list[Index | str] = Field(
        default=0,
        description="knobs that are stuck where they are: their number, drawn by seed; or a list by index or name, as [3, u7]",
    )
    settle_ticks: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="the system stands still this many ticks (of the engine: sweeps) after the last command, settled or not",
    )

    @model_validator(mode="before")
    @classmethod
    def _not_elsewhere(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key, where in cls.elsewhere.items():
                if key in value:
                    raise ValueError(f"{key}: {where}.")
        return value

    @property
    def perfect(self) -> bool:
        """True if nothing is imperfect: the device is then built as without the section."""
        return not list(self.in_words())

    def failed(self, names: Sequence[str], seed: int) -> Indices:
        """Get the failed knobs, sorted indices.

        Args:
            names: of all knobs.
            seed: the experiment's; draws them where only their number is given.
        Raises:
            DeviceConfigError: there is no such knob, or there are not so many.
        """
        n, failed = len(names), self.failed_knobs
        if isinstance(failed, int):
            if failed > n:
                raise DeviceConfigError(f"failed_knobs: {failed} of {n} knobs cannot fail. Choose at most {n}.")
            if not failed:
                return np.zeros(0, dtype=np.int64)
            return np.sort(stream(seed, FAILED_KNOBS).choice(n, failed, replace=False).astype(np.int64))
        found = set()
        for knob in failed:
            if isinstance(knob, int):
                if knob >= n:
                    raise DeviceConfigError(f"failed_knobs: there are {n} knobs, counted from 0; {knob} is none of them.")
                found.add(knob)
                continue
            try:
                found.add(names.index(knob))
            except ValueError:
                likely = f"{names[0]} to {names[n - 1]}" if n else "none"
                raise DeviceConfigError(f"failed_knobs: there is no knob {knob!r}; there are {likely}.") from None
        return np.array(sorted(found), dtype=np.int64)

    def factors(self, n: int, seed: int) -> NDArray[np.float64] | None:
        """Draw epsilon_k over its nominal value, exp(mismatch n_k), shape (n,); None where all are as they should be."""
        if not self.mismatch:
            return None
        return np.asarray(np.exp(self.mismatch * stream(seed, MISMATCH).standard_normal(n)))

    def in_words(self, failed: str = "") -> Iterator[str]:
        """Say what is imperfect, phrase by phrase; nothing where all is perfect. `failed`: those knobs by name, where known."""
        if self.mismatch:
            yield f"couplings spread by {self.mismatch:.3g}"
        if isinstance(self.failed_knobs, list):
            failed = failed or listed(self.failed_knobs)
        elif self.failed_knobs and not failed:
            yield f"{self.failed_knobs} failed knob{'s' * (self.failed_knobs > 1)}"
        if failed:
            yield f"failed knobs: {failed}"
        if self.settle_ticks is not None:
            yield f"settling cut after {self.settle_ticks}"


class EngineImperfections(PlantImperfections):
    """Imperfections of the knobs and readings of a Hopfield engine; they act where it clamps."""

    elsewhere: ClassVar[dict[str, str]] = {
        "slew_per_s": "a phase of the engine lasts until all has settled, the knobs too, so a slew would change nothing. "
        "Try it on kind: simulated with homeostasis: {controller: integral}",
        "dead_time_s": "a phase of the engine lasts until all has settled, so a late reading would be the same. "
        "Try it on kind: simulated",
    }

    read_noise: float = Field(
        default=0.0, ge=0, le=1e6, description="read noise of a parameter (standard deviation), in the unit of theta"
    )
    output_noise: float = Field(
        default=0.0, ge=0, le=1e6, description="read noise of an output (standard deviation), in the unit of the outputs"
    )
    knob_bits: int | None = Field(
        default=None, ge=1, le=32, description="resolution of a control knob over its range; null for none"
    )
    knob_range: float | None = Field(
        default=None, gt=0, le=1e9, description="a control knob goes from minus to plus this; null for no limit"
    )
    drift: float = Field(
        default=0.0, ge=0, le=1e6, description="standard deviation of the slow offset between a knob's setpoint and what acts"
    )
    drift_time_s: float = Field(
        default=600.0,
        gt=0,
        le=1e12,
        description="correlation time of that offset, in s of the device (the engine: 1 s a phase)",
    )

    @model_validator(mode="after")
    def _bits_of_a_range(self) -> EngineImperfections:
        if self.knob_bits is not None and self.knob_range is None:
            raise ValueError(
                f"knob_bits: {self.knob_bits} bits over an infinite range have no step. Give knob_range, such as knob_range: 4."
            )
        return self

    @property
    def knob_step(self) -> float:
        """Get the smallest change of a knob, its LSB: 2 knob_range / 2^knob_bits; 0 for none."""
        return 0.0 if self.knob_bits is None or self.knob_range is None else 2 * self.knob_range / 2**self.knob_bits

    @property
    def knob_limit(self) -> float:
        """Get how far a knob goes either way; infinite where it has no range."""
        return math.inf if self.knob_range is None else self.knob_range

    def in_words(self, failed: str = "") -> Iterator[str]:
        """Say what is imperfect, phrase by phrase. `failed`: those knobs by name, where known."""
        if self.knob_bits is not None:
            yield f"knobs of {self.knob_bits} bits, a step of {self.knob_step:.3g}"
        if self.knob_range is not None:
            yield f"knobs from {-self.knob_range:g} to {self.knob_range:g}"
        if self.read_noise:
            yield f"read noise {self.read_noise:.3g}"
        if self.output_noise:
            yield f"output noise {self.output_noise:.3g}"
        if self.drift:
            yield f"drift {self.drift:.3g} over {self.drift_time_s:g} s"
        yield from super().in_words(failed)


class Imperfections(EngineImperfections):
    """Imperfections of the knobs and readings of a simulated device."""

    elsewhere: ClassVar[dict[str, str]] = {}

    slew_per_s: float | None = Field(
        default=None, gt=0, le=1e12, description="fastest change of a control knob per second of the device; null for none"
    )
    dead_time_s: float = Field(default=0.0, ge=0, le=1e6, description="how old a reading is when it arrives, in s of the device")

    @property
    def fastest(self) -> float:
        """Get the fastest change of a knob per second; infinite where there is no slew."""
        return math.inf if self.slew_per_s is None else self.slew_per_s

    def in_words(self, failed: str = "") -> Iterator[str]:
        """Say what is imperfect, phrase by phrase. `failed`: those knobs by name, where known."""
        yield from super().in_words(failed)
        if self.slew_per_s is not None:
            yield f"slew {self.slew_per_s:.3g} per s"
        if self.dead_time_s:
            yield f"readings {self.dead_time_s:.3g} s late"


def listed(names: Sequence[object]) -> str:
    """Name some knobs one by one, and count the rest."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(str, names[:MOST_NAMED])) + more


def notes(flaws: PlantImperfections, names: Sequence[str], failed: Indices) -> tuple[str, ...]:
    """Say what a device says of its imperfections, phrase by phrase, the failed knobs by name."""
    return tuple(flaws.in_words(named(names, failed)))


def named(names: Sequence[str], which: Indices) -> str:
    """Name some knobs by their indices, as `listed`, without asking for more names than are shown."""
    return listed([names[int(k)] if i < MOST_NAMED else "" for i, k in enumerate(which)])
