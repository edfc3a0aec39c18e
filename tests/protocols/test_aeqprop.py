"""The training step and the baselines: order of the phases, update rules, sham steps, and what is never done in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from first_order_plant import FirstOrderPlant

from aeqlab.backends.device import capabilities
from aeqlab.backends.errors import LimitError
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.protocols.aeqprop import Method, StepReport, cost, nudging_pair, train_step
from aeqlab.protocols.baselines import finite_difference_step, sgd_step, spsa_step
from aeqlab.protocols.errors import AbortRequested, CapabilityError
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings, Ticks
from aeqlab.protocols.session import Session

METHODS = ["optimistic", "pessimistic", "centered"]


def session_of(
    energy: str = "linear", accept: Any = "settled", controller: Any = "integral", size: float | None = None, **more: Any
) -> Session:
    """Open a simulated device behind a session; `size` is what its steps are expected to be."""
    device = SimulatedSettings(energy=energy, **more).open(seed=2, base=Path())
    return Session(
        device,
        homeostasis=HomeostasisSettings(controller=controller, accept=accept, step=size),
        settling=SettlingSettings(accept=accept),
    )


def example(session: Session, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    info = session.info
    rng = np.random.default_rng(seed)
    samples = info.samples or 2
    low, high = np.maximum(info.inputs.low, -1), np.minimum(info.inputs.high, 1)
    return rng.uniform(low, high, (samples, len(info.inputs))), rng.uniform(0, 1, (samples, len(info.outputs)))


def step(
    session: Session, method: str = "centered", beta: float = 0.05, **more: Any
) -> tuple[StepReport, np.ndarray, np.ndarray]:
    theta = np.array(session.device_call("parameters"))
    x, y = example(session)
    return train_step(session, x, y, theta=theta, pair=nudging_pair(method, beta), **more), x, y


def test_the_three_pairs() -> None:
    assert nudging_pair("optimistic", 0.2) == (0.0, 0.2)
    assert nudging_pair(Method.PESSIMISTIC, 0.2) == (-0.2, 0.0)
    assert nudging_pair("centered", 0.2) == (-0.1, 0.1)
    for bad in (0.0, -0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="above 0"):
            nudging_pair("centered", bad)
    with pytest.raises(ValueError, match="sideways"):
        nudging_pair("sideways", 0.1)


def test_the_cost_is_half_the_squared_error_averaged_over_samples() -> None:
    info = FirstOrderPlant(1).info
    s, y = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [2.0, 0.0]])
    assert cost(info, s, y) == pytest.approx(0.5 * (5 + 4) / 2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("energy", ["linear", "spring", "hopfield"])
@pytest.mark.parametrize("accept", ["settled", Ticks(ticks=400)])
def test_a_step_goes_down_the_gradient(method: str, energy: str, accept: Any) -> None:
    session = session_of(energy, accept, size=1e-6, epsilon=0.02)
    theta = np.array(session.device_call("parameters"))
    report, x, y = step(session, method, 0.02)
    wanted = -0.02 * 0.02 * session.device_call("loss_gradient", theta, x, y)
    assert report.theta_target_next is not None
    moved = report.theta_target_next - theta
    assert moved @ wanted / np.linalg.norm(moved) / np.linalg.norm(wanted) > 0.98
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(wanted), rel=0.15)
    assert report.used
    assert not report.cost_rose
    assert (report.beta_1, report.beta_2) == nudging_pair(method, 0.02)
    assert report.cost_free == pytest.approx(cost(session.info, session.device_call("outputs_of",
        session.device_call("equilibrium", theta, x, None, 0.0)), y), rel=0.01)  # fmt: skip
    assert session.status().beta == 0.0


def test_the_free_phase_has_a_hold_of_its_own_only_where_beta_1_is_not_0() -> None:
    report, _, _ = step(session_of(), "optimistic")
    assert report.free_hold is None
    assert report.cost_free == report.cost_1
    report, _, _ = step(session_of(), "centered")
    assert report.free_hold is not None
    assert report.cost_free is not None
    assert report.cost_2 < report.cost_free < report.cost_1
    report, _, _ = step(session_of(), "centered", free_phase=False)
    assert (report.free_hold, report.cost_free, report.outputs_free) == (None, None, None)
    report, _, _ = step(session_of(), "optimistic", free_phase=False)
    assert report.cost_free == report.cost_1


def test_a_sham_step_learns_nothing() -> None:
    session = session_of()
    theta = np.array(session.device_call("parameters"))
    report, _, _ = step(session, "centered", 0.1, sham=True)
    assert report.sham
    assert report.beta_1 == report.beta_2 == -0.05
    assert report.theta_target_next is theta or np.array_equal(report.theta_target_next, theta)
    assert report.theta_after == pytest.approx(report.theta_before, abs=1e-6)


def test_the_two_update_rules() -> None:
    after, _, _ = step(session_of(), update="after")
    assert np.array_equal(after.theta_target_next, after.theta_after)
    session = session_of()
    theta = np.array(session.device_call("parameters"))
    difference, _, _ = step(session, update="difference")
    assert difference.theta_target_next == pytest.approx(theta + (difference.theta_after - difference.theta_before), abs=1e-15)


def test_a_hold_that_is_not_accepted_nudges_nothing() -> None:
    device = FirstOrderPlant(2, tick=0.1, limit=0.1)
    nudges: list[float] = []
    inner = device._nudge
    device._nudge = lambda y, beta: (nudges.append(beta), inner(y, beta))[1]  # type: ignore[method-assign, func-returns-value]
    with Session(device) as session:
        theta = np.zeros(2)
        report = train_step(session, np.array([[1.0]]), np.zeros((1, 1)), theta=theta, pair=(-0.05, 0.05))
    assert not report.used
    assert nudges == []
    assert report.settle is None
    assert np.isnan(report.cost_2)
    assert np.array_equal(report.theta_target_next, theta)


def test_an_abort_in_the_nudged_phase_takes_the_nudge_off() -> None:
    session = session_of()
    device: Any = session.device

    def abort_when_nudged() -> None:
        if device._physics.beta > 0.0:
            raise AbortRequested("now")

    session.point_interrupt = abort_when_nudged
    with pytest.raises(AbortRequested):
        step(session)
    session.point_interrupt = None
    session.advance()
    assert device._physics.beta == 0.0


def test_a_nudge_beyond_the_limits_is_refused_and_released() -> None:
    with Session(FirstOrderPlant(1, tick=0.1)) as session:
        with pytest.raises(LimitError):
            train_step(session, np.zeros((1, 1)), np.zeros((1, 1)), theta=np.zeros(1), pair=(0.0, 5.0))
        assert session.status().beta == 0.0


def test_a_rising_cost_is_counted() -> None:
    device = SimulatedSettings(energy="linear").open(seed=2, base=Path())
    inner = device._nudge
    device._nudge = lambda y, beta: inner(y, -beta)  # type: ignore[method-assign]
    with Session(device, homeostasis=HomeostasisSettings(controller="integral")) as session:
        report, _, _ = step(session)
    assert report.cost_rose


@pytest.mark.parametrize("relaxation", ["once", "joint"])
def test_the_engine_keeps_theta_inside(relaxation: Any) -> None:
    pytest.importorskip("torch")
    settings = HopfieldSettings(
        widths=(6, 8, 3), weight_couplings=(0.02, 0.01), bias_couplings=(0.01, 0.01), parameter_relaxation=relaxation,
        dtype="float64", stop="residual", tolerance=1e-12, max_sweeps=100_000, threads=1,
    )  # fmt: skip
    with Session(settings.open(seed=1, base=Path())) as session:
        before = np.array(session.device_call("parameters"))
        x, y = example(session)
        report = train_step(session, x, y, theta=None, pair=(-0.01, 0.01))
        moved = np.array(session.device_call("parameters")) - before
        gradient = session.device_call("loss_gradient", before, x, y)
    assert report.used
    assert (report.theta_target_next, report.theta_after) == (None, None)
    assert report.cost_2 < report.cost_1
    assert -moved @ gradient > 0


@pytest.mark.parametrize("controller", ["ideal", "integral"])
def test_finite_differences_measure_the_gradient(controller: str) -> None:
    session = session_of("spring", controller=controller, epsilon=0.02)
    theta = np.array(session.device_call("parameters"))
    x, y = example(session)
    report = finite_difference_step(session, x, y, theta=theta, learning_rate=0.1, perturbation=1e-2)
    wanted = -0.1 * session.device_call("loss_gradient", theta, x, y)
    assert report.theta_target_next is not None
    moved = report.theta_target_next - theta
    assert moved @ wanted / np.linalg.norm(moved) / np.linalg.norm(wanted) > 0.98
    assert report.used


def test_spsa_goes_down_on_average() -> None:
    session = session_of("linear", controller="ideal")
    theta = np.array(session.device_call("parameters"))
    x, y = example(session)
    rng = np.random.default_rng(3)
    moves = []
    for _ in range(300):
        report = spsa_step(session, x, y, theta=theta, learning_rate=0.1, perturbation=1e-3, rng=rng, free_phase=False)
        assert report.theta_target_next is not None
        moves.append(report.theta_target_next - theta)
    wanted = -0.1 * session.device_call("loss_gradient", theta, x, y)
    mean = np.mean(moves, axis=0)
    assert mean @ wanted / (wanted @ wanted) == pytest.approx(1.0, abs=0.05)  # d.d^T averages to the identity


def test_sgd_is_the_gradient_step() -> None:
    session = session_of("linear")
    theta = np.array(session.device_call("parameters"))
    x, y = example(session)
    report = sgd_step(session, x, y, theta=theta, learning_rate=0.01)
    wanted = theta - 0.01 * session.device_call("loss_gradient", theta, x, y)
    assert np.array_equal(report.theta_target_next, wanted)
    assert np.array_equal(session.device_call("parameters"), wanted)


def test_sgd_needs_a_device_that_knows_its_energy() -> None:
    device = FirstOrderPlant(1, tick=0.1)
    assert "KnowsEnergy" not in capabilities(device)
    with Session(device) as session, pytest.raises(CapabilityError, match="does not know its energy"):
        sgd_step(session, np.zeros((1, 1)), np.zeros((1, 1)), theta=np.zeros(1), learning_rate=0.1)


def test_a_baseline_step_that_was_not_held_is_not_used() -> None:
    with Session(FirstOrderPlant(1, tick=0.1, limit=0.1)) as session:
        theta = np.zeros(1)
        report = spsa_step(
            session, np.ones((1, 1)), np.zeros((1, 1)), theta=theta, learning_rate=0.1, perturbation=1e-2,
            rng=np.random.default_rng(0),
        )  # fmt: skip
    assert not report.used
    assert np.array_equal(report.theta_target_next, theta)


def test_a_target_just_beyond_a_knob_s_limit_follows_it_back() -> None:
    with Session(FirstOrderPlant(2, tick=0.1, limit=1.0, noise=1e-4)) as session:
        theta = np.array([1.03, 0.2])
        report = train_step(session, np.zeros((1, 1)), np.zeros((1, 1)), theta=theta, pair=(-0.05, 0.05))
    assert report.used
    assert report.followed == (0,)
    assert report.theta_before == pytest.approx([1.0, 0.2], abs=0.02)
    assert report.theta_before is not None
    assert report.theta_before[0] < 1.0


def test_one_that_an_input_pushes_far_beyond_stays_where_it_was() -> None:
    with Session(FirstOrderPlant(2, tick=0.1, limit=1.0, noise=1e-4)) as session:
        report = train_step(session, np.zeros((1, 1)), np.zeros((1, 1)), theta=np.array([1.3, 0.2]), pair=(-0.05, 0.05))
    assert not report.used
    assert report.followed == ()
    assert report.theta_target_next == pytest.approx([1.3, 0.2])
