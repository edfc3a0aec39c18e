"""The kinds of devices: their settings as one union by `kind`, and the one call that opens any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from aeqlab.backends.device import Device
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.settings import BetaBounds, Dimensions, UnknownUntilPreparing
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.backends.user_device import CustomSettings

DeviceSettings = Annotated[
    SimulatedSettings | SlowSettings | HopfieldSettings | CustomSettings | RigSettings, Field(discriminator="kind")
]


def open_device(settings: DeviceSettings, *, seed: int, base: Path) -> Device:
    """Open the device that settings describe.

    Args:
        settings: of any kind; one that is `served` is opened here too, as the session that owns it does.
        seed: the experiment's seed, which feeds the device's own named streams.
        base: folder of the file the settings stand in, from which its paths count.
    Raises:
        DeviceConfigError: it cannot be built.
        UserCodeError: the user's code raised.
    """
    return settings.open(seed=seed, base=base)


__all__ = [
    "BetaBounds",
    "CustomSettings",
    "DeviceSettings",
    "Dimensions",
    "HopfieldSettings",
    "RigSettings",
    "SimulatedSettings",
    "SlowSettings",
    "UnknownUntilPreparing",
    "open_device",
]
