"""Imperfect knobs and readings of the Hopfield engine: what they do to the clamp, to the step and to what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

from aeqlab.backends.device import Flag, Grade
from aeqlab.backends.errors import DeviceConfigError, LimitError
from aeqlab.backends.hopfield.engine import HopfieldEngine
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.wire import pack, unpack

Array = NDArray[Any]
SMALL: dict[str, Any] = {
    "widths": (6, 8, 3), "gains": (1.2, 1.2), "weight_couplings": (0.1, 0.05), "bias_couplings": (0.02, 0.01),
    "dtype": "float64", "stop": "residual", "tolerance": 1e-12, "max_sweeps": 100_000,
}  # fmt: skip
N = 6 * 8 + 8 + 8 * 3 + 3


def opened(seed: int = 0, settings: dict[str, Any] | None = None, **flaws: Any) -> HopfieldEngine:
    return HopfieldSettings(**{**SMALL, **(settings or {})}, imperfections=flaws or None).open(seed=seed, base=Path())


def samples(n: int = 5) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.random((n, 6)), np.eye(3)[rng.integers(0, 3, n)]


def step(engine: HopfieldEngine, beta: float = 0.5) -> tuple[Array, Array, Array]:
    """Train on one batch, centered: theta held, where the knobs stood, theta after."""
    x, y = samples()
    engine.present(x)
    engine.release()
    engine.hold_exactly(True)
    engine.advance()
    engine.nudge(y, -beta / 2)
    engine.advance()
    before, u = engine.parameters(), engine.controls()
    engine.hold_exactly(False)
    engine.nudge(y, beta / 2)
    engine.advance()
    np.testing.assert_array_equal(engine.controls(), u)  # the clamp clamps
    return before, u, engine.parameters()


def pulls() -> tuple[Array, Array, Array]:
    """Of the perfect engine's first step: theta, u, and how far theta moves."""
    before, u, after = step(opened())
    return before, u, after - before


def test_a_section_in_which_nothing_is_imperfect_changes_no_bit() -> None:
    plain = [step(opened())[2] for _ in range(1)]
    same = HopfieldSettings(**SMALL, imperfections={"failed_knobs": 0, "mismatch": 0.0}).open(seed=0, base=Path())
    np.testing.assert_array_equal(step(same)[2], plain[0])


def test_imperfections_too_small_to_see_give_the_plain_step() -> None:
    tiny = {"knob_bits": 32, "knob_range": 1e-4 * 2**20, "read_noise": 1e-13, "drift": 1e-13, "mismatch": 1e-12}
    np.testing.assert_allclose(step(opened(**tiny))[2], step(opened())[2], atol=1e-7)


def test_the_knobs_are_rounded_and_theta_leaves_its_place_by_the_rounding() -> None:
    engine = opened(knob_bits=8, knob_range=1.0)
    lsb = 2.0 / 256
    theta, wanted, moved = pulls()
    before, u, after = step(engine)
    np.testing.assert_array_equal(before, theta)  # held exactly, whatever the knobs are
    np.testing.assert_allclose(u, np.rint(wanted / lsb) * lsb, atol=1e-12)
    np.testing.assert_allclose(after - before, moved + (u - wanted), atol=1e-9)
    np.testing.assert_allclose(engine.info.controls.step, lsb)
    with pytest.raises(LimitError, match=r"u_w1\[0,0\]"):
        engine.set_controls(np.full(N, 1.5))


def test_the_clamp_carries_the_noise_of_a_reading() -> None:
    _, wanted, moved = pulls()
    engine = opened(read_noise=0.01)
    before, u, after = step(engine)
    error = u - wanted
    assert error.std() == pytest.approx(0.01, rel=0.25)  # five standard deviations of an estimate from 83
    np.testing.assert_allclose(after - before, moved + error, atol=1e-9)
    _, again, _ = step(engine)
    assert not np.allclose(again - u, 0.0, atol=1e-3)  # another hold, another reading


def test_asking_where_the_knobs_are_changes_no_later_number() -> None:
    asked, not_asked = opened(read_noise=0.01, drift=0.01), opened(read_noise=0.01, drift=0.01)
    x, y = samples()
    for engine in (asked, not_asked):
        for _ in range(3):
            engine.present(x)
            engine.hold_exactly(True)
            engine.advance()
            if engine is asked:
                engine.controls()
            engine.hold_exactly(False)
            engine.nudge(y, 0.5)
            engine.advance()
            engine.release()
    np.testing.assert_array_equal(asked.parameters(), not_asked.parameters())


def test_mismatch_scales_the_step_parameter_by_parameter() -> None:
    _, _, moved = pulls()
    engine = opened(mismatch=0.3)
    before, _, after = step(engine)
    flaws = engine.settings.imperfections
    assert flaws is not None
    factors = flaws.factors(N, 0)
    assert factors is not None
    np.testing.assert_allclose(after - before, factors * moved, atol=1e-9)
    epsilon = np.concatenate([np.broadcast_to(np.asarray(b.epsilon), (b.size,)) for b in engine.info.parameters])
    nominal = np.concatenate([np.full(b.size, b.epsilon) for b in opened().info.parameters])
    np.testing.assert_allclose(epsilon, factors * nominal)


@pytest.mark.parametrize("relaxation", ["once", "joint"])
def test_a_failed_knob_keeps_its_parameter_while_the_others_learn(relaxation: str) -> None:
    settings = {"parameter_relaxation": relaxation, "weight_couplings": (0.05, 0.05)}
    engine = opened(settings=settings, failed_knobs=["u_w1[2,3]", "u_b2[1]", 0])
    failed = [0, 2 * 8 + 3, 6 * 8 + 8 + 8 * 3 + 1]
    start = engine.parameters()
    for _ in range(3):
        step(engine)
    moved = engine.parameters() - start
    np.testing.assert_array_equal(moved[failed], 0.0)
    assert np.count_nonzero(moved) > N // 2
    engine.set_controls(engine.controls() + 0.1)
    engine.advance()
    np.testing.assert_array_equal(engine.parameters()[failed], start[failed])
    engine.write_parameters(np.full(N, 0.2))
    np.testing.assert_array_equal(engine.parameters()[failed], start[failed])
    assert engine.parameters()[1] == 0.2
    assert engine.info.notes == ("failed knobs: u_w1[0,0], u_w1[2,3], u_b2[1]",)
    report = engine.make_safe()
    bad = [line for line in report.lines if line.grade is Grade.FAILED]
    assert len(bad) == 1
    assert bad[0].what == "failed knobs u_w1[0,0], u_w1[2,3]"  # the third stands at 0, which is its rest


def test_a_joint_step_with_equal_factors_is_the_plain_joint_step() -> None:
    """A failed knob whose parameter would not move in any case: the way that forms theta at every sweep finds the same rest."""
    settings = {"parameter_relaxation": "joint", "weight_couplings": (0.05, 0.05)}
    x, _ = samples()
    plain, formed = opened(settings=settings), opened(settings=settings, failed_knobs=[0])
    steps = []
    for engine in (plain, formed):
        x[:, 0] = 0.0  # the input of that weight
        before = engine.parameters()
        engine.present(x)
        engine.release()
        engine.hold_exactly(True)
        engine.advance()
        engine.hold_exactly(False)
        engine.nudge(samples()[1], 0.5)
        engine.advance()
        steps.append(engine.parameters() - before)
    assert np.abs(steps[0]).max() > 1e-4
    np.testing.assert_allclose(steps[1], steps[0], atol=1e-10)


def test_drift_moves_theta_between_clamp_and_reading_and_while_it_floats() -> None:
    _, _, moved = pulls()
    engine = opened(drift=0.02, drift_time_s=50.0)
    before, _, after = step(engine)
    slip = after - before - moved
    assert slip.std() == pytest.approx(0.02 * np.sqrt(2 / 50), rel=0.35)  # the change of one phase, of 1 s
    slips = [slip]
    for _ in range(40):
        engine.advance()  # nothing staged: only the drift goes on
        slips.append(engine.parameters() - after)
    assert np.std(slips[-1]) > 2 * np.std(slips[0])
    x, _ = samples()
    engine.present(x)
    engine.hold_exactly(True)
    held = engine.parameters()
    for _ in range(3):
        engine.advance()
    np.testing.assert_array_equal(engine.parameters(), held)


def test_drift_is_stationary() -> None:
    engine = opened(drift=0.02, drift_time_s=5.0)
    assert engine._flaws is not None
    seen = []
    for _ in range(2000):
        engine._flaws.pass_time(1.0)
        seen.append(engine._flaws.drift.numpy())
    d = np.array(seen)[50:]
    assert np.sqrt((d * d).mean()) == pytest.approx(0.02, rel=0.05)
    assert (d[:-5] * d[5:]).mean() / (d * d).mean() == pytest.approx(np.exp(-1), abs=0.05)


def test_outputs_are_read_with_noise_and_the_layers_are_not() -> None:
    engine, plain = opened(output_noise=0.05), opened()
    x, _ = samples(500)
    for one in (engine, plain):
        one.present(x)
        one.hold_exactly(True)
    error = engine.advance().outputs - plain.advance().outputs
    assert error.std() == pytest.approx(0.05, rel=0.1)
    np.testing.assert_array_equal(engine.layers()["s2"], plain.layers()["s2"])
    np.testing.assert_allclose(engine.info.outputs.noise, 0.05)


def test_settling_is_cut_after_so_many_sweeps_and_says_so() -> None:
    engine, plain = opened(settle_ticks=2), opened(settings={"max_sweeps": 2})
    x, _ = samples()
    for one in (engine, plain):
        one.present(x)
        one.hold_exactly(True)
    cut = engine.advance()
    assert cut.flags & Flag.UNSETTLED
    np.testing.assert_array_equal(cut.outputs, plain.advance().outputs)


def test_a_hold_that_wants_more_than_the_range_says_so() -> None:
    engine = opened(knob_range=0.3)
    x, _ = samples()
    engine.present(x)
    engine.write_parameters(np.full(N, -0.31))
    engine.hold_exactly(True)
    assert engine.advance().flags & Flag.SATURATED
    engine.write_parameters(np.full(N, -0.01))
    assert not engine.advance().flags & Flag.SATURATED


EVERYTHING: dict[str, Any] = {
    "read_noise": 1e-3, "output_noise": 2e-3, "knob_bits": 10, "knob_range": 4.0, "drift": 0.01, "drift_time_s": 9.0,
    "mismatch": 0.2, "failed_knobs": 5, "settle_ticks": 12,
}  # fmt: skip


@pytest.mark.parametrize("at", ["held", "clamped"])
def test_a_restored_state_goes_on_bit_for_bit(at: str) -> None:
    engine = opened(**EVERYTHING)
    step(engine)
    if at == "held":
        engine.present(samples()[0])
        engine.hold_exactly(True)
        engine.advance()
    tree = unpack(pack(engine.state()))
    after = opened(seed=0, **EVERYTHING)
    after.restore(tree)
    np.testing.assert_array_equal(engine.controls(), after.controls())
    for one, other in zip(step(engine), step(after), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(engine.advance().outputs, after.advance().outputs)


def test_one_seed_gives_the_same_imperfections_and_another_seed_others() -> None:
    (a, _, one), (b, _, again), (c, _, other) = (step(opened(seed, **EVERYTHING)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one - a, again - b)
    assert not np.array_equal(one - a, other - c)


def test_a_state_of_other_imperfections_is_refused_and_nothing_moves() -> None:
    engine = opened(read_noise=1e-3)
    step(engine)
    before = pack(engine.state())
    for other in (opened(read_noise=2e-3), opened()):
        with pytest.raises(DeviceConfigError, match="other imperfections"):
            engine.restore(other.state())
    assert pack(engine.state()) == before
    plain = opened()
    with pytest.raises(DeviceConfigError, match="other imperfections"):
        plain.restore(engine.state())


@pytest.mark.parametrize("name", ["u_w1[6,0]", "u_w3[0,0]", "w1[0,0]", "u_b1[0,0]", "u_b1[]"])
def test_a_failed_knob_there_is_none_of_is_refused(name: str) -> None:
    with pytest.raises(DeviceConfigError, match=r"there are u_w1\[0,0\] to u_b2\[2\]"):
        opened(failed_knobs=[name])
