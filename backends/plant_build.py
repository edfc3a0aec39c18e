"""Build a plant's parts from its settings, and its description of itself for whoever connects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.costs import make_cost
from aeqlab.backends.dac import Dac
from aeqlab.backends.device import Clock, ControlResponse, DeviceInfo, Knobs, ParameterBlock, channels, knobs
from aeqlab.backends.errors import DivergedError
from aeqlab.backends.frames import Reader
from aeqlab.backends.imperfections import Indices, notes
from aeqlab.backends.integration import integrate
from aeqlab.backends.motion import Motion
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.backends.streams import stream

Array = NDArray[np.float64]


IDENTIFIED = 300  #: variables up to which the response is worked out; beyond, every knob is taken as by itself


@dataclass(frozen=True, slots=True)
class Built:
    """The parts of a plant, and what is true of it."""

    motion: Motion
    dac: Dac
    reader: Reader
    read_index: NDArray[np.int64]  # where outputs and parameters stand in z
    low: Array
    high: Array
    beta: tuple[float, float]
    tau_theta: Array
    gain: Array
    lag_s: Array
    dead_time_s: Array
    failed: Indices  # knobs that are stuck


def build(settings: SlowSettings, *, seed: int, base: Path) -> Built:
    """Build the parts.

    Raises:
        DeviceConfigError: they cannot be built.
        UserCodeError: the user's code raised.
    """
    energy, flaws = settings.build_energy(base), settings.imperfections
    factors = None if flaws is None else flaws.factors(energy.n_parameters, seed)
    coupling = settings.build_coupling(energy, base, factors)
    n, outputs = energy.n_parameters, len(energy.outputs)
    spread = stream(seed, "device spread").uniform(-settings.tau_theta_spread, settings.tau_theta_spread, n)
    tau_theta = settings.tau_theta_s * (1 + spread)
    low, high = (np.full(n, limit) for limit in settings.control_limits)
    motion = Motion(energy, coupling, make_cost(settings.cost, base), tau_s=settings.tau_state_s, tau_theta=tau_theta)
    gain, lag_s = _response(motion, np.full(n, settings.rest_V), tau_theta)
    bounds = energy.beta_bounds(coupling)
    failed = np.zeros(0, dtype=np.int64) if flaws is None else flaws.failed(settings.knob_names(n), seed)
    return Built(
        motion=motion,
        dac=Dac(
            low, high, np.full(n, settings.rest_V),
            step=settings.dac_step_V, slew_per_s=settings.slew_V_per_s, filter_s=settings.filter_s, stuck=failed,
        ),
        reader=Reader(
            np.repeat([settings.output_noise_V, settings.noise_V], [outputs, n]),
            dead_time_s=settings.dead_time_s, stale_rate=settings.stale_rate, lost_rate=settings.lost_rate, seed=seed,
        ),
        read_index=np.concatenate([energy.output_index, energy.n_states + np.arange(n)]).astype(np.int64),
        low=low,
        high=high,
        beta=(max(float(np.nextafter(bounds.held, 0.0)), -settings.beta_limit), settings.beta_limit),
        tau_theta=tau_theta,
        # two lags in a row look like one of the larger plus half the smaller, behind half the smaller of dead time (SIMC)
        gain=gain,
        lag_s=lag_s + settings.filter_s / 2,
        dead_time_s=np.full(n, settings.dead_time_s + settings.filter_s / 2),
        failed=failed,
    )  # fmt: skip


def _response(motion: Motion, u: Array, tau_theta: Array) -> tuple[Array, Array]:
    """Identify gain and lag of each knob at rest, for an input in the middle of its limits."""
    gain, lag_s = np.ones_like(tau_theta), tau_theta
    inputs = motion.energy.inputs
    x = motion.x
    if len(u) + motion.n_states > IDENTIFIED:
        return gain, lag_s
    bounded = np.isfinite(inputs.low) & np.isfinite(inputs.high)
    middle = np.array([np.where(bounded, 0.5 * inputs.low.clip(-1e9) + 0.5 * inputs.high.clip(None, 1e9), inputs.rest)])
    motion.present(middle)
    try:
        z, h = motion.start(u), 1e-3
        for _ in range(20):
            h, _, path, _ = integrate(motion.rate, u[None], z, float(tau_theta.max()), h, motion.inside)
            z = path[-1]
        found = motion.response(z, u)
        sound = [(part > 0.05 * usual) & (part < 20 * usual) for part, usual in zip(found, (gain, lag_s), strict=True)]
        if np.all(sound):
            gain, lag_s = found
    except (np.linalg.LinAlgError, DivergedError):
        pass  # nothing to say of a system that does not come to rest: as if uncoupled
    finally:
        motion.present(x)
    return gain, lag_s


def describe(settings: SlowSettings, built: Built, seed: int) -> dict[str, Any]:
    """Say everything a client need know, as a tree; `info_of` makes a DeviceInfo of it."""
    energy = built.motion.energy
    n = energy.n_parameters
    known = 1 + settings.response_error * stream(seed, "device identification").standard_normal((2, n)).clip(-2.5, 2.5)
    return {
        "name": f"slow {energy.name}",
        "inputs": {
            "names": list(energy.inputs.names),
            "low": energy.inputs.low,
            "high": energy.inputs.high,
            "rest": energy.inputs.rest,
            "step": settings.dac_step_V,
            "slew_per_s": np.inf,
        },
        "controls": {
            "names": list(settings.knob_names(n)),
            "low": built.low,
            "high": built.high,
            "rest": built.dac.rest,
            "step": settings.dac_step_V,
            "slew_per_s": settings.slew_V_per_s,
        },
        "outputs": {"names": list(energy.outputs.names), "noise": settings.output_noise_V},
        "parameters": [
            {"name": b.name, "shape": list(b.shape), "start": b.start, "low": float(built.low[0]), "high": float(built.high[0])}
            for b in energy.parameters
        ],
        "noise": settings.noise_V,
        "offset": 6 * settings.drift_V,  # how far an output may be from what it was told, besides its step
        "unit": "V",
        "beta": list(built.beta),
        "cost": built.motion.cost.name,
        "clock": str(settings.clock),
        "speed": settings.speed,
        "tick_s": settings.tick_s,
        "response": {
            "gain": built.gain * np.maximum(known[0], 0.05),
            "lag_s": built.lag_s * np.maximum(known[1], 0.05),
            "dead_time_s": built.dead_time_s,
        },
        "notes": list(notes(settings.imperfections, settings.knob_names(n), built.failed)) if settings.imperfections else [],
    }


def info_of(description: dict[str, Any]) -> DeviceInfo:
    """Make the DeviceInfo of a plant's description of itself."""
    unit = description["unit"]
    return DeviceInfo(
        kind="slow",
        name=description["name"],
        inputs=_knobs(description["inputs"], unit),
        controls=_knobs(description["controls"], unit),
        outputs=channels(tuple(description["outputs"]["names"]), unit, description["outputs"]["noise"]),
        parameters=tuple(
            ParameterBlock(
                b["name"], tuple(b["shape"]), b["start"], unit, None, low=b["low"], high=b["high"], noise=description["noise"]
            )
            for b in description["parameters"]
        ),
        beta=(description["beta"][0], description["beta"][1]),
        samples=1,
        cost=description["cost"],
        clock=Clock(description["clock"]),
        tick_s=description["tick_s"],
        speed=description["speed"],
        simulated=True,
        response=ControlResponse(**description["response"]),
        notes=tuple(description.get("notes", ())),
    )


def _knobs(row: dict[str, Any], unit: str) -> Knobs:
    n, low, high, rest = tuple(row["names"]), row["low"], row["high"], row["rest"]
    return knobs(n, unit, low=low, high=high, rest=rest, step=row["step"], slew_per_s=row["slew_per_s"])
