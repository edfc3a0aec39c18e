"""The truth behind a hold, where a simulation knows it: recorded beside every verdict, counted, and never used to train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.protocols.aeqprop import nudging_pair, train_step
from aeqlab.protocols.homeostasis import HomeostasisSettings
from aeqlab.protocols.session import Session
from aeqlab.protocols.settling import SettlingSettings
from aeqlab.protocols.tally import Tally


def _step(ticks: int) -> float:
    device = SimulatedSettings(energy="linear", epsilon=0.1).open(seed=3, base=Path())
    accept = {"accept": {"ticks": ticks}}
    homeostasis = HomeostasisSettings.model_validate({**accept, "controller": "integral", "tolerance": 1e-3})
    with Session(device, homeostasis=homeostasis, settling=SettlingSettings.model_validate(accept)) as session:
        theta = np.full(device.info.n_parameters, 0.1)
        device.write_parameters(theta)  # type: ignore[attr-defined]
        x, y = np.array([[0.3]]), np.array([[1.0]])
        report = train_step(session, x, y, theta=theta, pair=nudging_pair("centered", 0.1))
        assert report.true_error is not None
        assert report.hold.error is not None
        np.testing.assert_allclose(report.true_error, np.max(np.abs(report.hold.error)) / 1e-3, rtol=1e-9)
        return report.true_error


def test_a_hold_cut_short_shows_its_true_error_in_tolerances() -> None:
    assert _step(2) > 1.0 > _step(400)


def test_verdicts_are_counted_against_the_truth() -> None:
    tally = Tally(steps=1)
    for accepted, true_error in [(True, 0.5), (True, 1.5), (False, 0.5), (False, 3.0), (True, None)]:
        tally.judge(accepted, true_error)
    said = Tally.from_state(tally.state()).summary()
    assert (said["false_held_rate"], said["false_rejected_rate"]) == pytest.approx((0.5, 0.5))


def test_without_truth_no_rate_is_said() -> None:
    tally = Tally(steps=1)
    tally.judge(True, None)
    assert "false_held_rate" not in tally.summary()
