"""Gain and phase margins of loops: against closed formulas, and against loops that are really closed."""

from __future__ import annotations

import numpy as np
import pytest

from aeqlab.protocols.stability import margins


def one(
    ki: float, kp: float = 0.0, kd: float = 0.0, k: float = 1.0, tau: float = 0.05, d: float = 0.0, tick: float | None = None
) -> tuple[float, float]:
    rows = [np.array([value]) for value in (kp, ki, kd, k, tau, d)]
    room, phase = margins(*rows, tick)
    return float(room[0]), float(phase[0])


def swings(ki: float, kp: float, kd: float, k: float, tau: float, d: float, tick: float) -> bool:
    """Close the loop, tick by tick, on a plant that is followed in steps of a twentieth of a tick; whether it grows."""
    fine = 20
    dt, delay = tick / fine, round(d / tick * fine)
    told = [0.0] * (delay + 1)
    theta, u, before, slope = 1.0, 0.0, None, 0.0
    seen = []
    for _ in range(400):
        for _ in range(fine):
            told.append(u)
            theta += (1.0 - np.exp(-dt / tau)) * (k * told[-1 - delay] - theta)
        u -= ki * tick * theta
        if before is not None:
            u -= kp * (theta - before) + kd * ((theta - before) / tick - slope)
            slope = (theta - before) / tick
        before = theta
        seen.append(abs(theta))
        if not abs(theta) < 1e9:
            return True
    return bool(max(seen[-60:]) > max(seen[-240:-180]))


def test_integral_without_dead_time_is_never_too_fast_where_time_is_continuous() -> None:
    room, phase = one(ki=1 / (4 * 0.05))
    assert room == np.inf
    # |L| = 1 at w tau = x with x sqrt(1 + x^2) = 1/4
    x = np.sqrt((np.sqrt(1 + 4 / 16) - 1) / 2)
    assert phase == pytest.approx(90 - np.degrees(np.arctan(x)), abs=0.05)


def test_dead_time_alone_has_its_closed_formula() -> None:
    """A plant much faster than its dead time: Ki k d = pi / 2 is the limit of an integral loop."""
    room, _ = one(ki=0.5, tau=1e-6, d=1.0)
    assert room == pytest.approx(np.pi, rel=1e-3)


def test_a_plant_that_follows_within_a_tick_bears_ki_k_tick_of_two() -> None:
    room, _ = one(ki=1.0, tau=1e-4, tick=0.5)
    assert room == pytest.approx(4.0, rel=1e-6)


@pytest.mark.parametrize(
    ("kp", "kd", "k", "d", "tick"),
    [(0.0, 0.0, 1.0, 0.0, 0.02), (0.0, 0.0, -0.8, 0.11, 0.05), (0.4, 0.0, 1.3, 0.03, 0.02), (0.5, 0.003, 1.0, 0.025, 0.01)],
)
def test_a_loop_swings_beyond_its_gain_margin_and_not_before(kp: float, kd: float, k: float, d: float, tick: float) -> None:
    tau, sign = 0.05, np.sign(k)
    ki = sign * 2.0
    kp, kd = sign * kp, sign * kd
    room, phase = one(ki, kp, kd, k, tau, d, tick)
    assert 1.0 < room < 1000.0
    assert 0.0 < phase < 180.0
    for factor, expected in ((0.95 * room, False), (1.05 * room, True)):
        assert swings(factor * ki, factor * kp, factor * kd, k, tau, d, tick) is expected


def test_an_unstable_loop_has_less_than_one_and_a_wrong_sign_nothing() -> None:
    room, phase = one(ki=100.0, d=0.1, tick=0.02)
    assert room < 1.0
    assert phase < 0.0
    assert one(ki=-1.0)[0] == 0.0


def test_what_is_not_known_stays_unknown() -> None:
    assert np.isnan(one(ki=1.0, tau=np.nan)).all()
    assert one(ki=0.0)[0] == np.inf
