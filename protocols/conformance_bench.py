"""What a line of the conformance suite works with: the device, inputs for it, ways to bring it to rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Device, Readout, capabilities
from aeqlab.backends.streams import stream
from aeqlab.protocols.controllers import make_controller
from aeqlab.protocols.homeostasis import HomeostasisSettings, hold
from aeqlab.protocols.reports import HoldReport, SettleReport
from aeqlab.protocols.settling import Interrupt, SettlingSettings, averaged, holds_parameters, lag_of, parameter_noise, settle

Array = NDArray[Any]


class Broken(Exception):
    """A promise is not kept; the message says which, with numbers."""


class NotApplicable(Exception):
    """A promise does not concern this device; the message says why."""


class Bench:
    """What a line works with: the device, random inputs for it, and ways to bring it to rest.

    Attributes:
        device, info: the device under test.
        floats: theta floats against its knobs; False on a one-shot device, whose theta is held throughout.
        beta: a moderate nudge this device allows on both sides, or on one; see `nudges`.
    """

    def __init__(
        self,
        device: Device,
        homeostasis: HomeostasisSettings,
        settling: SettlingSettings,
        seed: int,
        interrupt: Interrupt | None,
    ) -> None:
        self.device, self.info, self.interrupt = device, device.info, interrupt
        self.homeostasis, self.settling = homeostasis, settling
        self.rng = stream(seed, "conformance")
        self.floats = not self.info.one_shot
        self.exact = holds_parameters(device)
        self.controller = make_controller(homeostasis, self.info)
        self.samples = self.info.samples if self.info.samples is not None else 2
        self._first: Array | None = None

    def begin(self) -> None:
        """Begin a line where the first one began, on a one-shot device: its theta stays where it ran to while it floated."""
        if self.floats or "WritableParameters" not in capabilities(self.device):
            return
        device: Any = self.device
        if self._first is None:
            self._first = np.array(device.parameters())
        else:
            device.write_parameters(self._first)

    @property
    def nudges(self) -> tuple[float, float]:
        """Get a moderate negative and positive nudge within the device's limits; 0 where a side is not allowed."""
        low, high = self.info.beta
        return max(-0.05, 0.5 * low), min(0.1, 0.5 * high)

    def inputs(self) -> Array:
        """Draw one presentation, shape (samples, inputs), uniform within the limits and -1 to 1."""
        low, high = np.maximum(self.info.inputs.low, -1.0), np.minimum(self.info.inputs.high, 1.0)
        return np.asarray(self.rng.uniform(low, high, (self.samples, len(low))), dtype=self.info.dtype)

    def read(self) -> Readout:
        """Read once."""
        if self.interrupt is not None:
            self.interrupt()
        return self.device.advance()

    def rest(self) -> Readout:
        """Let everything come to rest with the knobs where they are; on a one-shot device with theta held."""
        if not self.floats:
            self.device.hold_exactly(True)  # type: ignore[attr-defined]
            return self.read()
        report: SettleReport = settle(self.device, self.settling, interrupt=self.interrupt)
        if not report.accepted:
            raise Broken(
                f"the device does not come to rest: {report.verdict} after {report.ticks} ticks, {report.duration_s:g} s"
            )
        return report.readout

    def hold(self, theta: Array | None) -> HoldReport:
        """Run homeostasis by the settings under test."""
        return hold(self.device, theta, self.homeostasis, self.controller, interrupt=self.interrupt)

    def steady(self, u: Array | None = None) -> tuple[Array, Array]:
        """Present an input, take the nudge away, come to rest at knobs u; returns (inputs, outputs)."""
        x = self.inputs()
        self.device.present(x)
        self.device.release()
        if u is not None:
            self.device.set_controls(u)
        return x, self.rest().outputs

    def mean(self, n: int) -> Readout:
        """Read n times and average, where there is noise to average away."""
        readings = [self.read() for _ in range(n if self.noisy else 1)]
        last = readings[-1]
        rows = np.mean([self.row(r) for r in readings], axis=0)
        noise = np.tile(self.info.outputs.noise, len(last.outputs))
        if last.parameters is not None:
            noise = np.concatenate([parameter_noise(self.info), noise])
        return averaged(last, rows, noise)

    @property
    def noisy(self) -> bool:
        """Tell whether any reading is known to be noisy."""
        return bool(self.info.outputs.noise.any() or parameter_noise(self.info).any())

    @staticmethod
    def row(readout: Readout) -> Array:
        """Put theta, where it is read, and the outputs into one row."""
        out = readout.outputs.ravel()
        return out if readout.parameters is None else np.concatenate([readout.parameters, out])

    def output_error(self, reads: int) -> float:
        """Get six standard deviations of an output averaged over some reads, and what the float type does not resolve."""
        noise = float(np.max(self.info.outputs.noise, initial=0.0))
        return 6.0 * noise / float(np.sqrt(reads)) + (1e-7 if self.info.dtype == "float64" else 1e-3)

    def wait(self, lags: float) -> None:
        """Let a number of lags and dead times pass, or at most twenty ticks for each of them."""
        lag, dead = lag_of(self.info)
        passed = 0.0
        for _ in range(int(20 * lags)):
            passed += self.read().dt
            if passed >= lags * (lag + dead):
                break


def start_at_rest(bench: Bench) -> tuple[Array, Readout, Array, float]:
    """Come to rest at a fresh input; returns (inputs, readout, a target half a unit off, a nudge)."""
    x = bench.inputs()
    bench.device.present(x)
    bench.device.release()
    if bench.floats:
        bench.device.set_controls(bench.device.controls())
    readout = bench.rest()
    return x, readout, readout.outputs + np.asarray(0.5, dtype=bench.info.dtype), bench.nudges[1]


def held_word(bench: Bench) -> str:
    """Say that a one-shot device was judged with its parameters held, as it declares."""
    return "" if bench.floats else " (one-shot device: with theta held)"


def theta_of(bench: Bench, readout: Readout) -> Array:
    """Get theta of a readout, or from inside a device that holds it."""
    if readout.parameters is not None:
        return readout.parameters
    return np.array(bench.device.parameters())  # type: ignore[attr-defined]


def true_theta(bench: Bench) -> Array:
    """Get theta as it really is, where that is known."""
    known = "KnowsTruth" in capabilities(bench.device)
    return np.array(bench.device.true_parameters()) if known else np.zeros(0)  # type: ignore[attr-defined]


def demand(kept: bool | np.bool_, otherwise: str) -> None:
    """Raise `Broken` with a sentence unless a promise is kept."""
    if not kept:
        raise Broken(otherwise)
