"""Jumps of readings: a parameter or an output that changes by more within one tick than the rig file says it can."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.interlocks import Interlock, Readings
from aeqlab.backends.rig_plan import RigPlan

Array = NDArray[Any]
NAME = "jump"  #: of its alarm
TOLD = 4  #: jumps that are told in one sentence


class Jumps:
    """Watches all parameters and outputs of a rig, in this order."""

    def __init__(self, plan: RigPlan) -> None:
        rows = (plan.parameters, plan.outputs)
        self._names = [name for row in rows for name in row.names]
        self._units = [row.unit for row in rows for _ in row.names]
        self._most = np.concatenate([row.max_step for row in rows])
        self._watches = bool(np.isfinite(self._most).any())
        self._before: Array | None = None
        self._jumped: dict[str, str] = {}  # since it was last asked, by name

    def see(self, values: Array) -> bool:
        """Take what was read in a tick, shape (parameters + outputs,); returns whether something jumped."""
        if not self._watches:
            return False
        found = np.zeros(0, dtype=np.int64)
        if self._before is not None:
            found = np.flatnonzero(np.abs(values - self._before) > self._most)
            for k in found:
                unit = self._units[k]
                self._jumped[self._names[k]] = (
                    f"{self._names[k]} went from {self._before[k]:.6g} to {values[k]:.6g} {unit} in one tick, more than its "
                    f"max_step of {self._most[k]:g} {unit}"
                )
        self._before = values
        return bool(len(found))

    def miss(self) -> None:
        """Note that nothing was read in a tick: what is read next may be further away."""
        self._before = None

    def take(self) -> str:
        """Say what jumped since this was last asked; empty where nothing did."""
        said, self._jumped = list(self._jumped.values()), {}
        return ", ".join(said[:TOLD]) + (f", and {len(said) - TOLD} more" if len(said) > TOLD else "")

    def guards(self) -> tuple[Interlock, ...]:
        """Get the interlock that warns of jumps; none where no reading has a max_step."""
        if not self._watches:
            return ()
        return (_Jumped(NAME, "a reading jumps", "warn", np.inf, (), lambda readings: False, self),)


class _Jumped(Interlock):
    """Is tripped once by every jump."""

    __slots__ = ("_jumps",)
    _jumps: Jumps

    def __init__(self, *fields: Any) -> None:
        super().__init__(*fields[:-1])
        object.__setattr__(self, "_jumps", fields[-1])

    def tripped(self, readings: Readings) -> str:
        """Say what jumped since this was last asked."""
        return self._jumps.take()
