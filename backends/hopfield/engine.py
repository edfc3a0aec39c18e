"""The Hopfield engine: the networks of section 5.3 and Appendix C behind the device interface, with exact homeostasis.

One training step as the device sees it (REPRODUCTION 8 and 9 name the facts behind each choice):

1. present, release, `hold_exactly(True)`, advance: the layers relax from the first hidden one up, theta held; the free state.
2. nudge(beta_1), advance: they relax on from the output down; u = theta + epsilon dE/dtheta, kept unformed.
3. `hold_exactly(False)`, nudge(beta_2), advance. `once`: the layers relax anew from the free state with theta fixed, then one
   more sweep and one step of all parameters to theta = u - epsilon dE/dtheta. `joint`: layers and parameters relax together.

Theta and u stay inside: readouts bring outputs only. A second advance with nothing staged moves theta no further in `once`.
A nudge with beta 0 counts as a phase of the training step and is relaxed from the output down; a release as the free phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aeqlab.backends.checks import checked_batch, checked_vector, inside_box
from aeqlab.backends.device import Device, DeviceInfo, Flag, Grade, Readout, SafetyLine, SafetyReport
from aeqlab.backends.errors import DeviceConfigError, DeviceStateError, DivergedError
from aeqlab.backends.hopfield import unrolled
from aeqlab.backends.hopfield.blocks import block_shapes, describe
from aeqlab.backends.hopfield.equations import Equations
from aeqlab.backends.hopfield.imperfect import imperfect_knobs
from aeqlab.backends.hopfield.joint import following_parameters, following_unequally
from aeqlab.backends.hopfield.knobs import ControlKnobs
from aeqlab.backends.hopfield.moment import Presented, Staged, as_array
from aeqlab.backends.hopfield.network import Couplings, Parameters, State, initial_parameters, parameters_in
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.hopfield.solver import (
    Follow,
    Norm,
    Outcome,
    Settled,
    Stop,
    Surroundings,
    backward,
    forward,
    settle,
    surroundings_of,
    sweep,
)  # fmt: skip
from aeqlab.backends.hopfield.stability import Load, advise, coupling_load
from aeqlab.backends.hopfield.thresholds import Thresholds
from aeqlab.backends.imperfections import named
from aeqlab.backends.streams import INITIAL_PARAMETERS, stream

Array = NDArray[Any]

#: Load of a joint relaxation from which its result is looked at again.
NEAR = 0.8


class HopfieldEngine(Device):
    """A dense Hopfield-like network in torch: a device that holds its parameters exactly and settles in one advance.

    Args:
        settings: the network and how it is relaxed.
        seed: of the initial weights, by the stream "initial parameters".
    Raises:
        DeviceConfigError: a CUDA device is asked for where there is none.
    """

    def __init__(self, settings: HopfieldSettings, *, seed: int) -> None:
        self.settings = settings
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self._where = _torch_device(settings.torch_device)
        self._dtype = torch.float64 if settings.dtype == "float64" else torch.float32
        self._box = settings.boxes
        drawn = initial_parameters(settings.widths, settings.gains, stream(seed, INITIAL_PARAMETERS))
        self._theta = parameters_in(self._tensor(drawn), settings.widths)
        self._flaws, spread, failed = imperfect_knobs(settings, self._theta.flat, seed=seed)
        self._info = describe(settings, failed, spread)
        factors = None if self._flaws is None else self._flaws.giving_way(spread)
        unequal = None if factors is None else parameters_in(factors, settings.widths)
        self._built = Couplings(settings.weight_couplings, settings.bias_couplings, unequal)
        self._couplings = self._built
        self._factor = 1.0
        self._knobs = ControlKnobs(settings.widths)
        self._equations = Equations(settings.widths, self._box, self._where)
        xi = settings.tolerance if settings.stop == "residual" else settings.xi_0
        self._thresholds = Thresholds([xi] * len(self._box), settings.gamma, adapts=settings.stop == "adaptive")
        flaws = settings.imperfections
        self._max_sweeps = min(settings.max_sweeps, (flaws and flaws.settle_ticks) or settings.max_sweeps)
        self._saturated = False
        self._t = 0.0
        self._staged = Staged()
        self._now = Presented()
        self._drive: Tensor | None = None  # x w_1 + b_1 of the presented input, while theta stands still
        self.settled: Settled | None = None  #: how the last phase ended

    @property
    def info(self) -> DeviceInfo:
        """Get what the engine says of itself."""
        return self._info

    # what a device implements
    def _present(self, inputs: Array) -> None:
        self._staged.x = self._tensor(inputs)
        self._staged.changed = True
        if self._staged.clamped is not None and len(self._staged.clamped) != len(inputs):
            self._staged.clamped = None  # outputs of other samples mean nothing to these

    def _set_controls(self, u: Array) -> None:
        """Take the knobs over from exact homeostasis: they stand at u from the next advance on."""
        self._staged.u = self._tensor(u)
        self._staged.holding, self._staged.frozen, self._staged.changed = False, False, True

    def _controls(self) -> Array:
        if self._flaws is None:
            return as_array(self._knobs.value(self._theta, self._couplings))
        setpoint = self._flaws.setpoint
        return as_array(self._flaws.while_held(self._wanted()) if setpoint is None else setpoint)

    def _nudge(self, targets: Array, beta: float) -> None:
        self._staged.targets, self._staged.beta, self._staged.clamped = self._tensor(targets), beta, None
        self._staged.frozen, self._staged.changed = False, True

    def _release(self) -> None:
        self._staged.targets, self._staged.beta, self._staged.clamped = None, 0.0, None
        self._staged.changed = True

    def _nudge_applied(self) -> float | None:
        return float(self._staged.beta)  # it stands for itself between two advances

    def _freeze(self) -> None:
        self._release()
        self._staged.x = self._staged.u = None
        self._staged.holding, self._staged.frozen = False, True

    def _make_safe(self) -> SafetyReport:
        """Bring u to rest, which is 0: there theta = 0 and layers at 0 are the equilibrium. Failed knobs stay where they are."""
        self._freeze()
        self._set_knobs(torch.zeros_like(self._theta.flat))
        self._theta.flat.copy_(self._knobs.value(self._theta, self._couplings))
        self._drive = None
        self.start_from_zeros()
        u = np.abs(self._controls())
        lines = [SafetyLine("nudge", Grade.ECHOED, 0.0, self._staged.beta)]
        if u.any():  # only failed knobs are not where they were told to be
            off = named(self._info.controls.names, np.flatnonzero(u))
            lines.append(SafetyLine(f"failed knobs {off}", Grade.FAILED, 0.0, float(u.max())))
        else:
            lines.append(SafetyLine("control knobs (largest)", Grade.ECHOED, 0.0, float(u.max())))
        return SafetyReport(tuple(lines))

    def _set_knobs(self, u: Tensor) -> None:
        """Let the knobs stand at u, as far as they can."""
        if self._flaws is not None:
            self._flaws.set(u)
            u = self._flaws.acting
        self._knobs.set(u)

    def _wanted(self) -> Tensor:
        """Get the u that would hold theta exactly."""
        return self._knobs.value(self._theta, self._couplings)

    def _let_go(self) -> None:
        """Let theta go with imperfect knobs: they stand where they are, and what acts is that and the drift."""
        flaws = self._flaws
        if flaws is None or not (flaws.setpoint is None or flaws.flaws.drift):
            return
        if flaws.setpoint is None:
            flaws.clamp(self._wanted())
        self._knobs.set(flaws.acting)

    def _advance(self, seconds: float | None) -> Readout:
        staged, now = self._staged, self._now
        dt = 1.0 if seconds is None else seconds
        if self._flaws is not None:
            self._flaws.pass_time(dt)
        if staged.x is not None:
            now = self._now = now.next(staged.x, keep=self.settings.start == "previous")
            staged.x, self._drive = None, None
        if staged.u is not None:
            self._set_knobs(staged.u)
            staged.u = None
        assert now.x is not None
        state = now.state
        if state is None:
            state = tuple(now.x.new_zeros(len(now.x), width) for width in self.settings.widths[1:])
        now.state = self._hold(now.x, state) if staged.holding else self._float(now.x, state)
        staged.changed = False
        self._t += dt
        outputs = as_array(now.state[-1])
        if self._flaws is not None:
            outputs = self._flaws.read(outputs)
        flags = Flag.FROZEN if staged.frozen else Flag.NONE
        if staged.holding and self._saturated:
            flags |= Flag.SATURATED
        if self.settled is not None and self.settled.outcome is not Outcome.CONVERGED:
            flags |= Flag.UNSETTLED
        return Readout(self._t, dt, outputs, None, np.zeros(outputs.shape[1]), None, flags)

    # one advance
    def _hold(self, x: Tensor, start: State) -> State:
        """Homeostatic phase: relax the layers with theta held, and let u follow."""
        now, n = self._now, len(self._box)
        free = self._staged.targets is None and self._staged.clamped is None
        state = self._settle("free" if free else "homeostatic", self._surroundings(x), start, forward(n) if free else backward(n))
        self._knobs.hold(x, state)
        if self._flaws is not None:
            self._flaws.hold()
            self._saturated = self._flaws.bounded and self._flaws.saturated(self._wanted())
        now.held, now.held_beta = state, self._staged.beta
        if free:
            now.free = state
        return state

    def _float(self, x: Tensor, start: State) -> State:
        """Phase at clamped knobs: relax layers and parameters, once or jointly."""
        now, staged = self._now, self._staged
        self._let_go()
        state = self._relax_jointly(x, start) if self.settings.parameter_relaxation == "joint" else self._relax_once(x, start)
        if staged.changed and now.held is not None:
            now.trained = True
            if staged.beta != now.held_beta:
                self._thresholds.count_step([float((a - b).abs().sum()) for a, b in zip(state, now.held, strict=True)])
        return state

    def _relax_once(self, x: Tensor, start: State) -> State:
        """Relax the layers with theta fixed, then one sweep and one step of the parameters, once for what was staged."""
        order, around = backward(len(self._box)), self._surroundings(x)
        if not self._staged.changed:
            state = self._settle("nudged", around, start, order)
            if self._flaws is not None and self._flaws.flaws.drift:
                self._follow(x, state)
            return state
        start = next((s for s in (self._now.free, self._now.held) if s is not None), start)
        state = sweep(around, self._settle("nudged", around, start, order), order)
        self._follow(x, state)
        return state

    def _relax_jointly(self, x: Tensor, start: State) -> State:
        """Relax layers and parameters to their common equilibrium; refuse where it has run away, theta being put back."""
        load = self.coupling_load()
        self._refuse_weak_coupling(load, x, start)
        theta, held = self._theta, self._knobs.rests_at(x)
        if held is None:
            theta = parameters_in(self._knobs.form(theta, self._couplings), self.settings.widths)
            self._drive = None
        around = self._surroundings(x, theta)
        if self._couplings.factors is None:
            follow = following_parameters(self._couplings, x, held, around)
        else:
            follow = following_unequally(theta, self._couplings, x, around)
        state = self._settle("nudged", around, start, backward(len(self._box)), follow)
        self._follow(x, state)
        if load.whole > NEAR and held is not None:  # a finite nudge may leave the region in which the equilibrium is a minimum
            load = self.coupling_load()
            if load.whole >= 1.0:
                self._follow(x, held)
                self._refuse_weak_coupling(load, x, held)
        return state

    def _follow(self, x: Tensor, state: State) -> None:
        self._knobs.follow_(self._theta, self._couplings, x, state)
        self._drive = None

    def _surroundings(self, x: Tensor, theta: Parameters | None = None) -> Surroundings:
        staged = self._staged
        around = surroundings_of(theta or self._theta, x, self._box, staged.beta, staged.targets, self._drive, staged.clamped)
        self._drive = around.drive
        return around

    def _settle(
        self, phase: str, around: Surroundings, start: State, order: Sequence[int], follow: Follow | None = None
    ) -> State:
        settled = settle(around, start, order, self._stop(), follow)
        if settled.outcome is Outcome.NOT_FINITE:
            layer = next(k for k, r in enumerate(settled.residual, start=1) if not r < np.inf)
            raise DivergedError(
                f"{self._info.name}: layer {layer} is not finite after {settled.sweeps} sweeps of the {phase} phase "
                f"(beta {self._staged.beta:g}). The parameters ran away: take weaker steps by smaller weight_couplings, "
                "bias_couplings or beta."
            )
        self._thresholds.count_phase(phase, settled.sweeps, settled.outcome is Outcome.CONVERGED)
        self.settled = settled
        return settled.state

    def coupling_load(self) -> Load:
        """Compute how near the couplings are to too weak for a joint equilibrium, at the state held last (1: too weak).

        Of the nudge it was held under and the present one, the one that leaves the outputs less curvature counts.
        """
        now = self._now
        state = now.state if now.held is None else now.held
        if now.x is None or state is None:
            return Load(0.0, 0.0)
        couplings = self._couplings.softest()
        return coupling_load(self._theta, couplings, now.x, state, self._box, min(self._staged.beta, now.held_beta))

    def _refuse_weak_coupling(self, load: Load, x: Tensor, state: State) -> None:
        if max(load.first, load.whole) >= 1.0:
            beta = min(self._staged.beta, self._now.held_beta)
            advice = advise(self._theta, self._couplings.softest(), x, state, self._box, beta)
            raise DeviceConfigError(
                f"{self._info.name}: the coupling is too weak for parameter_relaxation: joint. The largest eigenvalue of "
                f"epsilon X X^T / B is {load.first:.3g} at the first layer, and {load.whole:.3g} with all connections and "
                "couplings; both must stay below 1, else layers and parameters run away together to the corners of the state "
                f"space. For these samples {advice} parameter_relaxation: once."
            )

    # HoldsParameters, WritableParameters, StartsAfresh
    def hold_exactly(self, on: bool) -> None:
        """Hold theta from the next advance on (True), with u following; or clamp u where it is now (False)."""
        self._check_open()
        if on:
            self._staged.u, self._staged.frozen = None, False
        self._staged.changed |= on != self._staged.holding
        self._staged.holding = on

    def parameters(self) -> Array:
        """Get a copy of theta, shape (parameters,)."""
        self._check_open()
        return as_array(self._theta.flat)

    def write_parameters(self, theta: Array) -> None:
        """Set theta, shape (parameters,), and let u follow so that theta would stay there at the present state.

        The parameters of failed knobs stay where they are.

        Raises:
            ArrayRefusedError: wrong shape or type, or not finite.
        """
        self._check_open()
        values = checked_vector("theta", theta, self._info.n_parameters, self._info.dtype)
        written = self._tensor(values)
        if self._flaws is not None:
            written = self._flaws.keep_failed(written, self._theta.flat)
            self._flaws.hold()
        self._theta.flat.copy_(written)
        self._drive = None
        if self._now.x is not None and self._now.state is not None:
            self._knobs.hold(self._now.x, self._now.state)
        else:
            self._knobs.set(self._theta.flat.clone())
        self._staged.u = None
        self._staged.changed = True

    def start_from_zeros(self) -> None:
        """Start the layers from zeros in the next advance, as an evaluation does.

        Not needed where the number of samples changes or no training step went before: those start from zeros in any case.
        """
        self._check_open()
        self._now = Presented(self._now.x)

    # AdjustableCoupling, Epochs, Layers
    def scale_coupling(self, factor: float) -> None:
        """Multiply every epsilon_k by a factor above 0, counted from those the device was built with."""
        self._check_open()
        if not 0.0 < factor < np.inf:
            raise ValueError(f"{self._info.name}: scale_coupling({factor!r}): a number above 0 is needed")
        if factor != self._factor:
            if not self._staged.holding:  # the clamped knobs stay where they are
                u = self._knobs.form(self._theta, self._couplings)
                if self._flaws is not None:
                    self._flaws.clamp(u)
            self._factor, self._couplings = factor, self._built.scaled(factor)
            self._staged.changed = True

    def end_epoch(self) -> dict[str, float]:
        """Adapt the thresholds of convergence, and say them with mean sweeps by phase.

        Raises:
            DivergedError: a parameter is no longer finite.
        """
        self._check_open()
        parts = [part for pair in zip(self._theta.weights, self._theta.biases, strict=True) for part in pair]
        for name, part in zip(block_shapes(self.settings.widths), parts, strict=True):
            if not bool(torch.isfinite(part).all()):
                raise DivergedError(f"{self._info.name}: {name} is no longer finite at the end of the epoch.")
        return self._thresholds.end_epoch()

    def layers(self) -> dict[str, Array]:
        """Get a copy of each layer's state by name, s1 the first after the input, shape (samples, units)."""
        self._check_open()
        return {f"s{k}": as_array(s) for k, s in enumerate(self._now.state or (), start=1)}

    # Checkpointable
    def state(self) -> dict[str, Any]:
        """Get everything that decides the future, as a tree for `wire.pack`. Caches are not in it: they come out the same."""
        self._check_open()
        return {
            "kind": "hopfield",
            "widths": list(self.settings.widths),
            "dtype": self.settings.dtype,
            "threads": torch.get_num_threads(),
            "theta": as_array(self._theta.flat),
            "knobs": self._knobs.tree(self._now.x),
            "imperfect": None if self._flaws is None else self._flaws.tree(),
            "saturated": self._saturated,
            "staged": self._staged.tree(),
            "now": self._now.tree(),
            "samples": self._presented,
            "coupling_factor": self._factor,
            "thresholds": self._thresholds.state(),
            "t": self._t,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back, the number of torch's threads included: sums come out bit for bit only with the same one.

        Raises:
            DeviceConfigError: the state is damaged or of another device.
        """
        self._check_open()
        mine = {"kind": "hopfield", "widths": list(self.settings.widths), "dtype": self.settings.dtype}
        other = {key: state.get(key) for key in mine}
        if other != mine:
            raise DeviceConfigError(f"{self._info.name}: the saved state is of another device: {other} instead of {mine}")
        before = None if self._flaws is None else self._flaws.tree()
        try:
            theta = self._tensor(checked_vector("theta", state["theta"], self._info.n_parameters, self.settings.dtype))
            now = Presented.of(state["now"], self._tensor)
            knobs = ControlKnobs.of(state["knobs"], self.settings.widths, self._tensor, now.x)
            staged = Staged.of(state["staged"], self._tensor)
            threads, factor, t = int(state["threads"]), float(state["coupling_factor"]), float(state["t"])
            samples, flaws, saturated = state["samples"], state.get("imperfect"), bool(state.get("saturated"))
            if (flaws is None) != (self._flaws is None):
                raise DeviceConfigError(f"{self._info.name}: the saved state is of hardware with other imperfections")
            if self._flaws is not None and flaws is not None:
                self._flaws.restore(flaws, self._tensor)
            self._thresholds.restore(state["thresholds"])
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            if self._flaws is not None and before is not None:
                self._flaws.restore(before, self._tensor)
            raise DeviceConfigError(f"{self._info.name}: the saved state is damaged ({type(exc).__name__}: {exc})") from exc
        torch.set_num_threads(threads)
        self._theta.flat.copy_(theta)
        self._now, self._knobs, self._staged = now, knobs, staged
        self._factor, self._couplings, self._t = factor, self._built.scaled(factor), t
        self._presented, self._drive, self.settled, self._saturated = samples, None, None, saturated
        self._applied = None if now.x is None else len(now.x)

    # KnowsEnergy
    def energy(self, theta: Array, inputs: Array, states: Array) -> float:
        """Compute E(theta, x, s), mean over the samples; states have shape (samples, states)."""
        return self._equations.energy(theta, inputs, states)

    def equilibrium(self, theta: Array, inputs: Array, targets: Array | None = None, beta: float = 0.0) -> Array:
        """Find argmin_s E + beta C with theta fixed (eq. 10), shape (samples, states). Moves nothing."""
        return self._equations.equilibrium(theta, inputs, targets, beta)

    def outputs_of(self, states: Array) -> Array:
        """Get the outputs contained in states, shape (samples, outputs)."""
        return self._equations.outputs_of(states)

    def energy_gradient(self, theta: Array, inputs: Array, states: Array) -> Array:
        """Compute the partial derivative dE/dtheta, mean over the samples, shape (parameters,)."""
        return self._equations.energy_gradient(theta, inputs, states)

    def loss_gradient(self, theta: Array, inputs: Array, targets: Array) -> Array:
        """Compute the total derivative of C(s(theta, x), y), mean over the samples, shape (parameters,)."""
        return self._equations.loss_gradient(theta, inputs, targets)

    def states(self) -> Array:
        """Get a copy of the layers as they stand now, side by side, shape (samples, states).

        Raises:
            DeviceStateError: nothing has settled for what was presented.
        """
        self._check_open()
        if self._now.state is None:
            raise DeviceStateError(f"{self._info.name}: there is no state yet. Present an input and let time pass first.")
        return as_array(torch.cat(self._now.state, dim=1))

    # Differentiable, Unrolls
    def loss_and_gradient(self, theta: Array, inputs: Array, targets: Array) -> tuple[float, Array]:
        """Compute the loss at the equilibrium and its gradient by the implicit function theorem, shape (parameters,)."""
        outputs = self.outputs_of(self.equilibrium(theta, inputs))
        loss = 0.5 * float(((outputs - targets) ** 2).sum(axis=1).mean())
        return loss, self.loss_gradient(theta, inputs, targets)

    def unrolled_loss_and_gradient(self, theta: Array, inputs: Array, targets: Array) -> tuple[float, Array]:
        """Compute the loss and its gradient through the free relaxation, from zeros to the engine's threshold (section 5.3).

        Raises:
            DivergedError: the layers, or the gradient, are not finite.
        """
        flat, x, y = self._tensor(theta), self._tensor(inputs), self._tensor(targets)
        loss, gradient, outcome = unrolled.loss_and_gradient(flat, self.settings.widths, self._box, x, y, self._stop())
        if outcome is Outcome.NOT_FINITE or not bool(torch.isfinite(gradient).all()):
            raise DivergedError(
                f"{self._info.name}: the unrolled relaxation, or the gradient through it, is not finite. Choose a smaller "
                "learning_rate, or `through: implicit`."
            )
        return loss, as_array(gradient)

    # OutputClamp
    def clamp_outputs(self, values: Array) -> None:
        """Fix the output layer, shape (samples, outputs), from the next advance until release or nudge; takes a nudge away.

        Raises:
            ArrayRefusedError: wrong shape or type, or not finite.
            LimitError: a value outside the interval of the output layer.
            DeviceStateError: nothing was presented.
        """
        self._check_open()
        if self._presented is None:
            raise DeviceStateError(f"{self._info.name}: clamp_outputs before present. Present an input first.")
        fixed = checked_batch("clamped outputs", values, len(self._info.outputs), self._presented, self._info.dtype)
        inside_box(self._info.name, fixed, *self._box[-1])
        self._release()
        self._staged.clamped, self._staged.frozen = self._tensor(fixed), False

    # inside
    def _stop(self) -> Stop:
        norm = Norm.LARGEST if self.settings.stop == "residual" else Norm.SUM
        return Stop(norm, tuple(self._thresholds.xi), self._max_sweeps)

    def _tensor(self, array: Array) -> Tensor:
        return torch.as_tensor(array, dtype=self._dtype, device=self._where)


def _torch_device(name: str) -> torch.device:
    kind, _, number = name.partition(":")
    if kind == "cuda" and (not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count()):
        has = f"{torch.cuda.device_count()} of them" if torch.cuda.is_available() else "none"
        raise DeviceConfigError(
            f"torch_device {name}: torch sees {has} here. Choose torch_device: cpu, or install a torch built for CUDA."
        )
    return torch.device(name)
