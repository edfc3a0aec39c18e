"""Scan, ramp, set, step-response interrupted at any tick: knobs within limits, nudge off, the record closed with the reason."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from run_helpers import experiment
from scan_helpers import ENGINE, INSIDE, SIMULATED, SLOW, slow_device_here, with_data

from aeqlab.protocols import load_run
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import Progress, RunResult
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.run_state import Requests, RunState

HOW = {"stop": RunState.STOPPED, "abort": RunState.ABORTED, "skip": RunState.FINISHED, "freeze": RunState.FINISHED}
LINES = (
    "set: {theta0: 0.1, x0: 0.2}",
    "scan: {over: [{quantity: beta, values: [-0.1, 0, 0.1]}, {quantity: x0, values: [0.1, 0.9]}], sample: 1, average: 2}",
    "scan: {over: [{quantity: u1, from: -1, to: 1, points: 4}], read: [s, theta1]}",
    "ramp: {quantity: beta, to: 0.1, seconds: 3, sample: 2}",
    "ramp: {quantity: u1, to: 0.5, seconds: 1}",
    "step-response: {quantity: u1, size: 0.2, repeats: 1, seconds: 1}",
    "set: {beta: 0.1, sample: 1, read: [cost]}",
)


@pytest.fixture(autouse=True)
def _slow_device_here(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_device_here(monkeypatch)


def _run(folder: Path, text: str, how: str, at: int, monkeypatch: pytest.MonkeyPatch) -> tuple[RunResult, Run, int]:
    """Run all the stages, and ask for something at a tick of them; how many ticks there were."""
    requests, plain, ticks = Requests(), RunSession._tick, 0
    folder.mkdir()
    with_data(folder)

    def tick(self: RunSession) -> None:
        nonlocal ticks
        ticks += 1
        if ticks == at:
            getattr(requests, f"ask_{how}")(f"{how} by the test")
        plain(self)

    def watch(now: Progress) -> None:
        if now.state is RunState.PAUSED:
            requests.ask_continue("continue by the test")

    written = text.replace("  - evaluate: {samples: 1}", "\n".join(f"  - {line}" for line in LINES))
    with monkeypatch.context() as patch:
        patch.setattr(RunSession, "_tick", tick)
        result = run_experiment(experiment(folder, written), runs=folder / "runs", requests=requests, on_progress=watch)
    return result, load_run(result.folder), ticks


@pytest.mark.parametrize("text", [SIMULATED, INSIDE, SLOW, ENGINE], ids=["simulated", "inside", "slow", "engine"])
def test_at_any_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    result, _, ticks = _run(tmp_path / "whole", text, "stop", -1, monkeypatch)
    assert result.state is RunState.FINISHED, result.reason
    rng = random.Random(20261125)
    for number, how in enumerate(HOW):
        at = rng.randrange(1, ticks)
        result, run, _ = _run(tmp_path / str(number), text, how, at, monkeypatch)
        said = f"{how} at tick {at} of {ticks}: {result.reason}"
        assert result.state in (HOW[how], RunState.FINISHED), said  # the last boundary may have been before it
        assert run.state == result.state, said
        assert "nudge off" in result.device, said
        assert run.missing == [], said
        if result.state is not RunState.FINISHED:
            assert f"{how} by the test" in run.reason
        for scan in run.scans:
            for name, values in scan.readbacks.items():
                if name.startswith("u") and text is not ENGINE:
                    assert (np.abs(values[np.isfinite(values)]) <= 2.0 + 1e-5).all(), said
        theta = run.theta
        assert np.isfinite(theta).all(), said
