"""What stages changed of a run's device besides theta: inputs, knobs set by hand, settings of the loops, the coupling.

It is kept in checkpoints, because a device does not tell it and a resumed run must have it again.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.quantities import with_setting

Array = NDArray[Any]


class Adjusted:
    """What stands now, as this run set it.

    Attributes:
        inputs: what was presented last, shape (samples, inputs); None before the first.
        u: control knobs as a stage asked for them by hand, shape (controls,); None since a loop moved them, or theta was written.
        coupling: factor on the couplings the device was built with.
        loops: settings by `homeostasis` and `settling`.
    """

    def __init__(self, operator: Any) -> None:
        self._operator = operator
        self.inputs: Array | None = None
        self.u: Array | None = None
        self.coupling = 1.0
        self.loops: dict[str, Any] = {"homeostasis": HomeostasisSettings(), "settling": SettlingSettings()}

    def begin_with(self, homeostasis: HomeostasisSettings, settling: SettlingSettings) -> None:
        """Say what the loops were opened with."""
        self.loops = {"homeostasis": homeostasis, "settling": settling}

    def setting(self, name: str) -> Any:
        """Get a setting by its name, such as `homeostasis.gain`; a word or a list where it is no one number."""
        loop, _, key = name.partition(".")
        return getattr(self.loops[loop], key)

    def configure(self, values: dict[str, float]) -> None:
        """Change settings by name. Raises CapabilityError for a value that a setting cannot have."""
        loops = self.loops
        for name, value in values.items():
            loops = with_setting(loops, name, value)
        self.put_back(loops)

    def put_back(self, loops: dict[str, Any]) -> None:
        """Give both loops settings as they were; what did not change is not touched, and its law goes on as it was."""
        changed = {loop: settings for loop, settings in loops.items() if settings != self.loops[loop]}
        if changed:
            self._operator.configure(**changed)
            self.loops = dict(loops)

    def scale_coupling(self, factor: float) -> None:
        """Scale the couplings by a factor, counted from those the device was built with."""
        self._operator.device_call("scale_coupling", factor)
        self.coupling = factor

    # checkpoints
    def state(self) -> dict[str, Any]:
        """Get it as a tree for `wire.pack`."""
        return {
            "inputs": self.inputs,
            "u": self.u,
            "coupling": self.coupling,
            "loops": {loop: settings.model_dump(mode="json") for loop, settings in self.loops.items()},
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Put back what `state` gave, before the device gets its own state; None in a checkpoint of an earlier version."""
        if state is None:
            return
        self.inputs, self.u, self.coupling = state["inputs"], state["u"], float(state["coupling"])
        self.put_back({loop: type(self.loops[loop]).model_validate(tree) for loop, tree in state["loops"].items()})
