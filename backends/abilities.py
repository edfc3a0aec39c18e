"""What a device may be able to do beside the four abilities: one small interface each, asked for by `isinstance`."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from aeqlab.backends.interlocks import Interlock, Reading

Array = NDArray[Any]


@runtime_checkable
class HoldsParameters(Protocol):
    """Exact homeostasis (section 5.3): the device itself keeps theta and finds u. Neither need cross the border."""

    def hold_exactly(self, on: bool) -> None:
        """Hold theta from the next `advance` on (True), with u following; or clamp u where it is now (False)."""

    def parameters(self) -> Array:
        """Get a copy of theta, shape (parameters,)."""


@runtime_checkable
class WritableParameters(Protocol):
    """Theta can be written, as in a simulation; on a rig theta is only ever held elsewhere."""

    def write_parameters(self, theta: Array) -> None:
        """Set theta, shape (parameters,), and let u follow so that it would stay there."""

    def parameters(self) -> Array:
        """Get a copy of theta, shape (parameters,)."""


@runtime_checkable
class AdjustableCoupling(Protocol):
    """The couplings epsilon_k can be scaled, as a learning-rate schedule wants. Elsewhere beta decays instead."""

    def scale_coupling(self, factor: float) -> None:
        """Multiply every epsilon_k by a factor above 0, counted from those the device was built with."""


@runtime_checkable
class Epochs(Protocol):
    """The device adapts something between epochs, such as its threshold of convergence (Appendix C)."""

    def end_epoch(self) -> dict[str, float]:
        """Adapt, and say what was found, by name."""


@runtime_checkable
class KnowsEnergy(Protocol):
    """The equations are known. For diagnostics, baselines and tests; no protocol that trains may use it."""

    def energy(self, theta: Array, inputs: Array, states: Array) -> float:
        """Compute E(theta, x, s), mean over the samples; states have shape (samples, states)."""

    def equilibrium(self, theta: Array, inputs: Array, targets: Array | None = None, beta: float = 0.0) -> Array:
        """Find s_beta = argmin_s E + beta C with theta fixed (eq. 10), shape (samples, states). Moves nothing."""

    def states(self) -> Array:
        """Get the state as it stands now, shape (samples, states)."""

    def outputs_of(self, states: Array) -> Array:
        """Get the outputs contained in states, shape (samples, outputs)."""

    def energy_gradient(self, theta: Array, inputs: Array, states: Array) -> Array:
        """Compute the partial derivative dE/dtheta, mean over the samples, shape (parameters,)."""

    def loss_gradient(self, theta: Array, inputs: Array, targets: Array) -> Array:
        """Compute the total derivative of the loss C(s(theta, x), y), mean over the samples, shape (parameters,)."""


@runtime_checkable
class KnowsTruth(Protocol):
    """The true values behind the readings are known, as only a simulation knows them. For tests and rates of false verdicts."""

    def true_parameters(self) -> Array:
        """Get theta without read noise, delay or loss, shape (parameters,)."""


@runtime_checkable
class Differentiable(Protocol):
    """The loss can be differentiated at the equilibrium, by the implicit function theorem (autodiff baseline only)."""

    def loss_and_gradient(self, theta: Array, inputs: Array, targets: Array) -> tuple[float, Array]:
        """Compute the loss C(s(theta, x), y) and its total derivative, mean over the samples, shape (parameters,)."""


@runtime_checkable
class Unrolls(Protocol):
    """The way to the equilibrium can be differentiated step by step, as section 5.3 does (autodiff baseline only)."""

    def unrolled_loss_and_gradient(self, theta: Array, inputs: Array, targets: Array) -> tuple[float, Array]:
        """Compute the loss where the relaxation from zeros ends, and its derivative through every step of it, as above."""


@runtime_checkable
class Checkpointable(Protocol):
    """The whole state can be taken and put back, bit for bit."""

    def state(self) -> dict[str, Any]:
        """Get everything that decides the future, as a tree for `wire.pack`."""

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back. Raises DeviceConfigError if it is of another device or damaged."""


@runtime_checkable
class OutputClamp(Protocol):
    """The outputs can be fixed at values (coupled learning, eq. 124); not a nudge, and labelled so."""

    def clamp_outputs(self, values: Array) -> None:
        """Fix the outputs, shape (samples, outputs), from the next `advance` until `release`; takes a nudge away.

        Raises:
            ArrayRefusedError, LimitError: wrong shape or type, not finite, or values that the outputs cannot take.
            DeviceStateError: nothing was presented.
        """


@runtime_checkable
class Layers(Protocol):
    """The state has named layers worth showing."""

    def layers(self) -> dict[str, Array]:
        """Get a copy of each layer's state by name, shape (samples, ...)."""


@runtime_checkable
class DropsNudge(Protocol):
    """The nudge can be taken off by any thread, while another waits for the device; a freeze then only has to follow."""

    def drop_nudge(self) -> None:
        """Take the nudge off now and let none come on before a freeze or a release. Never raises, never waits for a tick."""


@runtime_checkable
class Monitored(Protocol):
    """It tells the newest value of all that is read, what stops it, and what went wrong and was mended."""

    def monitored(self) -> dict[str, Reading]:
        """Get the newest value of every parameter, output and monitor, in this order, by name; nan for what is missing.

        Takes no time, and may be called by any thread.
        """

    def guards(self) -> tuple[Interlock, ...]:
        """Get the interlocks that its description has."""

    def take_told(self) -> list[str]:
        """Take the sentences about what happened since this was last asked, oldest first."""


@runtime_checkable
class Identifies(Protocol):
    """How it answers has to be found out, and is kept: see `identification`. The one ability that changes `info`."""

    def fingerprint(self) -> dict[str, str]:
        """Get what an identification belongs to, by name."""

    def identification(self) -> dict[str, Any] | None:
        """Get the identification that is in use, as plain values; None where there is none that is fresh."""

    def take_identification(self, tree: dict[str, Any]) -> str:
        """Use an identification, and keep it in a dated file, whose path it returns; `info` follows it from then on.

        Raises:
            DeviceConfigError: it is of another device, stale or damaged.
        """


@runtime_checkable
class Arms(Protocol):
    """Instruments are brought into the state in which they are used: by the first tick that moves something, or when asked."""

    def arming_plan(self) -> list[str]:
        """List what arming will change, from the settings as they stand."""

    def arm(self) -> list[str]:
        """Arm now, if it is not armed; returns what was changed since the device was opened."""


@runtime_checkable
class StartsAfresh(Protocol):
    """The state of a sample starts where the last one ended, and can be told not to: an evaluation wants every start alike."""

    def start_from_zeros(self) -> None:
        """Start the state from zeros in the next `advance`."""


CAPABILITIES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        HoldsParameters, WritableParameters, AdjustableCoupling, Epochs, KnowsEnergy, KnowsTruth, Differentiable,
        Unrolls, Checkpointable, OutputClamp, Layers, StartsAfresh, Identifies, Arms, Monitored, DropsNudge,
    )
}  # fmt: skip


def capabilities(device: object) -> frozenset[str]:
    """Get the names of the capability interfaces an object offers."""
    return frozenset(name for name, cls in CAPABILITIES.items() if isinstance(device, cls))
