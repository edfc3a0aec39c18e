"""Imperfect hardware around a simulated device: each imperfection by its physics, and none of them where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from aeqlab.backends.abilities import capabilities
from aeqlab.backends.device import Device, Flag, Grade, Readout
from aeqlab.backends.errors import DeviceConfigError, LimitError
from aeqlab.backends.imperfect import ImperfectDevice, imperfect
from aeqlab.backends.imperfect_parts import Drift
from aeqlab.backends.imperfections import EngineImperfections, Imperfections, PlantImperfections
from aeqlab.backends.kinds import SimulatedSettings, SlowSettings
from aeqlab.backends.wire import pack, unpack

Array = NDArray[Any]
LINEAR: dict[str, Any] = {"energy": "linear", "options": {"frequencies": 2}, "epsilon": 0.1}
KINDS: dict[str, dict[str, Any]] = {
    "linear": LINEAR,
    "linear, batch of 3": {**LINEAR, "batch": 3},
    "spring, cosh": {"energy": "spring", "coupling": "cosh"},
    "hopfield": {"energy": "hopfield", "options": {"layers": [3, 4, 2]}, "epsilon": 0.02, "batch": 2},
}


def opened(seed: int = 1, kind: str = "linear", **flaws: Any) -> Any:
    """A device with an input presented."""
    device = SimulatedSettings(**KINDS[kind], imperfections=flaws or None).open(seed=seed, base=Path())
    device.present(np.full((device.info.samples or 1, len(device.info.inputs)), 0.3))
    return device


def course(device: Any, hold: bool = False) -> list[Readout]:
    """A training step and what follows, by hand: moved knobs, a nudge, exact holding, a clamp, a freeze."""
    info = device.info
    y = np.full((info.samples, len(info.outputs)), 0.5)
    readings = [device.advance() for _ in range(5)]
    device.set_controls(np.clip(device.controls() + 0.05, info.controls.low, info.controls.high))
    readings += [device.advance(), device.advance(0.4)]
    device.nudge(y, 0.3)
    device.hold_exactly(True)
    readings += [device.advance() for _ in range(5)]
    device.hold_exactly(False)
    device.nudge(y, 0.6)
    readings += [device.advance() for _ in range(5)]
    device.freeze()
    readings.append(device.advance())
    device.write_parameters(np.zeros(info.n_parameters))
    device.release()
    return [*readings, device.advance()]


def assert_same(one: list[Readout], other: list[Readout]) -> None:
    for a, b in zip(one, other, strict=True):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)


# Nothing imperfect, and the same again --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_without_imperfections_it_is_the_plain_device_bit_for_bit(kind: str) -> None:
    plain = SimulatedSettings(**KINDS[kind]).open(seed=1, base=Path())
    inner = SimulatedSettings(**KINDS[kind]).open(seed=1, base=Path())
    wrapped = imperfect(inner, Imperfections(), seed=1)
    assert capabilities(wrapped) == capabilities(plain)
    x = np.full((plain.info.samples or 1, len(plain.info.inputs)), 0.3)
    plain.present(x)
    wrapped.present(x)
    assert_same(course(plain), course(wrapped))
    np.testing.assert_array_equal(plain.controls(), wrapped.controls())
    assert wrapped.info.notes == ()


def test_an_empty_section_builds_the_plain_device() -> None:
    device = SimulatedSettings(**LINEAR, imperfections={}).open(seed=1, base=Path())
    assert not isinstance(device, ImperfectDevice)


EVERYTHING: dict[str, Any] = {
    "read_noise": 1e-3, "output_noise": 2e-3, "knob_bits": 10, "knob_range": 4.0, "slew_per_s": 1.0, "drift": 0.01,
    "drift_time_s": 3.0, "mismatch": 0.2, "failed_knobs": 1, "dead_time_s": 0.15, "settle_ticks": 12,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_the_same_imperfections_and_another_seed_others(kind: str) -> None:
    one, again, other = (course(opened(seed, kind, **EVERYTHING)) for seed in (1, 1, 2))
    assert_same(one, again)
    assert not np.array_equal(one[-1].outputs, other[-1].outputs)


@pytest.mark.parametrize("key", EVERYTHING)
@pytest.mark.parametrize("holding", [False, True])
def test_a_restored_state_goes_on_bit_for_bit(key: str, holding: bool) -> None:
    flaws = {key: EVERYTHING[key]} | ({"knob_range": 4.0} if key == "knob_bits" else {})
    flaws |= {"drift": 0.01} if key == "drift_time_s" else {}
    device = opened(**flaws)
    for _ in range(4):
        device.advance()
    device.set_controls(device.controls() + 0.2)
    device.advance()
    if holding:
        device.hold_exactly(True)
        device.advance()
    tree = unpack(pack(device.state()))
    after = opened(**flaws)
    after.restore(tree)
    np.testing.assert_array_equal(device.controls(), after.controls())
    assert_same(course(device), course(after))


def test_a_state_of_other_imperfections_is_refused_and_nothing_moves() -> None:
    device, other = opened(read_noise=1e-3), opened(read_noise=2e-3)
    device.advance()
    before = pack(device.state())
    with pytest.raises(DeviceConfigError, match="same imperfections"):
        device.restore(other.state())
    damaged = device.state()
    damaged["knobs"] = {**damaged["knobs"], "output": np.zeros(99)}
    with pytest.raises(DeviceConfigError, match="damaged"):
        device.restore(damaged)
    assert pack(device.state()) == before


# Each by its physics --------------------------------------------------------------------------------------------------


def test_a_knob_takes_whole_steps_and_refuses_what_is_beyond_its_range() -> None:
    device = opened(knob_bits=8, knob_range=2.0)
    step = 4.0 / 256
    np.testing.assert_allclose(device.info.controls.step, step)
    wanted = np.array([0.1, -0.2, 0.3333, 1.999, -2.0])
    device.set_controls(wanted)
    device.advance()
    np.testing.assert_allclose(device.controls(), np.rint(wanted / step) * step)
    with pytest.raises(LimitError, match="u0"):
        device.set_controls(np.array([2.1, 0, 0, 0, 0]))


def test_read_noise_has_its_size_on_parameters_and_outputs_alone() -> None:
    device = opened(read_noise=0.02, output_noise=0.05)
    device.hold_exactly(True)
    readings = [device.advance() for _ in range(4000)]
    theta = np.array([r.parameters for r in readings]) - device.true_parameters()
    outputs = np.array([r.outputs.ravel() for r in readings[200:]])
    assert np.abs(theta.mean(axis=0)).max() < 5 * 0.02 / np.sqrt(4000)
    np.testing.assert_allclose(theta.std(axis=0), 0.02, rtol=0.06)  # five standard deviations of an estimate from 4000
    np.testing.assert_allclose(outputs.std(axis=0), 0.05, rtol=0.06)
    assert device.info.parameters[0].noise == 0.02
    assert device.info.outputs.noise == pytest.approx(0.05)


def test_a_knob_slews_no_faster_than_told_and_arrives() -> None:
    device = opened(slew_per_s=0.5)
    start = device.controls()
    device.set_controls(start + 0.4)
    moved, t, longest = [], [], 0.0
    for _ in range(100):
        r = device.advance()
        moved.append(float(device.controls()[0] - start[0]))
        t.append(r.t)
        longest = max(longest, r.dt)
        if not r.flags & Flag.SLEWING:
            break
    assert moved[-1] == pytest.approx(0.4)
    assert t[-1] == pytest.approx(0.4 / 0.5, abs=2 * longest)
    assert (np.array(moved) <= 0.5 * (np.array(t) + longest) + 1e-12).all()
    assert (np.diff(moved) <= 0.5 * 2 * longest + 1e-12).all()


def test_a_late_reading_shows_the_past_and_says_its_age() -> None:
    device, plain = opened(dead_time_s=0.35), opened()
    for one in (device, plain):
        one.set_controls(one.controls() + 0.5)
    late, true = [device.advance() for _ in range(40)], [plain.advance() for _ in range(40)]
    t, theta = np.array([r.t for r in true]), np.array([r.parameters for r in true])
    assert late[0].parameter_ages_s is not None
    assert late[0].parameter_ages_s[0] == 0.0  # the first reading is of now: before it there was nothing
    for r in late:
        assert r.parameter_ages_s is not None
        assert r.parameters is not None
        age = float(r.parameter_ages_s[0])
        assert age == pytest.approx(min(0.35, r.t - t[0]))
        want = [np.interp(r.t - age, t, theta[:, k]) for k in range(theta.shape[1])]
        np.testing.assert_allclose(r.parameters, want, atol=1e-12)
        np.testing.assert_array_equal(r.output_ages_s, age)
    assert device.info.response.dead_time_s == pytest.approx(0.35)


def test_drift_has_its_size_and_correlation_whatever_the_tick() -> None:
    for dt in (0.05, 0.4):
        drift = Drift(5, sigma=0.03, time_s=2.0, seed=1)
        offsets = []
        for _ in range(20_000):
            drift.pass_time(dt)
            offsets.append(drift.offset)
        d = np.array(offsets)[round(10 / dt) :]
        assert np.sqrt((d * d).mean()) == pytest.approx(0.03, rel=0.06)
        lag = round(2.0 / dt)
        assert (d[:-lag] * d[lag:]).mean() / (d * d).mean() == pytest.approx(np.exp(-1.0), abs=0.06)


def test_drift_acts_behind_the_readback() -> None:
    device = opened(drift=0.03, drift_time_s=2.0)
    u = device.controls()
    for _ in range(60):
        device.advance()
    np.testing.assert_array_equal(device.controls(), u)
    assert np.abs(device.inner.controls() - u).max() > 0.01
    assert np.abs(device.true_parameters() - u).max() > 0.005  # the system feels it


def test_mismatch_spreads_the_couplings_by_seed_about_what_was_asked() -> None:
    settings = {"energy": "linear", "options": {"frequencies": 1000}, "epsilon": 0.1}
    device = SimulatedSettings(**settings, imperfections={"mismatch": 0.2}).open(seed=3, base=Path())
    epsilon = np.asarray(device.info.parameters[0].epsilon)
    assert np.log(epsilon / 0.1).std() == pytest.approx(0.2, rel=0.08)
    assert np.median(epsilon) == pytest.approx(0.1, rel=0.03)
    again = SimulatedSettings(**settings, imperfections={"mismatch": 0.2, "read_noise": 1.0}).open(seed=3, base=Path())
    np.testing.assert_array_equal(epsilon, again.info.parameters[0].epsilon)  # a stream of its own
    assert (epsilon > 0).all()


def test_a_failed_knob_stays_and_its_parameter_cannot_be_written() -> None:
    device = opened(failed_knobs=[1, "u3"])
    start = device.controls()
    device.set_controls(start + 0.5)
    for _ in range(60):
        device.advance()
    moved = device.controls() - start
    np.testing.assert_array_equal(moved[[1, 3]], 0.0)
    np.testing.assert_allclose(moved[[0, 2, 4]], 0.5)
    before = device.parameters()
    device.write_parameters(np.full(5, 0.7))
    np.testing.assert_array_equal(device.parameters()[[1, 3]], before[[1, 3]])
    np.testing.assert_array_equal(device.parameters()[[0, 2, 4]], 0.7)
    assert device.info.notes == ("failed knobs: u1, u3",)


def test_a_number_of_failed_knobs_is_drawn_by_seed() -> None:
    drawn = [tuple(opened(seed, failed_knobs=2).failed) for seed in range(8)]
    assert drawn == [tuple(opened(seed, failed_knobs=2).failed) for seed in range(8)]
    assert len(set(drawn)) > 3
    assert all(len(set(pair)) == 2 for pair in drawn)


def test_make_safe_ramps_within_slew_and_names_a_failed_knob() -> None:
    device = opened(failed_knobs=[2], slew_per_s=1.0)
    device._knobs.stuck = None  # it fails where it stands now
    device._knobs.jump(np.full(5, 0.3))
    device._knobs.stuck = device.failed
    device.advance()
    report = device.make_safe()
    np.testing.assert_array_equal(device.controls(), [0.0, 0.0, 0.3, 0.0, 0.0])
    assert [line.what for line in report.lines if line.grade is Grade.FAILED] == ["u2"]
    assert device.advance().flags & Flag.FROZEN
    assert device._t >= 0.3


def test_settling_is_cut_after_so_many_ticks_and_goes_on_with_the_next_command() -> None:
    device, plain = opened(settle_ticks=6), opened()
    for one in (device, plain):
        one.set_controls(one.controls() + 0.5)
    cut, full = [device.advance() for _ in range(12)], [plain.advance() for _ in range(12)]
    assert_same(cut[:6], full[:6])
    for r in cut[6:]:
        np.testing.assert_array_equal(r.parameters, full[5].parameters)
        np.testing.assert_array_equal(r.outputs, full[5].outputs)
        assert r.dt > 0  # time goes on
    device.set_controls(device.controls())
    assert not np.array_equal(device.advance().parameters, full[5].parameters)


# Exact homeostasis: they act on the clamp -----------------------------------------------------------------------------


def clamped(device: Any) -> tuple[Array, Array, Array]:
    """Hold exactly at a new input, let go, float: theta held, u that would hold it, u of the clamp."""
    device.hold_exactly(True)
    device.present(np.full((1, 1), -0.4))
    for _ in range(60):
        device.advance()
    theta, held = device.parameters(), device.inner.controls()
    device.hold_exactly(False)
    return theta, held, device.controls()


def test_the_clamp_of_exact_homeostasis_is_rounded_to_the_knob() -> None:
    device = opened(knob_bits=8, knob_range=2.0)
    device.write_parameters(np.array([0.31, -0.2, 0.1, 0.4, -0.3]))
    theta, ideal, u = clamped(device)
    step = 4.0 / 256
    np.testing.assert_allclose(u, np.rint(ideal / step) * step)
    assert np.abs(u - ideal).max() > 0.1 * step
    for _ in range(400):
        r = device.advance()
    assert r.parameters is not None
    assert np.abs(r.parameters - theta).max() > 0.05 * step  # the rounding pulls theta away


def test_the_clamp_carries_the_noise_of_a_reading() -> None:
    errors = []
    device = opened(read_noise=0.03)
    for _ in range(300):
        device.hold_exactly(True)
        r = device.advance()
        theta, ideal = device.parameters(), device.inner.controls()
        device.hold_exactly(False)
        errors.append(device.controls() - ideal)
        np.testing.assert_allclose(errors[-1], theta - r.parameters, atol=1e-12)
    assert np.std(errors) == pytest.approx(0.03, rel=0.1)


def test_a_failed_knob_does_not_take_part_in_the_clamp() -> None:
    device = opened(failed_knobs=[0])
    before = device.controls()
    _, ideal, u = clamped(device)
    assert u[0] == before[0]
    np.testing.assert_allclose(u[1:], ideal[1:])


def test_drift_that_came_while_theta_was_held_is_cancelled_and_later_drift_moves_it() -> None:
    device = opened(drift=0.05, drift_time_s=5.0)
    _, ideal, u = clamped(device)
    offset = device._drift.offset
    np.testing.assert_allclose(u + offset, ideal)
    device.advance()
    np.testing.assert_allclose(device.inner.controls(), ideal)
    for _ in range(50):
        device.advance()
    np.testing.assert_array_equal(device.controls(), u)
    assert np.abs(device.inner.controls() - ideal).max() > 1e-3


def test_a_hold_that_wants_more_than_the_range_says_so() -> None:
    device = opened(knob_range=0.5)
    device.write_parameters(np.full(5, 0.6))
    device.hold_exactly(True)
    assert device.advance().flags & Flag.SATURATED
    assert (np.abs(device.controls()) <= 0.5).all()
    device.write_parameters(np.full(5, 0.1))
    assert not device.advance().flags & Flag.SATURATED


# What cannot be -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "flaws", "message"),
    [
        (Imperfections, {"knob_bits": 12}, "infinite range"),
        (EngineImperfections, {"dead_time_s": 0.1}, "lasts until all has settled"),
        (EngineImperfections, {"slew_per_s": 1.0}, "lasts until all has settled"),
        (PlantImperfections, {"read_noise": 1e-3}, "noise_V"),
        (PlantImperfections, {"knob_bits": 12}, "dac_bits"),
        (Imperfections, {"failed_knobs": -1}, "greater than or equal"),
        (Imperfections, {"failed_knobs": True}, "valid integer"),
    ],
)
def test_what_cannot_be_is_refused_in_words(model: Any, flaws: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model(**flaws)


@pytest.mark.parametrize(
    ("failed", "message"), [([5], "counted from 0"), (["u9"], "no knob 'u9'; there are u0 to u4"), (6, "at most 5")]
)
def test_a_failed_knob_there_is_none_of_is_refused(failed: Any, message: str) -> None:
    with pytest.raises(DeviceConfigError, match=message):
        opened(failed_knobs=failed)


def test_a_range_that_does_not_reach_the_limits_is_refused() -> None:
    with pytest.raises(ValidationError, match="does not reach control_limits"):
        SimulatedSettings(**LINEAR, control_limits=(-3, 3), imperfections={"knob_range": 2.0})


# The slow device ------------------------------------------------------------------------------------------------------


def slow(**flaws: Any) -> Device:
    quiet = {"noise_V": 0.0, "output_noise_V": 0.0, "drift_V": 0.0, "stale_rate": 0.0, "lost_rate": 0.0}
    device = SlowSettings(**LINEAR, **quiet, imperfections=flaws or None).open(seed=1, base=Path())
    device.present(np.full((1, 1), 0.3))
    return device


def test_a_failed_knob_of_the_slow_device_stays_and_is_named() -> None:
    device = slow(failed_knobs=["u1"])
    device.set_controls(np.full(5, 0.2))
    for _ in range(20):
        device.advance()
    assert device.controls()[1] == 0.0
    np.testing.assert_allclose(device.controls()[[0, 2, 3, 4]], 0.2, atol=1e-5)
    assert device.info.notes == ("failed knobs: u1",)


def test_mismatch_of_the_slow_device_changes_how_far_a_nudge_moves_theta() -> None:
    moved = []
    for flaws in ({}, {"mismatch": 0.3}):
        device = slow(**flaws)
        device.nudge(np.ones((1, 1)), 0.5)
        for _ in range(60):
            r = device.advance()
        moved.append(r.parameters)
    ratio = moved[1] / moved[0]  # type: ignore[operator]
    factors = PlantImperfections(mismatch=0.3).factors(5, 1)
    assert factors is not None
    np.testing.assert_allclose(ratio / ratio[0], factors / factors[0], rtol=0.02)


def test_settling_of_the_slow_device_is_cut_and_restores() -> None:
    device = slow(settle_ticks=3)
    device.set_controls(np.full(5, 0.2))
    readings = [device.advance() for _ in range(9)]
    thetas = np.array([r.parameters for r in readings])
    assert np.abs(thetas[4:] - thetas[4]).max() == 0.0  # one more than three, by the dead time of readings
    assert 0.0 < thetas[-1][0] < 0.19
    tree = unpack(pack(device.state()))  # type: ignore[attr-defined]
    device.set_controls(np.full(5, 0.2))
    moved = [device.advance().parameters for _ in range(6)]
    assert np.abs(moved[-1] - thetas[-1]).max() > 0.005  # type: ignore[operator]
    device.restore(tree)  # type: ignore[attr-defined]
    device.set_controls(np.full(5, 0.2))
    np.testing.assert_array_equal(moved, [device.advance().parameters for _ in range(6)])
