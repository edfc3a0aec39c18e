"""Trials of gains: in the running loop at once, without a bump, back by themselves, and kept only on purpose."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_helpers import SETTLE, client_of, eventually, inputs_of, served, simulated, slow, targets_of

from aeqlab.backends.device import Clock
from aeqlab.protocols.errors import FrozenError, NotAllowedError, SessionError
from aeqlab.protocols.gains_file import GainsPlace
from aeqlab.protocols.hold_settings import HomeostasisSettings, Ticks
from aeqlab.protocols.identify import Identifying
from aeqlab.protocols.session import Session
from aeqlab.protocols.status import SessionState

sys.path.append(str(Path(__file__).parents[1] / "backends"))
from rig_helpers import bench_of, open_rig

LOOP = HomeostasisSettings(controller="integral", accept=Ticks(ticks=40))
LONG = HomeostasisSettings(controller="integral", accept=Ticks(ticks=1_000_000))
QUIET: dict[str, Any] = {"noise_V": 1e-5, "drift_V": 0.0, "stale_rate": 0.0, "lost_rate": 0.0}


def made(where: Path | None = None, loop: HomeostasisSettings = LOOP, **quiet: Any) -> Session:
    place = None if where is None else GainsPlace(where)
    return Session(slow(Clock.VIRTUAL, **(quiet or QUIET)), homeostasis=loop, settling=SETTLE, who="ada", gains=place)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    one = made(tmp_path)
    one.present(inputs_of(one))
    one.hold(np.zeros(one.info.n_parameters))
    yield one
    one.close()


def told(session: Session) -> list[str]:
    return [event.text for event in session.events if event.kind == "gains"]


def hold(session: Session, times: int = 1) -> None:
    for _ in range(times):
        session.hold(np.zeros(session.info.n_parameters))


def test_a_factor_makes_chosen_knobs_faster_without_a_bump(session: Session) -> None:
    before, u = session.gains(), session.controller.u.copy()
    trial = session.try_gains({"knobs": [1, 3], "factor": [2.0, 0.5]})
    assert (trial.by, trial.knobs, trial.seconds) == ("ada", (1, 3), 30.0)
    np.testing.assert_array_equal(session.controller.u, u)
    now = session.gains()
    ratio = np.ones(len(u))
    ratio[[1, 3]] = 2.0, 0.5
    np.testing.assert_allclose(now.ki / before.ki, ratio)
    np.testing.assert_allclose(session.controller.ki, now.ki)
    np.testing.assert_array_equal(now.factor, ratio)
    assert now.gain_margin[1] < before.gain_margin[1] < before.gain_margin[3] * 2
    assert now.version != before.version
    hold(session)
    session.revert_gains()
    assert session.gains().trial is None
    np.testing.assert_array_equal(session.gains().ki, before.ki)
    np.testing.assert_array_equal(session.controller.ki, before.ki)
    assert "took it back" in told(session)[-1]


def test_gains_of_single_knobs_and_of_every_law(session: Session) -> None:
    session.configure(homeostasis=HomeostasisSettings(controller="pid", accept=Ticks(ticks=40)))
    standard = session.gains()
    session.try_gains({"knobs": [2], "kp": 0.1, "ki": 1.5, "kd": 0.001})
    now = session.gains()
    assert (now.law, now.kp[2], now.ki[2], now.kd[2]) == ("pid", 0.1, 1.5, 0.001)
    assert np.isnan(now.factor[2])
    np.testing.assert_array_equal(now.kp[:2], standard.kp[:2])
    hold(session)
    session.try_gains({"knobs": [2], "factor": 1.0})
    np.testing.assert_array_equal(session.gains().kp, standard.kp)
    session.revert_gains()
    session.configure(homeostasis=HomeostasisSettings(controller="quasi-static", accept=Ticks(ticks=40)))
    session.try_gains({"factor": 0.5})
    np.testing.assert_allclose(session.gains().share, 0.5)
    np.testing.assert_allclose(session.gains().gain_margin, 4.0)
    assert np.isnan(session.gains().ki).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "say what to try"),
        ({"speed": 2.0}, "'speed'"),
        ({"factor": 0.0}, "outside 0.01 to 10"),
        ({"factor": float("nan")}, "one number"),
        ({"factor": [1.0, 2.0]}, "one for each"),
        ({"factor": 2.0, "ki": 1.0}, "not both"),
        ({"knobs": [99], "factor": 2.0}, "indices from 0 to"),
        ({"knobs": [1, 1], "factor": 2.0}, "each once"),
        ({"kp": 1.0}, "integral law has a ki alone"),
        ({"ki": -1.0}, "away from its target"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_a_sentence(session: Session, change: dict[str, Any], said: str) -> None:
    with pytest.raises(NotAllowedError, match=said):
        session.try_gains(change)
    assert session.gains().trial is None


def test_it_goes_back_by_itself_after_its_time(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.try_gains({"factor": 1.5}, seconds=5.0)
    session.trials._until -= 5.0  # its time has passed
    hold(session)
    assert session.gains().trial is None
    assert "5 s have passed and nobody kept it" in told(session)[-1]


def test_it_goes_back_when_the_loop_swings_out_of_its_band(session: Session) -> None:
    hold(session, 10)
    now = session.gains()
    k = int(np.argmin(now.gain_margin))
    session.try_gains({"knobs": [k], "ki": 1.5 * now.gain_margin[k] * now.ki[k]})
    assert session.gains().gain_margin[k] == pytest.approx(1 / 1.5, rel=1e-3)
    for _ in range(60):
        hold(session)
        if session.gains().trial is None:
            break
    assert session.gains().trial is None
    assert session.info.controls.names[k] in told(session)[-1]
    assert any(word in told(session)[-1] for word in ("tolerances from its target", "swings"))
    assert (session.controller.eased == 1.0).all()
    assert not [alarm for alarm in session.alarms.all() if alarm.kind == "oscillation"]
    hold(session, 20)
    report = session.hold(np.zeros(session.info.n_parameters))
    assert np.abs(report.error).max() < 0.01


def test_new_samples_and_targets_are_not_taken_for_a_loop_that_fails(session: Session) -> None:
    rng = np.random.default_rng(0)
    hold(session, 5)
    session.try_gains({"factor": 1.5})
    for _ in range(15):
        session.present(rng.uniform(-0.4, 0.4, inputs_of(session).shape))
        session.hold(rng.uniform(-0.1, 0.1, session.info.n_parameters))
        session.nudge(targets_of(session), 0.05)
        session.settle()
        session.release()
    assert session.gains().trial is not None, told(session)[-1]


@pytest.mark.parametrize("how", ["freeze", "make_safe"])
def test_freeze_and_safe_end_it(session: Session, how: str) -> None:
    session.try_gains({"factor": 2.0})
    getattr(session, how)("smoke")
    assert session.gains().trial is None
    assert f"the device is {session.standing[0]}" in " ".join(told(session))
    with pytest.raises(FrozenError, match="smoke"):
        session.try_gains({"factor": 2.0})


def test_one_at_a_time_and_the_same_person_may_go_on(session: Session) -> None:
    session.try_gains({"factor": 2.0}, by="ada")
    session.try_gains({"factor": 2.5}, by="ada")
    with pytest.raises(NotAllowedError, match=r"ada tries .* for another \d+ s"):
        session.try_gains({"factor": 1.0}, by="bob")
    session.revert_gains("bob")
    assert (session.gains().factor == 1.0).all()
    with pytest.raises(NotAllowedError, match="nothing to take back"):
        session.revert_gains()


def test_kept_gains_are_in_a_file_and_in_the_next_session(session: Session, tmp_path: Path) -> None:
    session.try_gains({"knobs": [0], "factor": 1.7})
    path = Path(session.keep_gains())
    assert path.parent == tmp_path
    assert session.gains().trial is None
    assert session.gains().kept == str(path)
    assert session.gains().factor[0] == 1.7
    session.configure(homeostasis=LOOP.model_copy(update={"gain": 0.5}))
    assert session.controller.tuning is not None
    with made(tmp_path) as again:
        assert again.gains().factor[0] == 1.7
        assert "are in use; ada kept them" in told(again)[0]
        again.present(inputs_of(again))
        hold(again)
        np.testing.assert_allclose(again.controller.ki, again.gains().ki)
    with made(tmp_path, LOOP.model_copy(update={"ki": 2.0})) as explicit:
        explicit.present(inputs_of(explicit))
        hold(explicit)
        assert (explicit.gains().ki == 2.0).all()


def test_stale_foreign_and_damaged_gains_are_refused(session: Session, tmp_path: Path) -> None:
    session.try_gains({"factor": 1.7})
    path = Path(session.keep_gains())
    good = json.loads(path.read_text())

    def said(change: dict[str, Any] | str) -> str:
        path.write_text(change if isinstance(change, str) else json.dumps(good | change))
        with made(tmp_path) as again:
            assert (again.gains().factor == 1.0).all()
            return told(again)[0]

    assert "stale" in said({"t": good["t"] - 30 * 3600})
    assert "h old" in said({"t": good["t"] - 30 * 3600})
    assert "of another device: device was" in said({"belongs": good["belongs"] | {"device": "slow other"}})
    assert "identification" in said({"identified": 1.0})
    assert "cannot be read" in said("{")
    assert "not of 7 knobs" in said({"factor": [1.0]})
    assert "cannot be read" in said({"factor": [-1.0] * 7})


def test_a_file_that_cannot_be_written_leaves_the_trial(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with made(tmp_path / "file") as session:
        session.try_gains({"factor": 1.7})
        with pytest.raises(SessionError, match="cannot be written"):
            session.keep_gains()
        assert session.gains().trial is not None
    with made() as session:
        session.try_gains({"factor": 1.7})
        with pytest.raises(NotAllowedError, match="no folder"):
            session.keep_gains()


def test_a_device_that_holds_theta_itself_has_no_gains() -> None:
    with Session(simulated(), homeostasis=HomeostasisSettings(), who="ada") as session:
        assert "holds theta itself" in session.gains().why
        with pytest.raises(NotAllowedError, match="holds theta itself"):
            session.try_gains({"factor": 2.0})


def test_a_watcher_tries_gains_in_a_loop_that_another_runs(tmp_path: Path) -> None:
    """By key without the token; at once in the loop; it goes back although whoever asked is gone."""
    device = slow(Clock.VIRTUAL, **QUIET)
    with served(device, homeostasis=LONG, gains=GainsPlace(tmp_path)) as server, client_of(server, "run") as run:
        run.present(inputs_of(run))
        working = threading.Thread(target=_hold_long, args=(run,))
        working.start()
        try:
            with client_of(server, "window", control=False) as window:
                eventually(lambda: window.status().doing == "hold")
                standard = window.gains().ki
                window.try_gains({"factor": 1.5}, seconds=1.0)
                eventually(lambda: np.allclose(server.session.controller.ki, 1.5 * standard))
                assert window.gains().trial is not None
                assert server.session.standing[0] is SessionState.HOLDING
            eventually(lambda: np.array_equal(server.session.controller.ki, standard))
            with client_of(server, "other", control=False) as other:
                eventually(lambda: any("nobody kept it" in event.text for event in other.log()[0]))
                other.try_gains({"factor": 1.2}, by="bob")
                path = other.keep_gains("bob")
                eventually(lambda: np.allclose(server.session.controller.ki, 1.2 * standard))
                assert Path(path).exists()
                assert other.status().doing == "hold"
        finally:
            server.freeze_soon("enough", False)
            working.join(20)
        assert not working.is_alive()


def _hold_long(run: Any) -> None:
    with pytest.raises(FrozenError):
        run.hold(np.zeros(run.info.n_parameters))


def test_on_a_rig_gains_lie_beside_its_identification_and_go_with_it(tmp_path: Path) -> None:
    """On the emulated bench in lockstep: identified, tried, kept, read again, and dropped when it is identified anew."""
    loop = HomeostasisSettings(controller="integral", accept=Ticks(ticks=30))
    place = GainsPlace(tmp_path)
    with bench_of("tcp", frequencies=1) as bench:
        open_it = partial(open_rig, bench, "coupling", folder=tmp_path)
        with (
            open_it() as rig,
            Session(rig, homeostasis=loop, who="ada", gains=place) as session,
        ):
            with pytest.raises(NotAllowedError, match="not known"):
                session.try_gains({"factor": 2.0})
            found = Identifying(session, fingerprint=rig.fingerprint(), seconds=4.0).run().made
            session.device_call("take_identification", found.tree())
            assert (session.gains().gain_margin > 1.0).all()
            session.present(np.zeros((1, 1)))
            session.hold(session.parameters())
            session.try_gains({"knobs": [2], "factor": 0.5})
            session.hold()
            session.keep_gains()
        with (
            open_it() as rig,
            Session(rig, homeostasis=loop, who="bob", gains=place) as session,
        ):
            assert session.gains().factor[2] == 0.5
            session.device_call("take_identification", replace(found, t=found.t + 2.0).tree())
            assert session.gains().factor[2] == 1.0
            assert "identified anew" in told(session)[-1]
        with open_it() as rig, Session(rig, homeostasis=loop, gains=place) as session:
            assert "are stale: the device was identified anew since" in told(session)[0]
