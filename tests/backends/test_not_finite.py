"""What is not finite never passes for physics: the first energy or force that is not a number ends it, and names its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aeqlab.backends.costs import HalfSquaredError
from aeqlab.backends.couplings import Quadratic
from aeqlab.backends.descent import SMALLEST, Descent
from aeqlab.backends.device import Device
from aeqlab.backends.errors import DivergedError, UserCodeError
from aeqlab.backends.kinds import SimulatedSettings, open_device
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.backends.spring import SpringEnergy, SpringOptions

Array = NDArray[Any]
CLASS = """
import numpy as np

class Bad:
    inputs, states, parameters = 1, 1, 2

    def energy(self, theta, x, s):
        left = s[:, 0] - theta[0]
        right = x[:, 0] - s[:, 0] - theta[1]
        {line}
        return 0.5 * (left**2 + right**2)
"""
FAULTS = {
    "nan": 'left = left * float("nan")',
    "log": "left = np.log(-1.0 - left**2)",
    "when nudged far": "left = np.log(1.0 - s[:, 0])",
}
GRADIENTS = """
    def state_gradient(self, theta, x, s):
        return {state} * (2 * s - theta[0] - x + theta[1])

    def parameter_gradient(self, theta, x, s):
        left, right = s[:, 0] - theta[0], x[:, 0] - s[:, 0] - theta[1]
        return [{parameter} * -left.mean(), -right.mean()]
"""


def opened(kind: str, folder: Path, code: str, **options: Any) -> Device:
    """Open a device made of a user's energy; `kind` is that of the device."""
    (folder / "bad.py").write_text(code, encoding="utf-8")
    settings = SimulatedSettings if kind == "simulated" else SlowSettings
    return open_device(settings(energy="bad.py:Bad", **options), seed=0, base=folder)


def held(device: Device, ticks: int = 200, beta: float = 0.0) -> None:
    """Hold theta from outside, as a controller does; no setpoint may be anything but finite."""
    device.present(np.array([[0.5]]))
    if beta:
        device.nudge(np.array([[3.0]]), beta)
    u = device.controls()
    for _ in range(ticks):
        readout = device.advance()
        assert np.isfinite(u).all()
        assert readout.parameters is not None
        u = np.clip(u + 0.1 * (np.zeros(len(u)) - readout.parameters), -1, 1)
        device.set_controls(u)


@pytest.mark.parametrize("kind", ["simulated", "slow"])
@pytest.mark.parametrize("fault", ["nan", "log"])
def test_an_energy_that_is_not_a_number_names_its_line(tmp_path: Path, kind: str, fault: str) -> None:
    code = CLASS.format(line=FAULTS[fault])
    line = 1 + code.splitlines().index(f"        {FAULTS[fault]}" if fault == "log" else "    def energy(self, theta, x, s):")
    with np.errstate(invalid="ignore"), pytest.raises(UserCodeError, match=rf"bad\.py:{line}: energy: it returned nan"):
        held(opened(kind, tmp_path, code))


def test_one_that_only_a_nudge_brings_there_is_found_in_the_nudged_phase(tmp_path: Path) -> None:
    device = opened("simulated", tmp_path, CLASS.format(line="left = left + 0 * np.log(1.0 - s[:, 0])"))
    held(device)
    with np.errstate(invalid="ignore"), pytest.raises(UserCodeError, match=r"bad\.py:10: energy: it returned nan"):
        held(device, beta=20.0)


@pytest.mark.parametrize(
    ("state", "parameter", "method"), [("np.nan", "1", "state_gradient"), ("1", "np.inf", "parameter_gradient")]
)
@pytest.mark.parametrize("kind", ["simulated", "slow"])
def test_gradients_too(tmp_path: Path, kind: str, state: str, parameter: str, method: str) -> None:
    code = CLASS.format(line="pass") + GRADIENTS.format(state=state, parameter=parameter)
    with np.errstate(invalid="ignore"), pytest.raises(UserCodeError, match=rf"bad\.py:\d+: {method}: it returned (nan|-?inf)"):
        held(opened(kind, tmp_path, code))


def test_an_exact_hold_finds_it_and_freezing_leaves_finite_knobs(tmp_path: Path) -> None:
    code = CLASS.format(line="pass") + GRADIENTS.format(state="1", parameter="np.nan")
    device = opened("simulated", tmp_path, code)
    device.present(np.array([[0.5]]))
    device.hold_exactly(True)  # type: ignore[attr-defined]
    device.advance()
    with pytest.raises(UserCodeError, match="parameter_gradient"):
        device.controls()
    device.freeze()
    assert np.isfinite(device.controls()).all()


def test_a_device_on_the_wall_clock_freezes_though_its_energy_is_not_a_number(tmp_path: Path) -> None:
    code = CLASS.format(line="left = left + 0 * np.log(0.2 - s[:, 0])")  # at rest s is a quarter
    device = opened("slow", tmp_path, code, clock="wall", speed=20.0)
    device.present(np.array([[0.5]]))
    with np.errstate(invalid="ignore"), pytest.raises(UserCodeError, match=r"bad\.py:10: energy: it returned nan"):
        device.advance(20.0)
    device.freeze()
    assert np.isfinite(device.controls()).all()


def test_a_wall_of_infinite_energy_is_never_entered(tmp_path: Path) -> None:
    code = CLASS.format(line="left = np.where(s[:, 0] < 1.0, left, np.inf)") + GRADIENTS.format(state="1", parameter="1")
    device = opened("simulated", tmp_path, code)
    held(device, beta=20.0)
    assert 0.9 < float(device.advance().outputs[0, 0]) < 1.0


def test_torch_energies_too(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    code = CLASS.format(line='left = left * float("nan")').replace(
        "parameters = 1, 1, 2", "parameters = 1, 1, 2\n    torch = True"
    )
    with pytest.raises(UserCodeError, match=r"bad\.py:\d+: energy: .*nan"):
        held(opened("simulated", tmp_path, code))


class Broken(SpringEnergy):
    """Springs whose forces or energy are not finite, as those of a built-in energy would be by a fault of its own."""

    def __init__(self, what: str, value: float) -> None:
        super().__init__(SpringOptions())
        self._what, self._value = what, value

    def at(self, x: Array) -> Any:
        landscape = super().at(x)
        right: Callable[..., Array] = getattr(landscape, self._what)
        setattr(landscape, self._what, lambda theta, s: right(theta, s) * self._value)
        return landscape


def three_ticks(physics: Descent) -> None:
    """Take three pairs of steps (14)-(15)."""
    for _ in range(3):
        physics.step_state()
        physics.step_parameters()


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what", ["value", "state_gradient", "parameter_gradient"])
def test_built_in_energies_count_as_diverged(what: str, value: float, samples: int) -> None:
    energy = Broken(what, value)
    rng = np.random.default_rng(0)
    coupling = Quadratic(np.full(energy.n_parameters, 0.1))
    physics = Descent(energy, coupling, HalfSquaredError(), rng.normal(size=energy.n_parameters), samples, rng)
    physics.s = rng.normal(size=physics.s.shape)
    physics.present(rng.uniform(0, 1, (samples, len(energy.inputs))))
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match=r"the (energy|force)"):
        three_ticks(physics)


def test_steps_that_are_always_refused_never_become_zero(tmp_path: Path) -> None:
    """A gradient that points the wrong way halves the step for ever, from a state at 0 to which rounding allows nothing."""
    code = """
class Bad:
    inputs, states, parameters = 1, 1, 1

    def energy(self, theta, x, s):
        return abs(s[:, 0]) + 0 * theta[0]

    def state_gradient(self, theta, x, s):
        return s * 0 + 1.0
"""
    device = opened("simulated", tmp_path, code)
    device.present(np.array([[0.0]]))
    device.hold_exactly(True)  # type: ignore[attr-defined]
    for _ in range(1500):
        device.advance()
    assert float(device._physics.eta_s[0]) >= SMALLEST  # type: ignore[attr-defined]
