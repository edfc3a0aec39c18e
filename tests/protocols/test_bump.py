"""Bump and autotune: targets go up and down and come back, what is foretold is what happens, and the choice is a trial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_helpers import SETTLE, client_of, inputs_of, served, slow, targets_of

from aeqlab.backends.device import Clock
from aeqlab.protocols import autotune as autotune_module
from aeqlab.protocols.autotune import GAIN_MARGIN, autotune
from aeqlab.protocols.bump import bump
from aeqlab.protocols.errors import AbortRequested, FrozenError, NotAllowedError
from aeqlab.protocols.gains_file import GainsPlace
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.predicted import first_correction, settled_at, step_answer
from aeqlab.protocols.session import Session
from aeqlab.protocols.status import SessionState

QUIET: dict[str, Any] = {"noise_V": 1e-5, "drift_V": 0.0, "stale_rate": 0.0, "lost_rate": 0.0}
LOOP = HomeostasisSettings(controller="integral", tolerance=1e-3)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    one = Session(
        slow(Clock.VIRTUAL, **QUIET), homeostasis=LOOP, settling=SETTLE, who="ada", gains=GainsPlace(tmp_path)
    )  # fmt: skip
    yield one
    one.close()


def test_the_foretold_answer_is_that_of_a_lag_and_a_dead_time() -> None:
    none = np.zeros(1)
    answer = step_answer(none, np.array([1e9]), none, np.ones(1), np.ones(1), none, tick_s=0.1, readings=3, slew_per_s=10.0)
    np.testing.assert_allclose(answer[:, 0], [0.0, 1.0 - np.exp(-0.1), 2.0 - np.exp(-0.1) - np.exp(-0.2)])  # slews 1 per tick
    slow_one = step_answer(
        none, np.array([0.25]), none, np.full(1, -2.0), np.ones(1), np.full(1, 0.25), tick_s=0.1, readings=400
    )  # fmt: skip
    assert np.isfinite(slow_one).all()
    assert slow_one[-1, 0] < -1.0, "a gain of the wrong sign runs away"
    good = step_answer(none, np.array([0.25]), none, np.ones(1), np.ones(1), np.full(1, 0.25), tick_s=0.1, readings=400)
    assert not good[:3].any(), "the first reading is before any move, and then comes the dead time"
    np.testing.assert_allclose(good[-1], 1.0, atol=1e-6)
    settles = settled_at(good, 1.0, 0.02, 0.1)
    assert 2.0 < settles[0] < 15.0
    assert np.isnan(settled_at(slow_one, 1.0, 0.02, 0.1)).all()
    assert np.isnan(step_answer(none, none, none, np.full(1, np.nan), np.ones(1), none, tick_s=0.1, readings=2)).all()
    t = np.array([0.0, 0.25, 1.25])
    once = first_correction(np.ones(1), np.ones(1), np.full(1, 0.25), np.ones(1), t=t, step=np.full(1, 2.0))
    np.testing.assert_allclose(once[:, 0], [0.0, 0.0, 2.0 * (1.0 - np.exp(-1.0))])


def test_a_bump_goes_both_ways_and_back_and_is_as_foretold(session: Session) -> None:
    session.present(inputs_of(session))
    session.hold(np.zeros(session.info.n_parameters))
    heard: list[str] = []
    found = bump(session, [1, 3], 0.05, progress=lambda what, part: heard.append(what))
    assert [course.way for course in found.courses] == ["up", "back", "down", "back"]
    assert heard[0] == "holding theta where it is"
    np.testing.assert_allclose([course.step for course in found.courses], np.outer([1, -1, -1, 1], [0.05, 0.05]))
    for course, ends in zip(found.courses, (0.05, 0.0, -0.05, 0.0), strict=True):
        assert course.held
        assert course.t[0] == pytest.approx(session.info.tick_s)
        np.testing.assert_allclose(course.measured[-1], ends, atol=2e-3)
        law = np.abs(course.measured - ends).max(axis=1) > 0.01  # until it is near, the law alone moves the knobs
        np.testing.assert_allclose(course.measured[law], course.predicted[law], atol=0.01)
        assert np.abs(course.error[:, 0]).max() < 5.0, "a knob that was not chosen stands still"
    assert (found.settle_s > 0.0).all()
    assert "2 bumped by 0.05 V" in found.sentence
    np.testing.assert_array_equal(session.watch().target, np.zeros(session.info.n_parameters))
    assert session.standing[0] is SessionState.HOLDING
    assert session.controller.step is None, "a bump is no learning step"
    assert not session.traces


def test_a_bump_of_its_own_choice_and_what_cannot_be(session: Session) -> None:
    found = bump(session, [0])  # nothing was presented or held before
    np.testing.assert_allclose(found.size, 20.0 * found.tolerance[0])
    for knobs, size, said in (
        ([], None, "choose knobs"), ([0, 0], None, "each once"), ([99], None, "indices from 0"),
        ([0], -1.0, "above 0"), ([0], 1e3, "leaves room for"),
    ):  # fmt: skip
        with pytest.raises(NotAllowedError, match=said):
            bump(session, knobs, size)
    session.nudge(targets_of(session), 0.01)
    with pytest.raises(NotAllowedError, match="a nudge is on"):
        bump(session, [0])
    session.release()
    session.freeze("the test says so")
    with pytest.raises(FrozenError):
        bump(session, [0])


def test_whoever_stops_a_bump_gets_the_targets_back(session: Session) -> None:
    session.present(inputs_of(session))
    session.hold(np.zeros(session.info.n_parameters))

    def stop(what: str, part: float) -> None:
        if what == "targets down":
            raise AbortRequested("stopped")

    with pytest.raises(AbortRequested):
        bump(session, [1], 0.05, progress=stop)
    np.testing.assert_array_equal(session.watch().target, np.zeros(session.info.n_parameters))
    assert session.standing[0] is SessionState.HOLDING


def test_a_bump_at_a_distance_and_one_that_has_no_token() -> None:
    with served(slow(Clock.VIRTUAL, **QUIET), homeostasis=LOOP) as server, client_of(server, "holder") as client:
        found = bump(client, [2], 0.02)
        assert found.courses[0].held
        with client_of(server, "other") as other, pytest.raises(NotAllowedError, match="holder"):
            bump(other, [2], 0.02)

        def leave() -> None:
            raise AbortRequested("stopped")

        client.point_interrupt = leave
        with pytest.raises(AbortRequested):
            bump(client, [2], 0.02)


def test_autotune_is_a_trial_that_settles_sooner(session: Session) -> None:
    session.present(inputs_of(session))
    session.hold(np.zeros(session.info.n_parameters))
    session.try_gains({"knobs": [2], "ki": 1.0})  # what is not the standard gains begins with them
    session.keep_gains()
    found = autotune(session, [1, 2, 4])
    assert found.trial.by == "ada"
    now = session.gains()
    assert now.trial is not None
    np.testing.assert_array_equal(now.factor[[1, 2, 4]], found.factor)
    assert (found.settles_s <= found.standard_s).all()
    assert (found.gain_margin >= GAIN_MARGIN).all()
    np.testing.assert_allclose(now.gain_margin[[1, 2, 4]], found.gain_margin)
    assert "3 knobs" in found.sentence
    session.revert_gains()
    with pytest.raises(NotAllowedError, match="at least one"):
        autotune(session, [])
    session.configure(homeostasis=HomeostasisSettings(controller="quasi-static"))
    assert (autotune(session).factor == 1.0).all()


def test_a_refused_autotune_leaves_the_gains_that_were_given(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.present(inputs_of(session))
    session.hold(np.zeros(session.info.n_parameters))
    session.try_gains({"knobs": [2], "ki": 1.0})
    session.keep_gains()
    before = session.gains().ki
    monkeypatch.setattr(autotune_module, "GAIN_MARGIN", 1e9)  # which no factor leaves
    with pytest.raises(NotAllowedError, match="no factor makes u1 settle"):
        autotune(session, [1, 2])
    after = session.gains()
    assert after.trial is None
    np.testing.assert_array_equal(after.ki, before)


def test_no_bump_where_theta_cannot_be_held(session: Session) -> None:
    session.configure(homeostasis=HomeostasisSettings(controller="integral", tolerance=1e-3, max_ticks=10))
    session.present(inputs_of(session))
    session.hold(np.full(session.info.n_parameters, 0.4))  # further than it gets in ten ticks
    with pytest.raises(NotAllowedError, match=r"bump: theta is not held .* nothing can be told"):
        bump(session, [1], 0.05)
