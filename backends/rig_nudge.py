"""How a rig puts beta C on its outputs: by a coupling, by a force renewed each tick or set once, or by clamping them.

    coupling       an instrument pulls each output to its target with strength beta: beta/2 (s - y)^2, without delay
    feedback       force -beta (s - y), from what was read last, renewed every tick
    one-shot       that force from s as it was when the nudge came on: no loop, the same gradient to first order in beta
    output-clamp   the outputs are held at s + beta (y - s) by a source: no nudge of the paper (its step is not eps beta dC)

Forces are values of channels: `force_per_unit` is what pushes as hard as a misfit of 1 does at beta = 1.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import LimitError
from aeqlab.backends.rig_bus import Bus
from aeqlab.backends.rig_plan import NudgePlan

Array = NDArray[Any]


class RigNudge(ABC):
    """A realisation of the nudge.

    Attributes:
        beta: what is on; 0: nothing.
        needs_outputs: whether the outputs must have been read at the present inputs before it can come on.
    """

    needs_outputs = False

    def __init__(self, plan: NudgePlan, bus: Bus) -> None:
        self.plan, self.bus, self.beta = plan, bus, 0.0
        self.lock = threading.RLock()  # whoever drops the nudge may be another thread than that of the ticks
        self.dropped = False  # and nothing pushes again before a freeze or a release
        self._targets: Array = np.zeros(len(plan.places))
        self._was_on = True  # what stood when the rig was opened is not known

    @abstractmethod
    def on(self, targets: Array, beta: float, outputs: Array) -> None:
        """Put it on: targets and outputs have shape (outputs,).

        Raises:
            LimitError: a channel cannot push so hard; nothing was changed.
            Down: an instrument cannot be reached.
        """

    def refresh(self, outputs: Array) -> None:  # noqa: B027  # only a force that is closed by software has to
        """Renew it by new readings of the outputs, shape (outputs,)."""

    def off(self) -> None:
        """Take it off. Raises `Down`."""
        with self.lock:
            if self._was_on or self.beta:
                self._take_off()
            self.beta, self._was_on, self.dropped = 0.0, False, False

    def drop(self) -> None:
        """Take it off from another thread, where it can be reached; it stays off until `off` was called too."""
        with self.lock:
            self.dropped = True
            with contextlib.suppress(Exception):  # the freeze that follows tells what went wrong
                self._take_off()

    @abstractmethod
    def _take_off(self) -> None: ...

    @abstractmethod
    def stands(self) -> float:
        """Get the beta that the instruments say is on; that which was put on where they say only that something is."""


class Coupling(RigNudge):
    """An instrument of its own pulls the outputs: the board."""

    def _instrument(self) -> Any:
        return self.bus.instruments[self.plan.places[0].instrument]

    def on(self, targets: Array, beta: float, outputs: Array) -> None:
        """Tell it the targets and beta."""
        name = self.plan.places[0].instrument
        order = {key: k for k, key in enumerate(self._instrument().nudged)}
        values = np.zeros(len(order))
        for place, target in zip(self.plan.places, targets.tolist(), strict=True):
            values[order[place.key]] = target
        with self.lock:
            if self.dropped:
                return
            self._was_on = True
            self.bus.talk(name, lambda one: one.nudge(values, beta))
            self.beta = beta

    def _take_off(self) -> None:
        self.bus.talk(self.plan.places[0].instrument, lambda one: one.release())

    def stands(self) -> float:
        """Ask the instrument."""
        return float(self.bus.talk(self.plan.places[0].instrument, lambda one: one.nudge_stands()))


class Force(RigNudge):
    """A force of sources on the outputs, closed by software each tick (feedback), or set once (one-shot)."""

    needs_outputs = True

    def __init__(self, plan: NudgePlan, bus: Bus, *, renewed: bool) -> None:
        super().__init__(plan, bus)
        self._renewed = renewed

    def on(self, targets: Array, beta: float, outputs: Array) -> None:
        """Push by the outputs as they are now."""
        self._push(self._force(targets, beta, outputs))
        self._targets, self.beta = targets.copy(), beta

    def refresh(self, outputs: Array) -> None:
        """Renew the force."""
        if self._renewed and self.beta:
            self._push(self._force(self._targets, self.beta, outputs))

    def _force(self, targets: Array, beta: float, outputs: Array) -> Array:
        entry = self.plan.entry
        force = -beta * (outputs - targets) * entry.force_per_unit
        low, high = entry.limits or (-np.inf, np.inf)
        if not ((force >= low) & (force <= high)).all():
            k = int(np.argmax(np.maximum(low - force, force - high)))
            raise LimitError(
                f"nudge {self.plan.places[k]}: {force[k]:.4g} {entry.unit} for a misfit of {outputs[k] - targets[k]:.4g} at beta "
                f"{beta:g} is outside {low:g} to {high:g} {entry.unit}. Choose a smaller beta, or wider limits of the nudge."
            )
        return force

    def _push(self, force: Array) -> None:
        with self.lock:
            if self.dropped:
                return
            self._was_on = True
            self.bus.write(self.plan.places, force)

    def _take_off(self) -> None:
        self.bus.write(self.plan.places, np.zeros(len(self.plan.places)))

    def stands(self) -> float:
        """Ask the sources; with all at 0 none is on."""
        said = self.bus.written(self.plan.places)
        return 0.0 if not np.any(said) else self.beta or 1.0


class OutputClamp(RigNudge):
    """Sources hold the outputs at s + beta (y - s); with their outputs off they let go."""

    needs_outputs = True

    def on(self, targets: Array, beta: float, outputs: Array) -> None:
        """Hold the outputs part of the way to their targets; at beta = 0 they are let go."""
        if beta == 0.0:
            self.off()
            return
        entry = self.plan.entry
        wanted = outputs + beta * (targets - outputs)
        low, high = entry.limits or (-np.inf, np.inf)
        if not ((wanted >= low) & (wanted <= high)).all():
            raise LimitError(
                f"nudge: an output would be held at {wanted[np.argmax(np.abs(wanted))]:.4g} {entry.unit}, outside {low:g} to "
                f"{high:g} {entry.unit}. Choose targets within, or wider limits of the nudge."
            )
        names = sorted({place.instrument for place in self.plan.places})
        with self.lock:
            if self.dropped:
                return
            self._was_on = True
            self.bus.write(self.plan.places, wanted)
            for name in names:
                keys = [place.key for place in self.plan.places if place.instrument == name]
                self.bus.talk(name, lambda one, keys=keys: one.on(keys))  # type: ignore[misc]
            self._targets, self.beta = targets.copy(), beta

    def _take_off(self) -> None:
        failed = self.bus.off(self.plan.places)
        if failed:
            raise next(iter(failed.values()))

    def stands(self) -> float:
        """Ask the sources whether they are on."""
        names = {place.instrument for place in self.plan.places}
        on = any(self.bus.talk(name, lambda one: one.is_on()) for name in sorted(names))
        return (self.beta or 1.0) if on else 0.0


def nudge_of(plan: NudgePlan, bus: Bus) -> RigNudge:
    """Make the realisation that a rig file names."""
    match plan.entry.realisation:
        case "coupling":
            return Coupling(plan, bus)
        case "output-clamp":
            return OutputClamp(plan, bus)
        case kind:
            return Force(plan, bus, renewed=kind == "feedback")
