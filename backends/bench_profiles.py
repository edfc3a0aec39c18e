"""How imperfect an emulated bench is, in numbers: the profiles `ideal`, `bench` and `bad` of RIGS section 5."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Profile(BaseModel):
    """What is imperfect about a bench, and how fast it is. The defaults are those of a perfect one.

    "At most" means drawn evenly from minus to plus that, by the seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tau_state_s: float = Field(default=0.005, gt=0, le=100, description="relaxation time of the state for a curvature of 1, in s")
    tau_theta_s: float = Field(default=0.05, gt=0, le=100, description="median relaxation time of the parameters, in s")
    tau_theta_spread: float = Field(default=0.0, ge=0, lt=1, description="spread of it over the knobs: 1 - spread to 1 + spread")
    epsilon_spread: float = Field(
        default=1.0, ge=1, le=1e3, description="couplings lie between the one that is stated over this and the one that is stated"
    )

    gain_error: float = Field(default=0.0, ge=0, lt=1, description="error of the gain of outputs of instruments, at most")
    offset_V: float = Field(default=0.0, ge=0, le=10, description="offset of outputs of instruments, at most, in V")
    filter_s: float = Field(default=0.0, ge=0, le=10, description="filter on control and input knobs, of first order, in s")
    slew_V_per_s: float | None = Field(default=None, gt=0, le=1e9, description="fastest change of these in V/s; null: at once")
    crosstalk: float = Field(default=0.0, ge=0, lt=0.5, description="part of a control knob that its neighbours feel")
    backlash_V: float = Field(default=0.0, ge=0, le=10, description="play of control knobs that have some, from end to end, in V")
    backlash_part: float = Field(default=0.0, ge=0, le=1, description="part of the control knobs that have play")
    drift_V: float = Field(default=0.0, ge=0, le=10, description="standard deviation of the slow offset of a control knob, in V")
    drift_time_s: float = Field(default=600.0, gt=0, le=1e9, description="correlation time of that offset, in s")
    drift_V_per_K: float = Field(default=0.0, ge=0, le=1, description="offset of a control knob by temperature, at most, in V/K")
    daily_K: float = Field(default=0.0, ge=0, le=50, description="the temperature swings so far either way in a day, in K")
    thermal_V: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="thermal motion of a state of curvature 1, in V; of theta_k: sqrt(epsilon_k) of it",
    )
    rail_V: float = Field(default=12.0, gt=0, le=1e6, description="where states and parameters saturate, either way, in V")

    noise_V: float = Field(default=0.0, ge=0, le=10, description="read noise at an aperture of one line cycle, in V")
    hum_V: float = Field(default=0.0, ge=0, le=10, description="amplitude of the hum of the mains on readings, in V")
    line_Hz: float = Field(default=50.0, ge=10, le=500, description="frequency of the mains")


#: RIGS gives no number for hum, for the daily swing and for most of `bad`, whose steps of 1 mV drown in 1 mV of noise.
PROFILES: dict[str, Profile] = {
    "ideal": Profile(),
    "bench": Profile(
        tau_theta_spread=0.3, epsilon_spread=5.0, gain_error=0.01, offset_V=2e-3, filter_s=0.01, slew_V_per_s=10.0,
        crosstalk=0.005, backlash_V=0.5e-3, backlash_part=0.05, drift_V=0.5e-3, drift_V_per_K=20e-6, daily_K=1.0,
        thermal_V=20e-6, noise_V=10e-6, hum_V=1e-3,
    ),
    "bad": Profile(
        tau_theta_spread=0.6, epsilon_spread=5.0, gain_error=0.05, offset_V=10e-3, filter_s=0.02, slew_V_per_s=5.0,
        crosstalk=0.02, backlash_V=2e-3, backlash_part=0.2, drift_V=2e-3, drift_time_s=60.0, drift_V_per_K=200e-6,
        daily_K=2.0, thermal_V=200e-6, noise_V=1e-3, hum_V=10e-3,
    ),
}  # fmt: skip
