"""Settings of homeostasis and of settling: what an experiment may say about how theta is held and when a phase has come to rest.

Times are given in lags: the first-order lag of theta plus its dead time, as `info.response` says, so that one file
serves a fast device and a slow one.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

PerKnob = Annotated[float, Field(ge=0)] | Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)] | Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Ticks(BaseModel):
    """Accept after a stated number of ticks, settled or not (the letter of section 5.1)."""

    model_config = _STRICT
    ticks: int = Field(ge=1, le=1_000_000, description="number of ticks after which the phase ends; the paper uses 50")


Accept = Literal["settled"] | Ticks


class HomeostasisSettings(BaseModel):
    """How theta is held at its target, and when it counts as held."""

    model_config = _STRICT
    controller: Literal["ideal", "integral", "pid", "quasi-static"] | None = Field(
        default=None,
        description="how u is moved; left out: ideal where the device holds its parameters itself, else integral",
    )
    accept: Accept = Field(
        default="settled", description="settled: clamp only after the window test passed; {ticks: N}: clamp after N ticks"
    )
    gain: float = Field(default=1.0, gt=0, le=10, description="factor on the standard gains, which follow from lag and dead time")
    ki: PerKnob | None = Field(
        default=None, description="integral gain in 1/s (unit of u per unit of theta and second), one or per knob"
    )
    kp: PerKnob | None = Field(default=None, description="proportional gain (pid only), u per theta, one or per knob")
    kd: PerKnob | None = Field(default=None, description="derivative gain in s (pid only), one or per knob")
    tolerance: Literal["auto"] | Positive = Field(
        default="auto",
        description="allowed |theta - target| in the unit of theta; auto: max(0.1 step, 0.6 LSB of the knob, 3 noise / sqrt(N)), "
        "wider where drift, noise and LSB together allow no less",
    )
    step: float | None = Field(
        default=None, gt=0, description="typical size of one learning step of a parameter; left out: from the last step"
    )
    window: float = Field(default=3.0, ge=1, le=100, description="length of the window of the settled test, in lags")
    reads: int = Field(default=4, ge=3, le=10_000, description="fewest fresh readings in that window")
    timeout: float = Field(default=200.0, gt=0, le=1e6, description="give up after this many lags")
    max_ticks: int = Field(default=20_000, ge=10, le=10_000_000, description="give up after this many ticks")


class SettlingSettings(BaseModel):
    """When a phase with clamped knobs has come to rest."""

    model_config = _STRICT
    accept: Accept = Field(
        default="settled", description="settled: until the window test passes; {ticks: N}: after N ticks, settled or not"
    )
    tolerance: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="allowed movement over the window, as a fraction of that since the phase began",
    )
    window: float = Field(default=3.0, ge=1, le=100, description="length of the window of the test, in lags")
    reads: int = Field(default=4, ge=3, le=10_000, description="fewest fresh readings in that window")
    timeout: float = Field(default=200.0, gt=0, le=1e6, description="give up after this many lags")
    max_ticks: int = Field(default=20_000, ge=10, le=10_000_000, description="give up after this many ticks")
