"""Each fault of a rig's instruments, in each phase of a training step: the record is right, and the hardware was safe.

Judged by the bench: its true theta behind every step that counted, and its own journal of every knob. Training goes on where the
fault passes, and ends with the reason where it does not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import KnowingRig, bench_of, open_rig, rig_tree

from aeqlab.backends.bench_faults import AT_ONCE, Fault, begin, end
from aeqlab.backends.bench_judge import judge
from aeqlab.protocols.conformance import identified_first
from aeqlab.protocols.errors import RunFailedError
from aeqlab.protocols.experiment import load_values
from aeqlab.protocols.load import Run, load_run
from aeqlab.protocols.rig import Rig as Notebook
from aeqlab.protocols.session import Session

PHASES = ["hold", "nudged hold", "nudged phase"]
#: Faults that pass, and for how many ticks they last.
PASSING: dict[str, tuple[dict[str, Any], int]] = {
    "late": ({"kind": "late", "seconds": 1.3}, 1),
    "garbled": ({"kind": "garbled"}, 1),
    "short": ({"kind": "short"}, 1),
    "mute": ({"kind": "mute"}, 1),
    "dropped": ({"kind": "dropped"}, 0),
    "rebooted": ({"kind": "rebooted"}, 0),
}
SAMPLES, BEFORE = 6, 4


class Struck(KnowingRig):
    """A rig whose bench is struck by a fault in a phase of the third step."""

    session: Session
    strike: Fault
    phase: str
    lasts: int
    struck = 0
    nudged = 0

    def _advance(self, seconds: float | None) -> Any:
        if self.struck == 0 and self.bench.clock.now() > self.from_s and self._is_in(self.phase):
            self.struck = 1
            begin(self.bench, self.strike)
        elif self.struck:
            self.struck += 1
            if self.struck == 2 + self.lasts and self.strike.kind not in AT_ONCE:
                end(self.bench, self.strike)
        return super()._advance(seconds)

    from_s = np.inf

    def _is_in(self, phase: str) -> bool:
        doing, on = self.session.status().doing, self._nudge_.beta != 0.0
        return {
            "hold": doing == "hold" and not on,
            "nudged hold": doing == "hold" and on,
            "nudged phase": doing == "settle" and on,
        }[phase]


def trained(folder: Path, instrument: str, fault: dict[str, Any], phase: str, lasts: int, **rig: Any) -> tuple[Run, Struck, Any]:
    """Train while a fault strikes; returns the run, the rig, and what the journal shows."""
    with bench_of(journal=folder / "journal") as bench:
        device = open_rig(bench, **rig)
        device.__class__ = Struck
        assert isinstance(device, Struck)
        identified_first(device)
        device.strike, device.phase, device.lasts = Fault.model_validate({"instrument": instrument, **fault}), phase, lasts
        session = device.session = Session(device)
        loaded = load_values(
            {
                "name": "struck",
                "device": {"kind": "rig", "rig": rig_tree(bench, **rig)},
                "data": {"kind": "legendre", "degree": 2, "samples": 50},
                "homeostasis": {"controller": "quasi-static"},
                "sequence": [{"hold": {"seconds": 0.1}}],
            },
            folder,
        )
        with Notebook(session, loaded, runs=folder / "runs", quiet=True) as notebook:
            notebook.train(beta=0.2, samples=BEFORE)
            device.from_s = bench.clock.now()
            try:
                run = notebook.train(beta=0.2, samples=SAMPLES, then="safe")
            except RunFailedError as exc:
                run = exc.run
        assert device.struck, "the fault never struck"
        return load_run(run.path), device, bench.truth()


def judged(folder: Path, run: Run, *, rest: bool = True) -> None:
    """See that no knob went past a limit or a slew, and that every step that counted was held by the true theta."""
    found = judge(folder / "journal", limit_V=1.5, slew_V_per_s=10.0, rest_V=0.0 if rest else None)
    assert found.wrong == ()
    steps = run.steps
    used = np.asarray(steps["used"]).astype(bool)
    true_error = np.asarray(steps["hold_true_error"], dtype=np.float64)[used]
    assert (true_error <= 1.0).all(), true_error
    moved = np.asarray(steps["moved"], dtype=np.float64)[used]
    assert (moved < 0.2).all(), "a step moved theta by more than a step can"
    cost = np.asarray(steps["cost_1"], dtype=np.float64)[used]
    assert (cost < 3.0).all()


CASES = [(kind, name, phase) for kind in PASSING for name in ("dac", "adc", "smu") for phase in PHASES]
QUICK = {
    ("late", "adc", "hold"),
    ("garbled", "adc", "nudged hold"),
    ("dropped", "smu", "nudged phase"),
    ("rebooted", "dac", "nudged hold"),
}


@pytest.mark.parametrize(
    ("kind", "name", "phase"), [pytest.param(*one, marks=() if one in QUICK else pytest.mark.slow) for one in CASES]
)
def test_training_goes_on_after_a_fault_that_passes(tmp_path: Path, kind: str, name: str, phase: str) -> None:
    fault, lasts = PASSING[kind]
    run, _, _ = trained(tmp_path, name, fault, phase, lasts)
    assert run.state == "finished", run.reason
    judged(tmp_path, run)
    steps = run.steps
    assert len(steps["step"]) == SAMPLES
    used = int(np.asarray(steps["used"]).sum())
    assert used >= SAMPLES - 2
    if used < SAMPLES:  # a step that was dropped says why
        assert any("The phase is begun again" in text for text in run.alarms["text"]), list(run.alarms["text"])


@pytest.mark.parametrize("phase", [PHASES[2], *(pytest.param(phase, marks=pytest.mark.slow) for phase in PHASES[:2])])
@pytest.mark.parametrize("name", ["dac", "adc", "smu"])
def test_an_instrument_that_is_gone_ends_the_run_with_the_reason(tmp_path: Path, name: str, phase: str) -> None:
    run, _, truth = trained(tmp_path, name, {"kind": "gone"}, phase, 0, lost_after_s=2.0)
    assert run.state == "failed"
    assert f"{name} did not answer" in run.reason or "state unknown" in run.reason.lower()
    assert "State unknown, last commanded" in run.reason or "unknown" in run.reason
    judged(tmp_path, run, rest=False)
    if name == "adc":  # everything that drives can still be reached
        assert np.abs(truth["u"]).max() < 0.01
    if name != "smu":
        assert truth["i"][0] == 0.0


@pytest.mark.slow
def test_a_stuck_readout_is_never_taken_for_held(tmp_path: Path) -> None:
    """It shows only when what moved it before does not any more: the step that it strikes may still count, those after do not."""
    run, _, _ = trained(tmp_path, "adc", {"kind": "stuck", "channel": "103"}, "hold", 10_000)
    assert run.state == "finished", run.reason
    assert judge(tmp_path / "journal", limit_V=1.5, slew_V_per_s=10.0).wrong == ()
    used = np.asarray(run.steps["used"]).astype(bool)
    assert used.sum() <= 2
    assert not used[2:].any()
    assert set(run.steps["hold_verdict"][2:]) <= {"stale", "timeout"}
    assert any("theta2 (adc[103]) repeats itself to the last bit" in text for text in run.events["text"])


def test_a_refused_voltage_ends_the_run_and_moves_nothing_past_its_limit(tmp_path: Path) -> None:
    run, _, _ = trained(tmp_path, "dac", {"kind": "complaint", "code": -222}, "hold", 0)
    assert run.state == "failed"
    assert "outside what the output can do" in run.reason
    judged(tmp_path, run)
