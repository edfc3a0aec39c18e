"""What fails behind the instruments, where none of them complains: jumps, drift, dead knobs, rails, sources that are held back.

Struck in each phase of a training step; judged by the bench's true theta and by its journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from struck import PHASES, SAMPLES, STRUCK, judged, trained
from test_rig_training_faults import every

from aeqlab.backends.bench_judge import judge

STEP_V = 0.08  #: no step of these runs moves theta further
SPOILED = ("clamp", "nudged phase")  #: phases in which a jump would be taken for what was learned


def told(rig: Any) -> set[str]:
    """Get the kinds of alarms that the session raised."""
    return {alarm.kind for alarm in rig.session.alarms.all()}


@pytest.mark.parametrize("phase", every("nudged phase"))
@pytest.mark.parametrize("by", [0.3, pytest.param(-0.6, marks=pytest.mark.slow)])
def test_a_jump_of_theta_is_no_step(tmp_path: Path, by: float, phase: str) -> None:
    run, _, _ = trained(tmp_path, {"kind": "jump", "instrument": "adc", "channel": "103", "by": by}, phase)
    assert run.state == "finished", run.reason
    judged(tmp_path, run)
    steps = run.steps
    used = np.asarray(steps["used"]).astype(bool)
    assert used.all()  # the step that was struck was dropped, and done again from where it began
    assert (np.asarray(steps["moved"]) < STEP_V).all()
    if phase in SPOILED:
        assert steps["tries"][STRUCK - 1] == 2
        assert any("went much further under the nudge" in text for text in run.alarms["text"])
        assert any("Theta goes back to where it was held" in text for text in run.events["text"])


@pytest.mark.parametrize("phase", every("clamp", ["clamp", "nudged phase"]))
def test_a_jump_that_never_ends_is_skipped_and_told(tmp_path: Path, phase: str) -> None:
    """Without a second try the sample is left out, and theta goes back to where it was held."""
    values = {"homeostasis": {"controller": "quasi-static"}}
    run, _, _ = trained(
        tmp_path, {"kind": "jump", "instrument": "adc", "channel": "103", "by": 0.3}, phase, values=values,
        train={"on_unsettled": {"retries": 0, "then": "skip"}},
    )  # fmt: skip
    judged(tmp_path, run)
    used = np.asarray(run.steps["used"]).astype(bool)
    assert used.tolist() == [k != STRUCK - 1 for k in range(SAMPLES)]
    assert run.steps["settle_verdict"][STRUCK - 1] == "jumped"
    before, after = run.theta_at(STRUCK - 1), run.theta_at(STRUCK)
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("phase", every("clamp", ["clamp", "nudged phase"]))
def test_a_jump_of_the_output_is_no_step(tmp_path: Path, phase: str) -> None:
    run, _, _ = trained(tmp_path, {"kind": "jump", "instrument": "adc", "channel": "108", "by": 4.0}, phase)
    judged(tmp_path, run, cost=20.0)
    assert run.steps["tries"][STRUCK - 1] == 2
    assert any("went much further under the nudge" in text for text in run.alarms["text"])


@pytest.mark.parametrize(
    ("name", "channel"),
    [pytest.param("dac", "3", id="knob"), pytest.param("adc", "103", id="readout", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("phase", every("hold"))
def test_a_slow_drift_is_told_and_training_goes_on(tmp_path: Path, name: str, channel: str, phase: str) -> None:
    fault = {"kind": "drift", "instrument": name, "channel": channel, "by": 1.5e-3}
    run, rig, _ = trained(tmp_path, fault, phase, 100_000, samples=16)
    assert run.state == "finished", run.reason
    assert np.asarray(run.steps["used"]).sum() >= 14
    [alarm] = [alarm for alarm in rig.session.alarms.all() if alarm.kind == "drift"]
    assert alarm.text.startswith("u2: what holds theta wanders")
    assert any("wanders" in text for text in run.alarms["text"])
    if name == "dac":  # what is read is theta, so it was held all the time
        judged(tmp_path, run, cost=6.0)
    else:  # nobody can know; but no knob goes where it must not
        assert judge(tmp_path / "journal", limit_V=1.5, slew_V_per_s=10.0).wrong == ()


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_a_stuck_readout_is_never_taken_for_held(tmp_path: Path, phase: str) -> None:
    """It shows only when what moved it before does not any more: the step that it strikes may still count, those after do not."""
    run, _, _ = trained(tmp_path, {"kind": "stuck", "instrument": "adc", "channel": "103"}, phase, 10_000)
    assert run.state == "finished", run.reason
    assert judge(tmp_path / "journal", limit_V=1.5, slew_V_per_s=10.0).wrong == ()
    used = np.asarray(run.steps["used"]).astype(bool)
    assert not used[STRUCK + 1 :].any()
    assert set(run.steps["hold_verdict"][STRUCK + 1 :]) <= {"stale", "timeout", "saturated"}
    assert any("theta2 (adc[103]) repeats itself to the last bit" in text for text in run.events["text"])


@pytest.mark.parametrize("phase", every("clamp"))
@pytest.mark.parametrize(
    "fault", [{"kind": "stuck"}, pytest.param({"kind": "cable", "gain": 0.0}, marks=pytest.mark.slow)], ids=["stuck", "out"]
)
def test_a_knob_that_moves_nothing_is_masked_and_told(tmp_path: Path, fault: dict[str, Any], phase: str) -> None:
    """Its parameter is held where it is, the others go on learning, and the knob is not left at its rail."""
    run, rig, truth = trained(tmp_path, {"instrument": "dac", "channel": "3", **fault}, phase, 10_000)
    assert run.state == "finished", run.reason
    used = np.asarray(run.steps["used"]).astype(bool)
    assert used.sum() >= SAMPLES - 1
    assert (np.asarray(run.steps["hold_true_error"], dtype=np.float64)[used] <= 1.0).all()
    assert (np.asarray(run.steps["moved"], dtype=np.float64)[used] < STEP_V).all()
    assert judge(tmp_path / "journal", limit_V=1.5, slew_V_per_s=10.0, rest_V=None).wrong == ()
    others = [u for k, u in enumerate(truth["u"]) if k != 2]
    assert np.abs(others).max() < 0.01  # at rest at the end, all that can be moved
    assert truth["i"][0] == 0.0
    assert any(alarm.kind == "idle knob" and alarm.text.startswith("u2: moved") for alarm in rig.session.alarms.all())


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_a_knob_that_is_reversed_in_the_middle_goes_no_further_than_its_limit(tmp_path: Path, phase: str) -> None:
    run, _, _ = trained(tmp_path, {"kind": "cable", "instrument": "dac", "channel": "3", "gain": -1.0}, phase, 10_000)
    assert run.state == "finished", run.reason
    used = np.asarray(run.steps["used"]).astype(bool)
    assert not used[STRUCK + 1 :].any()
    assert (np.asarray(run.steps["hold_true_error"], dtype=np.float64)[used] <= 1.0).all()
    assert judge(tmp_path / "journal", limit_V=1.5, slew_V_per_s=10.0).wrong == ()
    assert any("hold saturated" in text and "u2" in text for text in run.alarms["text"]), list(run.alarms["text"])


@pytest.mark.parametrize("phase", every("nudged hold"))
def test_a_knob_at_its_rail_is_flagged_and_its_samples_do_not_count(tmp_path: Path, phase: str) -> None:
    run, _, _ = trained(tmp_path, {"kind": "jump", "instrument": "dac", "channel": "3", "by": -1.7}, phase)
    assert run.state == "finished", run.reason
    judged(tmp_path, run)
    used = np.asarray(run.steps["used"]).astype(bool)
    assert not used[STRUCK:].any()
    assert set(run.steps["hold_verdict"][STRUCK:]) == {"saturated"}
    assert any("hold saturated" in text and "u2" in text for text in run.alarms["text"]), list(run.alarms["text"])


@pytest.mark.parametrize("phase", every("nudged phase"))
@pytest.mark.parametrize("part", [0.3, pytest.param(0.9, marks=pytest.mark.slow)])
def test_a_nudge_that_is_held_back_by_its_source_is_none(tmp_path: Path, part: float, phase: str) -> None:
    """In compliance: every step that counts was made with the nudge that the record says."""
    whole, _, _ = trained(tmp_path / "whole", lambda rig: None, phase)
    run, rig, _ = trained(tmp_path, {"kind": "limited", "instrument": "smu", "gain": part}, phase, 25)
    assert run.state == "finished", run.reason
    judged(tmp_path, run)
    assert "saturated" in told(rig)
    used = np.asarray(run.steps["used"]).astype(bool)
    moved, expected = np.asarray(run.steps["moved"])[used], np.asarray(whole.steps["moved"])[used]
    assert used.sum() >= 3
    np.testing.assert_allclose(moved, expected, rtol=0.1)
