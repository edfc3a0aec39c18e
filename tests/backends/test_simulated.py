"""The simulated device: holding, clamping, nudging, freezing, checkpoints, and the step that learning takes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aeqlab.backends.device import Flag, Grade, Readout
from aeqlab.backends.errors import ArrayRefusedError, DeviceConfigError, DeviceStateError, DivergedError
from aeqlab.backends.kinds import SimulatedSettings, open_device
from aeqlab.backends.simulated import SimulatedDevice
from aeqlab.backends.wire import pack, unpack

Array = NDArray[Any]
KINDS: dict[str, dict[str, Any]] = {
    "linear": {"energy": "linear", "options": {"frequencies": 2}},
    "linear, batch of 3": {"energy": "linear", "options": {"frequencies": 2}, "batch": 3},
    "spring": {"energy": "spring"},
    "spring, cosh": {"energy": "spring", "coupling": "cosh"},
    "linear, mirror": {"energy": "linear", "coupling": "mirror", "options": {"frequencies": 2}},
    "hopfield": {"energy": "hopfield", "options": {"layers": [3, 4, 2]}, "epsilon": 0.02, "batch": 2},
    "spring, log cosh": {"energy": "spring", "cost": "log cosh"},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def device_of(kind: str, seed: int = 1, **changes: Any) -> tuple[SimulatedDevice, Array, Array]:
    """A device with inputs and targets for it, the inputs presented."""
    device = open_device(SimulatedSettings(**{**KINDS[kind], **changes}), seed=seed, base=Path())
    assert isinstance(device, SimulatedDevice)
    rng = np.random.default_rng(seed)
    n = device.info.samples or 1
    x = rng.uniform(0, 1, (n, len(device.info.inputs)))
    device.present(x)
    return device, x, rng.normal(size=(n, len(device.info.outputs)))


def run(device: SimulatedDevice, ticks: int) -> Readout:
    for _ in range(ticks):
        readout = device.advance()
    return readout


def integral_hold(device: SimulatedDevice, theta: Array, ticks: int) -> Readout:
    """Eqs. 16-17, written out."""
    u, lag = device.controls(), device.info.response.lag_s  # type: ignore[union-attr]
    for _ in range(ticks):
        readout = device.advance()
        assert readout.parameters is not None
        u = u + readout.dt / (4 * lag) * (theta - readout.parameters)
        device.set_controls(u)
    return readout


@every_kind
def test_readouts_have_the_shapes_and_times_they_should(kind: str) -> None:
    device, _, _ = device_of(kind)
    info = device.info
    t = 0.0
    for _ in range(30):
        r = device.advance()
        assert r.outputs.shape == (info.samples, len(info.outputs))
        assert r.parameters is not None
        assert r.parameters.shape == (info.n_parameters,)
        assert r.t == pytest.approx(t + r.dt)
        assert (r.dt == 0) == bool(r.flags & Flag.REFUSED)
        t = r.t
    assert device.advance(0.7).dt >= 0.7
    assert r.output_ages_s.shape == (len(info.outputs),)
    np.testing.assert_array_equal(device.parameters(), device.true_parameters())


@every_kind
def test_time_passes_only_in_advance(kind: str) -> None:
    device, x, y = device_of(kind)
    run(device, 3)
    theta, u = device.parameters(), device.controls()
    before = copy.deepcopy(device.state()["physics"])
    device.nudge(y, 0.5)
    device.release()
    device.present(x / 2)
    device.set_controls(u + 1)
    np.testing.assert_array_equal(device.parameters(), theta)
    np.testing.assert_array_equal(device.controls(), u)
    for key, value in device.state()["physics"].items():
        np.testing.assert_array_equal(value, before[key])
    device.advance()
    np.testing.assert_array_equal(device.controls(), u + 1)


@every_kind
def test_the_paper_s_controller_holds_theta_against_a_new_input(kind: str) -> None:
    device, x, _ = device_of(kind)
    theta = device.parameters() + 0.05
    held = integral_hold(device, theta, 500)
    np.testing.assert_allclose(held.parameters, theta, atol=1e-6)  # type: ignore[arg-type]
    np.testing.assert_allclose(held.outputs, device.outputs_of(device.equilibrium(theta, x)), atol=1e-6)


@every_kind
def test_exact_holding_finds_the_same_u_and_clamps_there(kind: str) -> None:
    device, x, _ = device_of(kind)
    theta = device.parameters() + 0.05
    device.write_parameters(theta)
    device.hold_exactly(True)
    held = run(device, 400)
    np.testing.assert_array_equal(held.parameters, theta)  # type: ignore[arg-type]
    assert held.dt > 0
    follows = device.controls()
    device.hold_exactly(False)
    np.testing.assert_array_equal(device.controls(), follows)
    np.testing.assert_allclose(run(device, 200).parameters, theta, atol=1e-6)  # type: ignore[arg-type]
    other = device_of(kind)[0]
    integral_hold(other, theta, 500)
    np.testing.assert_allclose(other.controls(), follows, atol=1e-5)
    if device.info.samples == 1 and KINDS[kind].get("coupling") is None:
        epsilon = device.info.parameters[0].epsilon
        expected = theta + epsilon * device.energy_gradient(theta, x, device.equilibrium(theta, x))
        np.testing.assert_allclose(follows, expected, atol=1e-8)


def test_setting_the_knobs_takes_them_over_from_exact_holding() -> None:
    device, _, _ = device_of("spring")
    device.hold_exactly(True)
    run(device, 5)
    device.set_controls(device.controls() + 0.3)
    theta = device.parameters()
    assert np.abs(run(device, 5).parameters - theta).max() > 0.01  # type: ignore[operator]


@every_kind
def test_written_parameters_stay(kind: str) -> None:
    device, _, y = device_of(kind)
    device.nudge(y, 0.1)
    run(device, 10)
    theta = device.parameters() * 0.5 + 0.02
    device.write_parameters(theta)
    np.testing.assert_array_equal(device.parameters(), theta)
    np.testing.assert_allclose(run(device, 600).parameters, theta, atol=1e-5)  # type: ignore[arg-type]
    for bad in (np.zeros(1), np.full_like(theta, np.nan)):
        with pytest.raises(ArrayRefusedError):
            device.write_parameters(bad)


@every_kind
def test_a_nudged_phase_moves_theta_by_a_gradient_step(kind: str) -> None:
    beta = 1e-4
    device, x, y = device_of(kind, epsilon=1e-3)
    theta = device.parameters()
    device.hold_exactly(True)
    run(device, 600)
    device.hold_exactly(False)
    device.nudge(y, beta)
    run(device, 600)
    step = (device.parameters() - theta) / (1e-3 * beta)
    gradient = device.loss_gradient(theta, x, y)
    if KINDS[kind].get("coupling") == "mirror":
        gradient = gradient / (1 + theta**2)
    assert step @ -gradient > 0.999 * np.linalg.norm(step) * np.linalg.norm(gradient)
    assert np.linalg.norm(step) == pytest.approx(float(np.linalg.norm(gradient)), rel=0.05)


def test_release_brings_the_free_state_back() -> None:
    device, x, y = device_of("spring")
    device.hold_exactly(True)
    run(device, 300)
    device.nudge(y, 0.5)
    nudged = run(device, 300)
    device.release()
    free = run(device, 300)
    np.testing.assert_allclose(free.outputs, device.outputs_of(device.equilibrium(device.parameters(), x)), atol=1e-8)
    assert np.abs(nudged.outputs - free.outputs).max() > 0.01


def test_a_phase_begins_with_every_present_nudge_and_release_but_not_with_u() -> None:
    device, x, y = device_of("spring")
    full = device.info.response.lag_s.min()  # type: ignore[union-attr]

    for begin in (lambda: device.present(x), lambda: device.nudge(y, 0.1), lambda: device.nudge(y, 0.1), device.release):
        run(device, 9)
        begin()
        r = device.advance()
        assert r.dt in (full, 0.0)
    run(device, 9)
    eta = device.state()["physics"]["eta_theta"]
    device.set_controls(device.controls())
    assert device.advance().dt in (eta, 0.0)
    assert eta != full


def test_couplings_scale_from_what_was_built_and_the_clock_keeps_its_lag() -> None:
    device, x, _ = device_of("spring")
    info = device.info
    device.hold_exactly(True)
    run(device, 500)
    wide = device.controls() - device.parameters()
    for factor in (0.3, 0.5):
        device.scale_coupling(factor)
        np.testing.assert_allclose(device.controls() - device.parameters(), factor * wide, rtol=1e-9)
    assert device.info is info
    theta = device.parameters() + 0.1
    integral_hold(device, theta, 500)
    np.testing.assert_allclose(device.parameters(), theta, atol=1e-6)
    with pytest.raises(ValueError, match="above zero"):
        device.scale_coupling(-1)
    assert np.isfinite(device.energy(theta, x, device.equilibrium(theta, x)))


@every_kind
def test_freeze_takes_the_nudge_off_and_leaves_u(kind: str) -> None:
    device, _, y = device_of(kind)
    device.nudge(y, 0.3)
    run(device, 5)
    u, t = device.controls(), device.advance().t
    device.nudge(2 * y, 0.9)
    device.set_controls(u + 5)
    device.freeze()
    np.testing.assert_array_equal(device.controls(), u)
    assert device.state()["t"] == t
    frozen = device.advance()
    assert frozen.flags & Flag.FROZEN
    assert device.state()["physics"]["beta"] == 0
    np.testing.assert_array_equal(device.controls(), u)
    device.set_controls(u)
    assert not device.advance().flags & Flag.FROZEN


def test_freeze_while_holding_clamps_there() -> None:
    device, _, _ = device_of("spring")
    device.write_parameters(device.parameters() + 0.2)
    device.hold_exactly(True)
    run(device, 200)
    u = device.controls()
    device.freeze()
    np.testing.assert_array_equal(device.controls(), u)
    run(device, 3)
    np.testing.assert_array_equal(device.controls(), u)


def test_make_safe_brings_u_to_rest_and_says_how_it_knows() -> None:
    device, _, y = device_of("spring", control_limits=(0.25, 2))
    device.set_controls(np.full(device.info.n_parameters, 1.5))
    device.nudge(y, 0.3)
    run(device, 3)
    report = device.make_safe()
    assert report.safe
    assert {line.grade for line in report.lines} == {Grade.ECHOED}
    np.testing.assert_array_equal(device.controls(), 0.25)
    assert device.advance().flags & Flag.FROZEN


def test_running_away_is_a_result_that_names_beta() -> None:
    device, x, y = device_of("linear", options={"frequencies": 10}, epsilon=0.5)
    assert device.info.beta[0] == pytest.approx(-1)
    device.nudge(y, -0.5)  # bounded with the parameters held, not with them floating
    with pytest.raises(DivergedError, match=r"ran away at t = .* beta = -0\.5"):
        run(device, 2000)
    held, _, _ = device_of("linear", options={"frequencies": 10}, epsilon=0.5)
    held.present(x)
    held.nudge(y, -0.5)
    held.hold_exactly(True)
    run(held, 2000)


def test_an_advance_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong.py").write_text(
        "class Uphill:\n    inputs, states, parameters = 1, 1, 1\n"
        "    def energy(self, theta, x, s):\n        return theta[0] ** 2 + s[:, 0] ** 2\n"
        "    def parameter_gradient(self, theta, x, s):\n        return -100 - 0 * theta\n",
        encoding="utf-8",
    )
    device = open_device(SimulatedSettings(energy="wrong.py:Uphill"), seed=0, base=tmp_path)
    device.present(np.zeros((1, 1)))
    monkeypatch.setattr("aeqlab.backends.simulated.MOST_TICKS", 2000)
    with pytest.raises(DeviceStateError, match="the gradient of the energy may be wrong"):
        device.advance(50.0)


@every_kind
@pytest.mark.parametrize("moment", ["at once", "staged", "nudged", "holding", "frozen"])
def test_a_state_put_back_goes_on_bit_for_bit(kind: str, moment: str) -> None:
    device, x, y = device_of(kind)
    if moment != "at once":
        run(device, 13)
        device.nudge(y, 0.2)
        device.set_controls(device.controls() + 0.1)
        if moment == "nudged":
            run(device, 17)
        if moment == "holding":
            device.hold_exactly(True)
            run(device, 4)
        if moment == "frozen":
            device.freeze()
    if moment == "nudged":
        device.scale_coupling(0.9)
    saved = pack(device.state())

    def future(d: SimulatedDevice) -> list[bytes]:
        readings = []
        for k in range(60):
            if k == 20:
                d.hold_exactly(False)
                d.present(x * 0.9)
            if k == 40:
                d.nudge(y, 0.1)
            r = d.advance()
            readings.append(pack([r.t, r.dt, r.outputs, r.parameters, int(r.flags), d.controls()]))
        return readings

    expected = future(device)
    device.restore(unpack(saved))
    assert future(device) == expected
    fresh = device_of(kind, seed=99)[0]
    fresh.restore(unpack(saved))
    assert future(fresh) == expected


def test_a_damaged_state_is_refused_and_changes_nothing() -> None:
    device, _, y = device_of("linear")
    device.nudge(y, 0.1)
    run(device, 10)
    good = device.state()

    def damaged(*path: str, value: Any = None, drop: bool = False) -> dict[str, Any]:
        state = copy.deepcopy(good)
        place = state
        for key in path[:-1]:
            place = place[key]
        if drop:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return state

    bad: list[Any] = [
        None, {}, damaged("device", value="slow"), damaged("physics", drop=True), damaged("physics", "theta", value=np.zeros(2)),
        damaged("physics", "s", value="x"), damaged("noise", value={"bit_generator": "MT19937"}), damaged("t", value="later"),
        damaged("physics", "factor", value=-1.0), damaged("next", value=[]), damaged("flags", value="x"),
    ]  # fmt: skip
    before = pack(device.state())
    for state in bad:
        with pytest.raises(DeviceConfigError):
            device.restore(state)
        assert pack(device.state()) == before


def test_one_seed_one_future_and_another_seed_other_weights() -> None:
    first, again, other = (device_of("hopfield", seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(run(first, 30).parameters, run(again, 30).parameters)  # type: ignore[arg-type]
    assert not np.array_equal(first.parameters(), other.parameters())


@every_kind
def test_time_goes_on_at_rest(kind: str) -> None:
    """Where nothing moves any more, rounding must not refuse every second step until their sizes vanish."""
    device, _, _ = device_of(kind)
    integral_hold(device, device.parameters(), 400)
    t = device.state()["t"]
    lag = float(device.info.response.lag_s.min())  # type: ignore[union-attr]
    assert integral_hold(device, device.parameters(), 300).t - t > 30 * lag
    device.advance(20 * lag)


def test_layers_of_the_hopfield_network() -> None:
    device, _, _ = device_of("hopfield")
    r = device.advance()
    layers = device.layers()  # type: ignore[attr-defined]
    assert {name: a.shape for name, a in layers.items()} == {"h1": (2, 4), "output": (2, 2)}
    np.testing.assert_array_equal(layers["output"], r.outputs)


def test_any_number_of_samples() -> None:
    device = open_device(SimulatedSettings(energy="spring", batch=None), seed=0, base=Path())
    assert device.info.samples is None
    for n in (3, 1, 5):
        device.present(np.zeros((n, 2)))
        device.nudge(np.ones((n, 1)), 0.1)
        assert device.advance().outputs.shape == (n, 1)
    device.present(np.zeros((2, 2)))  # the targets of five mean nothing to two
    assert device.advance().outputs.shape == (2, 1)
    assert device.state()["physics"]["beta"] == 0  # type: ignore[attr-defined]
