"""The slow device: a plant behind the device interface, inside this process or at the other end of a local socket.

What is set is staged here and goes to the plant with the next `advance`: one exchange per tick, the same either way.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.costs import Cost, make_cost
from aeqlab.backends.device import Device, DeviceInfo, Flag, Grade, Readout, SafetyLine, SafetyReport
from aeqlab.backends.energies import Energy
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.known_equations import KnownEquations
from aeqlab.backends.plant import Order, Plant, Reading
from aeqlab.backends.plant_build import info_of
from aeqlab.backends.slow_settings import SlowSettings

__all__ = ["SlowDevice", "SlowSettings", "open_slow"]

Array = NDArray[np.float64]
STATE_FORMAT = "aeqlab-slow-1"


class PlantPort(Protocol):
    """A plant, wherever it is."""

    @property
    def description(self) -> dict[str, Any]:
        """Get what the plant says of itself."""

    def exchange(self, order: Order) -> Reading:
        """Give an order, wait until it is due, read one frame."""

    def freeze(self) -> None:
        """Take the nudge off and stop every control knob where it is."""

    def begin_safe(self) -> float:
        """Freeze and start on the way to rest; returns the device time of arrival."""

    def monitor(self) -> dict[str, Any]:
        """Measure the control outputs, with the plant's status."""

    def status(self) -> dict[str, Any]:
        """Get what stands on the knobs."""

    def truth(self) -> Array:
        """Get theta itself."""

    def states(self) -> Array:
        """Get the state of the physics itself."""

    def state(self) -> dict[str, Any]:
        """Get the plant's state."""

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back."""

    def close(self) -> None:
        """Let the plant go."""


class Inside:
    """A plant inside this process, as a port."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.description = plant.description
        self.freeze = plant.freeze
        self.begin_safe = plant.begin_safe
        self.monitor = plant.monitor
        self.status = plant.status
        self.truth = plant.truth
        self.states = plant.states
        self.state = plant.state
        self.restore = plant.restore

    def exchange(self, order: Order) -> Reading:
        """Give an order, wait until it is due, read one frame."""
        plant = self.plant
        due = plant.take(order)
        since = plant.t
        wait_s = plant.wait_s(due)
        if wait_s:
            time.sleep(wait_s)
        plant.run_until(due)
        return plant.read(since)

    def close(self) -> None:
        """Close the journal."""
        self.plant.close()


class SlowDevice(Device):
    """A slow device. Beside the four abilities: Checkpointable, KnowsTruth.

    Ages count from the moment a value left the physics, so those of a fresh frame equal the dead time of the readings. Flag
    STALE marks a frame that is not fresh.
    """

    def __init__(self, port: PlantPort) -> None:
        self._port = port
        self._info = info_of(port.description)
        self._tick_s = float(port.description["tick_s"])
        self._n_outputs = len(self._info.outputs)
        self._readback: Array = port.status()["applied"]
        self._next_inputs: Array | None = None
        self._next_controls: Array | None = None
        self._next_targets: Array | None = None
        self._next_beta: float | None = None

    @property
    def info(self) -> DeviceInfo:
        """Get what the device says of itself."""
        return self._info

    # the four abilities
    def _present(self, inputs: Array) -> None:
        self._next_inputs = inputs[0]

    def _set_controls(self, u: Array) -> None:
        self._next_controls = u

    def _controls(self) -> Array:
        return self._readback.copy()

    def _nudge(self, targets: Array, beta: float) -> None:
        self._next_targets, self._next_beta = targets[0], beta

    def _release(self) -> None:
        self._next_targets, self._next_beta = None, 0.0

    def _nudge_applied(self) -> float | None:
        return float(self._port.status()["beta"])

    def _advance(self, seconds: float | None) -> Readout:
        order = Order(
            self._tick_s if seconds is None else seconds,
            self._next_inputs, self._next_controls, self._next_targets, self._next_beta,
        )  # fmt: skip
        reading = self._port.exchange(order)
        self._unstage()
        self._readback = reading.controls
        return Readout(
            reading.t,
            reading.dt,
            reading.outputs[None],
            reading.parameters,
            np.full(self._n_outputs, reading.age_s),
            np.full(len(reading.parameters), reading.age_s),
            Flag(reading.flags),
        )

    # safety
    def _freeze(self) -> None:
        self._unstage()
        self._port.freeze()
        self._readback = self._port.status()["applied"]

    def _make_safe(self) -> SafetyReport:
        self._unstage()
        due = self._port.begin_safe()
        status = self._port.status()
        patience_s = 2.0 + 1.5 * (due - status["t"])
        began = status["t"]
        while status["t"] < due and status["t"] - began < patience_s:
            reading = self._port.exchange(Order(min(0.25, max(self._tick_s, due - status["t"]))))
            status = {"t": reading.t}
        status = self._port.monitor()
        self._readback = status["applied"]
        return safety_report(self._info, status, self._port.description)

    def _close(self) -> None:
        self._port.close()

    # KnowsTruth
    def true_parameters(self) -> Array:
        """Get theta without read noise, delay or loss, shape (parameters,)."""
        self._check_open()
        return self._port.truth()

    # Checkpointable
    def state(self) -> dict[str, Any]:
        """Get everything that decides the future: the plant's state, and what is staged here."""
        self._check_open()
        return {
            "format": STATE_FORMAT,
            "plant": self._port.state(),
            "presented": self._presented,
            "applied": self._applied,
            "readback": self._readback.copy(),
            "inputs": self._next_inputs,
            "controls": self._next_controls,
            "targets": self._next_targets,
            "beta": self._next_beta,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back. Raises DeviceConfigError if it is of another device or damaged."""
        self._check_open()
        if not isinstance(state, dict) or state.get("format") != STATE_FORMAT:
            raise DeviceConfigError(f"{self._info.name}: this is not a state of a slow device")
        try:
            staged = {name: state[name] for name in ("presented", "readback", "inputs", "controls", "targets", "beta", "plant")}
        except KeyError as exc:
            raise DeviceConfigError(f"{self._info.name}: the state lacks {exc}") from exc
        self._port.restore(staged["plant"])
        self._presented = staged["presented"]
        self._applied = state.get("applied", self._presented if staged["inputs"] is None else None)
        self._readback = np.array(staged["readback"])
        self._next_inputs, self._next_controls = staged["inputs"], staged["controls"]
        self._next_targets, self._next_beta = staged["targets"], staged["beta"]

    def status(self) -> dict[str, Any]:
        """Get what stands on the knobs, in V: t, setpoints (last commanded), applied, inputs, beta, frozen, slewing."""
        self._check_open()
        return self._port.status()

    def _unstage(self) -> None:
        self._next_inputs, self._next_controls, self._next_targets, self._next_beta = None, None, None, None


class KnowingSlowDevice(KnownEquations, SlowDevice):
    """A slow device that also says its equations and its state, as no rig can: for baselines to compare with (KnowsEnergy).

    Args:
        port: the plant.
        energy, cost: the plant's own, by the settings it was built from.
    """

    def __init__(self, port: PlantPort, energy: Energy, cost: Cost) -> None:
        super().__init__(port)
        if energy.n_parameters != self.info.n_parameters or cost.name != self.info.cost:
            raise DeviceConfigError(
                f"{self.info.name}: knows_energy: it has {self.info.n_parameters} parameters and cost {self.info.cost!r}, the "
                f"energy in the settings {energy.n_parameters} and {cost.name!r}. Give the settings it was started with."
            )
        self._known = energy, cost

    def states(self) -> Array:
        """Get the state without read noise, delay or loss, shape (1, states)."""
        self._check_open()
        return self._port.states()[None]


def safety_report(info: DeviceInfo, status: dict[str, Any], description: dict[str, Any]) -> SafetyReport:
    """Grade what a plant says after a ramp to rest: its nudge, and each control knob, by the converter where it measures."""
    beta = float(status["beta"])
    lines = [SafetyLine("nudge", Grade.FAILED if beta else Grade.ECHOED, 0.0, beta, "1")]
    controls, measured = info.controls, status["measured"]
    for k, name in enumerate(controls.names):
        rest, applied = float(controls.rest[k]), float(status["applied"][k])
        at_rest = abs(applied - rest) <= 0.51 * float(controls.step[k]) + 1e-9
        if measured is None:
            lines.append(SafetyLine(name, Grade.ECHOED if at_rest else Grade.FAILED, rest, applied, controls.unit))
            continue
        volts = float(measured[k])
        allowed = float(description["offset"]) + 6 * float(description["noise"]) + float(controls.step[k])
        close = abs(volts - rest) <= allowed + 1e-5 * float(controls.high[k] - controls.low[k])  # the tail of the filter
        grade = Grade.MEASURED if close and at_rest else Grade.FAILED
        note = "" if grade is Grade.MEASURED else f"the instrument says {applied:g} {controls.unit}"
        lines.append(SafetyLine(name, grade, rest, volts, controls.unit, note))
    return SafetyReport(tuple(lines))


def open_slow(
    settings: SlowSettings, *, seed: int, base: Path, address: str | None = None, journal: Path | None = None
) -> SlowDevice:
    """Open a slow device; see `SlowSettings.open`."""
    where = address if address is not None else settings.address
    port: PlantPort
    if where is None:
        port = Inside(Plant(settings, seed=seed, base=base, journal=journal))
    else:
        from aeqlab.backends.plant_link import PlantLink

        port = PlantLink.connect(base / where)
    return slow_device(port, settings, base)


def slow_device(port: PlantPort, settings: SlowSettings, base: Path) -> SlowDevice:
    """Make the device of a plant that is at hand; one that says its equations if the settings want it.

    Raises:
        DeviceConfigError: they do, and they are of another plant.
    """
    if settings.knows_energy:
        return KnowingSlowDevice(port, settings.build_energy(base), make_cost(settings.cost, base))
    return SlowDevice(port)
