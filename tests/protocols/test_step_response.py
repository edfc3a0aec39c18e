"""The stage `step-response`: what it fits beside what the device says of itself, and the fit by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import experiment, run_sequence
from scan_helpers import ENGINE, INSIDE, SIMULATED, SLOW, behind_its_session, slow_device_here, with_data

from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.load import Run
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.step_fit import fit_step, response


@pytest.fixture(autouse=True)
def _slow_device_here(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_device_here(monkeypatch)


def _ok(folder: Path, sequence: str, text: str) -> Run:
    result, run = run_sequence(folder, sequence, text)
    assert result.state is RunState.FINISHED, result.reason
    return run


def _found(run: Run, stage: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.stages["result"][stage])
    return found


# the stage ----------------------------------------------------------------------------------------------------------


def test_a_knob_of_the_slow_device_answers_as_it_says(tmp_path: Path) -> None:
    run = _ok(tmp_path, "step-response: {quantity: u3, size: 0.1, repeats: 4}", SLOW)
    found, said = _found(run)["fits"]["theta[3]"], _found(run)["device_says"]
    assert found["gain"] == pytest.approx(said["gain"], rel=0.01)
    assert found["lag_s"] == pytest.approx(said["lag_s"], rel=0.04)
    assert found["dead_time_s"] == pytest.approx(said["dead_time_s"], abs=0.003)
    assert found["reached"] is True
    assert 0 < found["gain_error"] < 0.01
    assert 0 < found["lag_s_error"] < 0.05 * found["lag_s"]
    (scan,) = run.scans
    assert set(scan.points["direction"]) == {1, -1}
    assert len(scan.points) == _found(run)["ticks"]
    assert scan.values["theta[3]"].max() == pytest.approx(0.1, abs=1e-3)
    assert _found(run)["came_back"] is True


def test_the_slew_of_a_knob_is_no_lag(tmp_path: Path) -> None:
    text = SLOW.replace("control_limits", "slew_V_per_s: 1, control_limits")  # 0.3 V take six lags
    run = _ok(tmp_path, "step-response: {quantity: u1, size: -0.3, repeats: 2}", text)
    found, said = _found(run)["fits"]["theta[1]"], _found(run)["device_says"]
    assert found["gain"] == pytest.approx(1.0, rel=0.01)
    assert found["lag_s"] == pytest.approx(said["lag_s"], rel=0.1)


@pytest.mark.parametrize("text", [SIMULATED, SLOW], ids=["simulated", "slow"])
def test_several_knobs_step_each_from_where_it_stands(tmp_path: Path, text: str) -> None:
    lines = 'set: {u0: -1.9, u1: 1.5}\nstep-response: {quantity: "u[0-1]", size: 0.1, repeats: 2, read: [u0, u1, theta0]}'
    run = _ok(tmp_path, f"{lines}\nset: {{x0: 0, read: [u0, u1]}}", text)
    assert _found(run, 1)["fits"]["theta[0]"]["gain"] == pytest.approx(1.0, rel=0.02)
    for name, at in (("u[0]", -1.9), ("u[1]", 1.5)):
        values = run.scans[1].values[name]
        assert values.min() == pytest.approx(at, abs=1e-4)
        assert values.max() == pytest.approx(at + 0.1, abs=1e-4)
    assert set(np.round(run.scans[1].setpoints["u[0-1]"], 9)) == {-0.2, -0.1}  # the record has their mean
    assert _found(run, 2)["read"]["u[1]"] == pytest.approx(1.5, abs=1e-4)


def test_every_place_stays_within_its_limits(tmp_path: Path) -> None:
    lines = 'set: {u0: -1.9, u1: 1.95}\nstep-response: {quantity: "u[0-1]", size: 0.1}'
    result, run = run_sequence(tmp_path, lines, SIMULATED)
    assert result.state is RunState.FAILED
    assert "u[1] of u[0-1]: 2.05 is outside -2 to 2" in result.reason
    assert len(run.scans) == 1


@pytest.mark.parametrize("text", [SIMULATED, INSIDE], ids=["simulated", "inside"])
def test_a_simulated_knob_has_gain_one_and_no_lag_to_be_seen(tmp_path: Path, text: str) -> None:
    run = _ok(tmp_path, "step-response: {quantity: u3, size: 0.1}\nset: {x0: 0, read: [theta3]}", text)
    found = _found(run)["fits"]["theta[3]"]
    assert found["gain"] == pytest.approx(_found(run)["device_says"]["gain"], rel=0.02)
    assert found["lag_s"] <= _found(run)["tick_s"] * 1.5  # a tick of section 5.1 is as long as a lag
    assert _found(run, 1)["read"]["theta[3]"] == pytest.approx(0.0, abs=1e-3)


def test_the_engine_answers_within_one_advance(tmp_path: Path) -> None:
    with_data(tmp_path)
    run = _ok(tmp_path, "step-response: {quantity: u3, size: 0.1, sample: 2}", ENGINE)
    found = _found(run)["fits"]["theta[3]"]
    assert found["gain"] == pytest.approx(1.0, rel=0.05)
    assert found["lag_s"] == found["dead_time_s"] == 0.0


def test_what_is_faster_than_a_tick_is_told_with_the_error_of_a_tick(tmp_path: Path) -> None:
    """The engine is nearly there after one advance: what is left for the second one tells no lag within the first."""
    with_data(tmp_path)
    text = ENGINE.replace("dtype: float64", "dtype: float64, tolerance: 1.0e-3")
    found = _found(_ok(tmp_path, "step-response: {quantity: x0, size: 0.2, repeats: 2, read: [s0]}", text))
    fit = found["fits"]["s[0]"]
    assert fit["lag_s"] < found["tick_s"] == 1.0
    assert fit["lag_s_error"] >= 0.28
    assert fit["dead_time_s_error"] >= 0.28


def test_a_target_of_theta_is_answered_by_homeostasis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behind_its_session(monkeypatch)
    run = _ok(tmp_path, "step-response: {quantity: theta1, size: 0.1, repeats: 2, read: [theta1, u1]}", SLOW)
    found = _found(run)["fits"]["theta[1]"]
    assert found["gain"] == pytest.approx(1.0, rel=0.02)
    assert 0.05 < found["lag_s"] < 1.0
    assert run.theta[1] == pytest.approx(0.0, abs=1e-2)
    assert set(_found(run)["fits"]) == {"theta[1]", "u[1]"}


def test_what_does_not_answer_has_no_lag(tmp_path: Path) -> None:
    run = _ok(tmp_path, "step-response: {quantity: u3, size: 0.1, repeats: 2, read: [theta3, theta2, s]}", SLOW)
    found = _found(run)["fits"]
    assert abs(found["theta[2]"]["gain"]) < 0.01
    assert found["theta[2]"]["lag_s"] is None
    assert found["theta[3]"]["lag_s"] is not None


def test_a_course_that_is_too_short_is_said(tmp_path: Path) -> None:
    text = SLOW.replace("control_limits", "tau_theta_s: 0.5, control_limits")
    result, run = run_sequence(tmp_path, "step-response: {quantity: u3, size: 0.1, seconds: 0.8, repeats: 1}", text)
    assert _found(run)["reached"] is False
    assert any("still on its way" in warning for warning in result.warnings)


@pytest.mark.parametrize("text", [SIMULATED, INSIDE, SLOW, ENGINE], ids=["simulated", "inside", "slow", "engine"])
def test_a_course_has_eight_ticks_at_least(tmp_path: Path, text: str) -> None:
    with_data(tmp_path)
    line = "step-response: {quantity: u3, size: 0.1, repeats: 2, seconds: 1.0e-9, sample: 2}"
    run = _ok(tmp_path, line, text)
    assert len(run.scans[0].points) == 4 * 8
    assert _found(run)["fits"]["theta[3]"]["gain"] > 0.1


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [(SIMULATED, "quantity: u3, size: 0", "leads nowhere"), (SIMULATED, "quantity: u3, size: 5", "longer than -2 to 2"),
     (SIMULATED, "quantity: beta, size: 0.1", "what can be stepped"),
     (INSIDE, "quantity: theta1, size: 0.1", "keeps theta inside"),
     (SIMULATED, "quantity: theta1, size: 0.1, read: [s]", "theta and u alone"),
     (SIMULATED, "quantity: u9, size: 0.1", "u[0] to u[4]"), (SIMULATED, "quantity: u3, size: 0.1, read: [cost]", "sample: 0")],
)  # fmt: skip
def test_mistakes_are_found_before_the_start(tmp_path: Path, text: str, line: str, said: str) -> None:
    with pytest.raises(FileErrors) as caught:
        experiment(tmp_path, text.replace("evaluate: {samples: 1}", f"step-response: {{{line}}}"))
    assert said in str(caught.value)
    assert "line 8" in str(caught.value)


def test_a_step_past_a_limit_from_where_it_stands_moves_nothing(tmp_path: Path) -> None:
    result, run = run_sequence(tmp_path, "set: {u3: 1.5}\nstep-response: {quantity: u3, size: 1}", SIMULATED)
    assert result.state is RunState.FAILED
    assert "2.5 is outside -2 to 2" in result.reason
    assert len(run.scans) == 1


# the fit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ramp_s", [0.0, 0.01, 0.3])
@pytest.mark.parametrize(("lag", "dead"), [(0.05, 0.02), (0.2, 0.0), (0.03, 0.15)])
def test_a_course_without_noise_is_found_again(lag: float, dead: float, ramp_s: float) -> None:
    t = np.arange(-3, 100) * 0.02
    y = 0.3 - 0.7 * response(t - dead, np.array(lag), ramp_s)
    fit = fit_step(t, y, ramp_s)
    assert fit.change == pytest.approx(-0.7, rel=1e-3)
    assert fit.lag_s == pytest.approx(lag, rel=0.01)
    assert fit.dead_time_s == pytest.approx(dead, abs=5e-4)
    assert fit.reached > 0.99


def test_noise_widens_what_is_found_evenly() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(-3, 60) * 0.02
    fits = [fit_step(t, response(t - 0.02, np.array(0.1), 0.0) + 0.01 * rng.standard_normal(len(t))) for _ in range(40)]
    assert np.mean([fit.lag_s for fit in fits]) == pytest.approx(0.1, rel=0.03)
    assert np.mean([fit.change for fit in fits]) == pytest.approx(1.0, rel=0.01)


def test_noise_alone_is_no_answer() -> None:
    rng = np.random.default_rng(2)
    t = np.arange(-3, 60) * 0.02
    fits = [fit_step(t, rng.standard_normal(len(t))) for _ in range(60)]
    assert np.mean([np.isnan(fit.lag_s) for fit in fits]) > 0.9


def test_a_standing_value_is_no_answer() -> None:
    fit = fit_step(np.arange(-3, 20) * 0.1, np.full(23, 0.25))
    assert fit.change == 0.0
    assert np.isnan(fit.lag_s)


def test_the_answer_to_a_slewed_input_is_the_integral_of_the_sharp_one() -> None:
    t, h = np.arange(0, 2, 0.01), 1e-4
    fine = np.arange(0, 0.3, h) + h / 2
    wanted = np.mean([response(t - s, np.array(0.1), 0.0) for s in fine], axis=0)
    np.testing.assert_allclose(response(t, np.array(0.1), 0.3), wanted, atol=1e-4)
