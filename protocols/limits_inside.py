"""Whether the limits of an experiment lie inside those of its device, as far as its settings tell before it is opened."""

from __future__ import annotations

import math
from collections.abc import Iterator

from aeqlab.backends.description import Knobs, knobs
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.kinds import DeviceSettings
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.settings import BetaBounds
from aeqlab.backends.simulated_build import HIGHEST_BETA
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.user_device import CustomSettings
from aeqlab.protocols.limits import SessionLimits, narrowed


def outside(
    limits: SessionLimits, device: DeviceSettings, inputs: Knobs | None, bounds: BetaBounds | None
) -> Iterator[tuple[str, str]]:
    """Find every limit that is not inside the device's own.

    Args:
        limits: what the experiment asks for.
        device: settings of the device.
        inputs: its input knobs; None where they are not known.
        bounds: the nudges its energy stands; None where that is not known.
    Yields:
        Key of the limit, and what is wrong with it.
    """
    if isinstance(device, CustomSettings | RigSettings):  # only the open device can say it; the run does then
        return
    for key, row in (("controls", control_knobs(device)), ("inputs", inputs)):
        if row is not None:
            try:
                narrowed(row, getattr(limits, key), key)
            except DeviceConfigError as exc:
                yield key, str(exc)
    if limits.beta is not None:
        highest = float(getattr(device, "beta_limit", HIGHEST_BETA if isinstance(device, SimulatedSettings) else math.inf))
        if limits.beta[0] < -highest or limits.beta[1] > highest:
            yield "beta", f"{_interval(limits.beta)} is not inside {-highest:g} to {highest:g} of the {device.kind} device."
        elif bounds is not None and limits.beta[0] <= bounds.held:
            yield "beta", f"even with the parameters held the energy has a minimum only above {bounds.held:.4g}."
    if limits.slew_per_s is not None and not hasattr(device, "tick_s"):
        yield "slew_per_s", f"the {device.kind} device chooses its own ticks, so a slew cannot be kept. Leave it out."


def control_knobs(device: DeviceSettings) -> Knobs:
    """Get one control knob with the limits and the rest value that all of them have."""
    low, high = getattr(device, "control_limits", None) or (-math.inf, math.inf)
    rest = float(getattr(device, "rest_V", min(max(0.0, low), high)))
    return knobs(("every knob",), "V" if hasattr(device, "rest_V") else "1", low=low, high=high, rest=rest)


def _interval(pair: tuple[float, float]) -> str:
    return f"{pair[0]:g} to {pair[1]:g}"
