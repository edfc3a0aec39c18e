"""Control laws: gains, settling against dead time, limits, hand-over from manual, and knobs that do not disturb each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from first_order_plant import FirstOrderPlant
from hypothesis import given, settings
from hypothesis import strategies as st

from aeqlab.protocols.controllers import Controller, make_controller, standard_integral_gain
from aeqlab.protocols.errors import HoldError
from aeqlab.protocols.hold_settings import HomeostasisSettings


def law(plant: FirstOrderPlant, controller: Any = "integral", **more: Any) -> Controller:
    made = make_controller(HomeostasisSettings(controller=controller, **more), plant.info)
    made.prepare()
    made.start(plant.controls())
    return made


def run(plant: FirstOrderPlant, controller: Controller, target: float, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Drive the plant by the bare law; returns times and theta of the first knob."""
    t, theta = [], []
    plant.present(np.zeros((1, 1)))
    for _ in range(round(seconds / plant.tick)):
        readout = plant.advance()
        assert readout.parameters is not None
        error = target - readout.parameters
        plant.set_controls(controller.tick(error, readout.parameters, readout.dt, float(error @ error)))
        t.append(readout.t)
        theta.append(plant.theta[0])
    return np.array(t), np.array(theta)


def settling_time(t: np.ndarray, theta: np.ndarray, target: float) -> float:
    outside = np.flatnonzero(np.abs(theta - target) > 0.02 * target)
    return float(t[outside[-1] + 1]) if len(outside) else 0.0


def test_the_gain_is_that_of_the_paper_without_dead_time() -> None:
    plant = FirstOrderPlant(3, lag=np.array([0.5, 1.0, 2.0]), tick=1e-6)
    assert standard_integral_gain(plant.info) == pytest.approx([0.5, 0.25, 0.125])  # eq. 17: eta_theta / 4 epsilon


@pytest.mark.parametrize(("dead", "ki"), [(1.0, 0.25), (3.0, 1 / 8), (7.0, 1 / 16)])
def test_the_gain_falls_with_dead_time(dead: float, ki: float) -> None:
    plant = FirstOrderPlant(dead=dead, tick=0.001, gain=-2.0)
    assert standard_integral_gain(plant.info) == pytest.approx([ki / -2.0], rel=1e-3)


@pytest.mark.parametrize(("dead", "expected"), [(0.0, 13.0), (1.0, 15.0), (2.0, 20.0), (4.0, 32.0), (6.0, 44.0), (10.0, 68.0)])
def test_integral_control_settles_in_the_known_times(dead: float, expected: float) -> None:
    """2 % settling in lags against dead time in lags: RIGS section 4."""
    plant = FirstOrderPlant(dead=dead, tick=0.05)
    t, theta = run(plant, law(plant), 1.0, 100.0)
    assert settling_time(t, theta, 1.0) == pytest.approx(expected, abs=2.0)


@pytest.mark.parametrize("dead", [0.0, 1.0, 4.0])
def test_pid_is_faster_than_integral_and_ends_at_the_target(dead: float) -> None:
    plants = FirstOrderPlant(dead=dead, tick=0.05), FirstOrderPlant(dead=dead, tick=0.05)
    integral = settling_time(*run(plants[0], law(plants[0]), 1.0, 80.0), 1.0)
    t, theta = run(plants[1], law(plants[1], "pid"), 1.0, 80.0)
    assert settling_time(t, theta, 1.0) < integral
    assert theta[-1] == pytest.approx(1.0, abs=1e-6)


def test_the_paper_s_gain_is_critically_damped() -> None:
    plant = FirstOrderPlant(tick=0.005)
    _, theta = run(plant, law(plant), 1.0, 30.0)
    assert theta.max() <= 1.0 + 1e-3


@pytest.mark.parametrize("controller", ["integral", "pid"])
def test_a_law_at_its_limit_does_not_wind_up(controller: str) -> None:
    plant = FirstOrderPlant(limit=1.0)
    made = law(plant, controller)
    run(plant, made, 3.0, 100.0)
    assert made.u == pytest.approx([1.0])
    run(plant, made, -3.0, 0.1)
    assert made.u[0] < 1.0  # it leaves the limit at once


@pytest.mark.parametrize("controller", ["integral", "pid", "quasi-static"])
def test_setpoints_stay_within_limits(controller: str) -> None:
    plant = FirstOrderPlant(4, limit=0.3)
    run(plant, law(plant, controller), 5.0, 30.0)
    assert np.max(np.abs(plant.moves)) <= 0.3
    assert np.max(plant.moves) == pytest.approx(0.3)


@pytest.mark.parametrize("controller", ["integral", "pid"])
def test_taking_over_from_a_hand_is_without_a_bump(controller: str) -> None:
    plant = FirstOrderPlant()
    made = law(plant, controller)
    plant.present(np.zeros((1, 1)))
    plant.set_controls(np.array([0.7]))
    theta = plant.advance(20.0).parameters
    assert theta is not None
    made.start(plant.controls())
    first = made.tick(0.7 - theta, theta, 0.02, 1.0)
    assert first == pytest.approx([0.7], abs=1e-6)


def test_own_setpoints_are_kept_finer_than_the_knob_s_step() -> None:
    plant = FirstOrderPlant(step=0.1)
    made = law(plant)
    plant.present(np.zeros((1, 1)))
    made.u = np.array([0.33])
    plant.set_controls(made.u)
    plant.advance()
    assert made.start(plant.controls()) == pytest.approx([0.33])
    assert made.start(np.array([0.9])) == pytest.approx([0.9])  # somebody else moved it


def test_a_list_of_gains_needs_one_for_each_knob() -> None:
    with pytest.raises(HoldError, match="2 values for the 3 control knobs"):
        make_controller(HomeostasisSettings(ki=[1.0, 2.0]), FirstOrderPlant(3).info)


def test_a_knob_of_no_gain_is_refused() -> None:
    with pytest.raises(HoldError, match="gain 0"):
        law(FirstOrderPlant(known_gain=0.0))


@settings(max_examples=30, deadline=None)
@given(
    lags=st.lists(st.floats(0.2, 3.0), min_size=1, max_size=6),
    targets=st.lists(st.floats(-2.0, 2.0), min_size=6, max_size=6),
    controller=st.sampled_from(["integral", "pid"]),
)
def test_many_knobs_are_as_each_alone(lags: list[float], targets: list[float], controller: str) -> None:
    n = len(lags)
    goal = np.array(targets[:n])
    together = FirstOrderPlant(n, lag=np.array(lags), limit=1.0)
    made = law(together, controller)
    alone = [FirstOrderPlant(1, lag=lag, limit=1.0) for lag in lags]
    each = [law(plant, controller) for plant in alone]
    for plant in (together, *alone):
        plant.present(np.zeros((1, 1)))
    for _ in range(50):
        theta = together.advance().parameters
        assert theta is not None
        together.set_controls(made.tick(goal - theta, theta, 0.02, float((goal - theta) @ (goal - theta))))
        for k, (plant, one) in enumerate(zip(alone, each, strict=True)):
            th = plant.advance().parameters
            assert th is not None
            plant.set_controls(one.tick(goal[k] - th, th, 0.02, float((goal[k] - th) @ (goal[k] - th))))
    assert made.u == pytest.approx(np.concatenate([one.u for one in each]), abs=1e-12)


def test_a_controller_s_state_gives_the_same_moves() -> None:
    plant = FirstOrderPlant(2)
    made = law(plant, "pid", kd=0.01)
    run(plant, made, 0.5, 1.0)
    state = made.state()
    twin = law(FirstOrderPlant(2), "pid", kd=0.01)
    twin.restore(state)
    error, theta = np.array([0.1, -0.2]), np.array([0.4, 0.7])
    assert np.array_equal(made.tick(error, theta, 0.02, 0.05), twin.tick(error, theta, 0.02, 0.05))


@pytest.mark.parametrize("controller", ["integral", "pid", "quasi-static"])
def test_a_correction_goes_to_the_nearest_code_from_the_one_that_is_applied(controller: str) -> None:
    made = law(FirstOrderPlant(5, step=0.1), controller)
    applied = np.array([0.3, 0.3, 0.3, 0.3, 0.3])
    made.start(applied)
    made.u = np.array([0.26, 0.26, 0.34, 0.3, 0.3])  # all of them rounded to 0.3 by the device
    u = made.correct(np.array([0.06, 0.04, -0.06, 0.17, 5.0]), applied)
    assert np.round(u / 0.1) * 0.1 == pytest.approx([0.4, 0.3, 0.2, 0.5, 5.3])


def test_a_correction_by_a_small_gain_moves_a_coarse_knob_nevertheless() -> None:
    made = law(FirstOrderPlant(2, step=0.1), "quasi-static", gain=0.3)
    made.start(np.zeros(2))
    u = made.correct(np.array([0.06, 0.04]), np.zeros(2))
    assert np.round(u / 0.1) * 0.1 == pytest.approx([0.1, 0.0])
