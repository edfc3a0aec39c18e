"""The laws of homeostasis on a rig: at a rail for minutes, after a hand, and behind its dead time."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import KnowingRig, rig_on

from aeqlab.backends.bench_judge import judge
from aeqlab.protocols.aeqprop import train_step
from aeqlab.protocols.conformance import identified_first
from aeqlab.protocols.hold_settings import HomeostasisSettings, Ticks
from aeqlab.protocols.session import Session

LAWS = pytest.mark.parametrize("law", ["integral", "pid", "quasi-static"])
KNOBS = 7


def settings(law: str, ticks: int) -> HomeostasisSettings:
    return HomeostasisSettings.model_validate({"controller": law, "accept": Ticks(ticks=ticks)})


def at(rig: KnowingRig, law: str) -> Session:
    identified_first(rig)
    session = Session(rig, homeostasis=settings(law, 1))
    session.present(np.zeros((1, 1)))
    return session


def ticks_until(session: Session, rig: KnowingRig, law: str, target: np.ndarray, within: float, ticks: int = 120) -> int:
    """Hold for so many ticks; returns after how many of them theta was near its target and stayed there."""
    session.configure(homeostasis=settings(law, ticks))
    off: list[float] = []
    session.point_interrupt = lambda: off.append(float(np.abs(rig.true_parameters() - target).max()))
    session.hold(target)
    session.point_interrupt = None
    far = np.flatnonzero(np.array(off) > within)
    assert not len(far) or far[-1] < ticks - 20, "theta did not come to its target"
    return int(far[-1]) + 1 if len(far) else 0


@pytest.mark.slow
@LAWS
def test_ten_minutes_at_a_rail_leave_nothing_behind(law: str, tmp_path: Path) -> None:
    with rig_on(bench={"journal": tmp_path / "journal", "profile": "ideal"}) as rig:
        session = at(rig, law)
        up, down = np.full(KNOBS, 1.4), np.full(KNOBS, 0.9)
        ticks_until(session, rig, law, up, 0.02)
        usual = ticks_until(session, rig, law, down, 0.02)  # from just below the rail
        beyond = up.copy()
        beyond[:3] = 2.2  # three knobs cannot bring theta there: their limit is 1.5 V
        session.configure(homeostasis=settings(law, 2 + round(600.0 / rig.info.tick_s)))
        began = rig.bench.clock.now()
        session.hold(beyond)
        assert rig.bench.clock.now() - began >= 600.0
        u = np.asarray(rig.bench.truth()["u"])
        assert u[:3] == pytest.approx(np.full(3, 1.5), abs=0.02)
        assert np.abs(rig.true_parameters()[3:] - 1.4).max() < 0.02  # the others are held meanwhile
        assert ticks_until(session, rig, law, down, 0.02) <= usual + 3
    assert judge(tmp_path / "journal", limit_V=1.5, slew_V_per_s=10.0, rest_V=None).wrong == ()


@LAWS
def test_a_loop_takes_over_from_a_hand_without_a_bump(law: str) -> None:
    with rig_on(bench={"profile": "ideal"}) as rig:
        session = at(rig, law)
        session.set_controls(np.linspace(-0.5, 0.7, KNOBS))
        for _ in range(8):
            session.advance()
        theta, u = rig.true_parameters(), np.array(rig.bench.truth()["u"])
        session.configure(homeostasis=settings(law, 1))
        for _ in range(12):
            session.hold(theta)
            assert np.abs(np.array(rig.bench.truth()["u"]) - u).max() < 2e-3


@pytest.mark.parametrize("law", ["integral", "pid"])
def test_theta_settles_behind_the_dead_time_of_a_rig_as_fast_as_the_law_can(law: str) -> None:
    with rig_on(bench={"profile": "ideal"}) as rig:
        session = at(rig, law)
        response, tick = rig.info.response, rig.info.tick_s
        assert response is not None
        lag, dead = float(np.max(response.lag_s)), float(np.max(response.dead_time_s)) + 0.5 * tick
        ticks_until(session, rig, law, np.zeros(KNOBS), 0.005)
        took = ticks_until(session, rig, law, np.full(KNOBS, 0.5), 0.01) * tick
        assert took <= 8.0 * (lag + dead) + 2.0 * tick  # Ki = 1/(2 k (tau + d)): critically damped but for its delay


def test_what_a_knob_cannot_bring_there_follows_it_back_and_the_rest_goes_on_learning() -> None:
    with rig_on(bench={"profile": "ideal"}) as rig:
        session = at(rig, "quasi-static")
        session.configure(homeostasis=HomeostasisSettings(controller="quasi-static"))
        theta = np.zeros(KNOBS)
        theta[0] = 1.495  # its knob goes to 1.5 V
        session.hold(theta)
        rng, used, first = np.random.default_rng(0), [], theta
        for _ in range(30):
            x = rng.uniform(-1, 1, (1, 1))
            y = 2.2 + 0.3 * np.sin(np.pi * x)  # asks for more than that of parameter 0, and for some of another
            report = train_step(session, x, y, theta=theta, pair=(-0.4, 0.4), free_phase=False)
            assert report.theta_target_next is not None
            theta = report.theta_target_next
            used.append(report.used)
        assert not all(used)
        assert np.mean(used) > 0.5  # without that none would be after the first that was refused
        assert theta[0] < 1.55
        assert np.abs(theta[1:] - first[1:]).max() > 0.02


def test_the_first_hold_knows_the_resolution_of_armed_instruments() -> None:
    with rig_on() as rig:
        session = Session(rig, homeostasis=settings("integral", 3).model_copy(update={"ki": 0.5}))
        assert np.max(session.info.parameters[0].step) > 5e-4  # the scanner as it was found, in its range of 300 V
        session.present(np.zeros((1, 1)))
        session.hold(np.zeros(KNOBS))
        assert np.max(session.info.parameters[0].step) < 5e-5  # in the range of 10 V that arming sets
        assert np.max(session._controller.read_step) < 5e-5
