"""A simulated device: any energy, cost and coupling under the physics of section 5.1, in virtual time.

State and parameters both float. One tick is one pair of steps (14)-(15); its dt is the step of theta that was accepted. A phase,
in which the step sizes begin anew, starts whenever inputs are presented or a nudge is applied or released.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.checks import checked_batch, inside_box
from aeqlab.backends.descent import Descent
from aeqlab.backends.device import (
    Device,
    DeviceInfo,
    Flag,
    Grade,
    Readout,
    SafetyLine,
    SafetyReport,
)
from aeqlab.backends.errors import ArrayRefusedError, BackendError, DeviceConfigError, DeviceStateError, DivergedError
from aeqlab.backends.known_equations import KnownEquations
from aeqlab.backends.streams import restore_stream, stream_state

Array = NDArray[Any]
_REFUSED = {flags: flags | Flag.REFUSED for flags in (Flag.NONE, Flag.FROZEN)}
MOST_TICKS = 100_000  # in one advance; refused steps take no time, and a wrong gradient would refuse them for ever


class SimulatedDevice(KnownEquations, Device):
    """A device made of an energy. It also holds theta exactly, writes it, knows its equations and clamps its outputs.

    Args:
        physics: the system, woken up with its first parameters.
        info: what it says of itself.
        diverged_beyond: root mean square of s or theta beyond which the system counts as run away.
    """

    def __init__(self, physics: Descent, info: DeviceInfo, *, diverged_beyond: float = 1e6) -> None:
        self._physics = physics
        self._known = physics.energy, physics.cost
        self._info = info
        energy = physics.energy
        self._theta_limit = energy.n_parameters * diverged_beyond**2
        self._state_limit = energy.n_states * diverged_beyond**2
        self._t = 0.0
        self._flags = Flag.NONE
        self._holding = False
        self._next_inputs: Array | None = None
        self._next_controls: Array | None = None
        self._next_nudge: tuple[Array | None, float] | None = None
        self._next_clamp: Array | None = None
        self._next_hold = False
        self._no_theta_age = _zeros(energy.n_parameters)
        self._no_output_age = _zeros(len(energy.output_index))

    @property
    def info(self) -> DeviceInfo:
        """Get what the device says of itself; couplings as built."""
        return self._info

    # the four abilities
    def _present(self, inputs: Array) -> None:
        self._next_inputs = inputs
        if self._presented is not None and self._presented != len(inputs):
            self._next_nudge, self._next_clamp = (None, 0.0), None  # targets of other samples mean nothing to these

    def _set_controls(self, u: Array) -> None:
        self._next_controls = u
        self._next_hold = False
        self._flags = Flag.NONE

    def _controls(self) -> Array:
        return self._physics.balanced_controls() if self._holding else self._physics.u.copy()

    def _nudge(self, targets: Array, beta: float) -> None:
        self._next_nudge, self._next_clamp = (targets, beta), None
        self._flags = Flag.NONE

    def _release(self) -> None:
        self._next_nudge, self._next_clamp = (None, 0.0), None

    def _nudge_applied(self) -> float | None:
        return float(self._physics.beta)

    def _advance(self, seconds: float | None) -> Readout:
        if self._next_inputs is not None or self._next_nudge is not None:
            self._begin_phase()
        if self._next_controls is not None:
            self._take_controls(self._next_controls)
        elif self._next_hold:
            self._holding, self._next_hold = True, False
        physics = self._physics
        if seconds is None:
            dt = self._tick()
        else:
            dt, ticks = self._tick(), 1
            while dt < seconds:
                if ticks == MOST_TICKS:
                    raise DeviceStateError(
                        f"{self._info.name}: after {ticks} ticks only {dt:g} of {seconds:g} s have passed, the steps of theta "
                        f"are refused or tiny. Ask for a shorter time; if it stays so, the gradient of the energy may be wrong."
                    )
                dt += self._tick()
                ticks += 1
        self._t += dt
        return Readout(
            self._t, dt, physics.outputs(), physics.theta.copy(), self._no_output_age, self._no_theta_age,
            self._flags if dt else _REFUSED[self._flags],
        )  # fmt: skip

    def _tick(self) -> float:
        physics = self._physics
        physics.step_state()
        dt = physics.lag if self._holding else physics.step_parameters()
        if physics.beyond(self._state_limit, self._theta_limit):
            raise DivergedError(
                f"{self._info.name}: state or parameters ran away at t = {self._t:g} s, beta = {physics.beta:g}. The energy may "
                f"have no lower bound at this beta with the parameters floating, or the loop on u may be unstable."
            )
        return dt

    def _begin_phase(self) -> None:
        """Apply what was presented, nudged or released, and set the step sizes anew."""
        if self._next_inputs is not None:
            self._physics.present(self._next_inputs)
            self._next_inputs = None
        if self._next_nudge is not None:
            self._physics.nudge(*self._next_nudge)
            self._next_nudge = None
        if self._next_clamp is not None:
            self._physics.clamp_outputs(self._next_clamp)
            self._next_clamp = None
        self._physics.begin_phase()

    def _take_controls(self, u: Array) -> None:
        self._physics.set_controls(u)
        self._next_controls = None
        self._holding = False

    # safety
    def _freeze(self) -> None:
        try:
            self.hold_exactly(False)
        except BackendError:  # no u holds theta where the energy is not finite; the knobs stay as they were before the hold
            self._holding = False
        self._next_inputs = self._next_controls = self._next_nudge = self._next_clamp = None
        self._physics.nudge(None, 0.0)
        self._physics.begin_phase()
        self._flags = Flag.FROZEN

    def _make_safe(self) -> SafetyReport:
        self._freeze()
        rest = self._info.controls.rest
        self._physics.set_controls(rest.copy())
        u = self.controls()
        worst = int(np.argmax(np.abs(u - rest)))
        at_rest = np.array_equal(u, rest)
        off = self._physics.beta == 0.0
        return SafetyReport(
            (
                SafetyLine("nudge", Grade.ECHOED if off else Grade.FAILED, 0.0, self._physics.beta),
                SafetyLine(
                    f"{len(u)} control knobs",
                    Grade.ECHOED if at_rest else Grade.FAILED,
                    float(rest[worst]),
                    float(u[worst]),
                    self._info.controls.unit,
                    "the one farthest from rest; a simulation has no other channel to measure by",
                ),
            )
        )

    # HoldsParameters, WritableParameters, AdjustableCoupling, KnowsTruth
    def hold_exactly(self, on: bool) -> None:
        """Hold theta from the next `advance` on, u following (True); or clamp u where it is now (False).

        While it holds, a tick relaxes the state alone; the u it stands for solves dU/dtheta / epsilon + dE/dtheta = 0 (in the
        quadratic case u* = theta + epsilon dE/dtheta, section 5.1). `set_controls` takes the knobs over and ends it.
        """
        self._check_open()
        if on:
            self._next_hold, self._next_controls = True, None
            self._flags = Flag.NONE
            return
        self._next_hold = False
        if self._holding:
            self._physics.set_controls(self._physics.balanced_controls())
            self._holding = False

    def parameters(self) -> Array:
        """Get a copy of theta, shape (parameters,)."""
        self._check_open()
        return self._physics.theta.copy()

    def true_parameters(self) -> Array:
        """Get theta; nothing lies between it and the readings of this device."""
        return self.parameters()

    def write_parameters(self, theta: Array) -> None:
        """Set theta, shape (parameters,), and u to where theta would stay once the state came to rest.

        Raises:
            ArrayRefusedError: wrong shape or type, or not finite.
        """
        self._check_open()
        values = self._vector("parameters", theta)
        self._physics.write(values)
        self._next_controls = None
        if self._presented is None:
            self._physics.set_controls(self._physics.coupling.balance(values, np.zeros_like(values)))
            return
        if self._next_inputs is not None or self._next_nudge is not None:
            self._begin_phase()
        physics = self._physics
        s = physics.states()
        if physics.clamped is None:
            s = physics.energy.equilibrium(physics.cost, values, physics.x, physics.y, physics.beta, s)
        physics.set_controls(physics.balanced_controls(s))

    def scale_coupling(self, factor: float) -> None:
        """Multiply every epsilon_k by a factor above 0, counted from those the device was built with.

        The lag of theta on this device's clock stays what `info.response` says: mobility grows as the coupling shrinks.
        """
        self._check_open()
        self._physics.scale_coupling(factor)

    # KnowsEnergy and Differentiable, beside what `KnownEquations` computes; OutputClamp
    def states(self) -> Array:
        """Get a copy of the state as it stands now, shape (samples, states)."""
        self._check_open()
        return self._physics.states().copy()

    def clamp_outputs(self, values: Array) -> None:
        """Fix the outputs, shape (samples, outputs), from the next `advance` until `release` or `nudge`; takes a nudge away.

        Raises:
            ArrayRefusedError: wrong shape or type, or not finite.
            LimitError: a value outside the box of the states.
            DeviceStateError: nothing was presented.
        """
        self._check_open()
        if self._presented is None:
            raise DeviceStateError(f"{self._info.name}: clamp_outputs before present. Present an input first.")
        fixed = checked_batch("clamped outputs", values, len(self._info.outputs), self._presented, self._info.dtype)
        energy = self._physics.energy
        if energy.box is not None:
            inside_box(self._info.name, fixed, *(wall[energy.output_index] for wall in energy.box))
        self._next_nudge, self._next_clamp = (None, 0.0), fixed
        self._flags = Flag.NONE

    def global_energy(self) -> float:
        """Compute the global energy (eq. 4 or 23) of the system as it stands: U/epsilon + E + beta C, mean over the samples."""
        self._check_open()
        return self._physics.total_energy()

    # Checkpointable
    def state(self) -> dict[str, Any]:
        """Get everything that decides the future, as a tree for `wire.pack`."""
        self._check_open()
        p = self._physics
        staged_y, staged_beta = self._next_nudge if self._next_nudge is not None else (None, 0.0)
        return {
            "device": self._info.name,
            "physics": p.snapshot(),
            "t": self._t,
            "flags": int(self._flags),
            "holding": self._holding,
            "presented": self._presented,
            "applied": self._applied,
            "next": {
                "inputs": self._next_inputs,
                "controls": self._next_controls,
                "nudge": self._next_nudge is not None,
                "targets": staged_y,
                "beta": staged_beta,
                "clamp": self._next_clamp,
                "hold": self._next_hold,
            },
            "noise": stream_state(p.rng),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back. Raises DeviceConfigError if it is of another device or damaged; the device is then as it was."""
        self._check_open()
        if not isinstance(state, dict) or state.get("device") != self._info.name:
            other = state.get("device") if isinstance(state, dict) else type(state).__name__
            raise DeviceConfigError(f"{self._info.name}: a state of {other!r} cannot be restored here")
        before = self.state()
        try:
            self._restore(state)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
            self._restore(before)
            raise DeviceConfigError(f"{self._info.name}: the state to restore is damaged: {type(exc).__name__}: {exc}") from exc

    def _restore(self, state: dict[str, Any]) -> None:
        staged = state["next"]
        restore_stream(self._physics.rng, state["noise"])
        self._physics.put_back(state["physics"])
        self._t = float(state["t"])
        self._flags = Flag(state["flags"])
        self._holding = bool(state["holding"])
        self._presented = state["presented"]
        self._applied = state.get("applied", self._presented if staged["inputs"] is None else None)
        self._next_inputs, self._next_controls = staged["inputs"], staged["controls"]
        self._next_nudge = (staged["targets"], float(staged["beta"])) if staged["nudge"] else None
        self._next_clamp = staged["clamp"]
        self._next_hold = bool(staged["hold"])

    def _vector(self, name: str, values: Array) -> Array:
        array = np.array(values, dtype=np.float64)
        if array.shape != (self._info.n_parameters,) or not np.isfinite(array).all():
            raise ArrayRefusedError(
                f"{name}: finite numbers of shape ({self._info.n_parameters},) are needed, these have shape {array.shape}"
            )
        return array


class LayeredSimulatedDevice(SimulatedDevice):
    """A simulated device whose state has named layers worth showing."""

    def layers(self) -> dict[str, Array]:
        """Get a copy of each layer's state by name, shape (samples, units)."""
        self._check_open()
        return self._physics.energy.layers(self._physics.states())


def _zeros(n: int) -> Array:
    zeros = np.zeros(n)
    zeros.setflags(write=False)
    return zeros
