"""The slow device, its plant inside the test's own process: physics, knobs, readings, safety, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow_helpers import CLEAN, Array, described, opened, plant_of, run

from aeqlab.backends.device import Clock, Flag, capabilities
from aeqlab.backends.errors import DivergedError, LimitError
from aeqlab.backends.journal import read_journal
from aeqlab.backends.plant import Order
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow import SlowSettings


def test_describes_itself(tmp_path: Path) -> None:
    device = opened(tmp_path, clock="wall")
    info = device.info
    assert info.kind == "slow"
    assert info.clock is Clock.WALL
    assert info.samples == 1
    assert info.tick_s == 0.02
    assert info.controls.slew_per_s[0] == 10.0
    assert info.controls.step[0] == pytest.approx(20 / 2**20)
    assert info.n_parameters == len(info.controls) == 21
    assert info.parameters[0].epsilon is None  # as on a rig
    assert capabilities(device) == {"Checkpointable", "KnowsTruth"}
    assert SlowSettings.served


def test_step_response_has_the_gain_lag_and_dead_time_it_says(tmp_path: Path) -> None:
    device = opened(tmp_path, **CLEAN, epsilon=1e-4, slew_V_per_s=1e6, filter_s=0.001, tick_s=0.001, dead_time_s=0.0305)
    response = device.info.response
    assert response is not None
    assert response.lag_s.min() > 0.03
    assert response.lag_s.max() < 0.07
    assert np.ptp(response.lag_s) > 0.01
    device.present(np.array([[0.3]]))
    start = device.advance().t
    device.set_controls(np.full(21, 0.5))
    readouts = [device.advance() for _ in range(900)]
    t = np.array([r.t - start for r in readouts])
    theta = np.array([r.parameters for r in readouts])
    assert theta[-1] == pytest.approx(0.5 * response.gain, abs=1e-6)
    assert np.abs(theta[t < response.dead_time_s.min() - 0.001]).max() < 2e-3
    for k in range(21):
        # the line through ln(1 - theta / 0.5) has slope -1/lag and begins after the dead time
        inside = (theta[:, k] > 0.1) & (theta[:, k] < 0.45)
        slope, offset = np.polyfit(t[inside], np.log(1 - theta[inside, k] / 0.5), 1)
        assert -1 / slope == pytest.approx(response.lag_s[k], rel=0.02)
        assert -offset / slope == pytest.approx(response.dead_time_s[k], abs=0.001)


@pytest.mark.parametrize("energy", ["spring", "linear"])
def test_says_the_gain_and_lag_that_the_energy_leaves_it(tmp_path: Path, energy: str) -> None:
    device = opened(tmp_path, **CLEAN, energy=energy, epsilon=0.3, slew_V_per_s=1e6, filter_s=0.0, dead_time_s=0.0, tick_s=0.005)
    info = device.info
    assert info.response is not None
    device.present(np.zeros((1, len(info.inputs))))
    start = run(device, 3.0, tick_s=0.02)
    assert start.parameters is not None
    u = device.controls()
    for k in range(0, info.n_parameters, 3):
        u[k] += 1e-3
        device.set_controls(u)
        way = np.array([device.advance().parameters[k] for _ in range(200)]) - start.parameters[k]  # type: ignore[index]
        assert way[-1] / 1e-3 == pytest.approx(info.response.gain[k], rel=0.01)
        left = 1 - np.concatenate([[0.0], way]) / way[-1]
        assert (left.sum() - 0.5) * 0.005 == pytest.approx(info.response.lag_s[k], rel=0.03)
        u[k] -= 1e-3
        start = run(device, 3.0, u, tick_s=0.02)
        assert start.parameters is not None


def test_state_relaxes_in_its_own_time(tmp_path: Path) -> None:
    device = opened(tmp_path, **CLEAN, epsilon=1e-6, tick_s=0.0005, dead_time_s=0.0)
    device.present(np.array([[0.0]]))
    run(device, 1.0, np.full(21, 0.1), tick_s=0.02)
    before = device.advance().outputs[0, 0]
    device.present(np.array([[0.05]]))
    s = np.array([device.advance().outputs[0, 0] for _ in range(80)])
    target = s[-1]
    assert abs(target - before) > 0.05
    left = (s[:20] - target) / (before - target)
    assert left == pytest.approx(np.exp(-0.0005 * np.arange(1, 21) / 0.005), abs=2e-3)


def test_says_its_response_with_the_error_asked_for(tmp_path: Path) -> None:
    exact, rough = opened(tmp_path).info.response, opened(tmp_path, response_error=0.2).info.response
    assert exact is not None
    assert rough is not None
    error = rough.lag_s / exact.lag_s - 1
    assert 0.1 < error.std() < 0.35
    assert (rough.dead_time_s == exact.dead_time_s).all()


@pytest.mark.parametrize("beta", [0.0, 0.2, -0.15])
@pytest.mark.parametrize("energy", ["linear", "spring", "hopfield"])
def test_comes_to_rest_where_the_simulated_device_does(tmp_path: Path, energy: str, beta: float) -> None:
    rng = np.random.default_rng(5)
    slow = opened(tmp_path, **CLEAN, energy=energy, epsilon=0.05)
    simulated = SimulatedSettings.model_validate({"energy": energy, "epsilon": 0.05}).open(seed=1, base=tmp_path)
    info = slow.info
    u = rng.normal(scale=0.3, size=info.n_parameters)
    x = rng.uniform(0.2, 0.8, (1, len(info.inputs)))
    y = rng.uniform(0.2, 0.8, (1, len(info.outputs)))
    ends = []
    for device in (slow, simulated):
        device.present(x)
        device.set_controls(u)
        device.advance()
        if beta:
            device.nudge(y, beta)
        for _ in range(2000 if device is simulated else 200):
            device.advance()
        ends.append(device.advance())
    assert ends[0].parameters is not None
    assert ends[1].parameters is not None
    moved = np.abs(ends[1].parameters - u).max()
    assert moved > 1e-4 or (energy == "linear" and beta == 0)  # the energy pulls, so it is worth comparing
    assert ends[0].parameters == pytest.approx(ends[1].parameters, abs=1e-3 * moved + 1e-7)
    assert ends[0].outputs == pytest.approx(ends[1].outputs, abs=1e-3 * moved + 1e-6)


def test_modes_and_steps_give_one_motion(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    by_modes, by_steps = (opened(tmp_path, **CLEAN) for _ in range(2))
    plant_of(by_steps).motion._modal = False
    assert plant_of(by_modes).motion.modes() is not None
    for i in range(60):
        x, u, y = rng.uniform(-1, 1, (1, 1)), rng.normal(scale=0.3, size=21), rng.normal(size=(1, 1))
        for device in (by_modes, by_steps):
            if i % 10 == 0:
                device.present(x)
                device.set_controls(u)
                device.release()
            if i % 10 == 5:
                device.nudge(y, 0.3)
        a, b = by_modes.advance(), by_steps.advance()
        assert a.parameters == pytest.approx(b.parameters, abs=1e-3)
        assert a.outputs == pytest.approx(b.outputs, abs=5e-3)


# knobs -----------------------------------------------------------------------------------------------------------------


def test_knobs_are_quantised_and_read_back_as_they_are(tmp_path: Path) -> None:
    device = opened(tmp_path, dac_bits=12)
    device.present(np.array([[0.0]]))
    u = np.linspace(-9.9, 9.9, 21)
    run(device, 2.0, u)
    step = 20 / 2**12
    assert np.abs(device.controls() - u).max() <= step / 2 + 1e-12
    assert device.controls() / step == pytest.approx(np.rint(device.controls() / step), abs=1e-9)
    assert device.true_parameters() == pytest.approx(device.controls(), abs=0.01)


def test_knobs_slew_and_the_journal_shows_it(tmp_path: Path) -> None:
    device = opened(tmp_path, journal=True, slew_V_per_s=4.0)
    device.present(np.array([[0.0]]))
    device.advance()
    device.set_controls(np.linspace(-2, 2, 21))
    on_the_way = [device.advance() for _ in range(20)]
    assert all(Flag.SLEWING in r.flags for r in on_the_way)
    assert device.controls()[-1] == pytest.approx(4.0 * 0.4, abs=2e-5)
    readout = run(device, 0.2)
    assert Flag.SLEWING not in readout.flags
    device.close()
    journal = read_journal(tmp_path / "journal")
    assert journal.fastest().max() <= 4.0 * (1 + 1e-9)
    assert journal.fastest()[-1] == pytest.approx(4.0, rel=1e-3)
    assert journal.largest() == pytest.approx(np.abs(np.linspace(-2, 2, 21)), abs=1e-5)
    assert len(journal.applied) >= 25
    begin = journal.setpoints.t[-1]
    assert begin == pytest.approx(0.02)
    assert (journal.applied.t[journal.applied.t > begin] - begin).min() == pytest.approx(0.02)


@pytest.mark.parametrize("u0", [10.1, -10.1, np.inf])
def test_knobs_beyond_their_limits_are_refused_by_device_and_plant(tmp_path: Path, u0: float) -> None:
    device = opened(tmp_path, journal=True)
    device.present(np.array([[0.0]]))
    before = device.advance()
    u = np.zeros(21)
    u[0] = u0
    with pytest.raises(ValueError, match="control knob"):
        device.set_controls(u)
    plant = plant_of(device)
    with pytest.raises(LimitError):
        plant.take(Order(0.02, inputs=np.array([0.5]), controls=u))
    with pytest.raises(LimitError):
        plant.take(Order(0.02, inputs=np.array([np.nan])))
    with pytest.raises(LimitError):
        plant.take(Order(0.02, targets=np.array([1.0]), beta=-1.5))
    assert plant.motion.x[0, 0] == 0.0
    assert device.advance().t == pytest.approx(before.t + 0.02)
    assert len(read_journal(tmp_path / "journal").setpoints) == 1


def test_time_passes_only_in_advance_and_never_less_than_asked(tmp_path: Path) -> None:
    device = opened(tmp_path)
    device.present(np.array([[0.5]]))
    readout = device.advance()
    assert readout.dt == pytest.approx(0.02)
    device.set_controls(np.ones(21))
    device.nudge(np.array([[1.0]]), 0.1)
    device.release()
    device.freeze()
    device.state()
    device.true_parameters()
    assert device.advance(0.0304).dt == pytest.approx(0.0304)
    assert device.advance(1e-6).dt == pytest.approx(0.02)
    assert device.advance(1.0).t == pytest.approx(0.02 + 0.0304 + 0.02 + 1.0)


# readings --------------------------------------------------------------------------------------------------------------


def test_every_reading_is_as_old_as_it_says(tmp_path: Path) -> None:
    device = opened(tmp_path, **{**CLEAN, "stale_rate": 0.2, "lost_rate": 0.2}, dead_time_s=0.04)
    plant = plant_of(device)
    device.present(np.array([[0.3]]))
    rng = np.random.default_rng(0)
    truth: list[tuple[float, Array]] = [(0.0, plant.z.copy())]
    seen = {Flag.NONE: 0, Flag.STALE: 0, Flag.STALE | Flag.LOST: 0}
    for i in range(400):
        if i % 20 == 0:
            device.set_controls(rng.normal(scale=0.2, size=21))
        readout = device.advance()
        truth.append((readout.t, plant.z.copy()))
        assert readout.parameter_ages_s is not None
        age = float(readout.parameter_ages_s[0])
        assert (readout.parameter_ages_s == age).all()
        assert (readout.output_ages_s == age).all()
        flags = readout.flags & ~Flag.SLEWING
        seen[flags] += 1
        assert (flags == Flag.NONE) == (age == pytest.approx(0.04))
        measured = min(truth, key=lambda entry: abs(entry[0] - max(0.0, readout.t - age)))
        assert measured[0] == pytest.approx(max(0.0, readout.t - age), abs=1e-9)
        assert readout.parameters == pytest.approx(measured[1][1:], abs=1e-12)
        assert readout.outputs[0] == pytest.approx(measured[1][:1], abs=1e-12)
    assert seen[Flag.NONE] > 200
    assert seen[Flag.STALE] > 40
    assert seen[Flag.STALE | Flag.LOST] > 40


def test_dead_time_between_two_ticks(tmp_path: Path) -> None:
    device, exact = (opened(tmp_path, **CLEAN, dead_time_s=d) for d in (0.013, 0.0))
    for each in (device, exact):
        each.present(np.array([[0.3]]))
        each.advance(0.1)
        each.set_controls(np.full(21, 0.2))
    late = device.advance(0.1)
    now = exact.advance(0.1 - 0.013)
    assert late.parameters == pytest.approx(now.parameters, abs=1e-4)


def test_noise_is_what_it_says_it_is(tmp_path: Path) -> None:
    device = opened(tmp_path, **{**CLEAN, "noise_V": 2e-4, "output_noise_V": 5e-4})
    device.present(np.array([[0.1]]))
    device.advance(1.0)
    truth = device.true_parameters()
    readouts = [device.advance() for _ in range(1500)]
    theta = np.array([r.parameters for r in readouts]) - truth
    assert device.info.parameters[0].noise == 2e-4
    assert theta.std() == pytest.approx(2e-4, rel=0.02)
    assert np.abs(theta.mean(axis=0)).max() < 5 * 2e-4 / np.sqrt(1500)
    assert np.abs(np.corrcoef(theta.T) - np.eye(21)).max() < 0.15
    assert np.abs(np.mean(theta[1:] * theta[:-1])) < 0.05 * 2e-4**2
    s = np.array([r.outputs[0, 0] for r in readouts])
    assert s.std() == pytest.approx(device.info.outputs.noise[0], rel=0.08)


def test_control_outputs_drift_slowly(tmp_path: Path) -> None:
    device = opened(tmp_path, **{**CLEAN, "drift_V": 1e-3}, drift_time_s=2.0, epsilon=1e-4)
    device.present(np.array([[0.1]]))
    offsets = []
    for _ in range(1000):
        device.advance(0.2)
        offsets.append(device.true_parameters() - device.controls())
    drift = np.array(offsets)[50:]
    assert drift.std() == pytest.approx(1e-3, rel=0.1)
    lag = np.mean(drift[10:] * drift[:-10]) / np.mean(drift**2)
    assert lag == pytest.approx(np.exp(-1), abs=0.12)


def test_a_run_away_is_reported_and_can_be_ended(tmp_path: Path) -> None:
    device = opened(tmp_path, **CLEAN, energy="linear", epsilon=0.5)
    device.present(np.array([[0.3]]))
    device.nudge(np.array([[1.0]]), -0.9)  # below -1/(1 + 11 epsilon): bounded only while the parameters are held
    device.advance()
    with pytest.raises(DivergedError, match="ran away"):
        run(device, 300.0, tick_s=1.0)
    device.freeze()
    readout = device.advance(0.5)
    assert np.abs(readout.outputs).max() < 1e6


# settings --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control_limits": (-20, 20)}, "beyond the DAC's range"),
        ({"rest_V": 11}, "outside control_limits"),
        ({"tick_s": 0}, "greater than 0"),
        ({"batch": 4}, "Input should be 1"),
        ({"noise": 1}, "Extra inputs"),
        ({"clock": "sundial"}, "virtual"),
        ({"lost_rate": 0.7}, "less than 0.5"),
    ],
)
def test_settings_refuse(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        described(**changes)


def test_settings_travel_as_json() -> None:
    settings = described(options={"frequencies": 3}, clock="wall", epsilon=[0.1] * 7)
    assert SlowSettings.model_validate_json(settings.model_dump_json()) == settings


def test_every_setting_is_described() -> None:
    assert all(field.description for field in SlowSettings.model_fields.values())
