"""Gradients that energy-knowing baselines follow, against finite differences, and clamped outputs, on every kind of device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aeqlab.backends.device import Device, Differentiable, KnowsEnergy, OutputClamp, Unrolls, capabilities
from aeqlab.backends.errors import ArrayRefusedError, DeviceConfigError, DeviceStateError, LimitError
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings

Array = NDArray[Any]
ENERGIES = {
    "linear": {"frequencies": 3, "s_squared": 0.3},
    "spring": {"inputs": 2, "hidden": 3, "outputs": 2},
    "hopfield": {"layers": [3, 5, 2]},
}


def simulated(energy: str, batch: int = 3) -> Any:
    return SimulatedSettings(energy=energy, options=ENERGIES[energy], batch=batch).open(seed=2, base=Path())


def engine(**more: Any) -> Any:
    settings = {"widths": (4, 6, 5, 2), "gains": (1.5, 1.5, 1.5), "dtype": "float64", "stop": "residual", "tolerance": 1e-13,
                "max_sweeps": 5000, "weight_couplings": (0.1,) * 3, "bias_couplings": (0.1,) * 3}  # fmt: skip
    return HopfieldSettings(**{**settings, **more}).open(seed=4, base=Path())


def slow(**more: Any) -> Any:
    options = {"energy": "spring", "options": ENERGIES["spring"], "knows_energy": True, **more}
    return SlowSettings(**options).open(seed=3, base=Path())


DEVICES = {**{name: (lambda name=name: simulated(name)) for name in ENERGIES}, "engine": engine, "slow": slow}


def example(device: Any, samples: int = 3) -> tuple[Array, Array, Array]:
    info, rng = device.info, np.random.default_rng(7)
    samples = info.samples or samples
    low, high = np.maximum(info.inputs.low, -1), np.minimum(info.inputs.high, 1)
    x = rng.uniform(low, high, (samples, len(info.inputs)))
    theta = rng.normal(0.0, 0.3, info.n_parameters)
    if hasattr(device, "parameters"):
        theta = device.parameters() + 0.1 * theta
    y = device.outputs_of(device.equilibrium(theta, x)) + rng.uniform(0.1, 0.5, (samples, len(info.outputs)))
    return theta, x, y


def by_differences(device: Any, theta: Array, x: Array, y: Array, h: float = 1e-6) -> Array:
    gradient = np.empty_like(theta)
    for k in range(len(theta)):
        loss = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[k] += sign * h
            loss.append(0.5 * ((device.outputs_of(device.equilibrium(moved, x)) - y) ** 2).sum(axis=1).mean())
        gradient[k] = (loss[0] - loss[1]) / (2 * h)
    return gradient


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize("name", DEVICES)
def test_the_implicit_gradient_is_that_of_the_loss(name: str) -> None:
    device = DEVICES[name]()
    assert isinstance(device, Differentiable)
    assert isinstance(device, KnowsEnergy)
    theta, x, y = example(device)
    loss, gradient = device.loss_and_gradient(theta, x, y)
    wanted = by_differences(device, theta, x, y)
    assert np.abs(wanted).max() > 1e-3
    assert cosine(gradient, wanted) > 0.99999
    np.testing.assert_allclose(gradient, wanted, atol=2e-6 * np.abs(wanted).max() + 1e-8)
    outputs = device.outputs_of(device.equilibrium(theta, x))
    assert loss == pytest.approx(0.5 * ((outputs - y) ** 2).sum(axis=1).mean())


def test_the_unrolled_gradient_of_a_relaxation_to_rest_is_the_implicit_one() -> None:
    device = engine()
    assert isinstance(device, Unrolls)
    theta, x, y = example(device)
    loss, gradient = device.unrolled_loss_and_gradient(theta, x, y)
    exact, wanted = device.loss_and_gradient(theta, x, y)
    assert loss == pytest.approx(exact, abs=1e-10)
    assert cosine(gradient, wanted) > 0.999999
    np.testing.assert_allclose(gradient, wanted, atol=1e-9)


def test_the_unrolled_gradient_is_that_of_the_relaxation_cut_short() -> None:
    device = engine(max_sweeps=2)
    theta, x, y = example(device)
    loss, gradient = device.unrolled_loss_and_gradient(theta, x, y)
    step = np.random.default_rng(0).normal(size=len(theta))
    ahead, behind = (device.unrolled_loss_and_gradient(theta + h * step, x, y)[0] for h in (1e-6, -1e-6))
    assert (ahead - behind) / 2e-6 == pytest.approx(gradient @ step, rel=1e-6)
    exact, there = device.loss_and_gradient(theta, x, y)
    assert abs(loss - exact) > 1e-4
    assert cosine(gradient, there) < 0.9999


def test_gradients_move_nothing() -> None:
    device = engine()
    theta, x, y = example(device)
    device.present(x)
    device.advance()
    before, states = device.parameters(), device.states()
    device.unrolled_loss_and_gradient(theta, x, y)
    device.loss_and_gradient(theta, x, y)
    np.testing.assert_array_equal(device.parameters(), before)
    np.testing.assert_array_equal(device.states(), states)


@pytest.mark.parametrize("name", DEVICES)
def test_the_state_as_it_stands_holds_the_outputs(name: str) -> None:
    device = DEVICES[name]()
    _, x, _ = example(device)
    device.present(x)
    readout = device.advance(1.0)
    noise = 1e-3 if name == "slow" else 1e-12
    np.testing.assert_allclose(device.outputs_of(device.states()), readout.outputs, atol=noise)


def test_the_engine_has_no_state_before_time_passed() -> None:
    with pytest.raises(DeviceStateError, match="let time pass first"):
        engine().states()


def test_a_slow_device_says_its_equations_only_where_told_to() -> None:
    with_them, without = capabilities(slow()), capabilities(slow(knows_energy=False))
    assert with_them - without == {"KnowsEnergy", "Differentiable"}
    assert "KnowsEnergy" not in capabilities(SlowSettings(energy="linear").open(seed=1, base=Path()))


def test_equations_of_another_device_are_refused(tmp_path: Path) -> None:
    from aeqlab.backends.plant import Plant
    from aeqlab.backends.slow import Inside, KnowingSlowDevice

    settings = SlowSettings(energy="linear")
    other = SlowSettings(energy="linear", options={"frequencies": 2})
    plant = Inside(Plant(settings, seed=1, base=tmp_path))
    with pytest.raises(DeviceConfigError, match="21 parameters"):
        KnowingSlowDevice(plant, other.build_energy(tmp_path), make_default_cost())


def make_default_cost() -> Any:
    from aeqlab.backends.costs import HalfSquaredError

    return HalfSquaredError()


def test_a_plant_in_a_process_of_its_own_says_its_state(tmp_path: Path) -> None:
    from aeqlab.backends.plant_link import end_plant, start_plant

    settings = SlowSettings(energy="linear", options={"frequencies": 2}, knows_energy=True)
    start_plant(settings, seed=3, base=tmp_path, folder=tmp_path / "plant")
    try:
        device: Any = settings.open(seed=3, base=tmp_path, address=str(tmp_path / "plant"))
        with device:
            device.present(np.array([[0.3]]))
            device.set_controls(np.full(5, 0.4))
            readout = device.advance(2.0)
            assert device.states().shape == (1, 1)
            np.testing.assert_allclose(device.states(), readout.outputs, atol=1e-3)
    finally:
        end_plant(tmp_path / "plant")


CLAMPING = {name: make for name, make in DEVICES.items() if name != "slow"}


@pytest.mark.parametrize("name", CLAMPING)
def test_clamped_outputs_stand_until_released_and_the_rest_settles_around_them(name: str) -> None:
    device = CLAMPING[name]()
    assert isinstance(device, OutputClamp)
    theta, x, y = example(device)
    device.write_parameters(theta)
    device.present(x)
    device.hold_exactly(True)
    free = settle(device)
    device.clamp_outputs(0.5 * (free + y))
    np.testing.assert_array_equal(settle(device), 0.5 * (free + y))
    s = device.states()
    force = force_on_state(device, device.parameters(), x, s)
    inner = np.delete(np.arange(s.shape[1]), np.arange(s.shape[1] - y.shape[1], s.shape[1]))
    inside = (s[:, inner] > 0) & (s[:, inner] < 1) if name in ("hopfield", "engine") else np.ones_like(s[:, inner], bool)
    assert np.abs(force[:, inner][inside]).max(initial=0.0) < 1e-5
    device.release()
    np.testing.assert_allclose(settle(device), free, atol=1e-6)


def force_on_state(device: Any, theta: Array, x: Array, s: Array) -> Array:
    """dE/ds of each sample by central differences of E."""
    force, h = np.empty_like(s), 1e-6
    for b in range(len(s)):
        for i in range(s.shape[1]):
            up, down = s[b : b + 1].copy(), s[b : b + 1].copy()
            up[0, i] += h
            down[0, i] -= h
            force[b, i] = (device.energy(theta, x[b : b + 1], up) - device.energy(theta, x[b : b + 1], down)) / (2 * h)
    return force


def settle(device: Device) -> Array:
    readout = device.advance()
    for _ in range(2000 if not device.info.settles_at_once else 0):
        readout = device.advance()
    return readout.outputs


@pytest.mark.parametrize("name", CLAMPING)
def test_a_nudge_and_a_freeze_let_clamped_outputs_go(name: str) -> None:
    device = CLAMPING[name]()
    theta, x, y = example(device)
    device.write_parameters(theta)
    device.present(x)
    device.hold_exactly(True)
    free = settle(device)
    for let_go in (lambda: device.nudge(y, 0.0), device.freeze):
        device.hold_exactly(True)
        device.clamp_outputs(free + 0.1)
        np.testing.assert_allclose(settle(device), free + 0.1)
        let_go()
        device.hold_exactly(True)
        np.testing.assert_allclose(settle(device), free, atol=1e-6)


@pytest.mark.parametrize("name", CLAMPING)
def test_a_clamp_is_part_of_a_checkpoint(name: str) -> None:
    device, other = CLAMPING[name](), CLAMPING[name]()
    _, x, _ = example(device)
    device.present(x)
    device.advance()
    device.clamp_outputs(np.full((len(x), len(device.info.outputs)), 0.3))
    for _ in range(2):  # staged, then in force
        other.restore(device.state())
        ours, theirs = device.advance(), other.advance()
        np.testing.assert_array_equal(ours.outputs, theirs.outputs)
        np.testing.assert_array_equal(ours.outputs, 0.3)
    other.release()
    device.release()
    np.testing.assert_array_equal(device.advance().outputs, other.advance().outputs)


@pytest.mark.parametrize("name", CLAMPING)
def test_values_that_cannot_be_clamped_are_refused(name: str) -> None:
    device = CLAMPING[name]()
    _, x, y = example(device)
    with pytest.raises(DeviceStateError, match="Present an input first"):
        device.clamp_outputs(y)
    device.present(x)
    with pytest.raises(ArrayRefusedError):
        device.clamp_outputs(y[:1, :])
    with pytest.raises(ArrayRefusedError):
        device.clamp_outputs(np.full_like(y, np.nan))
    if name in ("hopfield", "engine"):
        with pytest.raises(LimitError, match="lives in -1 to 2"):
            device.clamp_outputs(np.full_like(y, 2.5))


def test_clamped_outputs_of_other_samples_are_let_go() -> None:
    device = SimulatedSettings(energy="spring", options=ENERGIES["spring"], batch=None).open(seed=2, base=Path())
    device.present(np.full((3, 2), 0.5))
    device.clamp_outputs(np.full((3, 2), 0.9))
    device.advance()
    device.present(np.full((2, 2), 0.5))
    assert device.advance().outputs.shape == (2, 2)
    assert not np.array_equal(device.advance().outputs, np.full((2, 2), 0.9))
