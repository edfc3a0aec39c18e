"""The stages `hold` and `restore` on a device that must be held: samples short enough to pause at, progress, resume."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from inside import SLOW, in_this_process
from run_helpers import SMALL, experiment, run_sequence

from aeqlab.protocols import load_run
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState

SETTLED = SLOW.replace("accept: {ticks: 12}}\nsettling", "accept: settled}\nsettling")


@pytest.mark.parametrize("text", [SMALL, SLOW, SETTLED], ids=["simulated", "slow", "slow-settled"])
def test_an_hour_of_holding_is_left_at_once(tmp_path: Path, text: str) -> None:
    seen: list[Progress] = []
    requests = Requests()

    def watch(now: Progress) -> None:
        if now.stage == "hold":
            seen.append(now)
        if now.stage == "hold" and now.done > 3:
            requests.ask_skip("enough")

    with in_this_process():
        text = text.replace("train: {method: centered, beta: 0.2}", "hold: {seconds: 3600}")
        result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", on_progress=watch, requests=requests)
    assert result.state is RunState.FINISHED, result.reason
    run = load_run(result.folder)
    assert run.stages["outcome"][0] == "skipped: enough"
    assert (seen[-1].total, seen[-1].unit) == (3600, "s")
    assert len(run.reports) > 3
    assert all(b.done >= a.done for a, b in pairwise(seen))


def test_a_hold_is_gone_on_with_where_it_was_stopped(tmp_path: Path) -> None:
    text = SMALL.replace("  - train: {method: centered, beta: 0.2}\n", "  - hold: {seconds: 4000}\n")
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = run_experiment(experiment(tmp_path / "whole", text), runs=tmp_path / "whole" / "runs")
    requests = Requests()
    parts = run_experiment(
        experiment(tmp_path / "parts", text),
        runs=tmp_path / "parts" / "runs",
        requests=requests,
        on_progress=lambda now: requests.ask_stop("a test") if now.stage == "hold" and now.done > 100 else None,
    )
    assert parts.state is RunState.STOPPED
    parts = resume_run(parts.folder)
    assert parts.summary["stages"] == whole.summary["stages"]
    one, other = load_run(whole.folder).reports, load_run(parts.folder).reports
    assert one["report"].tolist() == other["report"].tolist()
    worst = max(json.loads(report)["hold_error"] for report in one["report"])
    assert whole.summary["stages"]["0"]["hold_error"] == worst
    assert other["attempt"].tolist().count(1) > 0


def test_restore_holds_where_theta_cannot_be_written(tmp_path: Path) -> None:
    wanted = np.linspace(-0.5, 0.5, 5)
    np.save(tmp_path / "t.npy", wanted)
    with in_this_process() as opened:
        result, run = run_sequence(tmp_path, "restore: {theta: t.npy}", SETTLED)
        assert result.state is RunState.FINISHED, result.reason
        found = result.summary["stages"]["0"]
        assert (found["how"], found["held"]) == ("held there", True)
        assert found["hold_error"] <= 1.0
        np.testing.assert_allclose(opened[0].last_readout.parameters, wanted, atol=0.02)
    assert run.evaluations["step"].size == 0


def test_restore_says_where_theta_did_not_arrive(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.full(5, 5.0))  # far away, and no hold has the time for it
    with in_this_process():
        result, _ = run_sequence(tmp_path, "restore: {theta: t.npy}", SETTLED.replace("settled}\n", "settled, max_ticks: 10}\n"))
    assert result.state is RunState.FINISHED, result.reason
    assert not result.summary["stages"]["0"]["held"]
    assert "After 10 holds theta is not held (timeout): parameter" in " ".join(result.warnings)
