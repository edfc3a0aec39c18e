"""The Hopfield engine as a device: its training step against the theory, its knobs, starts, thresholds and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from aeqlab.backends import wire
from aeqlab.backends.device import Flag, capabilities
from aeqlab.backends.errors import ArrayRefusedError, DeviceConfigError, DeviceStateError, DivergedError, LimitError
from aeqlab.backends.hopfield.engine import NEAR, HopfieldEngine
from aeqlab.backends.hopfield.settings import HopfieldSettings

Array = NDArray[Any]
SMALL: dict[str, Any] = {
    "widths": (6, 8, 3), "gains": (1.2, 1.2), "weight_couplings": (0.1, 0.05), "bias_couplings": (0.02, 0.01),
    "dtype": "float64", "stop": "residual", "tolerance": 1e-12, "max_sweeps": 100_000,
}  # fmt: skip
PAIRS = {"optimistic": (0.0, 1.0), "pessimistic": (-1.0, 0.0), "centered": (-0.5, 0.5)}


def opened(seed: int = 0, **changes: Any) -> HopfieldEngine:
    return HopfieldSettings(**{**SMALL, **changes}).open(seed=seed, base=Path())


def samples(engine: HopfieldEngine, n: int = 5, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    inputs, outputs = engine.settings.widths[0], engine.settings.widths[-1]
    dtype = engine.info.dtype
    return rng.random((n, inputs)).astype(dtype), np.eye(outputs)[rng.integers(0, outputs, n)].astype(dtype)


def free(engine: HopfieldEngine, x: Array) -> Array:
    engine.present(x)
    engine.release()
    engine.hold_exactly(True)
    return engine.advance().outputs


def step(engine: HopfieldEngine, x: Array, y: Array, beta_1: float, beta_2: float) -> Array:
    """Train on one batch; the change of theta."""
    free(engine, x)
    before = engine.parameters()
    if beta_1:
        engine.nudge(y, beta_1)
        engine.advance()
    assert np.array_equal(engine.parameters(), before)  # held
    engine.hold_exactly(False)
    engine.nudge(y, beta_2)
    engine.advance()
    engine.release()
    return engine.parameters() - before


# The training step ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relaxation", ["once", "joint"])
@pytest.mark.parametrize("method", list(PAIRS))
def test_a_small_nudge_steps_down_the_gradient_of_every_tensor(method: str, relaxation: str) -> None:
    beta = 1e-3
    # joint: epsilon so small that moving parameters do not bend the path
    factor = 1.0 if relaxation == "once" else 1e-3
    engine = opened(parameter_relaxation=relaxation)
    engine.scale_coupling(factor)
    x, y = samples(engine, 16)
    theta = engine.parameters()
    moved = step(engine, x, y, *(beta * b for b in PAIRS[method]))
    gradient = engine.loss_gradient(theta, x, y)
    hidden = engine.layers()["s1"]
    assert 0.2 < ((hidden > 0) & (hidden < 1)).mean() < 0.95  # some units at an end of their interval
    for block in engine.info.parameters:
        assert block.epsilon is not None
        want = -block.epsilon * factor * beta * gradient[block.slice]
        have = moved[block.slice]
        assert np.linalg.norm(have) / np.linalg.norm(want) == pytest.approx(1.0, abs=0.01)
        assert have @ want / np.linalg.norm(have) / np.linalg.norm(want) > 0.999


@pytest.mark.parametrize("method", list(PAIRS))
def test_the_joint_step_is_the_minimum_of_the_global_energy(method: str) -> None:
    """Against scipy, over states in their box and parameters at once: U(u, theta) + mean E + beta_2 mean C (section 5.3)."""
    engine = opened(parameter_relaxation="joint", widths=(4, 5, 3), gains=(1.0, 1.0), weight_couplings=(0.2, 0.1))
    x, y = samples(engine, 3, seed=2)
    n = len(x)
    beta_1, beta_2 = (0.5 * b for b in PAIRS[method])
    free(engine, x)
    if beta_1:
        engine.nudge(y, beta_1)
        engine.advance()
    assert engine.coupling_load().first > 0.1  # far from the limit of fixed parameters
    u, held, resting = engine.controls(), engine.parameters(), np.hstack(list(engine.layers().values()))
    engine.hold_exactly(False)
    engine.nudge(y, beta_2)
    engine.advance()
    theta, state = engine.parameters(), np.hstack(list(engine.layers().values()))
    epsilon = np.concatenate([np.full(b.size, b.epsilon) for b in engine.info.parameters])

    def total(z: Array) -> tuple[float, Array]:
        s, t = z[: state.size].reshape(state.shape), z[state.size :]
        w1, b1 = t[:20].reshape(4, 5), t[20:25]
        w2, b2 = t[25:40].reshape(5, 3), t[40:43]
        s1, s2 = s[:, :5], s[:, 5:]
        e = 0.5 * (s**2).sum() - (x @ w1 * s1).sum() - (s1 @ b1).sum() - (s1 @ w2 * s2).sum() - (s2 @ b2).sum()
        e += beta_2 * 0.5 * ((s2 - y) ** 2).sum()
        d1 = s1 - x @ w1 - b1 - s2 @ w2.T
        d2 = s2 - s1 @ w2 - b2 + beta_2 * (s2 - y)
        dt = np.concatenate([-(x.T @ s1).ravel(), -s1.sum(0), -(s1.T @ s2).ravel(), -s2.sum(0)])
        value = ((u - t) ** 2 / (2 * epsilon)).sum() + e / n
        return value, np.concatenate([(np.hstack([d1, d2]) / n).ravel(), (t - u) / epsilon + dt / n])

    bounds = [(0.0, 1.0) if j < 5 else (-1.0, 2.0) for _ in range(n) for j in range(8)] + [(None, None)] * theta.size
    start = np.concatenate([resting.ravel(), held])
    options = {"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 50}
    found = minimize(total, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    ours, _ = total(np.concatenate([state.ravel(), theta]))
    assert ours <= found.fun + 1e-12
    assert np.abs(found.x[state.size :] - theta).max() < 1e-4 * np.abs(theta - held).max()
    assert np.abs(found.x[: state.size] - state.ravel()).max() < 1e-5
    assert np.abs(theta - held).max() > 1e-3


def test_without_a_difference_in_nudge_nothing_is_learned() -> None:
    for relaxation in ("once", "joint"):
        engine = opened(parameter_relaxation=relaxation)
        engine.scale_coupling(0.1)
        x, y = samples(engine)
        assert np.abs(step(engine, x, y, -0.25, -0.25)).max() < 1e-11
        assert np.abs(step(engine, x, y, -0.25, 0.25)).max() > 1e-5


def test_once_moves_theta_exactly_once_and_joint_stays_where_it_came_to_rest() -> None:
    for relaxation, factor in (("once", 1.0), ("joint", 0.1)):
        engine = opened(parameter_relaxation=relaxation)
        engine.scale_coupling(factor)
        x, y = samples(engine)
        free(engine, x)
        engine.hold_exactly(False)
        engine.nudge(y, 0.5)
        engine.advance()
        theta = engine.parameters()
        engine.advance()
        engine.hold_exactly(False)  # clamping what is clamped changes nothing
        engine.advance()
        assert np.abs(engine.parameters() - theta).max() <= (0.0 if relaxation == "once" else 1e-10)


def test_joint_returns_when_the_nudge_is_taken_away() -> None:
    engine = opened(parameter_relaxation="joint", weight_couplings=(0.2, 0.1))
    x, y = samples(engine)
    out = free(engine, x)
    theta = engine.parameters()
    engine.hold_exactly(False)
    engine.nudge(y, 0.5)
    assert np.abs(engine.advance().outputs - out).max() > 1e-2
    engine.release()
    assert np.abs(engine.advance().outputs - out).max() < 1e-8
    assert np.abs(engine.parameters() - theta).max() < 1e-8


def test_the_second_phase_of_once_starts_from_the_free_state() -> None:
    """With one sweep per phase it must lie one sweep, and the one that comes with the parameters, from the free state."""
    engine = opened(stop="fixed", xi_0=1e-300, max_sweeps=1)
    x, y = samples(engine)
    free(engine, x)
    s1, theta = engine.layers()["s1"], engine.parameters()
    engine.nudge(y, -0.5)
    engine.advance()
    engine.hold_exactly(False)
    engine.nudge(y, 0.5)
    out = engine.advance().outputs
    w2, b2 = theta[6 * 8 + 8 : -3].reshape(8, 3), theta[-3:]
    w1, b1 = theta[:48].reshape(6, 8), theta[48:56]
    for _ in range(2):  # output first
        s2 = np.clip((s1 @ w2 + b2 + 0.5 * y) / 1.5, -1, 2)
        s1 = np.clip(x @ w1 + b1 + s2 @ w2.T, 0, 1)
    assert np.allclose(out, s2, atol=1e-13)


def test_too_weak_a_coupling_is_refused_in_joint_before_anything_moves_and_told_what_would_do() -> None:
    engine = opened(parameter_relaxation="joint", weight_couplings=(2.0, 0.05))
    x, y = samples(engine)
    free(engine, x)  # inference is no matter
    theta = engine.parameters()
    load = np.linalg.eigvalsh((2.0 * x @ x.T + 0.02) / len(x))[-1]
    assert engine.coupling_load().first == pytest.approx(load)
    engine.hold_exactly(False)
    engine.nudge(y, 0.5)
    with pytest.raises(DeviceConfigError, match=r"coupling is too weak.*or parameter_relaxation: once") as refused:
        engine.advance()
    assert f"epsilon X X^T / B is {load:.3g} at the first layer" in str(refused.value)
    assert np.array_equal(engine.parameters(), theta)

    def told(name: str) -> tuple[float, ...]:
        return tuple(float(v) for v in str(refused.value).split(f"{name}: [")[1].split("]")[0].split(","))

    better = opened(
        parameter_relaxation="joint", weight_couplings=told("weight_couplings"), bias_couplings=told("bias_couplings")
    )
    assert 0 < np.abs(step(better, x, y, 0.0, 0.5)).max() < 1
    assert better.coupling_load().whole < 1


def test_a_joint_relaxation_that_runs_away_is_refused_and_theta_put_back() -> None:
    """Below the limit at the held state, a finite nudge carries the layers over it: they would end in their corners."""
    wide = {"widths": (6, 40, 3), "weight_couplings": (0.22, 0.05), "bias_couplings": (0.1, 0.05)}
    engine = opened(parameter_relaxation="joint", **wide)
    x, y = samples(engine, 8, seed=1)
    free(engine, x)
    theta = engine.parameters()
    engine.hold_exactly(False)
    engine.nudge(y, 1.0)
    assert NEAR < engine.coupling_load().whole < 1.0
    with pytest.raises(DeviceConfigError, match="run away together"):
        engine.advance()
    assert np.abs(engine.parameters() - theta).max() < 1e-12


def test_gradient_descent_lowers_the_cost_of_a_small_task() -> None:
    """Two overlapping stripes to tell apart, from the first step to few errors, in the paper's float32 with its stop test."""
    rng = np.random.default_rng(0)
    engine = opened(
        1, widths=(16, 32, 2), gains=(0.8, 1.2), dtype="float32", stop="adaptive", max_sweeps=100, weight_couplings=(0.5, 0.25),
        bias_couplings=(0.1, 0.05),
    )  # fmt: skip
    label = rng.integers(0, 2, 400)
    x = (0.6 * rng.random((400, 16)) + 0.4 * (np.arange(16)[None] // 8 == label[:, None])).astype(np.float32)
    y = np.eye(2, dtype=np.float32)[label]

    def error() -> float:
        return float((free(engine, x[200:]).argmax(1) != label[200:]).mean())

    first = error()
    said = {}
    for _ in range(10):
        for i in range(0, 200, 20):
            step(engine, x[i : i + 20], y[i : i + 20], -0.25, 0.25)
        said = engine.end_epoch()
    assert first > 0.2
    assert error() < 0.02
    assert said["not converged"] == 0


# Knobs and readouts ---------------------------------------------------------------------------------------------------


def test_it_says_what_it_is() -> None:
    engine = opened()
    info = engine.info
    assert [b.name for b in info.parameters] == ["w1", "b1", "w2", "b2"]
    assert [b.shape for b in info.parameters] == [(6, 8), (8,), (8, 3), (3,)]
    assert [b.epsilon for b in info.parameters] == [0.1, 0.02, 0.05, 0.01]
    assert (info.samples, info.settles_at_once, info.one_shot, info.n_parameters) == (None, True, True, 83)
    assert not opened(parameter_relaxation="joint").info.one_shot
    names = info.controls.names
    assert len(names) == 83
    assert (names[0], names[47], names[48], names[-1]) == ("u_w1[0,0]", "u_w1[5,7]", "u_b1[0]", "u_b2[2]")
    assert list(names)[56:58] == list(names[56:58]) == ["u_w2[0,0]", "u_w2[0,1]"]
    with pytest.raises(IndexError):
        names[83]
    assert {
        "HoldsParameters", "WritableParameters", "AdjustableCoupling", "Epochs", "KnowsEnergy", "Differentiable", "Unrolls",
        "OutputClamp", "Checkpointable", "Layers", "StartsAfresh",
    } == capabilities(engine)  # fmt: skip


def test_a_readout_brings_outputs_and_keeps_theta_inside() -> None:
    engine = opened(dtype="float32", tolerance=1e-6)
    x, _ = samples(engine, 4)
    engine.present(x)
    readout = engine.advance()
    assert (readout.outputs.shape, readout.outputs.dtype) == ((4, 3), np.float32)
    assert readout.parameters is None
    assert (readout.t, readout.dt, readout.flags) == (1.0, 1.0, Flag.NONE)
    assert engine.advance(2.5).t == 3.5
    readout.outputs[:] = 9.0  # a copy
    assert not (engine.layers()["s2"] == 9.0).any()
    assert {k: v.shape for k, v in engine.layers().items()} == {"s1": (4, 8), "s2": (4, 3)}


def test_the_equilibrium_is_the_one_of_its_equations() -> None:
    engine = opened()
    x, y = samples(engine)
    outputs = free(engine, x)
    assert np.allclose(outputs, engine.outputs_of(engine.equilibrium(engine.parameters(), x)), atol=1e-10)
    engine.nudge(y, -0.4)
    s = engine.equilibrium(engine.parameters(), x, y, -0.4)
    assert np.allclose(engine.advance().outputs, engine.outputs_of(s), atol=1e-10)


def test_u_follows_while_theta_is_held_and_stands_still_when_clamped() -> None:
    engine = opened()
    x, y = samples(engine)
    assert np.array_equal(engine.controls(), engine.parameters())
    free(engine, x)
    epsilon = np.concatenate([np.full(b.size, b.epsilon) for b in engine.info.parameters])

    def at_rest() -> Array:
        s = np.hstack(list(engine.layers().values()))
        return engine.parameters() + epsilon * engine.energy_gradient(engine.parameters(), x, s)

    assert np.allclose(engine.controls(), at_rest(), atol=1e-14)
    engine.nudge(y, -0.25)
    engine.advance()
    u = engine.controls()
    assert np.allclose(u, at_rest(), atol=1e-14)
    engine.hold_exactly(False)
    engine.nudge(y, 0.25)
    engine.advance()
    assert np.array_equal(engine.controls(), u)
    assert np.allclose(u, at_rest(), atol=1e-13)  # theta rests again
    engine.present(x[::-1].copy())  # another input at frozen knobs: theta answers
    theta = engine.parameters()
    engine.advance()
    assert np.array_equal(engine.controls(), u)
    assert not np.array_equal(engine.parameters(), theta)


def test_asking_for_u_changes_no_later_number() -> None:
    found = []
    for asks in (False, True):
        engine = opened(dtype="float32", tolerance=1e-6)
        for seed in range(4):
            step(engine, *samples(engine, seed=seed), -0.25, 0.25)
            if asks:
                engine.controls()
            engine.scale_coupling(0.9**seed)
        found.append(engine.parameters())
    assert np.array_equal(*found)


@pytest.mark.parametrize("relaxation", ["once", "joint"])
def test_knobs_set_by_hand_are_where_theta_rests(relaxation: str) -> None:
    engine = opened(parameter_relaxation=relaxation)
    engine.scale_coupling(0.1)
    x, _ = samples(engine)
    free(engine, x)
    before, u = engine.parameters(), engine.controls()
    wanted = u + 0.01 * np.random.default_rng(0).standard_normal(len(u))
    engine.set_controls(wanted)
    assert np.array_equal(engine.controls(), u)  # staged only
    engine.advance()
    assert np.array_equal(engine.controls(), wanted)
    s = np.hstack(list(engine.layers().values()))
    epsilon = 0.1 * np.concatenate([np.full(b.size, b.epsilon) for b in engine.info.parameters])
    rest = wanted - epsilon * engine.energy_gradient(before, x, s)
    assert np.allclose(engine.parameters(), rest, atol=1e-13)
    assert not np.allclose(engine.parameters(), before, atol=1e-4)
    if relaxation == "joint":  # and the layers are at rest for the theta they moved
        assert np.allclose(s, engine.equilibrium(engine.parameters(), x), atol=1e-9)


def test_written_parameters_stay() -> None:
    engine = opened()
    x, _ = samples(engine)
    theta = np.random.default_rng(1).normal(size=83) * 0.3
    engine.write_parameters(theta)
    assert np.array_equal(engine.parameters(), theta)
    assert np.array_equal(engine.controls(), theta)
    free(engine, x)
    engine.write_parameters(2 * theta)
    assert np.allclose(free(engine, x), engine.outputs_of(engine.equilibrium(2 * theta, x)), atol=1e-10)
    engine.hold_exactly(False)
    engine.advance()
    assert np.allclose(engine.parameters(), 2 * theta, atol=1e-10)


def test_scaling_the_coupling_counts_from_the_built_values() -> None:
    moves = []
    for factors in ((0.5,), (0.1, 3.0, 0.5)):
        engine = opened()
        for factor in factors:
            engine.scale_coupling(factor)
        moves.append(step(engine, *samples(engine), 0.0, 0.1))
    assert np.allclose(moves[0], moves[1], atol=1e-15)
    whole = step(opened(), *samples(opened()), 0.0, 0.1)
    assert np.allclose(2 * moves[0], whole, atol=1e-12)
    engine = opened()
    for bad in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="above 0"):
            engine.scale_coupling(bad)


def test_freeze_and_make_safe() -> None:
    engine = opened()
    x, y = samples(engine)
    out = free(engine, x)
    u = engine.controls()
    engine.nudge(y, 0.5)
    engine.freeze()
    readout = engine.advance()
    assert Flag.FROZEN in readout.flags
    assert np.allclose(readout.outputs, out, atol=1e-10)
    assert np.array_equal(engine.controls(), u)
    report = engine.make_safe()
    assert report.safe
    assert not engine.controls().any()
    engine.advance()
    assert not engine.controls().any()
    engine.hold_exactly(True)
    assert Flag.FROZEN not in engine.advance().flags


def test_bad_arrays_and_calls_out_of_order_are_refused() -> None:
    engine = opened()
    x, y = samples(engine)
    with pytest.raises(DeviceStateError):
        engine.advance()
    for bad in (x[:, :5], x[0], np.full_like(x, np.nan), x.astype(complex)):
        with pytest.raises(ArrayRefusedError):
            engine.present(bad)
    with pytest.raises(LimitError, match=r"input knob x\[0\]"):
        engine.present(x + 2)
    engine.present(x)
    with pytest.raises(ArrayRefusedError):
        engine.nudge(y[:2], 0.1)
    with pytest.raises(ArrayRefusedError):
        engine.write_parameters(np.zeros(5))
    engine.close()
    for call in (engine.advance, engine.parameters, engine.state, engine.end_epoch, engine.layers, engine.start_from_zeros):
        with pytest.raises(DeviceStateError, match="closed"):
            call()


def test_running_away_names_layer_and_phase() -> None:
    engine = opened(weight_couplings=(3e38, 3e38), dtype="float32", stop="fixed", max_sweeps=10)
    x, y = samples(engine)
    engine.present(x)
    engine.set_controls(np.full(83, 3.4e38, dtype=np.float32))
    engine.advance()  # theta = u - epsilon dE/dtheta overflows
    with pytest.raises(DivergedError, match=r"w1 is no longer finite"):
        engine.end_epoch()
    engine.hold_exactly(True)
    engine.nudge(y, -0.25)
    with pytest.raises(DivergedError, match=r"layer \d is not finite after 10 sweeps of the homeostatic phase \(beta -0.25\)"):
        engine.advance()


# Starts, thresholds, checkpoints --------------------------------------------------------------------------------------


def sweeps(engine: HopfieldEngine) -> int:
    assert engine.settled is not None
    return engine.settled.sweeps


def test_a_training_batch_starts_where_the_last_one_ended_and_an_evaluation_from_zeros() -> None:
    def first_sweep(prepare: str, **changes: Any) -> Array:
        engine = opened(stop="fixed", xi_0=1e300, **changes)  # every phase is one sweep, so its start shows
        x, y = samples(engine)
        if prepare == "trained":
            step(engine, x, y, -0.25, 0.25)
        if prepare == "evaluated":
            free(engine, x)
        if prepare == "other size":
            step(engine, x[:3], y[:3], -0.25, 0.25)
        if prepare == "told":
            step(engine, x, y, -0.25, 0.25)
            engine.start_from_zeros()
        engine.write_parameters(opened().parameters())
        free(engine, x)
        return engine.layers()["s1"]

    zeros = first_sweep("nothing")
    assert np.array_equal(zeros, first_sweep("evaluated"))
    assert np.array_equal(zeros, first_sweep("other size"))
    assert np.array_equal(zeros, first_sweep("told"))
    assert np.array_equal(zeros, first_sweep("trained", start="zeros"))
    assert not np.allclose(zeros, first_sweep("trained"))


def test_thresholds_fall_to_a_hundredth_of_the_mean_distance_between_the_phases() -> None:
    engine = opened(stop="adaptive", xi_0=0.05, gamma=0.01, dtype="float64")
    distances = []
    for seed in range(3):
        x, y = samples(engine, seed=seed)
        free(engine, x)
        engine.nudge(y, -0.25)
        engine.advance()
        held = engine.layers()
        engine.hold_exactly(False)
        engine.nudge(y, 0.25)
        engine.advance()
        distances.append([np.abs(engine.layers()[k] - held[k]).sum() for k in ("s1", "s2")])
    free(engine, samples(engine)[0])  # an evaluation does not count
    mean = np.mean(distances, axis=0)
    said = engine.end_epoch()
    assert [said["distance 1"], said["distance 2"]] == pytest.approx(list(mean))
    expected = np.minimum(0.05, 0.01 * mean)
    assert expected.min() < 0.05
    assert [said["xi 1"], said["xi 2"]] == pytest.approx(list(expected))
    assert said["sweeps free"] > 1
    again = engine.end_epoch()  # nothing since: nothing changes
    assert again["xi 1"] == said["xi 1"]
    assert "distance 1" not in again
    step(engine, *samples(engine), -2.0, 2.0)  # far apart: xi never rises
    assert engine.end_epoch()["xi 1"] == said["xi 1"]


@pytest.mark.parametrize("stop", ["fixed", "residual"])
def test_other_stops_do_not_adapt(stop: str) -> None:
    engine = opened(stop=stop)
    before = engine.end_epoch()
    step(engine, *samples(engine), -1e-4, 1e-4)
    after = engine.end_epoch()
    assert after["xi 1"] == before["xi 1"] == (1e-3 if stop == "fixed" else 1e-12)
    assert after["not converged"] == 0


def test_a_phase_that_gives_up_is_counted() -> None:
    engine = opened(max_sweeps=1)
    step(engine, *samples(engine), -0.25, 0.25)
    assert engine.end_epoch()["not converged"] == 3


def test_one_seed_gives_one_run() -> None:
    runs = []
    for seed in (5, 5, 6):
        engine = opened(seed, dtype="float32", tolerance=1e-6)
        for k in range(3):
            step(engine, *samples(engine, seed=k), -0.25, 0.25)
        runs.append(engine.parameters())
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("relaxation", ["once", "joint"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_comes_back_bit_for_bit_from_any_place_of_a_step(relaxation: str, dtype: str) -> None:
    changes = {"parameter_relaxation": relaxation, "dtype": dtype, "stop": "adaptive", "xi_0": 1e-3, "max_sweeps": 200}
    moments = 16

    def play(engine: HopfieldEngine, first: int, last: int) -> None:
        for k in range(first, last):
            x, y = samples(engine, seed=k // 8)
            match k % 8:
                case 0:
                    engine.present(x)
                    engine.release()
                    engine.hold_exactly(True)
                case 1 | 3 | 6:
                    engine.advance()
                case 2:
                    engine.nudge(y, -0.25)
                case 4:
                    engine.hold_exactly(False)
                case 5:
                    engine.nudge(y, 0.25)
                case 7 if k == 7:
                    engine.end_epoch()
                    engine.scale_coupling(0.25)
                case 7:
                    engine.controls()
                    engine.present(x[::-1].copy())
                    engine.advance()

    whole = opened(1, **changes)
    whole.scale_coupling(0.3)
    play(whole, 0, moments)
    for cut in range(moments):
        before = opened(1, **changes)
        before.scale_coupling(0.3)
        play(before, 0, cut)
        packed = wire.pack(before.state())
        after = opened(99, **changes)
        after.restore(wire.unpack(packed))
        play(after, cut, moments)
        assert np.array_equal(after.parameters(), whole.parameters())
        assert np.array_equal(after.controls(), whole.controls())
        assert after.end_epoch() == opened_end(whole, after)
        for name, layer in whole.layers().items():
            assert np.array_equal(after.layers()[name], layer)


def opened_end(whole: HopfieldEngine, after: HopfieldEngine) -> dict[str, float]:
    """What the uninterrupted run says at its epoch's end, without ending it."""
    twin = HopfieldEngine(after.settings, seed=0)
    twin.restore(whole.state())
    return twin.end_epoch()


def test_a_state_of_another_device_or_a_damaged_one_is_refused_and_changes_nothing() -> None:
    engine = opened()
    x, y = samples(engine)
    step(engine, x, y, -0.25, 0.25)
    theta = engine.parameters()
    with pytest.raises(DeviceConfigError, match="of another device"):
        engine.restore(opened(widths=(6, 9, 3)).state())
    good = opened(3).state()
    for damage in (
        {"theta": good["theta"][:-1]},
        {"theta": np.full(83, np.nan)},
        {"now": {}},
        {"staged": None},
        {"thresholds": {"xi": [1.0]}},
        {"thresholds": {**good["thresholds"], "sweeps": 3}},
        {"threads": "many"},
        {"t": None},
    ):
        with pytest.raises(DeviceConfigError, match="damaged"):
            engine.restore({**good, **damage})
        assert np.array_equal(engine.parameters(), theta)
    engine.restore(good)
    assert np.array_equal(engine.parameters(), opened(3).parameters())
    with pytest.raises(DeviceStateError):  # nothing was presented to the one it came from
        engine.advance()
