"""Each fault of a rig's instruments and links, in each phase of a training step: the record is right, and the hardware was safe.

Judged by the bench: its true theta behind every step that counted, and its own journal of every knob. Training goes on where the
fault passes, and ends with the reason where it does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from struck import PHASES, SAMPLES, judged, trained

from aeqlab.protocols.load import Run

INSTRUMENTS = ("dac", "adc", "smu")
#: Faults that pass, and for how many ticks they last.
PASSING: dict[str, tuple[dict[str, Any], int]] = {
    "late": ({"kind": "late", "seconds": 1.3}, 1),
    "mute": ({"kind": "mute"}, 1),
    "deaf": ({"kind": "deaf"}, 1),
    "garbled": ({"kind": "garbled"}, 1),
    "short": ({"kind": "short"}, 1),
    "count": ({"kind": "count"}, 1),
    "word": ({"kind": "word"}, 1),
    "overload": ({"kind": "overload"}, 1),
    "nan": ({"kind": "nan"}, 1),
    "dropped": ({"kind": "dropped"}, 0),
    "rebooted": ({"kind": "rebooted"}, 0),
    "interrupted": ({"kind": "complaint", "code": -410}, 0),
    "unterminated": ({"kind": "complaint", "code": -420}, 0),
}
CASES = [(kind, name, phase) for kind in PASSING for name in INSTRUMENTS for phase in PHASES]
QUICK = {
    ("late", "adc", "hold"),
    ("garbled", "adc", "nudged hold"),
    ("count", "smu", "between"),
    ("dropped", "smu", "nudged phase"),
    ("rebooted", "dac", "nudged hold"),
    ("unterminated", "dac", "clamp"),
}


def every(phase: str, phases: list[str] = PHASES) -> list[Any]:
    """Give a test every phase; all but one of them are for the long suite."""
    return [one if one == phase else pytest.param(one, marks=pytest.mark.slow) for one in phases]


@pytest.mark.parametrize(
    ("kind", "name", "phase"), [pytest.param(*one, marks=() if one in QUICK else pytest.mark.slow) for one in CASES]
)
def test_training_goes_on_after_a_fault_that_passes(tmp_path: Path, kind: str, name: str, phase: str) -> None:
    fault, lasts = PASSING[kind]
    run, _, _ = trained(tmp_path, {"instrument": name, **fault}, phase, lasts)
    went_on(tmp_path, run)


def went_on(folder: Path, run: Run) -> None:
    """See that a run did all its steps, of which at most one was spoiled, and that this one says why."""
    assert run.state == "finished", run.reason
    judged(folder, run)
    used = int(np.asarray(run.steps["used"]).sum())
    assert len(run.steps["step"]) == SAMPLES
    assert used >= SAMPLES - 1
    if used < SAMPLES:
        assert any("The phase is begun again" in text for text in run.alarms["text"]), list(run.alarms["text"])
    disturbed = [k for k, name in enumerate(run.alarms["name"]) if name == "disturbed"]
    assert np.isfinite(np.asarray(run.alarms["cleared_at"], dtype=np.float64)[disturbed]).all(), "over once a sample was done"


@pytest.mark.parametrize("phase", every("nudged phase"))
@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_that_is_gone_ends_the_run_with_the_reason(tmp_path: Path, name: str, phase: str) -> None:
    run, _, truth = trained(tmp_path, {"kind": "gone", "instrument": name}, phase, lost_after_s=2.0)
    assert run.state == "failed"
    assert f"{name} did not answer" in run.reason or "state unknown" in run.reason.lower()
    assert "State unknown, last commanded" in run.reason or "unknown" in run.reason
    judged(tmp_path, run, rest=False)
    if name == "adc":  # everything that drives can still be reached
        assert np.abs(truth["u"]).max() < 0.01
    if name != "smu":
        assert truth["i"][0] == 0.0


#: What no repetition mends, and how the reason of the end says it.
ENDING = {-113: "does not know a command", -222: "outside", -350: "errors were lost"}


@pytest.mark.parametrize("phase", every("hold"))
@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param(name, code, marks=() if (name, code) in {("dac", -222), ("adc", -350)} else pytest.mark.slow)
        for name in INSTRUMENTS
        for code in ENDING
    ],
)
def test_an_instrument_that_complains_ends_the_run_and_moves_nothing_past_its_limit(
    tmp_path: Path, name: str, code: int, phase: str
) -> None:
    run, _, truth = trained(tmp_path, {"kind": "complaint", "instrument": name, "code": code}, phase)
    assert run.state == "failed"
    assert ENDING[code] in run.reason
    assert name in run.reason
    judged(tmp_path, run)
    assert truth["i"][0] == 0.0


@pytest.mark.parametrize("phase", every("between"))
def test_readings_that_stay_away_stop_the_loops_and_no_step_counts(tmp_path: Path, phase: str) -> None:
    run, rig, _ = trained(tmp_path, {"kind": "overload", "instrument": "adc"}, phase, 10_000)
    assert run.state == "finished", run.reason
    judged(tmp_path, run)
    used = np.asarray(run.steps["used"]).astype(bool)
    assert not used[3:].any()
    assert set(run.steps["hold_verdict"][3:]) == {"stale"}
    assert {alarm.kind for alarm in rig.session.alarms.all()} == {"comms"}
