"""The energies by name: built in, or a user's class. Their options are models beside each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from aeqlab.backends.energies import Energy
from aeqlab.backends.hopfield_energy import HopfieldEnergy, HopfieldOptions
from aeqlab.backends.linear import LinearEnergy, LinearOptions
from aeqlab.backends.spring import SpringEnergy, SpringOptions


class UserOptions(BaseModel):
    """Options of a user's energy: whatever the constructor of their class takes, by keyword."""

    model_config = ConfigDict(frozen=True, extra="allow")


EnergyOptions = LinearOptions | HopfieldOptions | SpringOptions | UserOptions
OPTIONS: dict[str, type[BaseModel]] = {"linear": LinearOptions, "hopfield": HopfieldOptions, "spring": SpringOptions}


def make_energy(name: str, options: Any, base: Path) -> Energy:
    """Make an energy.

    Args:
        name: a built-in name, or `file.py:Class` or `module:Class`; the latter runs the user's code.
        options: the model of that energy's options.
        base: folder from which the path of a user's file counts.
    Raises:
        DeviceConfigError: no such energy, or options that do not make one.
        UserCodeError: the user's class raised.
    """
    match options:
        case LinearOptions():
            return LinearEnergy(options)
        case HopfieldOptions():
            return HopfieldEnergy(options)
        case SpringOptions():
            return SpringEnergy(options)
        case _:
            from aeqlab.backends.user_energy import user_energy

            return user_energy(name, dict(options.model_extra or {}), base)
