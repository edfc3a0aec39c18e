"""Settings of a simulated device: which energy, coupling and cost, and how strong the coupling is."""

from __future__ import annotations

import difflib
import json
import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from aeqlab.backends import costs, couplings
from aeqlab.backends.couplings import Coupling, make_coupling
from aeqlab.backends.device import Device
from aeqlab.backends.energies import Energy
from aeqlab.backends.energy_kinds import OPTIONS, EnergyOptions, UserOptions, make_energy
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.imperfections import Imperfections
from aeqlab.backends.named_files import Names
from aeqlab.backends.settings import BetaBounds, Dimensions, UnknownUntilPreparing
from aeqlab.backends.user_code import is_user_code

Array = NDArray[Any]
Epsilon = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


_NAMES = {"energy": list(OPTIONS), "coupling": list(couplings.BUILT_IN), "cost": list(costs.BUILT_IN)}


class SimulatedSettings(BaseModel):
    """A simulated device under the physics of section 5.1, in virtual time."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    served: ClassVar[bool] = False

    kind: Literal["simulated"] = Field(default="simulated", description="a simulation of section 5.1, inside the run")
    energy: Annotated[str, Names.FILES] = Field(description="linear, hopfield, spring, or a user's file.py:Class or module:Class")
    options: Annotated[EnergyOptions, Names.FILES] = Field(
        default_factory=dict,  # the validator makes the model of the chosen energy of it
        validate_default=True,
        description="options of the energy, such as frequencies and s_squared of linear; what a user's class takes",
    )
    epsilon: Epsilon | list[Epsilon] | dict[str, Epsilon] = Field(
        default=0.1, description="coupling of control knobs and parameters: one for all, one per knob, or one per parameter block"
    )
    coupling: Annotated[str, Names.FILES] = Field(
        default="quadratic", description="U(u, theta): quadratic, cosh, mirror, or a user's convex file.py:Class or module:Class"
    )
    cost: Annotated[str, Names.FILES] = Field(
        default=costs.DEFAULT_COST, description="C(s, y): half squared error, log cosh, or a user's file.py:Class"
    )
    batch: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=1, description="samples in one presentation; null for any number"
    )
    control_limits: tuple[float, float] | None = Field(
        default=None, description="lowest and highest setpoint of every control knob; null for none"
    )
    diverged_beyond: float = Field(
        default=1e6, gt=0, le=1e100, description="root mean square of state or parameters that counts as run away"
    )
    imperfections: Imperfections | None = Field(
        default=None,
        description="imperfect hardware: coarse, slow or failed knobs, noisy or late readings, ...; null for none",
    )

    @field_validator("energy", "coupling", "cost")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        names = _NAMES[str(info.field_name)]
        if value in names or is_user_code(value):
            return value
        near = difflib.get_close_matches(value, names, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"there is no {info.field_name} {value!r}: choose {', '.join(names)}, or file.py:Class.{meant}")

    @field_validator("options", mode="before")
    @classmethod
    def _options_of_energy(cls, value: Any, info: ValidationInfo) -> Any:
        model = OPTIONS.get(str(info.data.get("energy")), UserOptions)
        if isinstance(value, model):
            return value
        try:
            text = json.dumps({} if value is None else value)
        except (TypeError, ValueError) as exc:
            raise ValueError(f"plain values are needed: {exc}") from exc
        return model.model_validate_json(text, strict=True)  # strict as JSON is: '3' is no number, a list is a row

    @field_validator("epsilon")
    @classmethod
    def _fits_parameters(cls, value: Any, info: ValidationInfo) -> Any:
        name, options = info.data.get("energy"), info.data.get("options")
        if name in OPTIONS and options is not None and not isinstance(value, float):
            try:
                _spread(value, make_energy(str(name), options, Path()))
            except DeviceConfigError as exc:
                raise ValueError(str(exc)) from exc
        return value

    @field_validator("control_limits")
    @classmethod
    def _in_order(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not -math.inf < value[0] < value[1] < math.inf:
            raise ValueError("two finite numbers are needed, the lower one first")
        return value

    @field_validator("imperfections")
    @classmethod
    def _reaches_the_limits(cls, value: Any, info: ValidationInfo) -> Any:
        limits = info.data.get("control_limits")
        if isinstance(value, Imperfections) and limits is not None:
            low, high = limits
            if max(-low, high) > value.knob_limit:
                raise ValueError(
                    f"knob_range: {value.knob_limit:g} does not reach control_limits {low:g} to {high:g}. "
                    "Make the limits narrower, or the range wider."
                )
        return value

    def knob_names(self, n: int) -> tuple[str, ...]:
        """Name n control knobs."""
        return tuple(f"u{k}" for k in range(n))

    @property
    def has_user_code(self) -> bool:
        """True if building the device runs code of the user's own."""
        return any(is_user_code(name) for name in (self.energy, self.coupling, self.cost))

    def dimensions(self, base: Path) -> Dimensions:
        """Say how many of what there are, without building anything that runs user code.

        Raises:
            UnknownUntilPreparing: only a user's class can say it.
        """
        energy = self._known_energy(base)
        return Dimensions(len(energy.inputs), len(energy.outputs), energy.n_parameters, self.batch)

    def beta_bounds(self, base: Path) -> BetaBounds:
        """Say which nudges keep the energy bounded, with the parameters held and with them floating.

        Raises:
            UnknownUntilPreparing: only a user's class can say it.
        """
        energy = self._known_energy(base)
        if self.cost != costs.DEFAULT_COST or is_user_code(self.coupling):
            raise UnknownUntilPreparing(f"the bounds on beta for cost {self.cost!r} and coupling {self.coupling!r}")
        return energy.beta_bounds(self.build_coupling(energy, base))

    def build_energy(self, base: Path) -> Energy:
        """Make the energy; runs a user's code if it is theirs."""
        return make_energy(self.energy, self.options, base)

    def build_coupling(self, energy: Energy, base: Path, factors: Array | None = None) -> Coupling:
        """Make the coupling; runs a user's code if it is theirs.

        Args:
            energy: the energy it belongs to.
            base: folder from which paths count.
            factors: of each epsilon_k on what the settings say, shape (parameters,); None for none.
        """
        epsilon = _spread(self.epsilon, energy)
        return make_coupling(self.coupling, epsilon if factors is None else epsilon * factors, base)

    def open(self, *, seed: int, base: Path) -> Device:
        """Build the device, awake with its first parameters, nothing presented.

        Raises:
            DeviceConfigError: it cannot be built.
            UserCodeError: the user's code raised.
        """
        from aeqlab.backends.simulated_build import open_simulated

        return open_simulated(self, seed=seed, base=base)

    def _known_energy(self, base: Path) -> Energy:
        if is_user_code(self.energy):
            raise UnknownUntilPreparing(f"the dimensions of energy {self.energy}")
        return self.build_energy(base)


def _spread(epsilon: float | list[float] | dict[str, float], energy: Energy) -> Array:
    """Make one epsilon per knob.

    Raises:
        DeviceConfigError: their number or names do not fit the energy.
    """
    n = energy.n_parameters
    if isinstance(epsilon, dict):
        names = [block.name for block in energy.parameters]
        if sorted(names) != sorted(epsilon):
            raise DeviceConfigError(f"epsilon by block: {', '.join(names)} are needed, given are {', '.join(epsilon) or 'none'}")
        return np.concatenate([np.full(block.size, epsilon[block.name]) for block in energy.parameters])
    if isinstance(epsilon, list):
        if len(epsilon) != n:
            raise DeviceConfigError(f"epsilon per knob: energy {energy.name} has {n} knobs, given are {len(epsilon)}")
        return np.array(epsilon)
    return np.full(n, epsilon)
