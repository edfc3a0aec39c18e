"""Settings of a slow device: the physics of the simulated one, and everything that makes a bench slow, noisy and unreliable.

The defaults are the reference rig scaled to the paper's regression: tau_theta 50 ms +-30 %, a DAC of 20 bits over +-10 V behind a
slew of 10 V/s, frames of readings 20 ms late with 50 uV of noise, some of them stale or lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from aeqlab.backends.device import Clock
from aeqlab.backends.imperfections import PlantImperfections
from aeqlab.backends.named_files import Names
from aeqlab.backends.simulated_settings import SimulatedSettings

if TYPE_CHECKING:
    from aeqlab.backends.slow import SlowDevice


class SlowSettings(SimulatedSettings):
    """A slow, noisy device that stands in for a rig; it is owned by a session."""

    served: ClassVar[bool] = True

    kind: Literal["slow"] = Field(default="slow", description="an emulated rig, owned by a session")  # type: ignore[assignment]
    batch: Literal[1] = Field(default=1, description="samples in one presentation: a rig takes one")
    control_limits: tuple[float, float] = Field(
        default=(-10.0, 10.0), description="lowest and highest setpoint of every control knob, in V"
    )
    beta_limit: float = Field(default=1.0, gt=0, le=1e3, description="largest |beta| the nudge can make, either sign")

    clock: Clock = Field(
        default=Clock.VIRTUAL, description="virtual: time moves only when the device is told to; wall: real time"
    )
    speed: float = Field(default=1.0, gt=0, le=1e3, description="seconds of the device per second on the wall, with clock: wall")
    tick_s: float = Field(default=0.02, gt=0, le=10, description="shortest exchange with the device, in s")
    tau_state_s: float = Field(default=0.005, gt=0, le=100, description="relaxation time of the state for a curvature of 1, in s")
    tau_theta_s: float = Field(default=0.05, gt=0, le=100, description="median relaxation time of the parameters, in s")
    tau_theta_spread: float = Field(default=0.3, ge=0, lt=1, description="spread of it over the knobs: 1 - spread to 1 + spread")
    filter_s: float = Field(default=0.002, ge=0, le=10, description="time constant of the filter behind the DAC, in s")

    dac_bits: int = Field(default=20, ge=0, le=32, description="resolution of the DAC over its range; 0 for none")
    dac_range_V: float = Field(default=10.0, gt=0, le=1e3, description="the DAC goes from minus to plus this, in V")
    rest_V: float = Field(default=0.0, description="where every control knob rests, in V")
    slew_V_per_s: float = Field(default=10.0, gt=0, le=1e9, description="fastest change of a knob, in V per s of the device")
    drift_V: float = Field(default=0.5e-3, ge=0, le=10, description="standard deviation of the slow offset of every knob, in V")
    drift_time_s: float = Field(default=600.0, gt=0, description="correlation time of that offset, in s")

    dead_time_s: float = Field(default=0.02, ge=0, le=10, description="how old a fresh frame of readings is, in s")
    noise_V: float = Field(default=50e-6, ge=0, le=10, description="read noise of a parameter (standard deviation), in V")
    output_noise_V: float = Field(default=50e-6, ge=0, le=10, description="read noise of an output (standard deviation), in V")
    stale_rate: float = Field(default=0.002, ge=0, le=0.5, description="chance that a frame is the one before once more")
    lost_rate: float = Field(default=0.002, ge=0, lt=0.5, description="chance that a frame is lost")
    monitor: bool = Field(default=True, description="whether the converter can also measure the control outputs themselves")
    response_error: float = Field(
        default=0.0, ge=0, le=1, description="relative error (standard deviation) of the gains and lags the device says of itself"
    )

    imperfections: PlantImperfections | None = Field(  # type: ignore[assignment]
        default=None, description="what else is imperfect: spread couplings, failed knobs, settling cut short; null for none"
    )

    knows_energy: bool = Field(
        default=False,
        description="whether the emulation tells its equations and its true state, as no rig can: only so that baselines which "
        "need them can be compared with",
    )
    when_silent: Literal["holds"] = Field(default="holds", description="what the outputs do when nobody talks to the device")
    watchdog_s: float | None = Field(
        default=None,
        gt=0,
        description="after this long without a word, on the wall, the device takes the nudge off; null: never",
    )
    linger_s: float | None = Field(
        default=None, ge=0, description="its process ends by itself this long after the last client left; null: it stays"
    )
    journal: bool = Field(default=True, description="whether a device in a process of its own keeps a journal of every knob")
    journal_piece_bytes: int = Field(
        default=16 * 1024 * 1024, ge=4096, le=2**31, description="size of a piece of the journal; the last four are kept"
    )
    address: Annotated[str | None, Names.PATH] = Field(
        default=None, description="folder of a device that is already running (see start_plant); null: in the session itself"
    )

    @model_validator(mode="after")
    def _fits(self) -> SlowSettings:
        low, high = self.control_limits
        if low < -self.dac_range_V or high > self.dac_range_V:
            raise ValueError(f"control_limits {low:g} to {high:g} V go beyond the DAC's range of +-{self.dac_range_V:g} V")
        if not low <= self.rest_V <= high:
            raise ValueError(f"rest_V {self.rest_V:g} is outside control_limits {low:g} to {high:g} V")
        return self

    @property
    def dac_step_V(self) -> float:
        """Smallest change of a knob, in V; 0 for none."""
        return 2 * self.dac_range_V / 2**self.dac_bits if self.dac_bits else 0.0

    def open(self, *, seed: int, base: Path, address: str | None = None, journal: Path | None = None) -> SlowDevice:
        """Open the device: the one that runs at an address, else one inside this process.

        Args:
            seed: of the device's noise, drift, faults and spread; one that is already running has its own.
            base: folder from which paths in the settings count.
            address: folder of a running device; goes before `self.address`.
            journal: folder for the journal of a device inside this process; None for none.
        Raises:
            DeviceConfigError: it cannot be built, or the one at the address is another.
            DeviceLostError: nothing answers at the address.
        """
        from aeqlab.backends.slow import open_slow

        return open_slow(self, seed=seed, base=base, address=address, journal=journal)
