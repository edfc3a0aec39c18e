"""The operator's interface: what a training step asks for, wherever the device is.

`Session` (the device in this process) and `SessionClient` (the device at a distance) both offer it, so a step, a stage or a
notebook is written once. Loops over `advance` run where the device is: one call here is one exchange with a session.
"""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo, Readout, SafetyReport
from aeqlab.protocols.reports import HoldReport, SettleReport

Array = NDArray[Any]


class Operator(Protocol):
    """Everything one may ask of a device through its session."""

    @property
    def info(self) -> DeviceInfo:
        """Get what the device says of itself."""

    @property
    def abilities(self) -> frozenset[str]:
        """Get the names of the device's capability interfaces."""

    def present(self, inputs: Array) -> None:
        """Set the input knobs, shape (samples, inputs). Applied when time next passes."""

    def set_controls(self, u: Array) -> None:
        """Set the control knobs by hand; takes them over from a loop."""

    def controls(self) -> Array:
        """Get the control knobs as the device reports them, shape (controls,)."""

    def nudge(self, targets: Array, beta: float) -> None:
        """Add beta C(s, y) at the outputs. Applied when time next passes."""

    def release(self) -> None:
        """Take the nudge away."""

    def advance(self, seconds: float | None = None) -> Readout:
        """Let time pass, loops standing still, and read."""

    def hold(self, theta: Array | None = None) -> HoldReport:
        """Run homeostasis until theta stands at its target (None: where it was last told, or is), by the session's settings."""

    def settle(self) -> SettleReport:
        """Clamp the knobs where they are and let state and parameters come to rest, by the session's settings."""

    def parameters(self) -> Array:
        """Read theta, shape (parameters,): the last reading, or from inside a device that holds exactly."""

    def freeze(self, reason: str, *, by: str = "") -> None:
        """Nudge off, knobs frozen, loops stopped; reading goes on. `by`: the person on whose behalf."""

    def make_safe(self, reason: str, *, by: str = "") -> SafetyReport:
        """Freeze, ramp to rest, outputs off; graded line by line. `by`: the person on whose behalf."""

    def device_call(self, name: str, *args: Any) -> Any:
        """Call a method of a capability interface by name, such as `scale_coupling`. Refused if the device does not have it."""
