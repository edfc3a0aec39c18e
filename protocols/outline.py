"""What a device will say of itself and be able to do, as far as its settings tell before it is open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aeqlab.backends.description import DeviceInfo, ParameterBlock, channels, knobs
from aeqlab.backends.energies import Energy
from aeqlab.backends.errors import BackendError
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.imperfections import Imperfections
from aeqlab.backends.kinds import DeviceSettings
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.simulated_build import HIGHEST_BETA
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.backends.user_code import is_user_code
from aeqlab.backends.user_device import CustomSettings
from aeqlab.protocols.limits import SessionLimits, seen_through

#: Abilities of each kind of device, which its class has and its settings need not build to know; a test holds them against it.
ABILITIES: dict[str, frozenset[str]] = {
    "simulated": frozenset(
        {"HoldsParameters", "WritableParameters", "AdjustableCoupling", "KnowsEnergy", "KnowsTruth", "Differentiable",
         "OutputClamp", "Checkpointable"}
    ),
    "slow": frozenset({"KnowsTruth", "Checkpointable"}),
    "rig": frozenset({"Identifies", "Monitored", "Arms", "DropsNudge"}),
    "hopfield": frozenset(
        {"HoldsParameters", "WritableParameters", "AdjustableCoupling", "Epochs", "KnowsEnergy", "Differentiable", "Unrolls",
         "OutputClamp", "Checkpointable", "Layers", "StartsAfresh"}
    ),
}  # fmt: skip


MOST_PARAMETERS = 5_000_000  #: above so many, finding the bounds on beta would take longer than a check may


@dataclass(frozen=True, slots=True)
class Described:
    """What a device says of itself, and the names of its capability interfaces; of an open device, or in outline."""

    info: DeviceInfo
    abilities: frozenset[str]


def outlined(device: DeviceSettings, base: Path, limits: SessionLimits | None = None) -> Described | None:
    """Describe a device before it is open; None where only the user's code can, or a description cannot be built.

    Names, limits, units, slew and nudge are those of the open device; noise and response are left out.

    Args:
        device: its settings.
        base: folder from which paths in them count.
        limits: of the experiment, inside those of the device.
    """
    try:
        if isinstance(device, RigSettings):
            info: DeviceInfo | None = outlined_rig(device, base)
        else:
            info = _hopfield(device) if isinstance(device, HopfieldSettings) else _of_energy(device, base)
        if info is not None and limits is not None:
            info = seen_through(info, limits)
    except BackendError:  # said elsewhere, with its own key
        return None
    if isinstance(device, RigSettings):
        return None if info is None else Described(info, ABILITIES["rig"])
    told = {"KnowsEnergy", "Differentiable"} if isinstance(device, SlowSettings) and device.knows_energy else frozenset()
    return None if info is None else Described(info, ABILITIES[device.kind] | told)


def outlined_rig(device: RigSettings, base: Path) -> DeviceInfo | None:
    """Describe a rig by its file; None where that is not read."""
    from aeqlab.backends.rig_info import outline_of
    from aeqlab.backends.rig_plan import plan_of

    return None if device.rig is None else outline_of(plan_of(device.rig, base))


def _hopfield(device: HopfieldSettings) -> DeviceInfo:
    from aeqlab.backends.hopfield.blocks import describe

    return describe(device, np.zeros(0, dtype=np.int64), None)


def _of_energy(device: SimulatedSettings | CustomSettings, base: Path) -> DeviceInfo | None:
    if isinstance(device, CustomSettings) or is_user_code(device.energy):
        return None
    energy = device.build_energy(base)
    n, slow = energy.n_parameters, isinstance(device, SlowSettings)
    unit = "V" if slow else "1"
    low, high = device.control_limits or (-math.inf, math.inf)
    rest = device.rest_V if isinstance(device, SlowSettings) else min(max(0.0, low), high)
    step, slew = (device.dac_step_V, device.slew_V_per_s) if isinstance(device, SlowSettings) else (0.0, math.inf)
    flaws = device.imperfections
    if isinstance(flaws, Imperfections):
        low, high = max(low, -flaws.knob_limit), min(high, flaws.knob_limit)
        step, slew = max(step, flaws.knob_step), min(slew, flaws.fastest)
    x = energy.inputs
    return DeviceInfo(
        kind=device.kind,
        name=f"{device.kind} {energy.name}",
        inputs=knobs(tuple(x.names), unit, low=x.low, high=x.high, rest=x.rest, step=step if slow else x.step),
        controls=knobs(tuple(f"u{k}" for k in range(n)), unit, low=low, high=high, rest=rest, step=step, slew_per_s=slew),
        outputs=channels(energy.outputs.names, unit),
        parameters=tuple(_block(block, unit, (low, high) if slow else None) for block in energy.parameters),
        beta=_beta(device, energy, base),
        samples=device.batch,
        cost=device.cost,
        tick_s=device.tick_s if isinstance(device, SlowSettings) else None,
    )


def _block(block: ParameterBlock, unit: str, limits: tuple[float, float] | None) -> ParameterBlock:
    low, high = limits or (block.low, block.high)
    return ParameterBlock(block.name, block.shape, block.start, unit, low=low, high=high)


def _beta(device: SimulatedSettings, energy: Energy, base: Path) -> tuple[float, float]:
    """Get the nudges the device will say it takes; wider ones where only the user's code, or long sums, can tell the lowest."""
    held = -math.inf
    if not is_user_code(device.coupling) and energy.n_parameters <= MOST_PARAMETERS:
        held = energy.beta_bounds(device.build_coupling(energy, base)).held
    highest = device.beta_limit if isinstance(device, SlowSettings) else HIGHEST_BETA
    return max(math.nextafter(held, 0.0), -highest), highest
